"""Compare the arms of an experiment: respcam compare outputs/runs/*"""

import argparse
import logging
from pathlib import Path

from respcam.cli.refusals import LOG_FORMAT, reports_refusals
from respcam.experiments.compare import Comparison, ComparisonSettings
from respcam.experiments.differences import Design
from respcam.metrics import METRICS


@reports_refusals
def compare(arguments: argparse.Namespace) -> None:
    """Compare finished runs and print the page."""
    settings = ComparisonSettings(
        design=Design(margin=arguments.margin), metric=arguments.metric, base=arguments.base
    )
    comparison = Comparison.of(arguments.out, arguments.runs, settings)
    comparison.make()
    print(comparison.page)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--out", type=Path, default=Path("outputs/comparisons"), help="where the comparison goes")
    parser.add_argument("--base", default="all", help="the arm that the others are compared with (all)")
    parser.add_argument("--metric", default="auroc", choices=METRICS, help="what verdicts are about (auroc)")
    parser.add_argument("--margin", type=float, default=Design.margin, help="loss that counts as no worse (0.02)")
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    compare(parser.parse_args())

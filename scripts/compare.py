"""Hold the arms of an experiment against each other: python scripts/compare.py outputs/runs/*"""

import argparse
import logging
from pathlib import Path

from edge import one_line_errors
from respcam.experiments import compare
from respcam.experiments.differences import Design
from respcam.metrics import METRICS, BootstrapSettings


@one_line_errors
def main(arguments: argparse.Namespace) -> None:
    bootstrap, design = BootstrapSettings(), Design(margin=arguments.margin)
    asked = (arguments.runs, bootstrap, design, arguments.metric, arguments.base)
    print(compare.run(compare.plan(arguments.out, *asked), *asked))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--out", type=Path, default=Path("outputs/comparisons"), help="where the comparison goes")
    parser.add_argument("--base", default="all", help="the arm that the others are held against (all)")
    parser.add_argument("--metric", default="auroc", choices=METRICS, help="what verdicts are about (auroc)")
    parser.add_argument("--margin", type=float, default=Design.margin, help="loss that counts as no worse (0.02)")
    logging.basicConfig(level=logging.INFO, format="[%(asctime)s][%(name)s][%(levelname)s] - %(message)s")
    main(parser.parse_args())

"""Export the model of a finished run as one ONNX file with a model card: respcam export outputs/runs/RUN"""

import argparse
import logging
from pathlib import Path

from respcam.cli.refusals import LOG_FORMAT, reports_refusals


@reports_refusals
def export(arguments: argparse.Namespace) -> None:
    """Export, check, and print the path of the file."""
    from respcam.experiments.export import export_run  # imports torch, which takes seconds: not for --help

    print(export_run(arguments.run, arguments.out / arguments.run.name))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--out", type=Path, default=Path("outputs/exports"), help="folder of all exports")
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    export(parser.parse_args())

"""Put finished runs side by side: python scripts/compare.py outputs/runs/*"""

import argparse
import logging
from pathlib import Path

from edge import one_line_errors
from respcam.metrics import BootstrapSettings
from respcam.stages import compare


@one_line_errors
def main(arguments: argparse.Namespace) -> None:
    bootstrap = BootstrapSettings()
    artifact = compare.plan(arguments.out, arguments.runs, bootstrap)
    print(compare.run(artifact, arguments.runs, bootstrap))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--out", type=Path, default=Path("outputs/comparisons"), help="where the comparison goes")
    logging.basicConfig(level=logging.INFO, format="[%(asctime)s][%(name)s][%(levelname)s] - %(message)s")
    main(parser.parse_args())

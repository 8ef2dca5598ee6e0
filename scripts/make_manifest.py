"""Build a manifest from a published layout: python scripts/make_manifest.py sprsound2022 DIR --out data_manifests

Writes OUT/<name>.csv and, where there are events, OUT/<name>_events.csv. Checksum, rate and length are
read from the audio that is there; what is absent keeps what --known (a CSV with path, sha256,
sample_rate_hz, n_samples) says, or stays blank.
"""

import argparse
import logging
from pathlib import Path

from edge import one_line_errors
from respcam.data import make_manifest


@one_line_errors
def main(arguments: argparse.Namespace) -> None:
    print(
        make_manifest.run(arguments.layout, arguments.root, arguments.out, arguments.known, arguments.patient_pattern)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layout", choices=make_manifest.LAYOUTS)
    parser.add_argument("root", type=Path, help="folder of the data set, as published")
    parser.add_argument("--out", type=Path, default=Path("outputs/manifests"))
    parser.add_argument("--known", type=Path, help="CSV with path, sha256, sample_rate_hz, n_samples")
    parser.add_argument("--patient-pattern", default="^([^_]+)", help="for folder: finds the patient in a file name")
    logging.basicConfig(level=logging.INFO, format="[%(asctime)s][%(name)s][%(levelname)s] - %(message)s")
    main(parser.parse_args())

"""Make a manifest from a published data set, or check a folder against its manifest.

respcam manifest make sprsound2022 DIR --out data_manifests
    writes OUT/<name>.csv and, where there are events, OUT/<name>_events.csv. Checksum, rate and length are read from
    the audio that is there; what is absent keeps what --checksums (a CSV with path, sha256, sample_rate_hz,
    n_samples) says, or stays blank.

respcam manifest check dataset=sprsound2022 dataset.root=DIR
    names every recording that is missing or altered; the exit status is 1 where there is one.
"""

import argparse
import logging
from pathlib import Path

from respcam.cli.mistakes import in_one_line
from respcam.cli.refusals import LOG_FORMAT, reports_refusals
from respcam.data import layouts
from respcam.data.folder import PATIENT_PATTERN


@reports_refusals
def make(arguments: argparse.Namespace) -> None:
    """Write the manifest and print where."""
    print(
        layouts.write_manifest(
            arguments.layout, arguments.root, arguments.out, arguments.checksums, arguments.patient_pattern
        )
    )


@reports_refusals
def check(arguments: argparse.Namespace) -> None:
    """Print what is wrong, a line each."""
    # imports torch, which takes seconds: not for --help
    from respcam.cli.composition import Paths, composed, scalars_of, typed
    from respcam.stages import dataset

    cfg = composed(arguments.overrides, arguments.config_dir)
    settings = typed(dataset.DatasetSettings, cfg, "dataset")
    with in_one_line():
        store, workers = Path(typed(Paths, cfg, "paths").store), scalars_of(cfg).workers
    problems = dataset.validate(settings, store, workers)
    print("\n".join(problems) or "every recording of the manifest is there and unaltered")
    if problems:
        raise SystemExit(1)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    forms = parser.add_subparsers(required=True)
    making = forms.add_parser("make", help="from a published data set")
    making.add_argument("layout", choices=layouts.layout_names())
    making.add_argument("root", type=Path, help="folder of the data set, as published")
    making.add_argument("--out", type=Path, default=Path("outputs/manifests"))
    making.add_argument("--checksums", type=Path, help="CSV with path, sha256, sample_rate_hz, n_samples")
    making.add_argument(
        "--patient-pattern", default=PATIENT_PATTERN, help="for folder: finds the patient in a file name"
    )
    making.set_defaults(form=make)
    checking = forms.add_parser("check", help="a folder against its manifest")
    checking.add_argument("overrides", nargs="+", help="dataset=NAME dataset.root=DIR, as for run.py")
    checking.add_argument("--config-dir", type=Path, help="folder of your own settings, as for respcam run")
    checking.set_defaults(form=check)
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    arguments = parser.parse_args()
    arguments.form(arguments)

"""Score recordings with the model of a finished run: respcam predict outputs/runs/RUN FILE_OR_FOLDER

An exported file in place of the run folder (--onnx MODEL.onnx FILE_OR_FOLDER) needs no torch.
"""

import argparse
import logging
from pathlib import Path

from respcam.cli.refusals import LOG_FORMAT, reports_refusals
from respcam.errors import Refused


@reports_refusals
def predict(arguments: argparse.Namespace) -> None:
    """Predict, and end with status 1 if a file could not be used."""
    from respcam.experiments.prediction import prediction_of  # imports pandas: not for --help

    prediction = prediction_of(
        arguments.onnx or arguments.run,
        arguments.path,
        arguments.out,
        arguments.labels,
        sound=arguments.audio,
        number=arguments.open,
        device=arguments.device,
        workers=arguments.workers,
    )
    prediction.make()
    rows = prediction.rows()
    bad = rows[rows["reason"].notna() & (rows["reason"] != "")]
    print(prediction.page)
    if len(bad):
        table = prediction.folder / "predictions.csv"
        raise Refused(f"{len(bad)} of {len(rows)} files cannot be used, the others are done; {table} has the reasons")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("run", type=Path, nargs="?", help="folder of a finished run")
    model.add_argument("--onnx", type=Path, metavar="FILE", help="file of respcam export, in place of a run folder")
    parser.add_argument("path", type=Path, help="audio file, or folder of audio files (sub-folders too)")
    parser.add_argument("--labels", type=Path, help="CSV with path, label and, if known, patient_id and device")
    parser.add_argument("--out", type=Path, default=Path("outputs/predictions"), help="folder of all predictions")
    parser.add_argument("--audio", choices=["flac", "none"], default="flac", help="sound in the page")
    parser.add_argument("--open", type=_count, default=24, help="number of recordings that the page opens")
    parser.add_argument("--workers", type=int, default=1, help="processes; -1: one per core")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, ...")
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    predict(parser.parse_args())


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 200:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 200")
    return int(text)

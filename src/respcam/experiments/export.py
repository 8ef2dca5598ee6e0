"""Export of a finished run: one ONNX file, checked against the pipeline, with a model card."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from respcam.data import run_folder
from respcam.errors import Refused
from respcam.experiments.finished import FinishedRun
from respcam.experiments.listener import EXPORTED
from respcam.experiments.opened_run import OpenedRun, open_run
from respcam.network.closeup import Closeup
from respcam.report.card import model_card
from respcam.store.artifact import write_atomically

log = logging.getLogger(__name__)

MODEL, CARD = f"model{EXPORTED}", "README.md"
SCORE_LIMIT, PROFILE_LIMIT = 1e-4, 1e-3
CHECKED_SECONDS = (0.3, 0.98, 2.0, 15.0)  # lengths of the sounds of the check that every export makes


@dataclass(frozen=True)
class Deviation:
    """Largest difference between an exported file and the pipeline.

    Attributes
    ----------
    score : float
        Of a probability.
    profile : float
        Of the share of heat of a band.
    """

    score: float
    profile: float

    def joined(self, other: "Deviation") -> "Deviation":
        """The larger of each."""
        return Deviation(max(self.score, other.score), max(self.profile, other.profile))


def shares_of(heat: np.ndarray) -> np.ndarray:
    """Share of the heat in each band, from [shape=(choice, class, band, frame)]; zero where there is none."""
    per_band = heat.sum(axis=3, dtype=np.float64)
    return per_band / np.maximum(per_band.sum(axis=2, keepdims=True), np.finfo(float).tiny)


def deviation(pipeline: Closeup, exported: Closeup) -> Deviation:
    """Compare two close-ups of one recording."""
    score = np.abs(pipeline.probability - exported.probability).max()
    profile = np.abs(shares_of(pipeline.heat) - shares_of(exported.heat)).max()
    return Deviation(float(score), float(profile))


def export_run(folder: Path, out: Path) -> Path:
    """Write ``model.onnx`` and ``README.md`` (the model card) into a folder, and check the file.

    Parameters
    ----------
    folder : Path
        Folder of a finished run.
    out : Path

    Returns
    -------
    Path
        The ONNX file.

    Raises
    ------
    Refused
        If the run cannot be opened or exported, onnx is not installed, or the file differs from the pipeline.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise Refused(f"respcam export needs {error.name}; pip install 'respcam[onnx]'") from error
    from respcam.network.export import export_onnx

    run = open_run(folder)
    out.mkdir(parents=True, exist_ok=True)
    partial = out / f".partial-{MODEL}"
    try:
        log.info("export: tracing the network and its gradient; this takes up to a minute")
        export_onnx(run.examiner, run.info.plain, partial)
        worst = check_export(run, partial)
        partial.replace(out / MODEL)
    finally:
        partial.unlink(missing_ok=True)
    log.info("export: scores differ by at most %.1e, shares of heat by %.1e", worst.score, worst.profile)
    write_atomically(out / CARD, card_of(run.run, worst))
    return out / MODEL


def check_export(run: OpenedRun, path: Path) -> Deviation:
    """Compare an exported file with the pipeline on sounds of several lengths.

    Raises
    ------
    Refused
        If they differ by more than `SCORE_LIMIT` or `PROFILE_LIMIT`.
    """
    from respcam.experiments.onnx_model import OnnxModel

    exported, rng, worst = OnnxModel.open(path), np.random.default_rng(0), Deviation(0.0, 0.0)
    for seconds in CHECKED_SECONDS:
        n_samples = round(seconds * run.info.front_end.sample_rate_hz)
        time_s = np.arange(n_samples) / run.info.front_end.sample_rate_hz
        wheeze = 0.1 * np.sin(2 * np.pi * 440 * time_s) * (np.sin(2 * np.pi * time_s) > 0)
        waveform = (wheeze + 0.03 * rng.standard_normal(n_samples)).astype(np.float32)
        try:
            expected = run.closeup(waveform)
        except Refused:  # too short for a run that drops short recordings
            continue
        worst = worst.joined(deviation(expected, exported.closeup(waveform)))
    if worst.score > SCORE_LIMIT or worst.profile > PROFILE_LIMIT:
        raise Refused(
            f"export: the file differs from the pipeline by {worst.score:.1e} in a score and {worst.profile:.1e} in "
            f"a share of heat; expected at most {SCORE_LIMIT:g} and {PROFILE_LIMIT:g}"
        )
    return worst


def card_of(run: FinishedRun, worst: Deviation) -> str:
    """Model card of a run: Markdown with the metadata of Hugging Face."""
    trust = run_folder.TRUST.read(run.folder)
    return model_card(
        name=run.name,
        description=run.description(),
        metrics=run.metrics(),
        trust=trust["parts"],
        trained_on=run_folder.TRAINED_ON.read(run.folder),
        checks={"score": worst.score, "profile": worst.profile},
    )

"""Use of a finished run on new recordings, in a notebook or a command."""

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from respcam.data import run_folder
from respcam.data.patches import PatchSettings, patch_starts
from respcam.data.trained_on import TrainedOn
from respcam.errors import Refused
from respcam.experiments.finished import FinishedRun
from respcam.experiments.listener import Listener, ModelInfo
from respcam.experiments.standing import standings
from respcam.heat.band_heat import profile_of
from respcam.heat.bands import HzGroups
from respcam.heat.cam import Choice
from respcam.heat.resize import to_input
from respcam.network.closeup import Closeup
from respcam.network.examiner import Examiner
from respcam.network.inputs import Units
from respcam.network.pipeline import Pipeline
from respcam.network.trained import TrainedModel
from respcam.sound.audio import read_audio

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Explanation:
    """Prediction of a model for one recording, and its heat.

    Attributes
    ----------
    waveform : float32 [shape=(n_samples,)]
        Waveform at the rate and level of the run.
    log_mel : float32 [shape=(band, frame)], in nat
        Bands that the network is fed, before scaling. Masked bands are blank, and a recording shorter than a patch
        is padded.
    probability : dict of str to float
        Probability of each class, pooled over all patches as in the predictions of the run.
    target : str
        Class whose score the heat explains.
    heat : float32 [shape=(patch, band, frame)]
        What each patch adds to the heat of the recording, for the bands of ``log_mel``: raw and not negative. The
        patches are those that the run explains: by default all that are scored. They overlap, and their sum along the
        recording is its heat (`respcam.heat.resize.joined`).
    start_s : float64 [shape=(patch,)]
        Start of each patch of ``heat``.
    profile : DataFrame
        Table of `respcam.heat.band_heat.band_profile` without intervals, for the groups of Hz of the run.
    """

    waveform: np.ndarray
    log_mel: np.ndarray
    probability: dict[str, float]
    target: str
    heat: np.ndarray
    start_s: np.ndarray
    profile: pd.DataFrame


@dataclass(frozen=True)
class OpenedRun(Listener):
    """Finished run, ready for new recordings; `open_run` makes it.

    Attributes
    ----------
    run : FinishedRun
        Files of the run.
    pipeline : Pipeline
        Settings from the recording to the score.
    model : TrainedModel
    choice : Choice
        Method and layers of heat.
    explained : PatchSettings
        Length and hop of the patches for heat.
    is_pooled : bool
        Whether heat explains the score of the recording; else that of each patch by itself.
    bands : DataFrame
        A row per band that the network is fed: ``band, lower_hz, centre_hz, upper_hz, ...``.
    groups : HzGroups
    beside : Choice
        Method that stands beside it in the report of the run.
    """

    run: FinishedRun
    pipeline: Pipeline
    model: TrainedModel
    choice: Choice
    explained: PatchSettings
    is_pooled: bool
    bands: pd.DataFrame
    groups: HzGroups
    beside: Choice

    @cached_property
    def examiner(self) -> Examiner:
        """Close-ups of recordings, with the heat of both methods."""
        return Examiner(self.pipeline, self.model, (self.choice, self.beside), self.explained, self.is_pooled)

    @cached_property
    def info(self) -> ModelInfo:  # type: ignore[override]
        """What is known of the model besides its weights."""
        from respcam.report.run_page import method_words

        heat = self.run.heat()
        return ModelInfo(
            name=self.run.name,
            description=self.run.description(),
            class_names=self.pipeline.class_names,
            decision=list(self.pipeline.readout.decision),
            methods=[method_words(heat), method_words(heat["beside"])],
            target=self.named_target or "",
            audio=self.pipeline.audio,
            front_end=self.pipeline.front_end,
            patches=self.pipeline.patches,
            fed_bands=self.pipeline.fed_bands,
            bands=self.bands,
            groups=self.groups,
            standings=standings(self.run),
            trained_on=TrainedOn.read(self.run.folder),
        )

    def closeup(self, waveform: np.ndarray, is_brief: bool = False) -> Closeup:
        """Examine a recording; see `respcam.experiments.listener.Listener`."""
        examiner = replace(self.examiner, choices=(self.choice,)) if is_brief else self.examiner
        return examiner.closeup(waveform)

    def probability_without(self, waveform: np.ndarray, low_hz: float, high_hz: float) -> tuple[list[float], int]:
        """Score a recording with some bands replaced by their mean over the training.

        Parameters
        ----------
        waveform : float32 [shape=(n_samples,)]
            At the rate and level of the run.
        low_hz, high_hz : float
            Bands whose centre lies between them are replaced.

        Returns
        -------
        probability : list of float
            Of each class.
        n_bands : int
            Number of bands that were replaced.
        """
        is_removed = np.array(self.bands["centre_hz"].between(low_hz, high_hz))
        patches = self.pipeline.units(waveform).grid(0)
        fill = np.broadcast_to(self.model.scaler.mean[:, None], patches.shape)
        scores = self.model.scores_without(patches, fill, [is_removed])
        pooled = self.model.readout(scores[0])
        return [round(p, 5) for p in pooled.softmax(dim=-1).tolist()], int(is_removed.sum())

    def probability(self, path: str | Path) -> dict[str, float]:
        """Compute the probability of each class for a recording, as in ``predictions.csv``.

        Parameters, errors and example are those of `explain`.
        """
        return self._probability(self._units(path)[1])

    def explain(self, path: str | Path, target: str | None = None) -> Explanation:
        """Score a recording and compute its heat.

        Parameters
        ----------
        path : str or Path
            An audio file of any format, rate and channel count that soundfile reads.
        target : str, optional
            Class whose score is explained. None takes the class in the settings of the run (``explain.target``),
            else the predicted one.

        Returns
        -------
        Explanation

        Raises
        ------
        Refused
            If the recording cannot be used or is too short, or there is no such class.

        Examples
        --------
        ``folder`` is the folder of a finished run, ``path`` is a recording::

            explanation = respcam.open_run(folder).explain(path)
            print(explanation.target, explanation.probability)
            print(explanation.heat.shape, explanation.start_s)
            print(explanation.profile)
        """
        names = self.pipeline.class_names
        if target is not None and target not in names:
            raise Refused(f"target is {target!r}; expected one of {', '.join(names)}")
        waveform, units = self._units(path)
        probability = self._probability(units)
        decided = int(self.pipeline.readout.decide(np.array(list(probability.values()))))
        target = target or self.named_target or names[decided]
        patches = units.grid(0, self.explained)
        counts = [len(patches)] if self.is_pooled else [1] * len(patches)
        classes = np.full(len(counts), names.index(target), dtype=np.int64)
        maps = self.model.heat(patches, counts, classes, [self.choice])[self.choice]
        heat = to_input(maps, *patches.shape[1:]).numpy()
        starts = patch_starts(len(units.frames[0]), self.explained)
        return Explanation(
            waveform=waveform,
            log_mel=units.of(0).T,
            probability=probability,
            target=target,
            heat=heat,
            start_s=starts / self.pipeline.front_end.frame_rate_hz,
            profile=profile_of(heat, self.bands, self.groups),
        )

    @property
    def named_target(self) -> str | None:
        """Class whose heat the run computes; None if it differs between recordings."""
        target = self.run.heat()["target"]
        return target if target in self.pipeline.class_names else None

    def _units(self, path: str | Path) -> tuple[np.ndarray, Units]:
        """Waveform of a recording, and its frames as one unit."""
        waveform = read_audio(path, self.pipeline.audio)
        try:
            return waveform, self.pipeline.units(waveform)
        except Refused as error:
            raise Refused(f"{path}: {error}") from error

    def _probability(self, units: Units) -> dict[str, float]:
        return dict(zip(self.pipeline.class_names, self.model.predict(units)[0].tolist(), strict=True))


def open_run(folder: str | Path, device: str = "cpu") -> OpenedRun:
    """Open a finished run to use its model on new recordings.

    Parameters
    ----------
    folder : str or Path
        Run folder with ``report.html, model.safetensors, model.json``. Other folders of the run are not needed.
    device : str
        Device: auto, cpu, cuda, ... As in a run, torch is set to repeatable computation.

    Returns
    -------
    OpenedRun

    Raises
    ------
    Refused
        If the folder is not that of a finished run or was made by another version; if the user's class cannot be
        imported or has changed; or if the device is not available.

    Examples
    --------
    >>> open_run("outputs/runs/no-such-run")
    Traceback (most recent call last):
    respcam.errors.Refused: outputs/runs/no-such-run: not a finished run (it has no provenance.json)

    ``folder`` is the folder of a finished run, ``path`` is a recording::

        run = respcam.open_run(folder)
        print(run.pipeline.class_names, run.choice.layers)
        print(run.probability(path))
    """
    folder = Path(folder)
    run = FinishedRun.of(folder)
    FinishedRun.of(folder, required=run_folder.PAGE)
    run.check_version()
    for name in (run_folder.MODEL.name, run_folder.WEIGHTS):
        FinishedRun.of(folder, required=name)
    pipeline, heat = Pipeline.read(folder), run.heat()
    if pipeline.unit != "recording":
        log.warning("%s was trained on %ss; a recording is scored as one of them", folder, pipeline.unit)
    return OpenedRun(
        run=run,
        pipeline=pipeline,
        model=pipeline.load(folder, device, torch.get_num_threads()),
        choice=Choice(heat["method"], tuple(heat["layers"]), heat["score"]),
        explained=replace(pipeline.patches, hop_frames=heat["hop_frames"]),
        is_pooled=heat["level"] == "recording",
        bands=run_folder.SCALER.read(folder),
        groups=HzGroups(**heat["hz_groups"]).over(pipeline.front_end),
        beside=Choice(heat["beside"]["method"], tuple(heat["beside"]["layers"]), heat["beside"]["score"]),
    )

"""Examiner: close-ups of recordings by a trained model."""

from dataclasses import dataclass

import numpy as np

from respcam.data.patches import PatchSettings, patch_starts
from respcam.heat.cam import Choice
from respcam.heat.resize import joined, to_input
from respcam.network.closeup import Closeup, heard_parts
from respcam.network.occluded import log_odds
from respcam.network.pipeline import Pipeline
from respcam.network.trained import TrainedModel


@dataclass(frozen=True)
class Examiner:
    """A model with the settings of its heat, ready for recordings.

    Attributes
    ----------
    pipeline : Pipeline
    model : TrainedModel
    choices : tuple of Choice
        Method and layers of heat, the main one first.
    explained : PatchSettings
        Length and hop of the patches for heat.
    is_pooled : bool
        Whether heat explains the score of the recording; else that of each patch by itself.
    """

    pipeline: Pipeline
    model: TrainedModel
    choices: tuple[Choice, ...]
    explained: PatchSettings
    is_pooled: bool

    def closeup(self, waveform: np.ndarray) -> Closeup:
        """Examine a recording.

        Parameters
        ----------
        waveform : float32 [shape=(n_samples,)]
            At the rate and level of the pipeline.

        Raises
        ------
        Refused
            If no patch can be cut from it.
        """
        units = self.pipeline.units(waveform)
        scores = self.model.scores(units.grid(0))
        probability = self.model.predict(units)[0]
        frames = units.of(0)
        heat = self._heat(units.grid(0, self.explained), len(frames))
        predicted = int(self.model.readout.decide(probability))
        hottest = heat[0, predicted]
        hot, rest = heard_parts(waveform, hottest, self.pipeline.fed_bands, self.pipeline.front_end, self.probability)
        return Closeup(
            waveform=waveform,
            log_mel=np.ascontiguousarray(frames.T),
            probability=probability,
            predicted=predicted,
            start_frame=patch_starts(len(units.frames[0]), self.pipeline.patches),
            log_odds=log_odds(self.model.readout(scores[:, None])).float().cpu().numpy(),
            heat=heat,
            hot=hot,
            rest=rest,
        )

    def probability(self, waveform: np.ndarray) -> np.ndarray:
        """Probability of each class: float32 [shape=(class,)]."""
        return self.model.predict(self.pipeline.units(waveform))[0]

    def pooled_log_odds(self, waveform: np.ndarray) -> np.ndarray:
        """Log-odds of each class, float64 [shape=(class,)]; they differ where probabilities round to one."""
        scores = self.model.scores(self.pipeline.units(waveform).grid(0))
        return log_odds(self.model.readout(scores)).cpu().numpy()

    def _heat(self, patches: np.ndarray, n_frames: int) -> np.ndarray:
        """Heat along the recording: float32 [shape=(choice, class, band, frame)]."""
        n_classes = len(self.pipeline.class_names)
        starts = patch_starts(n_frames, self.explained)
        heat = np.empty((len(self.choices), n_classes, patches.shape[1], n_frames), dtype=np.float32)
        counts = [len(patches)] if self.is_pooled else [1] * len(patches)
        for number in range(n_classes):
            target = np.full(len(counts), number, dtype=np.int64)
            maps = self.model.heat(patches, counts, target, self.choices)
            for place, choice in enumerate(self.choices):
                spread = to_input(maps[choice], *patches.shape[1:]).numpy()
                heat[place, number] = joined(spread, starts, n_frames, is_mean=not self.is_pooled)
        return heat

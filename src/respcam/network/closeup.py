"""Close-up of one recording: its score over time, the heat for every class, and the sound of what is hot."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from respcam.data.patches import PatchSettings, patch_starts
from respcam.heat.cam import Choice
from respcam.heat.hottest import hot_cells
from respcam.heat.resize import joined, to_input
from respcam.network.occluded import log_odds
from respcam.network.pipeline import Pipeline
from respcam.network.trained import TrainedModel
from respcam.sound.masking import split_sound


@dataclass(frozen=True)
class HeardPart:
    """A part of a sound, and what the model says of it.

    Attributes
    ----------
    waveform : float32 [shape=(n_samples,)]
    probability : float32 [shape=(class,)]
    """

    waveform: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Closeup:
    """What a model makes of one recording or event.

    Attributes
    ----------
    waveform : float32 [shape=(n_samples,)]
    log_mel : float32 [shape=(fed band, frame)]
        Input of the network before scaling; a short recording is padded.
    probability : float32 [shape=(class,)]
        As in the predictions of the run.
    start_frame : int64 [shape=(patch,)]
        First frame of each scored patch.
    log_odds : float32 [shape=(patch, class)]
        Log-odds of each class, of each patch by itself.
    heat : float32 [shape=(choice, class, fed band, frame)]
        Raw heat for each class by each method.
    hot, rest : HeardPart
        The cells with most of the heat (`hot_cells`) for the most probable class by the first method, and all others.
    """

    waveform: np.ndarray
    log_mel: np.ndarray
    probability: np.ndarray
    start_frame: np.ndarray
    log_odds: np.ndarray
    heat: np.ndarray
    hot: HeardPart
    rest: HeardPart


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
        hot = hot_cells(heat[0, probability.argmax()])
        heard = split_sound(waveform, self._on_all_bands(hot), self.pipeline.front_end)
        parts = [HeardPart(part, self.probability(part)) for part in heard]
        return Closeup(
            waveform=waveform,
            log_mel=np.ascontiguousarray(frames.T),
            probability=probability,
            start_frame=patch_starts(len(units.frames[0]), self.pipeline.patches),
            log_odds=log_odds(scores).float().cpu().numpy(),
            heat=heat,
            hot=parts[0],
            rest=parts[1],
        )

    def probability(self, waveform: np.ndarray) -> np.ndarray:
        """Probability of each class: float32 [shape=(class,)]."""
        return self.model.predict(self.pipeline.units(waveform))[0]

    def pooled_log_odds(self, waveform: np.ndarray) -> np.ndarray:
        """Log-odds of each class, float64 [shape=(class,)]; they differ where probabilities round to one."""
        scores = self.model.scores(self.pipeline.units(waveform).grid(0))
        return log_odds(self.model.pooled(scores, [len(scores)]))[0].cpu().numpy()

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

    def _on_all_bands(self, is_hot: np.ndarray) -> np.ndarray:
        """Cells of the fed bands as cells of all bands of the front end."""
        cells = np.zeros((self.pipeline.front_end.n_bands, is_hot.shape[1]), dtype=bool)
        cells[self.pipeline.fed_bands] = is_hot
        return cells


def shown_classes(probability: np.ndarray, first: Sequence[int], most: int = 4) -> list[int]:
    """Classes whose heat is shown: the named ones, then by probability.

    Examples
    --------
    >>> shown_classes(np.array([0.1, 0.2, 0.7]), [0], most=2)
    [0, 2]
    """
    order = [*first, *np.argsort(-probability, kind="stable").tolist()]
    return list(dict.fromkeys(int(number) for number in order))[:most]

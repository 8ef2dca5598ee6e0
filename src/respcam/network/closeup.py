"""Close-up of one recording: its score over time, the heat for every class, and the sound of what is hot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from respcam.heat.hottest import hot_cells
from respcam.sound.front_end import FrontEnd
from respcam.sound.masking import split_sound

#: outputs of an exported model, with the names of the fields of `Closeup`
EXPORTED_OUTPUTS = ("probability", "start_frame", "log_odds", "log_mel", "heat")
#: keys of its metadata: what is known of the model as JSON, and the part of the graph for probabilities alone
EXPORTED_INFO, EXPORTED_SCORES = "respcam", "respcam.scores"


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
    predicted : int
        Class decided for, as in the predictions of the run.
    start_frame : int64 [shape=(patch,)]
        First frame of each scored patch.
    log_odds : float32 [shape=(patch, class)]
        Log-odds of each class, of each patch by itself.
    heat : float32 [shape=(choice, class, fed band, frame)]
        Raw heat for each class by each method.
    hot, rest : HeardPart
        The cells with most of the heat (`hot_cells`) for the predicted class by the first method, and all others.
    """

    waveform: np.ndarray
    log_mel: np.ndarray
    probability: np.ndarray
    predicted: int
    start_frame: np.ndarray
    log_odds: np.ndarray
    heat: np.ndarray
    hot: HeardPart
    rest: HeardPart


def heard_parts(
    waveform: np.ndarray,
    heat: np.ndarray,
    fed_bands: Sequence[int],
    front_end: FrontEnd,
    probability: Callable[[np.ndarray], np.ndarray],
) -> tuple[HeardPart, HeardPart]:
    """Split a sound into what is hot and the rest, and ask the model about both.

    Parameters
    ----------
    waveform : float32 [shape=(n_samples,)]
    heat : float32 [shape=(fed band, frame)]
    fed_bands : sequence of int
        Numbers of the fed bands among those of the front end.
    front_end : FrontEnd
    probability : callable
        Takes a waveform; returns the probability of each class.
    """
    cells = np.zeros((front_end.n_bands, heat.shape[1]), dtype=bool)
    cells[list(fed_bands)] = hot_cells(heat)
    hot, rest = split_sound(waveform, cells, front_end)
    return HeardPart(hot, probability(hot)), HeardPart(rest, probability(rest))


def shown_classes(probability: np.ndarray, first: Sequence[int], most: int = 4) -> list[int]:
    """Classes whose heat is shown: the named ones, then by probability.

    Examples
    --------
    >>> shown_classes(np.array([0.1, 0.2, 0.7]), [0], most=2)
    [0, 2]
    """
    order = [*first, *np.argsort(-probability, kind="stable").tolist()]
    return list(dict.fromkeys(int(number) for number in order))[:most]

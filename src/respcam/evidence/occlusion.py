"""Band occlusion: what the score becomes when groups of bands are replaced."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FILLS = ("mean", "floor", "other")
KINDS = ("single", "low_pass", "high_pass")


@dataclass(frozen=True)
class Condition:
    """Groups of bands that are taken away together.

    Attributes
    ----------
    kind : str
        single, low_pass (a group and all above it are gone) or high_pass (a group and all below it).
    group : int
    gone : set of int
    """

    kind: str
    group: int
    gone: frozenset[int]


def sweep(n_groups: int, kinds: Sequence[str] = KINDS) -> list[Condition]:
    """List every condition of some kinds; a curve does not end before everything is gone.

    Parameters
    ----------
    n_groups : int
    kinds : sequence of str

    Returns
    -------
    list of Condition
        ``n_groups`` of each kind, from the lowest group up.
    """
    gone = {
        "single": lambda group: [group],
        "low_pass": lambda group: range(group, n_groups),
        "high_pass": lambda group: range(group + 1),
    }
    return [Condition(kind, group, frozenset(gone[kind](group))) for kind in kinds for group in range(n_groups)]


def fill_of(
    rule: str, pictures: np.ndarray, mean: np.ndarray, floor: float, target: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Make what replaces an occluded band.

    Parameters
    ----------
    rule : str
        mean (of the band over the training units), floor (log-mel of silence) or other (the same
        band of a patch of another class: one of the same class may hold the same sign).
    pictures : float32 [shape=(patch, band, frame)]
    mean : float32 [shape=(band,)]
    floor : float
    target : int64 [shape=(patch,)]
        Class of each patch.
    rng : np.random.Generator
        Draws the other patch.

    Returns
    -------
    float32 [shape=(patch, band, frame)]
        May be a broadcast view.

    Raises
    ------
    ValueError
        If the rule is not known, or asks for another class where there is one only.
    """
    if rule == "mean":
        return np.broadcast_to(mean[None, :, None], pictures.shape)
    if rule == "floor":
        return np.broadcast_to(np.float32(floor), pictures.shape)
    if rule != "other":
        raise ValueError(f"occlusion fill is {rule!r}; expected one of {', '.join(FILLS)}")
    if len(np.unique(target)) < 2:
        raise ValueError("occlusion fill 'other' needs patches of two classes or more; there is one class")
    donors = [rng.choice(np.flatnonzero(target != own)) for own in target]
    return pictures[donors]


def lowest_cutoff(cutoff_hz: Sequence[float], loss_high: Sequence[float], margin: float) -> float | None:
    """Lowest cut-off of a low-pass curve whose loss stays within a margin there and at every higher one.

    Parameters
    ----------
    cutoff_hz : sequence of float
    loss_high : sequence of float
        Upper end of the interval of the loss at each cut-off.
    margin : float
        Largest loss that is taken.

    Returns
    -------
    float or None
        None where even the highest cut-off costs more.
    """
    lowest = None
    for cutoff, loss in sorted(zip(cutoff_hz, loss_high, strict=True), reverse=True):
        if not loss <= margin:
            break
        lowest = cutoff
    return lowest

"""How far a heat profile over groups of bands agrees with what the model does."""

import copy
from collections.abc import Iterator, Sequence

import numpy as np
from torch import nn

from respcam.metrics import Interval, interval

STEPS = (1, 2, 3, 5, 8)  # groups taken away, or kept, along a deletion or insertion curve


def resampled_mean(values: np.ndarray, weights: np.ndarray, strata: np.ndarray | None = None) -> np.ndarray:
    """Mean over units for each row of weights; over strata first and then over these, where given.

    Parameters
    ----------
    values : float64 [shape=(unit, ...)]
    weights : [shape=(resample, unit)]
        How often each unit counts, as `respcam.metrics.patient_weights`.
    strata : [shape=(unit,)], optional
        Such as the class: each stratum then weighs the same.

    Returns
    -------
    float64 [shape=(resample, ...)]
        NaN where a resample holds none of the units, or of a stratum.
    """
    strata = np.zeros(len(values)) if strata is None else strata
    names = np.unique(strata)
    share = np.zeros(weights.shape)
    for name in names:
        own = strata == name
        with np.errstate(invalid="ignore", divide="ignore"):
            share[:, own] = weights[:, own] / weights[:, own].sum(axis=1, keepdims=True) / len(names)
    return np.tensordot(share, values, axes=1)


def with_spread(values: np.ndarray) -> Interval:
    """Figure and 95 % interval from the figure itself followed by its resamples."""
    return interval(float(values[0]), values[1:])


def rank_correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation along the last axis (`correlation` of the ranks)."""
    return correlation(_ranks(one), _ranks(other))


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata  # takes a second to import

    return rankdata(values, axis=-1)


def correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's correlation along the last axis.

    Parameters
    ----------
    one, other : float64 [shape=(..., n)]

    Returns
    -------
    float64 [shape=(...)]
        Zero where one side is the same everywhere: it then says nothing about the other.
    """
    centred = [each - each.mean(axis=-1, keepdims=True) for each in (one, other)]
    norm = np.sqrt(np.square(centred[0]).sum(axis=-1) * np.square(centred[1]).sum(axis=-1))
    product = (centred[0] * centred[1]).sum(axis=-1)
    return np.where(norm > 0, product / np.where(norm > 0, norm, 1), 0.0)


def order_of(profile: np.ndarray) -> tuple[int, ...]:
    """Groups by falling profile; equal ones from the lowest up."""
    return tuple(int(group) for group in np.argsort(-profile, kind="stable"))


def steps_of(n_groups: int) -> list[int]:
    """How many groups are gone, or kept, at each step of a curve."""
    return [step for step in STEPS if step < n_groups]


def masks_of(order: Sequence[int], n_groups: int) -> dict[tuple[str, int], frozenset[int]]:
    """Groups that are gone at each step of the deletion and of the insertion curve of an order.

    Deletion takes the first groups of the order away; insertion keeps them alone (Petsiuk et al.
    2018, arXiv 1806.07421).

    Returns
    -------
    dict of (deletion or insertion, step) to set of groups
    """
    masks = {}
    for step in steps_of(n_groups):
        masks["deletion", step] = frozenset(order[:step])
        masks["insertion", step] = frozenset(order[step:])
    return masks


def faithfulness(drops: dict[frozenset[int], np.ndarray], order: Sequence[int], n_groups: int) -> np.ndarray:
    """How well an order of groups finds what the score rests on, per unit.

    Mean over the steps of the fall of the score when the first groups are taken away, minus the
    fall when they alone are kept, both as log-odds: high where few groups carry the score.

    Parameters
    ----------
    drops : dict of set of groups that are gone to float64 [shape=(unit,)]
        Fall of the score against the whole picture.
    order : sequence of int
    n_groups : int

    Returns
    -------
    float64 [shape=(unit,)]
        Zero where there is one group only, and no order.
    """
    masks = masks_of(order, n_groups)
    total = sum(drops[gone] if curve == "deletion" else -drops[gone] for (curve, _), gone in masks.items())
    return np.asarray(total) / max(len(masks), 1)


def randomised_in_cascade(model: nn.Module, n_steps: int = 4) -> Iterator[tuple[str, nn.Module]]:
    """Give a network fresh weights from the top down, a part more at each step (Adebayo et al. 2018, 1810.03292).

    Parameters
    ----------
    model : nn.Module
        Stays as it is; a copy is changed. Seed torch before.
    n_steps : int

    Yields
    ------
    name : str
        The lowest module with fresh weights.
    model : nn.Module
        The same copy every time.
    """
    copied = copy.deepcopy(model).eval()
    fresh = [(name, module) for name, module in copied.named_modules() if hasattr(module, "reset_parameters")][::-1]
    for part in np.array_split(np.arange(len(fresh)), min(n_steps, len(fresh))):
        for index in part:
            fresh[index][1].reset_parameters()  # type: ignore[operator]
        yield fresh[part[-1]][0], copied


def heat_similarity(one: np.ndarray, others: Sequence[np.ndarray]) -> list[float]:
    """Mean rank correlation of the heat of patches with that of other networks.

    Parameters
    ----------
    one : float32 [shape=(patch, row, column)]
    others : sequence of float32 [shape=(patch, row, column)]

    Returns
    -------
    list of float
        Over the patches that have heat in ``one``; NaN where none has.
    """
    has_heat = one.any(axis=(1, 2))
    if not has_heat.any():
        return [float("nan")] * len(others)
    flat = [maps[has_heat].reshape(has_heat.sum(), -1) for maps in (one, *others)]
    own, *ranks = map(_ranks, flat)
    return [float(correlation(own, each).mean()) for each in ranks]

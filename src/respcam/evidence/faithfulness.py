"""Faithfulness of heat: how well the order of frequency groups by heat finds the groups that carry the score."""

import copy
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from torch import nn

from respcam.metrics import Interval, interval

STEPS = (1, 2, 3, 5, 8)  # number of groups removed, or kept, at each step of a deletion or insertion curve


def resampled_mean(values: np.ndarray, weights: np.ndarray, strata: np.ndarray | None = None) -> np.ndarray:
    """Mean over units for each row of weights; with strata, the mean of the means of the strata.

    Parameters
    ----------
    values : float64 [shape=(unit, ...)]
    weights : [shape=(resample, unit)]
        Count of each unit, as `respcam.metrics.patient_weights`.
    strata : [shape=(unit,)], optional
        Stratum of each unit, such as its class; all strata get the same weight.

    Returns
    -------
    float64 [shape=(resample, ...)]
        NaN where a resample holds no unit, or no unit of a stratum.
    """
    strata = np.zeros(len(values)) if strata is None else strata
    names = np.unique(strata)
    share = np.zeros(weights.shape)
    for name in names:
        is_in = strata == name
        with np.errstate(invalid="ignore", divide="ignore"):
            share[:, is_in] = weights[:, is_in] / weights[:, is_in].sum(axis=1, keepdims=True) / len(names)
    return np.tensordot(share, values, axes=1)


def with_spread(values: np.ndarray) -> Interval:
    """Value with its 95 % interval, from an array of the value and its resamples."""
    return interval(float(values[0]), values[1:])


def interval_columns(name: str, spread: Interval) -> dict[str, float | None]:
    """Three columns of a table: ``name, name_low, name_high``."""
    return {name: spread.value, f"{name}_low": spread.low, f"{name}_high": spread.high}


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation along the last axis (`correlation` of the ranks)."""
    return correlation(_ranks(first), _ranks(second))


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata  # takes a second to import

    return rankdata(values, axis=-1)


def correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson's correlation along the last axis.

    Parameters
    ----------
    first, second : float64 [shape=(..., n)]

    Returns
    -------
    float64 [shape=(...)]
        Zero where either input is constant, so that the correlation is not defined.
    """
    centred = [values - values.mean(axis=-1, keepdims=True) for values in (first, second)]
    norm = np.sqrt(np.square(centred[0]).sum(axis=-1) * np.square(centred[1]).sum(axis=-1))
    product = (centred[0] * centred[1]).sum(axis=-1)
    return np.where(norm > 0, product / np.where(norm > 0, norm, 1), 0.0)


def order_of(profile: np.ndarray) -> tuple[int, ...]:
    """Groups in order of falling profile; equal ones from the lowest up."""
    return tuple(int(group) for group in np.argsort(-profile, kind="stable"))


def steps_of(n_groups: int) -> list[int]:
    """Number of groups that are removed, or kept, at each step of a curve."""
    return [step for step in STEPS if step < n_groups]


def masks_of(order: Sequence[int], n_groups: int) -> dict[tuple[str, int], frozenset[int]]:
    """Groups that are removed at each step of the deletion and of the insertion curve of an order.

    Deletion removes the first groups of the order; insertion keeps only these (Petsiuk et al. 2018,
    arXiv 1806.07421).

    Returns
    -------
    dict of (deletion or insertion, step) to set of groups
    """
    masks = {}
    for step in steps_of(n_groups):
        masks["deletion", step] = frozenset(order[:step])
        masks["insertion", step] = frozenset(order[step:])
    return masks


def faithfulness(drops: Mapping[frozenset[int], np.ndarray], order: Sequence[int], n_groups: int) -> np.ndarray:
    """Faithfulness of an order of groups, for each unit.

    It is the drop of the score when the first groups are removed, minus the drop when only these are kept.
    Both are in log-odds, and the mean over the steps is taken. It is high if the first groups carry the score.

    Parameters
    ----------
    drops : mapping of set of removed groups to float64 [shape=(unit,)]
        Score of the intact input minus the score without the removed groups.
    order : sequence of int
    n_groups : int

    Returns
    -------
    float64 [shape=(unit,)]
        Zero if there is only one group.
    """
    masks = masks_of(order, n_groups)
    total = sum(drops[removed] if curve == "deletion" else -drops[removed] for (curve, _), removed in masks.items())
    return np.asarray(total) / max(len(masks), 1)


def randomised_in_cascade(model: nn.Module, n_steps: int = 4) -> Iterator[tuple[str, nn.Module]]:
    """Randomise the weights of a network from the top down, with more layers at each step.

    This is the cascading randomisation of Adebayo et al. 2018, arXiv 1810.03292.

    Parameters
    ----------
    model : nn.Module
        Network that is copied and not changed. Seed torch before.
    n_steps : int

    Yields
    ------
    name : str
        The lowest module with random weights.
    model : nn.Module
        The same copy at every step.
    """
    copied = copy.deepcopy(model).eval()
    learnt = [(name, module) for name, module in copied.named_modules() if hasattr(module, "reset_parameters")][::-1]
    for step in np.array_split(np.arange(len(learnt)), min(n_steps, len(learnt))):
        for index in step:
            learnt[index][1].reset_parameters()  # type: ignore[operator]
        yield learnt[step[-1]][0], copied


def heat_similarity(heat: np.ndarray, references: Sequence[np.ndarray]) -> list[float]:
    """Mean rank correlation of the heat of patches with the heat of other networks.

    Parameters
    ----------
    heat : float32 [shape=(patch, row, column)]
    references : sequence of float32 [shape=(patch, row, column)]
        Heat of the same patches, one array per network.

    Returns
    -------
    list of float
        Mean over the patches with any ``heat``; NaN if there is none.
    """
    has_heat = heat.any(axis=(1, 2))
    if not has_heat.any():
        return [float("nan")] * len(references)
    flat = [maps[has_heat].reshape(has_heat.sum(), -1) for maps in (heat, *references)]
    heat_ranks, *reference_ranks = map(_ranks, flat)
    return [float(correlation(heat_ranks, ranks).mean()) for ranks in reference_ranks]

"""Statistics of evidence over resampled patients, and networks with random weights."""

import copy

import numpy as np
import torch
from torch import nn

from respcam.metrics import Interval, interval


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


def with_spread(values: np.ndarray, alpha: float = 0.05) -> Interval:
    """Value with its interval at level 1 - alpha, from an array of the value and its resamples."""
    return interval(float(values[0]), values[1:], alpha)


def interval_columns(name: str, spread: Interval) -> dict[str, float | None]:
    """Three columns of a table: ``name, name_low, name_high``."""
    return {name: spread.value, f"{name}_low": spread.low, f"{name}_high": spread.high}


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


def randomised(model: nn.Module, seed: int) -> nn.Module:
    """Copy a network, in evaluation mode, and draw all its weights anew.

    This is the last step of the cascade of Adebayo et al. 2018, arXiv 1810.03292. Layers without
    ``reset_parameters`` keep their weights.
    """
    torch.manual_seed(seed)
    copied = copy.deepcopy(model).eval()
    for module in copied.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()  # type: ignore[operator]
    return copied

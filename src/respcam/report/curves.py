"""Curves of predictions (ROC, precision-recall, reliability), each with a 95 % band over patients."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

ENDS = [0.025, 0.975]  # of a 95 % interval
FEWEST_PER_BIN = 15  # units in a bin of a reliability curve
MOST_BINS = 10

Curve = Callable[[np.ndarray, np.ndarray, np.ndarray], pd.DataFrame]


def per_class(
    curve: Curve, target: np.ndarray, probability: np.ndarray, weights: np.ndarray, class_names: Sequence[str]
) -> pd.DataFrame:
    """Make a curve of each class against the rest; with two classes, of the second.

    Parameters
    ----------
    curve : callable
        `roc`, `precision_recall` or `reliability`.
    target : int [shape=(unit,)]
    probability : float [shape=(unit, class)]
    weights : int [shape=(1 + resample, unit)]
        Count of each unit: the recordings as they are, then resamples of patients
        (`respcam.metrics.weights_and_resamples`).
    class_names : sequence of str

    Returns
    -------
    DataFrame
        ``class`` and the columns of the curve; without classes that hold no unit or every unit.
    """
    columns = range(1, 2) if len(class_names) == 2 else range(len(class_names))
    curves = [
        curve(target == column, probability[:, column], weights).assign(**{"class": class_names[column]})
        for column in columns
        if 0 < (target == column).sum() < len(target)
    ]
    return pd.concat(curves, ignore_index=True) if curves else pd.DataFrame({"class": pd.Series(dtype=str)})


def roc(is_positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> pd.DataFrame:
    """Receiver operating characteristic: the share of positives found, over the share of false alarms.

    Parameters
    ----------
    is_positive : bool [shape=(unit,)]
    score : float [shape=(unit,)]
    weights : int [shape=(1 + resample, unit)]

    Returns
    -------
    DataFrame
        ``step, threshold, false_positive_rate, true_positive_rate, low, high``; the first row (no alarm at all) has
        no threshold. The band is that of the true positive rate at each false positive rate.
    """
    thresholds, hits, alarms = _counts_above(is_positive, score, weights)
    true_rate, false_rate = (_shares(np.pad(counts, ((0, 0), (1, 0)))) for counts in (hits, alarms))
    at = np.stack(
        [y[np.searchsorted(x, false_rate[0] + 1e-12, side="right") - 1] for x, y in _drawn(false_rate, true_rate)]
        or [true_rate[0]]  # no resample holds both
    )
    columns = {"false_positive_rate": false_rate[0], "true_positive_rate": true_rate[0]}
    return _table(np.append(np.nan, thresholds), columns, at)


def precision_recall(is_positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> pd.DataFrame:
    """Precision (share of alarms that are right) over recall (share of positives found).

    Parameters and band as for `roc`.

    Returns
    -------
    DataFrame
        ``step, threshold, recall, precision, low, high``.
    """
    thresholds, hits, alarms = _counts_above(is_positive, score, weights)
    recall = _shares(hits)
    with np.errstate(invalid="ignore"):
        precision = hits / (hits + alarms)
    at = np.stack(
        [y[np.searchsorted(x, recall[0] - 1e-12).clip(max=len(x) - 1)] for x, y in _drawn(recall, precision)]
        or [precision[0]]
    )
    return _table(thresholds, {"recall": recall[0], "precision": precision[0]}, at)


def reliability(is_positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> pd.DataFrame:
    """Share of positives over the predicted probability, in bins with equal numbers of units.

    Parameters as for `roc`.

    Returns
    -------
    DataFrame
        ``n_units, predicted`` (mean probability), ``observed, low, high`` (share of positives, and its band).
    """
    n_bins = int(np.clip(len(score) // FEWEST_PER_BIN, 2, MOST_BINS))
    edges = np.unique(np.quantile(score, np.linspace(0, 1, n_bins + 1)[1:-1]))
    bins = np.searchsorted(edges, score, side="right")
    rows = []
    for number in np.unique(bins):
        is_inside = bins == number
        drawn = weights[:, is_inside]
        with np.errstate(invalid="ignore"):
            observed = (drawn * is_positive[is_inside]).sum(axis=1) / drawn.sum(axis=1)
        low, high = np.nanquantile(observed, ENDS)
        mean = score[is_inside].mean()
        rows.append((int(is_inside.sum()), float(mean), float(observed[0]), float(low), float(high)))
    return pd.DataFrame(rows, columns=["n_units", "predicted", "observed", "low", "high"])


def _counts_above(
    is_positive: np.ndarray, score: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Falling thresholds, and the positives and the others at or above each: [shape=(1 + resample, threshold)]."""
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.flatnonzero(np.diff(score[order], append=-np.inf))
    hits, alarms = (
        np.cumsum((weights * is_counted)[:, order], axis=1)[:, last_of_tie]
        for is_counted in (is_positive, ~is_positive)
    )
    return score[order][last_of_tie], hits, alarms


def _shares(counts: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return counts / counts[:, -1:]


def _drawn(x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Curves of the resamples, without those that lack positives or others."""
    return [(of_x, of_y) for of_x, of_y in zip(x[1:], y[1:], strict=True) if np.isfinite([of_x[-1], of_y[-1]]).all()]


def _table(thresholds: np.ndarray, columns: dict[str, np.ndarray], at: np.ndarray) -> pd.DataFrame:
    low, high = np.nanquantile(at, ENDS, axis=0)
    return pd.DataFrame(
        {"step": range(len(thresholds)), "threshold": thresholds, **columns, "low": low, "high": high}
    )

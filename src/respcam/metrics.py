"""Metrics of predictions (AUROC, sensitivity, specificity, ...), with bootstrap intervals over patients."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from respcam.errors import Refused

if TYPE_CHECKING:
    import pandas as pd

CALIBRATION_BINS = 10
METRICS = (
    "auroc",
    "sensitivity",
    "specificity",
    "score",
    "sensitivity_all",
    "score_all",
    "balanced_accuracy",
    "macro_f1",
)


def defined(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Metrics that have a value in any of these rows, to be shown: mapping of metric to value or interval."""
    rows = list(rows)
    return [name for name in METRICS if any(_is_defined(row.get(name)) for row in rows)]


def _is_defined(value: Any) -> bool:
    value = value.get("value") if isinstance(value, Mapping) else value
    return value is not None and bool(np.isfinite(value))


@dataclass(frozen=True)
class Interval:
    """Value of a metric with its 95 % interval; None if the metric is not defined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class BootstrapSettings:
    """Settings of the bootstrap over patients.

    Parameters
    ----------
    n_resamples : int
        Number of resamples.
    seed : int
    """

    n_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_resamples < 100:
            raise Refused(f"bootstrap.n_resamples is {self.n_resamples}; expected at least 100")


@dataclass(frozen=True)
class Scoring:
    """What sensitivity, specificity and score are about.

    Parameters
    ----------
    normal : int, optional
        Index of the normal class; without it the three are not defined.
    score : str
        Definition of the score: icbhi or sprsound.
    uncounted : tuple of int
        Indices of classes that sensitivity leaves out, beside the normal class.
    """

    normal: int | None = None
    score: str = "icbhi"
    uncounted: tuple[int, ...] = ()

    @staticmethod
    def of(class_names: Sequence[str], normal: str | None, score: str, uncounted: Sequence[str] = ()) -> "Scoring":
        """Scoring of a task, by the names of its classes; a name without units is left out."""
        index = {name: number for number, name in enumerate(class_names)}
        return Scoring(
            index.get(normal) if normal else None, score, tuple(index[name] for name in uncounted if name in index)
        )


def compared_metrics(scoring: Scoring) -> list[str]:
    """Metrics that say something of their own: those of all classes only where the score leaves one out."""
    return [name for name in METRICS if scoring.uncounted or not name.endswith("_all")]


def decide(probability: np.ndarray, weights: Sequence[float] = ()) -> np.ndarray:
    """Decide for a class: that with the largest product of probability and weight.

    Parameters
    ----------
    probability : float [shape=(..., class)]
    weights : sequence of float
        Weight of each class; empty for equal weights.

    Returns
    -------
    int64 [shape=(...)]

    Examples
    --------
    >>> decide(np.array([[0.6, 0.4], [0.9, 0.1]]), [1, 2]).tolist()
    [1, 0]
    """
    return (probability * np.asarray(weights) if len(weights) else probability).argmax(axis=-1)


def patient_weights(patients: np.ndarray, settings: BootstrapSettings) -> np.ndarray:
    """Count of each unit in each bootstrap resample of the patients.

    Patients are sampled with replacement, each with all units, because recordings of one patient are not
    independent.

    Parameters
    ----------
    patients : [shape=(unit,)]
    settings : BootstrapSettings

    Returns
    -------
    int64 [shape=(resample, unit)]
    """
    names, patient_of_unit = np.unique(patients, return_inverse=True)
    rng = np.random.default_rng(settings.seed)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=settings.n_resamples)
    return draws[:, patient_of_unit]


def weights_and_resamples(patients: np.ndarray, settings: BootstrapSettings) -> np.ndarray:
    """Weight 1 for every unit, followed by `patient_weights`: int64 [shape=(1 + resample, unit)]."""
    drawn = patient_weights(patients, settings)
    return np.concatenate([np.ones((1, len(patients)), dtype=drawn.dtype), drawn])


def confusion_matrices(target: np.ndarray, predicted: np.ndarray, n_classes: int, weights: np.ndarray) -> np.ndarray:
    """Count (true class, predicted class) for each row of weights.

    Parameters
    ----------
    target, predicted : int [shape=(unit,)]
    n_classes : int
    weights : int [shape=(resample, unit)]

    Returns
    -------
    float64 [shape=(resample, true class, predicted class)]
    """
    cells = np.eye(n_classes * n_classes)[target * n_classes + predicted]
    return (weights @ cells).reshape(-1, n_classes, n_classes)


def metrics_from_confusion(confusion: np.ndarray, scoring: Scoring) -> dict[str, np.ndarray]:
    """Compute the metrics that need only the confusion matrix.

    Sensitivity (SE): share of the not normal units that are predicted as their class. Specificity (SP): share of
    the normal units that are predicted as normal. Score: for ``icbhi``, (SE + SP) / 2 (Rocha et al. 2019); for
    ``sprsound``, the mean of (SE + SP) / 2 and of the harmonic mean of SE and SP (Zhang et al. 2022). Where the task
    leaves a class out of SE, ``sensitivity_all`` and ``score_all`` are those with this class. Balanced accuracy: mean
    recall of the classes that occur. Macro F1: mean F1 of the classes that occur or are predicted.

    Parameters
    ----------
    confusion : float64 [shape=(..., true class, predicted class)]
    scoring : Scoring

    Returns
    -------
    dict of str to float64 [shape=(...)]
        Values by metric; NaN where a metric is not defined.
    """
    n_true, n_predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    undefined = np.full(n_true.shape[:-1], np.nan)
    values = dict.fromkeys(METRICS, undefined)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / n_true
        values |= {
            "balanced_accuracy": mean_of_known(recall),
            "macro_f1": mean_of_known(2 * hits / (n_true + n_predicted)),
        }
        if scoring.normal is not None:
            specificity = values["specificity"] = recall[..., scoring.normal]
            left_out = {"": [scoring.normal, *scoring.uncounted], "_all": [scoring.normal]}
            for suffix, classes in left_out.items() if scoring.uncounted else [("", [scoring.normal])]:
                counted = ~np.isin(np.arange(n_true.shape[-1]), classes)
                sensitivity = hits[..., counted].sum(axis=-1) / n_true[..., counted].sum(axis=-1)
                values[f"sensitivity{suffix}"] = sensitivity
                values[f"score{suffix}"] = _score(sensitivity, specificity, scoring.score)
    return values


def _score(sensitivity: np.ndarray, specificity: np.ndarray, kind: str) -> np.ndarray:
    """Score of `metrics_from_confusion`: float64 [shape=(...)]."""
    average = (sensitivity + specificity) / 2
    if kind == "icbhi":
        return average
    total = sensitivity + specificity
    return (average + np.where(total == 0, 0.0, 2 * sensitivity * specificity / total)) / 2


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without NaN; NaN where all values are NaN: float64 [shape=(...)]."""
    is_known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(is_known, values, 0).sum(axis=-1) / is_known.sum(axis=-1)


def auroc(target: np.ndarray, probability: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Area under the ROC curve (AUROC); for more than two classes, the mean of one class against the rest.

    Parameters
    ----------
    target : int [shape=(unit,)]
    probability : float [shape=(unit, class)]
        Probabilities, or scores that rise with them.
    weights : int [shape=(..., unit)], optional
        Count of each unit; each row gives one area.

    Returns
    -------
    float64 [shape=(...)]
        Mean over the classes with units inside and outside the class; NaN if there is none.
    """
    weights = np.ones(len(target)) if weights is None else weights
    n_classes = probability.shape[1]
    columns = range(1, 2) if n_classes == 2 else range(n_classes)
    return mean_of_known(np.stack([_area(target == k, probability[:, k], weights) for k in columns], axis=-1))


def _area(is_positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Probability that a positive unit scores above a negative one; a tie counts half: [shape=(...)]."""
    order = np.argsort(score, kind="stable")
    first_of_tie = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    positive, negative = (
        np.add.reduceat((weights * is_counted)[..., order].astype(np.float64), first_of_tie, axis=-1)
        for is_counted in (is_positive, ~is_positive)
    )
    below = np.cumsum(negative, axis=-1) - negative / 2
    with np.errstate(invalid="ignore"):
        return (positive * below).sum(axis=-1) / (positive.sum(axis=-1) * negative.sum(axis=-1))


def calibration_error(target: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Expected calibration error (ECE): how far predicted probabilities lie from the share that is so.

    Units are sorted into `CALIBRATION_BINS` bins of equal size by the probability of a class. The error is the
    distance, in a bin, of the mean probability from the share of the class, as a mean over units (Naeini et al.
    2015), then as a mean over classes (Kull et al. 2019, arXiv 1910.12656). With few units it is never zero.

    Parameters
    ----------
    target : int [shape=(unit,)]
    probability : float [shape=(unit, class)]
    weights : int [shape=(resample, unit)]
        Count of each unit.

    Returns
    -------
    float64 [shape=(resample,)]
    """
    errors = []
    for number in range(probability.shape[1]):
        p = probability[:, number].astype(np.float64)
        edges = np.unique(np.quantile(p, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]))  # ties stay together
        bins = np.eye(CALIBRATION_BINS)[np.searchsorted(edges, p, side="right")]
        distance = np.abs((weights * ((target == number) - p)) @ bins)
        errors.append(distance.sum(axis=1) / weights.sum(axis=1))
    return np.mean(errors, axis=0)


@dataclass(frozen=True)
class Predictions:
    """Units with their true class, their probabilities and the class decided for.

    Attributes
    ----------
    target : int [shape=(unit,)]
    probability : float [shape=(unit, class)]
    predicted : int [shape=(unit,)]
    """

    target: np.ndarray
    probability: np.ndarray
    predicted: np.ndarray

    @staticmethod
    def of(table: "pd.DataFrame", class_names: Sequence[str]) -> "Predictions":
        """Read a table with ``true_class, predicted_class, p_<class>``."""
        index = {name: number for number, name in enumerate(class_names)}
        target, predicted = (table[name].map(index).to_numpy(np.int64) for name in ("true_class", "predicted_class"))
        return Predictions(target, table[[f"p_{name}" for name in class_names]].to_numpy(), predicted)

    def at(self, chosen: np.ndarray) -> "Predictions":
        """Some of the units."""
        return Predictions(self.target[chosen], self.probability[chosen], self.predicted[chosen])


def resampled_metrics(predictions: Predictions, weights: np.ndarray, scoring: Scoring) -> dict[str, np.ndarray]:
    """Compute every metric of `METRICS` for each row of weights.

    Parameters
    ----------
    predictions : Predictions
    weights : int [shape=(resample, unit)]
        Count of each unit.
    scoring : Scoring

    Returns
    -------
    dict of str to float64 [shape=(resample,)]
        Values by metric; NaN where a metric is not defined.
    """
    target, probability = predictions.target, predictions.probability
    confusion = confusion_matrices(target, predictions.predicted, probability.shape[1], weights)
    values = metrics_from_confusion(confusion, scoring)
    return values | {"auroc": auroc(target, probability, weights)}


def evaluate(
    predictions: Predictions, patients: np.ndarray, scoring: Scoring, settings: BootstrapSettings
) -> tuple[np.ndarray, dict[str, Interval]]:
    """Compute every metric of `METRICS` with its 95 % interval over patients.

    Parameters
    ----------
    predictions : Predictions
    patients : [shape=(unit,)]
    scoring : Scoring
    settings : BootstrapSettings

    Returns
    -------
    confusion : int64 [shape=(true class, predicted class)]
    metrics : dict of str to Interval
        Values with percentile bootstrap intervals (2.5 %, 97.5 %), without resamples where a metric is not defined.
    """
    target, n_classes = predictions.target, predictions.probability.shape[1]
    weights = weights_and_resamples(patients, settings)
    confusion = confusion_matrices(target, predictions.predicted, n_classes, weights[:1])[0]
    values = resampled_metrics(predictions, weights, scoring)
    metrics = {name: interval(float(values[name][0]), values[name][1:]) for name in METRICS}
    return confusion.astype(np.int64), metrics


def interval(value: float, resampled: np.ndarray, alpha: float = 0.05) -> Interval:
    """Join a value with the percentile interval of its resamples (without NaN) at level 1 - alpha."""
    finite = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(finite):
        return Interval(None, None, None)
    low, high = np.quantile(finite, [alpha / 2, 1 - alpha / 2])
    return Interval(float(value), float(low), float(high))

"""Metrics of predictions (AUROC, sensitivity, specificity, ...), with bootstrap intervals over patients."""

from dataclasses import dataclass

import numpy as np

from respcam.errors import Refused

CALIBRATION_BINS = 10
METRICS = ("auroc", "sensitivity", "specificity", "score", "balanced_accuracy", "macro_f1")


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


def metrics_from_confusion(confusion: np.ndarray, normal: int | None, score: str) -> dict[str, np.ndarray]:
    """Compute the metrics that need only the confusion matrix.

    Sensitivity (SE): share of the not normal units that are predicted as their class. Specificity (SP): share of
    the normal units that are predicted as normal. Score: for ``icbhi``, (SE + SP) / 2 (Rocha et al. 2019); for
    ``sprsound``, the mean of (SE + SP) / 2 and of the harmonic mean of SE and SP (Zhang et al. 2022). Balanced
    accuracy: mean recall of the classes that occur. Macro F1: mean F1 of the classes that occur or are predicted.

    Parameters
    ----------
    confusion : float64 [shape=(..., true class, predicted class)]
    normal : int, optional
        Index of the normal class.
    score : str
        Definition of the score: icbhi or sprsound.

    Returns
    -------
    dict of str to float64 [shape=(...)]
        Values by metric; NaN where a metric is not defined.
    """
    n_true, n_predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / n_true
        f1 = 2 * hits / (n_true + n_predicted)
        balanced_accuracy, macro_f1 = mean_of_known(recall), mean_of_known(f1)
        if normal is None:
            undefined = np.full(n_true.shape[:-1], np.nan)
            sensitivity = specificity = total = undefined
        else:
            others = np.arange(n_true.shape[-1]) != normal
            sensitivity = hits[..., others].sum(axis=-1) / n_true[..., others].sum(axis=-1)
            specificity = recall[..., normal]
            average = (sensitivity + specificity) / 2
            harmonic = 2 * sensitivity * specificity / (sensitivity + specificity)
            harmonic = np.where(sensitivity + specificity == 0, 0.0, harmonic)
            total = average if score == "icbhi" else (average + harmonic) / 2
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "score": total,
        "balanced_accuracy": balanced_accuracy,
        "macro_f1": macro_f1,
    }


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


def resampled_metrics(
    target: np.ndarray,
    probability: np.ndarray,
    weights: np.ndarray,
    normal: int | None,
    score: str,
) -> dict[str, np.ndarray]:
    """Compute every metric of `METRICS` for each row of weights.

    Parameters
    ----------
    target : int [shape=(unit,)]
    probability : float [shape=(unit, class)]
        The class with the highest probability is the prediction.
    weights : int [shape=(resample, unit)]
        Count of each unit.
    normal : int, optional
    score : str

    Returns
    -------
    dict of str to float64 [shape=(resample,)]
        Values by metric; NaN where a metric is not defined.
    """
    predicted = probability.argmax(axis=1)
    confusion = confusion_matrices(target, predicted, probability.shape[1], weights)
    values = metrics_from_confusion(confusion, normal, score)
    values["auroc"] = auroc(target, probability, weights)
    return {name: values[name] for name in METRICS}


def evaluate(
    target: np.ndarray,
    probability: np.ndarray,
    patients: np.ndarray,
    normal: int | None,
    score: str,
    settings: BootstrapSettings,
) -> tuple[np.ndarray, dict[str, Interval]]:
    """Compute every metric of `METRICS` with its 95 % interval over patients.

    Parameters
    ----------
    target : int [shape=(unit,)]
    probability : float [shape=(unit, class)]
    patients : [shape=(unit,)]
    normal : int, optional
    score : str
    settings : BootstrapSettings

    Returns
    -------
    confusion : int64 [shape=(true class, predicted class)]
    metrics : dict of str to Interval
        Values with percentile bootstrap intervals (2.5 %, 97.5 %), without resamples where a metric is not defined.
    """
    once = np.ones((1, len(target)), dtype=np.int64)
    confusion = confusion_matrices(target, probability.argmax(axis=1), probability.shape[1], once)[0]
    values = resampled_metrics(target, probability, once, normal, score)
    spread = resampled_metrics(target, probability, patient_weights(patients, settings), normal, score)
    metrics = {name: interval(float(values[name][0]), spread[name]) for name in METRICS}
    return confusion.astype(np.int64), metrics


def interval(value: float, resampled: np.ndarray, alpha: float = 0.05) -> Interval:
    """Join a value with the percentile interval of its resamples (without NaN) at level 1 - alpha."""
    finite = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(finite):
        return Interval(None, None, None)
    low, high = np.quantile(finite, [alpha / 2, 1 - alpha / 2])
    return Interval(float(value), float(low), float(high))

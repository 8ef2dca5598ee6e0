"""Paired difference of two arms, over patients and trainings (multi-reader multi-case study)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from respcam.errors import Refused
from respcam.metrics import METRICS, BootstrapSettings, mean_of_known, resampled_metrics, weights_and_resamples


@dataclass(frozen=True)
class Design:
    """Settings of the statistics of a comparison of arms.

    Parameters
    ----------
    margin : float
        Equivalence margin: largest loss of the metric at which an arm counts as no worse.
    alpha : float
        Probability of a false positive; 1 - alpha is the confidence level of the intervals.
    power : float
        Power at which `Difference.detectable` is stated.
    n_permutations : int
        Number of random exchanges of the two arms, patient by patient, for `Difference.p_permuted`.
    """

    margin: float = 0.02
    alpha: float = 0.05
    power: float = 0.8
    n_permutations: int = 1000

    def __post_init__(self) -> None:
        for name in ("margin", "alpha", "power"):
            if not 0 < getattr(self, name) < 1:
                raise Refused(f"{name} is {getattr(self, name)}; expected above 0 and below 1")
        if self.n_permutations < 100:
            raise Refused(f"n_permutations is {self.n_permutations}; expected at least 100")


@dataclass(frozen=True)
class Pair:
    """Predictions of two arms for the same units, by models of one seed and fold.

    Attributes
    ----------
    seed, fold : int
    patients : str [shape=(unit,)]
    target : int64 [shape=(unit,)]
    arm, base : float64 [shape=(unit, class)]
        Probabilities.
    """

    seed: int
    fold: int
    patients: np.ndarray
    target: np.ndarray
    arm: np.ndarray
    base: np.ndarray

    def of(self, is_chosen: np.ndarray) -> "Pair":
        """Select some of the units."""
        rows = (column[is_chosen] for column in (self.patients, self.target, self.arm, self.base))
        return Pair(self.seed, self.fold, *rows)


@dataclass(frozen=True)
class Difference:
    """Metric of an arm minus that of the base arm.

    Attributes
    ----------
    value : float
        Mean over seeds and folds.
    low, high : float
        Interval at level 1 - alpha, over patients and trainings; over patients only if there is one training.
    p : float
        Two-sided p value of the same t statistic.
    p_permuted : float
        Probability of a difference at least this large if the two arms were exchangeable for each patient. It is
        about these trained models, not about new trainings.
    detectable : float
        Smallest true difference that this comparison finds with the power `Design.power`.
    n_trainings, n_patients : int
    """

    value: float
    low: float
    high: float
    p: float
    p_permuted: float
    detectable: float
    n_trainings: int
    n_patients: int


def differences(
    pairs: Sequence[Pair], normal: int | None, score: str, bootstrap: BootstrapSettings, design: Design
) -> dict[str, Difference]:
    """Compare two arms by every metric of `respcam.metrics.METRICS`.

    This is the analysis of a multi-reader multi-case (MRMC) study of diagnostic imaging: trainings are the readers
    and patients are the cases. Trainings are seeds, or folds if there is only one seed. The variance is that of
    Obuchowski and Rockette (1995, doi 10.1080/03610919508813243). It is the variance of the difference between
    trainings plus their covariance, because they share the test patients. The covariance is from a bootstrap over
    patients. Degrees of freedom are after Hillis (2007, doi 10.1002/sim.2532).

    Parameters
    ----------
    pairs : sequence of Pair
        One per seed and fold.
    normal : int, optional
        Index of the normal class.
    score : str
        icbhi or sprsound.
    bootstrap : BootstrapSettings
    design : Design

    Returns
    -------
    dict of str to Difference
        By metric; NaN where the metric is not defined.
    """
    names = np.unique(np.concatenate([pair.patients for pair in pairs]))
    once_and_drawn = weights_and_resamples(names, bootstrap)
    rng = np.random.default_rng(bootstrap.seed)
    as_is_and_swapped = np.concatenate(
        [np.zeros((1, len(names)), bool), rng.random((design.n_permutations, len(names))) < 0.5]
    )
    resampled: dict[str, list[np.ndarray]] = {name: [] for name in METRICS}
    permuted: dict[str, list[np.ndarray]] = {name: [] for name in METRICS}
    for pair in pairs:
        weights = once_and_drawn[:, np.searchsorted(names, pair.patients)]
        arm, base = (
            resampled_metrics(pair.target, probability, weights, normal, score)
            for probability in (pair.arm, pair.base)
        )
        is_swapped = as_is_and_swapped[:, np.searchsorted(names, pair.patients)]
        # the predictions of both arms are in one table; weights of 0 and 1 select one of them
        both, target = np.concatenate([pair.arm, pair.base]), np.tile(pair.target, 2)
        swapped_arm, swapped_base = (
            resampled_metrics(target, both, np.concatenate([~is_base, is_base], axis=1).astype(int), normal, score)
            for is_base in (is_swapped, ~is_swapped)
        )
        for name in METRICS:
            resampled[name].append(arm[name] - base[name])
            permuted[name].append(swapped_arm[name] - swapped_base[name])
    group = np.array([pair.seed for pair in pairs])
    if len(set(group)) == 1:
        group = np.array([pair.fold for pair in pairs])
    return {
        name: _difference(
            _by_group(np.stack(resampled[name], axis=1), group),
            mean_of_known(np.stack(permuted[name], axis=1)),
            len(names),
            design,
        )
        for name in METRICS
    }


def _by_group(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Mean over the columns of each group, without NaN (from a resample that lacks a class)."""
    return np.stack([mean_of_known(values[:, group == name]) for name in np.unique(group)], axis=1)


def _difference(resampled: np.ndarray, permuted: np.ndarray, n_patients: int, design: Design) -> Difference:
    """Compute one difference with its interval from differences per resample (the first is observed) and training."""
    from scipy.stats import t as student  # takes a second to import

    observed, drawn = resampled[0], resampled[1:]
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    n = len(observed)
    value = float(observed.mean())
    spread = quantile = p = detectable = np.nan
    if np.isfinite(value) and len(drawn) > 1:
        covariance = np.cov(drawn, rowvar=False).reshape(n, n)
        between = float(observed.var(ddof=1)) if n > 1 else 0.0
        shared = float(covariance[~np.eye(n, dtype=bool)].mean()) if n > 1 else float(covariance[0, 0])
        total = between + n * max(shared, 0.0)
        spread = float(np.sqrt(total / n))
        freedom = total**2 / (between**2 / (n - 1)) if between > 0 else np.inf
        quantile = float(student.ppf(1 - design.alpha / 2, freedom))
        detectable = float((quantile + student.ppf(design.power, freedom)) * spread)
        p = float(2 * student.sf(abs(value) / spread, freedom)) if spread > 0 else float(value == 0)
    p_permuted = float(np.mean(np.abs(permuted) >= abs(permuted[0]) - 1e-12))  # the first is observed
    return Difference(
        value=value,
        low=value - quantile * spread,
        high=value + quantile * spread,
        p=p,
        p_permuted=p_permuted if np.isfinite(value) else np.nan,
        detectable=detectable,
        n_trainings=n,
        n_patients=n_patients,
    )


def corrected(p: Sequence[float]) -> list[float]:
    """Correct the p values of several arms after Holm (1979); NaN stays and does not count."""
    values = np.array(p, dtype=float)
    is_defined = np.isfinite(values)
    if is_defined.sum() > 1:  # a single p value needs no correction
        from statsmodels.stats.multitest import (
            multipletests,
        )  # takes a second to import, and runs the garbage collector

        values[is_defined] = multipletests(values[is_defined], method="holm")[1]
    return values.tolist()


def conclusion(
    arm: str, base: str, metric: str, difference: Difference, p_corrected: float, n_arms: int, design: Design
) -> tuple[str, str]:
    """Write the conclusion from a difference, with its limits.

    Parameters
    ----------
    arm, base : str
        Names of the two arms.
    metric : str
        Name of the metric in sentences.
    difference : Difference
    p_corrected : float
        `Difference.p` after correction for the number of arms.
    n_arms : int
        Number of arms that p was corrected for.
    design : Design

    Returns
    -------
    verdict : str
        better, worse, no worse, open, or unknown.
    sentence : str
    """
    verdict = _verdict(difference, p_corrected, design)
    if verdict == "unknown":
        return verdict, f"{arm}: {metric} is not defined for these recordings, so there is no conclusion."
    numbers = _numbers(base, metric, difference, p_corrected, n_arms, design)
    sentence = f"{arm}: {_words(verdict, numbers, difference, design)}"
    if verdict == "better":
        sentence = (
            f"{arm} helps: {numbers}. The removed bands may still carry information about the patients: noise, "
            "or a shortcut that fails in the test, would give the same result."
        )
    elif verdict == "worse":
        sentence = (
            f"{arm} harms: {numbers}. This does not prove that the removed bands carry information about the "
            "illness: a shortcut that also works in the test would give the same result."
        )
    if difference.n_trainings == 1:
        sentence += " One training per arm: the difference may change by more than this interval in a new training."
    return verdict, sentence


def _verdict(difference: Difference, p_corrected: float, design: Design) -> str:
    if not np.isfinite(difference.low):
        return "unknown"
    if difference.low > 0 and p_corrected < design.alpha:
        return "better"
    if difference.high < 0 and p_corrected < design.alpha:
        return "worse"
    return "no worse" if difference.low > -design.margin else "open"


def _numbers(base: str, metric: str, difference: Difference, p_corrected: float, n_arms: int, design: Design) -> str:
    """The difference with its interval, and its p value if it was corrected."""
    interval = f"{1 - design.alpha:.0%} interval {difference.low:+.3f} to {difference.high:+.3f}"
    p = ""
    if n_arms > 1:
        p = f", p {'below 0.001' if p_corrected < 0.001 else f'{p_corrected:.3f}'} corrected for {n_arms} arms"
    return f"{metric} {difference.value:+.3f} against {base} ({interval}{p})"


def _words(verdict: str, numbers: str, difference: Difference, design: Design) -> str:
    """Conclusion where no difference was shown."""
    bound = max(abs(difference.low), abs(difference.high))
    is_visible = not difference.low <= 0 <= difference.high
    what = "a difference that is uncertain after correction" if is_visible else "no difference seen"
    if verdict == "no worse":
        bounds = f"It costs less than the margin of {design.margin:g}; a gain is not shown."
    else:
        bounds = (
            f"Neither harm beyond the margin of {design.margin:g} nor a gain is ruled out: this design finds "
            f"differences from {difference.detectable:.3f} with a power of {design.power:.0%}."
        )
    return f"{what}, smaller than {bound:.3f}: {numbers}. {bounds}"

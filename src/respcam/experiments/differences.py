"""Paired difference of two arms, over patients and trainings (multi-reader multi-case study)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from respcam.errors import Refused
from respcam.metrics import (
    BootstrapSettings,
    Predictions,
    Scoring,
    compared_metrics,
    resampled_metrics,
    weights_and_resamples,
)

#: least number of independent replicates (seeds or folds) from which something follows about the arms
FEWEST_REPLICATES = 3
LEAST_P = 1e-9  # smaller p values are not distinguished


class ArmVerdict(StrEnum):
    """What follows from a difference: about the arms, or about the trained models alone."""

    BETTER = "better"
    WORSE = "worse"
    NO_WORSE = "no worse"
    OPEN = "open"
    MODELS_DIFFER = "models differ"
    MODELS_NOT_DISTINGUISHED = "models not distinguished"
    UNKNOWN = "unknown"


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
    """

    margin: float = 0.02
    alpha: float = 0.05
    power: float = 0.8

    def __post_init__(self) -> None:
        for name in ("margin", "alpha", "power"):
            if not 0 < getattr(self, name) < 1:
                raise Refused(f"{name} is {getattr(self, name)}; expected above 0 and below 1")


@dataclass(frozen=True)
class Pair:
    """Predictions of two arms for the same units, by models of one seed and fold.

    Attributes
    ----------
    seed, fold : int
    patients : str [shape=(unit,)]
    arm, base : Predictions
    """

    seed: int
    fold: int
    patients: np.ndarray
    arm: Predictions
    base: Predictions

    def of(self, is_chosen: np.ndarray) -> "Pair":
        """Select some of the units."""
        patients = self.patients[is_chosen]
        return Pair(self.seed, self.fold, patients, self.arm.at(is_chosen), self.base.at(is_chosen))


@dataclass(frozen=True)
class Difference:
    """Metric of an arm minus that of the base arm.

    It is about the arms if it has at least `FEWEST_REPLICATES` replicates. Below, the variance between trainings is
    not known well enough: interval and p are over patients alone, and hold for these trained models.

    Attributes
    ----------
    value : float
        Mean over the replicates.
    low, high : float
        Interval at level 1 - alpha, over what `interval_over` names.
    p : float
        Two-sided p value of the same statistic.
    detectable : float
        Smallest true difference of the arms that this comparison finds with the power `Design.power`; NaN if it is
        about the trained models alone.
    n_replicates : int
        Number of folds, or of seeds where there are fewer than `FEWEST_REPLICATES` folds.
    n_trainings : int
        Number of trained models of each arm.
    n_patients : int
    """

    value: float
    low: float
    high: float
    p: float
    detectable: float
    n_replicates: int
    n_trainings: int
    n_patients: int

    @property
    def is_about_arms(self) -> bool:
        """Whether there are enough replicates for a conclusion about the arms."""
        return self.n_replicates >= FEWEST_REPLICATES

    @property
    def interval_over(self) -> str:
        """Sources of variance that the interval covers."""
        return "trainings and patients" if self.is_about_arms else "patients alone"


def differences(
    pairs: Sequence[Pair], scoring: Scoring, bootstrap: BootstrapSettings, design: Design
) -> dict[str, Difference]:
    """Compare two arms by every metric of `respcam.metrics.compared_metrics`.

    This is the analysis of a multi-reader multi-case (MRMC) study of diagnostic imaging: trainings are the readers
    and patients are the cases. Its replicates are the folds, or the seeds where there are fewer than
    `FEWEST_REPLICATES` folds; several trainings of one replicate are averaged. The variance is that of Obuchowski
    and Rockette (1995, doi 10.1080/03610919508813243). It is the variance of the difference between replicates plus
    their covariance, because seeds share the test patients. The covariance is from a bootstrap over patients. The
    quantiles are after Cochran and Cox (1957, Experimental Designs). They hold the level with three replicates too,
    where the degrees of freedom of Hillis (2007, doi 10.1002/sim.2532) exceed it.

    With fewer than `FEWEST_REPLICATES` replicates the trained models are fixed, and the variance is that of the
    bootstrap over patients alone.

    The choice of the training patients is not covered fully. Seeds share all of them. Folds share most of them, and
    no estimate of the variance that this adds is unbiased (Bengio and Grandvalet 2004, JMLR 5:1089-1105).

    Parameters
    ----------
    pairs : sequence of Pair
        One per seed and fold.
    scoring : Scoring
    bootstrap : BootstrapSettings
    design : Design

    Returns
    -------
    dict of str to Difference
        By metric; NaN where the metric is not defined.
    """
    names = np.unique(np.concatenate([pair.patients for pair in pairs]))
    once_and_drawn = weights_and_resamples(names, bootstrap)
    resampled: dict[str, list[np.ndarray]] = {name: [] for name in compared_metrics(scoring)}
    for pair in pairs:
        weights = once_and_drawn[:, np.searchsorted(names, pair.patients)]
        arm, base = (resampled_metrics(of, weights, scoring) for of in (pair.arm, pair.base))
        for name in resampled:
            resampled[name].append(arm[name] - base[name])
    replicate = _replicates(pairs)
    return {
        name: _difference(_by_replicate(np.stack(values, axis=1), replicate), len(pairs), len(names), design)
        for name, values in resampled.items()
    }


def _replicates(pairs: Sequence[Pair]) -> np.ndarray:
    """Replicate of each pair: its fold, or its seed where there are too few folds: int64 [shape=(pair,)].

    Folds share neither test patients nor seeds, and differ in their training patients too.
    """
    folds = np.array([pair.fold for pair in pairs])
    has_enough = len(set(folds)) >= FEWEST_REPLICATES
    return folds if has_enough else np.array([pair.seed for pair in pairs])


def _by_replicate(values: np.ndarray, replicate: np.ndarray) -> np.ndarray:
    """Mean over the trainings of each replicate: float64 [shape=(resample, replicate)]."""
    return np.stack([values[:, replicate == name].mean(axis=1) for name in np.unique(replicate)], axis=1)


def _difference(resampled: np.ndarray, n_trainings: int, n_patients: int, design: Design) -> Difference:
    """Compute a difference with its interval from [shape=(resample, replicate)]; the first resample is observed."""
    observed, drawn = resampled[0], resampled[1:]
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    value = float(observed.mean())
    half_width = p = detectable = np.nan
    if np.isfinite(value) and len(drawn) > 1:
        error = _StandardError.of(observed, drawn, n_patients)
        half_width = error.quantile(design.alpha / 2)
        p = error.p(value)
        if len(observed) >= FEWEST_REPLICATES:
            detectable = half_width + error.quantile(1 - design.power)
    return Difference(
        value=value,
        low=value - half_width,
        high=value + half_width,
        p=p,
        detectable=detectable,
        n_replicates=len(observed),
        n_trainings=n_trainings,
        n_patients=n_patients,
    )


@dataclass(frozen=True)
class _StandardError:
    """Variance of a mean over replicates, as a sum of variances that are known with different degrees of freedom.

    The quantiles are after Cochran and Cox (1957, Experimental Designs): those of t with the degrees of freedom of
    each variance, weighted by the variances.

    Attributes
    ----------
    variances : float64 [shape=(component,)]
    freedom : float64 [shape=(component,)]
        Degrees of freedom of each variance.
    """

    variances: np.ndarray
    freedom: np.ndarray

    @staticmethod
    def of(observed: np.ndarray, drawn: np.ndarray, n_patients: int) -> "_StandardError":
        """Estimate the variances of replicates and patients.

        Parameters
        ----------
        observed : float64 [shape=(replicate,)]
        drawn : float64 [shape=(resample, replicate)]
        n_patients : int
        """
        n = len(observed)
        covariance = np.cov(drawn, rowvar=False).reshape(n, n)
        if n < FEWEST_REPLICATES:  # the trained models are fixed
            return _StandardError(np.array([covariance.mean()]), np.array([n_patients - 1]))
        shared = max(float(covariance[~np.eye(n, dtype=bool)].mean()), 0.0)
        return _StandardError(np.array([observed.var(ddof=1) / n, shared]), np.array([n - 1, n_patients - 1]))

    def quantile(self, upper: float) -> float:
        """Distance from the mean that is exceeded with a probability."""
        from scipy.special import stdtrit

        total = self.variances.sum()
        return float(-self.variances @ stdtrit(self.freedom, upper) / np.sqrt(total)) if total > 0 else 0.0

    def p(self, value: float) -> float:
        """Two-sided p value of a mean, at least `LEAST_P`."""
        from scipy.optimize import brentq

        if not self.variances.any():
            return float(value == 0)
        if abs(value) >= self.quantile(LEAST_P / 2):
            return LEAST_P
        return float(brentq(lambda p: self.quantile(p / 2) - abs(value), LEAST_P, 1))


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
) -> tuple[ArmVerdict, str]:
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
    verdict : ArmVerdict
    sentence : str
    """
    verdict = _verdict(difference, p_corrected, design)
    numbers = _numbers(base, metric, difference, p_corrected, n_arms, design)
    match verdict:
        case ArmVerdict.UNKNOWN:
            words = f": {metric} is not defined for these recordings, so there is no conclusion."
        case ArmVerdict.BETTER:
            words = (
                f" helps: {numbers}. The removed bands may still carry information about the patients: noise, "
                "or a shortcut that fails in the test, would give the same result."
            )
        case ArmVerdict.WORSE:
            words = (
                f" harms: {numbers}. This does not prove that the removed bands carry information about the "
                "illness: a shortcut that also works in the test would give the same result."
            )
        case ArmVerdict.MODELS_DIFFER | ArmVerdict.MODELS_NOT_DISTINGUISHED:
            words = f": {_words_about_models(verdict, numbers, difference)}"
        case _:
            words = f": {_words_without_difference(verdict, numbers, difference, design)}"
    return verdict, f"{arm}{words}"


def _verdict(difference: Difference, p_corrected: float, design: Design) -> ArmVerdict:
    if not np.isfinite(difference.low):
        return ArmVerdict.UNKNOWN
    is_shown = p_corrected < design.alpha and not difference.low <= 0 <= difference.high
    if not difference.is_about_arms:
        return ArmVerdict.MODELS_DIFFER if is_shown else ArmVerdict.MODELS_NOT_DISTINGUISHED
    if is_shown:
        return ArmVerdict.BETTER if difference.value > 0 else ArmVerdict.WORSE
    return ArmVerdict.NO_WORSE if difference.low > -design.margin else ArmVerdict.OPEN


def _numbers(base: str, metric: str, difference: Difference, p_corrected: float, n_arms: int, design: Design) -> str:
    """The difference with its interval, and its p value if it was corrected."""
    over = "" if difference.is_about_arms else f" over {difference.interval_over}"
    interval = f"{1 - design.alpha:.0%} interval{over} {difference.low:+.3f} to {difference.high:+.3f}"
    p = ""
    if n_arms > 1:
        p = f", p {'below 0.001' if p_corrected < 0.001 else f'{p_corrected:.3f}'} corrected for {n_arms} arms"
    return f"{metric} {difference.value:+.3f} against {base} ({interval}{p})"


def _words_about_models(verdict: ArmVerdict, numbers: str, difference: Difference) -> str:
    """Conclusion about the trained models, and what is lacking for one about the arms."""
    differ = "differ" if verdict is ArmVerdict.MODELS_DIFFER else "are not distinguished"
    n_lacking = FEWEST_REPLICATES - difference.n_replicates
    seeds = ",".join(map(str, range(FEWEST_REPLICATES)))
    return (
        f"these {2 * difference.n_trainings} models {differ} on these recordings: {numbers}. Nothing follows about "
        f"the arms, because new trainings may reverse the difference. A conclusion about the arms needs at least "
        f"{n_lacking} more seed{'s' if n_lacking > 1 else ''} of each arm (seed={seeds}), or {FEWEST_REPLICATES} "
        "folds of a cross-validation."
    )


def _words_without_difference(verdict: ArmVerdict, numbers: str, difference: Difference, design: Design) -> str:
    """Conclusion about the arms where no difference was shown."""
    bound = max(abs(difference.low), abs(difference.high))
    is_visible = not difference.low <= 0 <= difference.high
    what = "a difference that is uncertain after correction" if is_visible else "no difference seen"
    if verdict is ArmVerdict.NO_WORSE:
        bounds = f"It costs less than the margin of {design.margin:g}; a gain is not shown."
    else:
        bounds = (
            f"Neither harm beyond the margin of {design.margin:g} nor a gain is ruled out: this design finds "
            f"differences from {difference.detectable:.3f} with a power of {design.power:.0%}."
        )
    return f"{what}, smaller than {bound:.3f}: {numbers}. {bounds}"

"""Is one arm of an experiment better or worse than another: paired over patients and trainings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from respcam.metrics import METRICS, BootstrapSettings, mean_of_known, resampled_figures, weights_and_resamples


@dataclass(frozen=True)
class Design:
    """What a comparison of arms asks for.

    Parameters
    ----------
    margin : float
        Loss of the metric up to which an arm counts as no worse.
    alpha : float
        Chance of a false alarm; 1 - alpha is the level of the intervals.
    power : float
        Of which the smallest difference that could have been seen speaks.
    n_permutations : int
    """

    margin: float = 0.02
    alpha: float = 0.05
    power: float = 0.8
    n_permutations: int = 1000

    def __post_init__(self) -> None:
        for name in ("margin", "alpha", "power"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"design.{name} is {getattr(self, name)}; expected above 0 and below 1")
        if self.n_permutations < 100:
            raise ValueError(f"design.n_permutations is {self.n_permutations}; expected at least 100")


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
        """The same for some of the units."""
        rows = (each[is_chosen] for each in (self.patients, self.target, self.arm, self.base))
        return Pair(self.seed, self.fold, *rows)


@dataclass(frozen=True)
class Difference:
    """Figure of an arm minus that of the base arm.

    Attributes
    ----------
    value : float
        Mean over seeds and folds.
    low, high : float
        Interval at level 1 - alpha, over patients and trainings; with one training over patients only.
    p : float
        Of the same t statistic, two-sided.
    p_permuted : float
        Chance of as large a difference if, patient by patient, the two arms were exchangeable: of
        these very models, not of another training.
    detectable : float
        Smallest true difference that this design would have seen with the power asked for.
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
    """Compare two arms by every figure of `respcam.metrics.METRICS`.

    Trainings (seeds; folds where there is one seed) are to patients what readers are to cases in
    studies of diagnostic imaging, and the variance is the one used there (Obuchowski and Rockette
    1995, doi 10.1080/03610919508813243): that of the trainings' differences, plus what they share
    because they were tested on the same patients, from a bootstrap over patients. Degrees of freedom
    after Hillis (2007, doi 10.1002/sim.2532).

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
        NaN where a figure is not defined.
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
        arm, base = (resampled_figures(pair.target, each, weights, normal, score) for each in (pair.arm, pair.base))
        is_swapped = as_is_and_swapped[:, np.searchsorted(names, pair.patients)]
        # both arms' predictions stand in one table, and weights of 0 and 1 say which of the two counts
        both, target = np.concatenate([pair.arm, pair.base]), np.tile(pair.target, 2)
        one, other = (
            resampled_figures(target, both, np.concatenate([~own, own], axis=1).astype(int), normal, score)
            for own in (is_swapped, ~is_swapped)
        )
        for name in METRICS:
            resampled[name].append(arm[name] - base[name])
            permuted[name].append(one[name] - other[name])
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
    """Mean over the columns of each group; NaN (a resample that lacks a class) left out."""
    return np.stack([mean_of_known(values[:, group == own]) for own in np.unique(group)], axis=1)


def _difference(resampled: np.ndarray, permuted: np.ndarray, n_patients: int, design: Design) -> Difference:
    """From differences per resample (the first: as they are) and training to one with its interval."""
    from scipy.stats import t as student  # takes a second to import

    own, drawn = resampled[0], resampled[1:]
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    n = len(own)
    value = float(own.mean())
    spread = quantile = p = detectable = np.nan
    if np.isfinite(value) and len(drawn) > 1:
        covariance = np.cov(drawn, rowvar=False).reshape(n, n)
        between = float(own.var(ddof=1)) if n > 1 else 0.0
        shared = float(covariance[~np.eye(n, dtype=bool)].mean()) if n > 1 else float(covariance[0, 0])
        total = between + n * max(shared, 0.0)
        spread = float(np.sqrt(total / n))
        freedom = total**2 / (between**2 / (n - 1)) if between > 0 else np.inf
        quantile = float(student.ppf(1 - design.alpha / 2, freedom))
        detectable = float((quantile + student.ppf(design.power, freedom)) * spread)
        p = float(2 * student.sf(abs(value) / spread, freedom)) if spread > 0 else float(value == 0)
    p_permuted = float(np.mean(np.abs(permuted) >= abs(permuted[0]) - 1e-12))  # the first is the difference itself
    return Difference(
        value, value - quantile * spread, value + quantile * spread, p,
        p_permuted if np.isfinite(value) else np.nan, detectable, n, n_patients,
    )  # fmt: skip


def corrected(p: Sequence[float]) -> list[float]:
    """Holm's correction (1979) of the p values of several arms; NaN stays and does not count."""
    from statsmodels.stats.multitest import multipletests  # takes a second to import

    values = np.array(p, dtype=float)
    is_known = np.isfinite(values)
    if is_known.any():
        values[is_known] = multipletests(values[is_known], method="holm")[1]
    return values.tolist()


def conclusion(
    arm: str, base: str, metric: str, found: Difference, p_corrected: float, n_arms: int, design: Design
) -> tuple[str, str]:
    """Say what follows from a difference, and what does not.

    Parameters
    ----------
    arm, base : str
        Their names.
    metric : str
        Its name.
    found : Difference
    p_corrected : float
        `Difference.p` after correction over the arms.
    n_arms : int
        That it was corrected for.
    design : Design

    Returns
    -------
    verdict : str
        better, worse, no worse, open, or unknown.
    sentence : str
    """
    if not np.isfinite(found.low):
        return "unknown", f"{arm}: {metric} is not defined for these recordings, so nothing follows."
    level = f"{1 - design.alpha:.0%}"
    figures = f"{metric} {found.value:+.3f} against {base} ({level} interval {found.low:+.3f} to {found.high:+.3f}"
    if n_arms > 1:
        p = "below 0.001" if p_corrected < 0.001 else f"{p_corrected:.3f}"
        figures += f", p {p} corrected for {n_arms} arms"
    figures += ")"
    alone = " One training each: training again may move this by more." if found.n_trainings == 1 else ""
    if found.low > 0 and p_corrected < design.alpha:
        verdict = "better"
        says = (
            f"{arm} helps: {figures}. It does not follow that what was taken away says nothing about the "
            "patients; noise, or a shortcut that did not hold in the test, would look the same."
        )
    elif found.high < 0 and p_corrected < design.alpha:
        verdict = "worse"
        says = (
            f"{arm} harms: {figures}. It does not follow that what was taken away hears the illness; "
            "a shortcut that holds in the test would look the same."
        )
    else:
        bound = max(abs(found.low), abs(found.high))
        is_no_worse = found.low > -design.margin
        verdict = "no worse" if is_no_worse else "open"
        is_seen = not found.low <= 0 <= found.high
        what = "a difference that is in doubt once corrected" if is_seen else "no difference seen"
        says = f"{arm}: {what}, smaller than {bound:.3f}: {figures}. " + (
            f"It costs less than the margin of {design.margin:g}; that it helps does not follow."
            if is_no_worse
            else f"Neither harm beyond the margin of {design.margin:g} nor a gain is ruled out: this design sees "
            f"differences from {found.detectable:.3f} with a power of {design.power:.0%}."
        )
    return verdict, says + alone

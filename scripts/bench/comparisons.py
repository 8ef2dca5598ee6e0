"""Simulated comparisons of arms that are alike: how often does the conclusion say "helps" or "harms"?

python scripts/bench/comparisons.py [--comparisons 2000] [--resamples 200]

Scores of patients with several recordings are drawn at random. The score of a recording depends on the patient, the
recording, the arm, the training and the fold. All arms have the same expected AUROC. So every "helps" or "harms" is
false, and at least 95 % of the intervals should contain zero. For fewer than three trainings, the intervals are about
the trained models, and should contain the difference between the expected AUROC of these models.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import measure
import numpy as np
from joblib import Parallel, delayed
from scipy.stats import norm

from respcam.experiments.differences import (
    FEWEST_REPLICATES,
    ArmVerdict,
    Design,
    Difference,
    Pair,
    conclusion,
    corrected,
    differences,
)
from respcam.metrics import BootstrapSettings, Predictions, Scoring

NAME = "comparisons"
MOST_FALSE, LEAST_COVERAGE = "<= 0.06", ">= 0.93"
FALSE_VERDICTS = (ArmVerdict.BETTER, ArmVerdict.WORSE)


@dataclass(frozen=True)
class Setup:
    """A simulated experiment whose arms are alike.

    The spreads are standard deviations on the scale of the score. The normal recordings have the mean score 0.

    Parameters
    ----------
    n_seeds, n_folds, n_patients : int
    n_arms : int
        Number of arms that are compared with the base arm.
    mean : float
        Mean score of the abnormal recordings, over all trainings.
    of_training : float
        Spread of the mean of a model over seeds and folds.
    of_fold : float
        Spread of the mean of an arm over folds, common to the seeds, because their training patients are the same.
    of_patient, of_recording : float
        Spreads of the difficulty, common to all models.
    of_arm, of_model : float
        Spreads over patients, and again over recordings, of the score of an arm and of a model.
    """

    n_seeds: int = 5
    n_folds: int = 1
    n_patients: int = 100
    n_arms: int = 1
    mean: float = 1.6
    of_training: float = 0.15
    of_fold: float = 0.0
    of_patient: float = 0.7
    of_recording: float = 0.9
    of_arm: float = 0.25
    of_model: float = 0.35

    @property
    def words(self) -> str:
        """The experiment in a few words."""
        folds = f" x {self.n_folds} folds" if self.n_folds > 1 else ""
        effect = f", fold {self.of_fold:g}" if self.of_fold else ""
        arms = f", {self.n_arms} arms" if self.n_arms > 1 else ""
        return f"{self.n_seeds} seeds{folds}, {self.n_patients} patients, training {self.of_training:g}{effect}{arms}"

    @property
    def is_covered(self) -> bool:
        """Whether the intervals shall cover every effect; the effect of fewer than three folds is not covered."""
        return not self.of_fold or self.n_folds >= FEWEST_REPLICATES

    @property
    def spread_of_score(self) -> float:
        """Standard deviation of the scores of one class and one model."""
        effects = (self.of_patient, self.of_recording, *[self.of_arm, self.of_model] * 2)
        return float(np.sqrt(np.square(effects).sum()))


SETUPS = (
    *(Setup(n_seeds=n) for n in (1, 2, 3, 5)),
    *(Setup(1, n_folds) for n_folds in (2, 3, 5)),
    *(Setup(n_seeds=n, of_training=spread) for n in (3, 5) for spread in (0.0, 0.4)),
    *(Setup(n_seeds=n, n_patients=40) for n in (3, 5)),
    Setup(5, 2),
    *(Setup(n_seeds, n_folds, of_fold=0.15) for n_seeds, n_folds in ((1, 3), (1, 5), (2, 5), (5, 2))),
    Setup(3, n_arms=8),
    Setup(1, 5, n_arms=8),
)


@dataclass(frozen=True)
class Experiment:
    """Pairs of every arm of a simulated experiment, and the expected difference between the trained models."""

    pairs: list[list[Pair]]
    of_models: list[float]


def simulated(setup: Setup, rng: np.random.Generator) -> Experiment:
    """Draw patients, trainings and scores at random."""
    n_recordings = 1 + rng.poisson(1.4, setup.n_patients)
    patient = np.repeat(np.arange(setup.n_patients), n_recordings)
    is_abnormal = (rng.random(len(patient)) < rng.beta(0.4, 0.6, setup.n_patients)[patient]).astype(int)

    def effect(spread: float) -> np.ndarray:
        return rng.normal(0, spread, setup.n_patients)[patient] + rng.normal(0, spread, len(patient))

    common = rng.normal(0, setup.of_patient, setup.n_patients)[patient]
    common = common + rng.normal(0, setup.of_recording, len(patient))
    fold_of_unit = rng.permutation(setup.n_patients)[patient] % setup.n_folds
    probabilities, expected = [], []
    for _ in range(1 + setup.n_arms):
        of_arm, of_fold = effect(setup.of_arm), rng.normal(0, setup.of_fold, setup.n_folds)
        means = setup.mean + of_fold + rng.normal(0, setup.of_training, (setup.n_seeds, setup.n_folds))
        scores = [[common + of_arm + mean * is_abnormal + effect(setup.of_model) for mean in row] for row in means]
        # the threshold of a prediction lies between the two classes
        p = 1 / (1 + np.exp(setup.mean / 2 - np.array(scores)))
        probabilities.append(np.stack([1 - p, p], axis=-1))
        expected.append(float(norm.cdf(means / (np.sqrt(2) * setup.spread_of_score)).mean()))
    base, *arms = probabilities

    def pair(arm: np.ndarray, seed: int, fold: int) -> Pair:
        both = (Predictions(is_abnormal, p, p.argmax(axis=1)) for p in (arm[seed, fold], base[seed, fold]))
        return Pair(seed, fold, patient.astype(str), *both).of(fold_of_unit == fold)

    pairs = [
        [pair(arm, seed, fold) for seed in range(setup.n_seeds) for fold in range(setup.n_folds)] for arm in arms
    ]
    return Experiment(pairs, [of_arm - expected[0] for of_arm in expected[1:]])


@dataclass(frozen=True)
class Outcome:
    """Differences of the arms of one comparison, and what the conclusions say.

    Attributes
    ----------
    found : list of Difference
    verdicts : list of ArmVerdict
    covers : list of bool
        Whether each interval contains the true difference: zero, or that of the trained models.
    """

    found: list[Difference]
    verdicts: list[ArmVerdict]
    covers: list[bool]


def outcomes(setup: Setup, n_comparisons: int, n_resamples: int = 200, seed: int = 0) -> Iterator[Outcome]:
    """Simulate comparisons and conclude from each."""
    rng, design = np.random.default_rng(seed), Design()
    for _ in range(n_comparisons):
        experiment = simulated(setup, rng)
        bootstrap = BootstrapSettings(n_resamples, int(rng.integers(2**32)))
        found = [differences(pairs, Scoring(0), bootstrap, design)["auroc"] for pairs in experiment.pairs]
        p = corrected([difference.p for difference in found])
        verdicts = [
            conclusion("arm", "base", "AUROC", difference, p_arm, setup.n_arms, design)[0]
            for difference, p_arm in zip(found, p, strict=True)
        ]
        truths = [
            0.0 if difference.is_about_arms else of_models
            for difference, of_models in zip(found, experiment.of_models, strict=True)
        ]
        covers = [difference.low <= truth <= difference.high for difference, truth in zip(found, truths, strict=True)]
        yield Outcome(found, verdicts, covers)


def false_rate(simulation: list[Outcome]) -> float:
    """Share of comparisons in which an arm is said to help or to harm."""
    return float(np.mean([any(verdict in FALSE_VERDICTS for verdict in each.verdicts) for each in simulation]))


def coverage(simulation: list[Outcome]) -> float:
    """Share of intervals that contain the true difference."""
    return float(np.mean([each.covers for each in simulation]))


def measured(arguments: argparse.Namespace) -> list[measure.Row]:
    """Two rows per experiment: share of false verdicts and coverage, with intervals over the comparisons."""
    jobs = (delayed(_rows)(setup, arguments) for setup in SETUPS)
    rows: list[measure.Row] = []
    for of_setup in Parallel(n_jobs=arguments.workers, return_as="generator")(jobs):
        measure.say(measure.table(of_setup))
        rows += of_setup
    return rows


def _rows(setup: Setup, arguments: argparse.Namespace) -> list[measure.Row]:
    simulation = list(outcomes(setup, arguments.comparisons, arguments.resamples))
    shares = (
        ("false helps or harms", false_rate(simulation), MOST_FALSE),
        ("coverage", coverage(simulation), LEAST_COVERAGE),
    )
    return [
        _row(what, setup, share, arguments.comparisons, limit if setup.is_covered else "")
        for what, share, limit in shares
    ]


def _row(what: str, setup: Setup, share: float, n: int, limit: str) -> measure.Row:
    error = 1.96 * np.sqrt(share * (1 - share) / n)
    return measure.Row(NAME, what, setup.words, share, max(share - error, 0.0), min(share + error, 1.0), "", limit)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--comparisons", type=int, default=2000, help="number of simulated comparisons of each setup"
    )
    options.add_argument(
        "--resamples", type=int, default=200, help="number of bootstrap resamples of each comparison"
    )
    options.add_argument("--workers", type=int, default=2, help="number of processes")
    measure.main(NAME, measured, options.parse_args())

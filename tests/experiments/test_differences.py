import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from respcam.experiments.differences import ArmVerdict, Design, Difference, Pair, conclusion, corrected, differences
from respcam.metrics import BootstrapSettings, Predictions, Scoring

BOOTSTRAP = BootstrapSettings(n_resamples=200)
DESIGN = Design()


def trainings(rng, n_seeds=5, n_patients=40, n_folds=1, gain=0.0, seed_spread=0.2, noise=0.5, of_arm=0.0):
    """Predictions of two arms: difficulty of the patients, also for an arm; noise of each training and its level."""
    patient = np.repeat(np.arange(n_patients), 2)
    target = patient % 2
    shared = 1.2 * target + rng.normal(0, 0.7, n_patients)[patient] + rng.normal(0, 1, len(target))

    def probabilities(extra, of_arm):
        score = of_arm + (extra + rng.normal(0, seed_spread)) * target + rng.normal(0, noise, len(target))
        p = 1 / (1 + np.exp(-score))
        return np.stack([1 - p, p], axis=1)

    for_arm, for_base = (shared + rng.normal(0, of_arm, n_patients)[patient] for _ in range(2))
    pairs = []
    for seed in range(n_seeds):
        for fold in range(n_folds):
            inside = patient // 2 % n_folds == fold
            arm, base = probabilities(gain, for_arm), probabilities(0.0, for_base)
            both = (Predictions(target, p, p.argmax(axis=1)).at(inside) for p in (arm, base))
            pairs.append(Pair(seed, fold, patient.astype(str)[inside], *both))
    return pairs


def test_the_difference_is_the_mean_over_trainings():
    pairs = trainings(np.random.default_rng(0), n_seeds=3)
    areas = [[roc_auc_score(of.target, of.probability[:, 1]) for of in (p.arm, p.base)] for p in pairs]
    found = differences(pairs, Scoring(0), BOOTSTRAP, DESIGN)["auroc"]
    assert found.value == pytest.approx(np.mean([arm - base for arm, base in areas]))
    assert (found.n_trainings, found.n_patients) == (3, 40)


def shape_of(pairs):
    found = differences(pairs, Scoring(0), BOOTSTRAP, DESIGN)["auroc"]
    return found.n_replicates, found.n_trainings


def test_folds_are_the_replicates_where_there_are_three_and_seeds_where_not():
    rng = np.random.default_rng(1)
    assert shape_of(trainings(rng, n_seeds=2, n_folds=3)) == (3, 6)
    assert shape_of(trainings(rng, n_seeds=4, n_folds=2)) == (4, 8)
    assert shape_of(trainings(rng, n_seeds=2, n_folds=2)) == (2, 4)
    assert shape_of(trainings(rng, n_seeds=1, n_folds=2)) == (1, 2)
    assert shape_of(trainings(rng, n_seeds=1, n_folds=5)) == (5, 5)


def test_trainings_of_one_fold_are_averaged():
    pairs = trainings(np.random.default_rng(1), n_seeds=2, n_folds=3)
    of_pairs = [
        roc_auc_score(p.arm.target, p.arm.probability[:, 1]) - roc_auc_score(p.base.target, p.base.probability[:, 1])
        for p in pairs
    ]
    found = differences(pairs, Scoring(0), BOOTSTRAP, DESIGN)["auroc"]
    assert found.value == pytest.approx(np.mean(of_pairs))


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_with_fewer_than_three_trainings_the_interval_is_over_patients_alone(n_seeds):
    found = differences(trainings(np.random.default_rng(4), n_seeds), Scoring(0), BOOTSTRAP, DESIGN)["auroc"]
    assert found.interval_over == "patients alone"
    assert np.isnan(found.detectable)
    assert found.high - found.low > 0


@pytest.mark.parametrize(
    "case",
    [
        {"n_seeds": 1},
        {"n_seeds": 2, "seed_spread": 0.4},
        {"n_seeds": 3, "seed_spread": 0.4},
        {"n_seeds": 3, "noise": 0.2},
        {"n_seeds": 5, "seed_spread": 0.0},
        {"n_seeds": 5, "of_arm": 0.7},
        {"n_seeds": 1, "n_folds": 3},
        {"n_seeds": 1, "n_folds": 5, "n_patients": 80},
    ],
    ids=str,
)
def test_arms_that_are_alike_seldom_help_or_harm(case):
    rng, verdicts, covers = np.random.default_rng(0), [], []
    bootstrap = BootstrapSettings(n_resamples=100)
    for _ in range(150):
        found = differences(trainings(rng, **case), Scoring(0), bootstrap, DESIGN)["auroc"]
        verdicts.append(conclusion("pruned", "all", "auroc", found, found.p, 1, DESIGN)[0])
        covers.append(found.low <= 0 <= found.high)
    n_false = sum(verdict in (ArmVerdict.BETTER, ArmVerdict.WORSE) for verdict in verdicts)
    if found.is_about_arms:
        assert n_false <= 0.07 * len(verdicts)
        assert n_false == len(covers) - sum(covers)
    else:
        assert set(verdicts) == {ArmVerdict.MODELS_DIFFER, ArmVerdict.MODELS_NOT_DISTINGUISHED}


def test_a_difference_as_large_as_the_smallest_seen_is_seen_with_that_power():
    rng = np.random.default_rng(0)
    found = [differences(trainings(rng, gain=0.56), Scoring(0), BOOTSTRAP, DESIGN)["auroc"] for _ in range(150)]
    assert np.mean([each.value for each in found]) == pytest.approx(
        np.mean([each.detectable for each in found]), rel=0.1
    )
    assert 0.7 <= np.mean([each.low > 0 for each in found]) <= 0.9


def test_equal_predictions_do_not_differ():
    pairs = [replace(pair, arm=pair.base) for pair in trainings(np.random.default_rng(0))]
    found = differences(pairs, Scoring(0), BOOTSTRAP, DESIGN)["auroc"]
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_exchanging_arms_turns_the_sign():
    pairs = trainings(np.random.default_rng(2), gain=0.5)
    turned = [replace(pair, arm=pair.base, base=pair.arm) for pair in pairs]
    one, other = (differences(each, Scoring(0), BOOTSTRAP, DESIGN)["auroc"] for each in (pairs, turned))
    assert (other.value, other.low, other.high) == pytest.approx((-one.value, -one.high, -one.low))
    assert other.p == pytest.approx(one.p)


def test_holm():
    np.testing.assert_allclose(corrected([0.01, 0.04, 0.03, np.nan]), [0.03, 0.06, 0.06, np.nan])


def difference(value, low, high, p=0.5, n_trainings=5):
    return Difference(value, low, high, p, 0.04, n_trainings, n_trainings, 100)


@pytest.mark.parametrize(
    ("found", "p", "verdict", "words"),
    [
        (
            difference(0.05, 0.02, 0.08),
            0.01,
            ArmVerdict.BETTER,
            "helps: auroc +0.050 against all (95% interval +0.020 to +0.080",
        ),
        (difference(-0.05, -0.08, -0.02), 0.01, ArmVerdict.WORSE, "harms"),
        (difference(-0.05, -0.08, -0.02), 0.2, ArmVerdict.OPEN, "uncertain after correction, smaller than 0.080"),
        (difference(-0.01, -0.06, 0.04), 0.7, ArmVerdict.OPEN, "no difference seen, smaller than 0.060"),
        (difference(0.003, -0.008, 0.012), 0.6, ArmVerdict.NO_WORSE, "smaller than 0.012"),
        (difference(0.0, -0.05, 0.05), 0.9, ArmVerdict.OPEN, "finds differences from 0.040 with a power of 80%"),
        (difference(np.nan, np.nan, np.nan), np.nan, ArmVerdict.UNKNOWN, "not defined"),
    ],
)
def test_what_follows_is_said_in_words(found, p, verdict, words):
    concluded, sentence = conclusion("pruned", "all", "auroc", found, p, 3, Design())
    assert concluded is verdict
    assert words in sentence
    assert "pruned" in sentence


@pytest.mark.parametrize(
    ("found", "p", "verdict", "words"),
    [
        (
            difference(0.05, 0.02, 0.08, n_trainings=1),
            0.01,
            ArmVerdict.MODELS_DIFFER,
            "pruned: these 2 models differ on these recordings: auroc +0.050 against all (95% interval over patients "
            "alone +0.020 to +0.080",
        ),
        (
            difference(-0.05, -0.08, -0.02, n_trainings=2),
            0.01,
            ArmVerdict.MODELS_DIFFER,
            "these 4 models differ on these recordings",
        ),
        (
            difference(0.0, -0.01, 0.01, n_trainings=1),
            0.9,
            ArmVerdict.MODELS_NOT_DISTINGUISHED,
            "at least 2 more seeds of each arm (seed=0,1,2), or 3 folds",
        ),
        (
            difference(0.0, -0.01, 0.01, n_trainings=2),
            0.9,
            ArmVerdict.MODELS_NOT_DISTINGUISHED,
            "at least 1 more seed of each arm",
        ),
        (difference(np.nan, np.nan, np.nan, n_trainings=1), np.nan, ArmVerdict.UNKNOWN, "not defined"),
    ],
)
def test_fewer_than_three_trainings_say_nothing_about_the_arms(found, p, verdict, words):
    concluded, sentence = conclusion("pruned", "all", "auroc", found, p, 3, Design())
    assert concluded is verdict
    assert words in sentence
    assert not re.search("helps|harms|costs|no difference seen|a gain", sentence)
    assert verdict is ArmVerdict.UNKNOWN or "Nothing follows about the arms" in sentence


@pytest.mark.parametrize("change", [{"margin": 0}, {"alpha": 1.5}, {"power": 0}])
def test_settings_are_checked(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} is"):
        Design(**change)

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from respcam.experiments.differences import Design, Difference, Pair, conclusion, corrected, differences
from respcam.metrics import BootstrapSettings

BOOTSTRAP = BootstrapSettings(n_resamples=200)
DESIGN = Design(n_permutations=100)


def trainings(rng, n_seeds=5, n_patients=40, n_folds=1, gain=0.0, seed_spread=0.2, noise=0.5):
    """Predictions of two arms: shared difficulty of the patients, noise of each training and its level."""
    patient = np.repeat(np.arange(n_patients), 2)
    target = patient % 2
    shared = 1.2 * target + rng.normal(0, 0.7, n_patients)[patient] + rng.normal(0, 1, len(target))

    def probabilities(extra):
        score = shared + (extra + rng.normal(0, seed_spread)) * target + rng.normal(0, noise, len(target))
        p = 1 / (1 + np.exp(-score))
        return np.stack([1 - p, p], axis=1)

    pairs = []
    for seed in range(n_seeds):
        for fold in range(n_folds):
            inside = patient // 2 % n_folds == fold
            arm, base = probabilities(gain), probabilities(0.0)
            pairs.append(Pair(seed, fold, patient.astype(str)[inside], target[inside], arm[inside], base[inside]))
    return pairs


def test_the_difference_is_the_mean_over_trainings():
    pairs = trainings(np.random.default_rng(0), n_seeds=3)
    areas = [[roc_auc_score(p.target, own[:, 1]) for own in (p.arm, p.base)] for p in pairs]
    found = differences(pairs, 0, "icbhi", BOOTSTRAP, DESIGN)["auroc"]
    assert found.value == pytest.approx(np.mean([arm - base for arm, base in areas]))
    assert (found.n_trainings, found.n_patients) == (3, 40)


def test_folds_of_one_seed_are_averaged():
    pairs = trainings(np.random.default_rng(1), n_seeds=2, n_folds=3)
    own = [
        np.mean(
            [
                roc_auc_score(p.target, p.arm[:, 1]) - roc_auc_score(p.target, p.base[:, 1])
                for p in pairs
                if p.seed == s
            ]
        )
        for s in (0, 1)
    ]
    found = differences(pairs, 0, "icbhi", BOOTSTRAP, DESIGN)["auroc"]
    assert found.value == pytest.approx(np.mean(own))
    assert found.n_trainings == 2
    one_seed = differences([p for p in pairs if p.seed == 0], 0, "icbhi", BOOTSTRAP, DESIGN)["auroc"]
    assert one_seed.n_trainings == 3


@pytest.mark.parametrize("case", [{}, {"seed_spread": 0.0}, {"n_seeds": 1, "n_folds": 5, "n_patients": 80}])
def test_identical_arms_are_called_different_in_one_of_twenty_comparisons(case):
    rng = np.random.default_rng(0)
    n = 300
    found = [differences(trainings(rng, **case), 0, "icbhi", BOOTSTRAP, DESIGN)["auroc"] for _ in range(n)]
    covers = np.mean([each.low <= 0 <= each.high for each in found])
    assert 0.93 <= covers <= 0.97
    assert 0.02 <= np.mean([each.p < 0.05 for each in found]) <= 0.08


def test_a_difference_as_large_as_the_smallest_seen_is_seen_with_that_power():
    rng = np.random.default_rng(0)
    found = [differences(trainings(rng, gain=0.56), 0, "icbhi", BOOTSTRAP, DESIGN)["auroc"] for _ in range(150)]
    assert np.mean([each.value for each in found]) == pytest.approx(
        np.mean([each.detectable for each in found]), rel=0.1
    )
    assert 0.7 <= np.mean([each.low > 0 for each in found]) <= 0.9


def test_equal_predictions_do_not_differ():
    pairs = [replace(pair, arm=pair.base) for pair in trainings(np.random.default_rng(0))]
    found = differences(pairs, 0, "icbhi", BOOTSTRAP, DESIGN)["auroc"]
    assert (found.value, found.low, found.high, found.p, found.p_permuted) == (0, 0, 0, 1, 1)


def test_exchanging_arms_turns_the_sign():
    pairs = trainings(np.random.default_rng(2), gain=0.5)
    turned = [replace(pair, arm=pair.base, base=pair.arm) for pair in pairs]
    one, other = (differences(each, 0, "icbhi", BOOTSTRAP, DESIGN)["auroc"] for each in (pairs, turned))
    assert (other.value, other.low, other.high) == pytest.approx((-one.value, -one.high, -one.low))
    assert other.p == pytest.approx(one.p)


def test_permutation_of_patients_is_right_where_trainings_do_not_vary():
    rng = np.random.default_rng(3)
    strong = differences(trainings(rng, gain=3.0), 0, "icbhi", BOOTSTRAP, DESIGN)["auroc"]
    assert strong.p_permuted < 0.05
    null = [differences(trainings(rng, seed_spread=0.0), 0, "icbhi", BOOTSTRAP, DESIGN)["auroc"] for _ in range(100)]
    assert 0 < np.mean([each.p_permuted < 0.05 for each in null]) <= 0.1


def test_holm():
    np.testing.assert_allclose(corrected([0.01, 0.04, 0.03, np.nan]), [0.03, 0.06, 0.06, np.nan])


def difference(value, low, high, p=0.5, n_trainings=5):
    return Difference(value, low, high, p, 0.5, 0.04, n_trainings, 100)


@pytest.mark.parametrize(
    ("found", "p", "verdict", "words"),
    [
        (
            difference(0.05, 0.02, 0.08),
            0.01,
            "better",
            "helps: auroc +0.050 against all (95% interval +0.020 to +0.080",
        ),
        (difference(-0.05, -0.08, -0.02), 0.01, "worse", "harms"),
        (difference(-0.05, -0.08, -0.02), 0.2, "open", "uncertain after correction, smaller than 0.080"),
        (difference(-0.01, -0.06, 0.04), 0.7, "open", "no difference seen, smaller than 0.060"),
        (difference(0.003, -0.008, 0.012), 0.6, "no worse", "smaller than 0.012"),
        (difference(0.0, -0.05, 0.05), 0.9, "open", "finds differences from 0.040 with a power of 80%"),
        (difference(np.nan, np.nan, np.nan), np.nan, "unknown", "not defined"),
        (difference(0.0, -0.01, 0.01, n_trainings=1), 0.9, "no worse", "One training per arm"),
    ],
)
def test_what_follows_is_said_in_words(found, p, verdict, words):
    own, sentence = conclusion("pruned", "all", "auroc", found, p, 3, Design())
    assert own == verdict
    assert words in sentence
    assert "pruned" in sentence


@pytest.mark.parametrize("change", [{"margin": 0}, {"alpha": 1.5}, {"n_permutations": 10}])
def test_settings_are_checked(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} is"):
        Design(**change)

import numpy as np
import pytest
import torch

from respcam.metrics import Scoring
from respcam.network.readout import Readout, pool, score_gradient


@pytest.mark.parametrize(
    ("pooling", "expected"), [("mean", 2.0), ("max", 3.0), ("logsumexp", np.log((np.e + np.e**3) / 2))]
)
def test_patch_scores_are_pooled(pooling, expected):
    scores = torch.tensor([[1.0, 1.0], [3.0, 3.0]])
    np.testing.assert_allclose(pool(scores, pooling), expected, rtol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "max", "logsumexp"])
def test_the_gradient_of_a_score_is_that_of_its_pooling(pooling):
    scores = torch.tensor([[0.3, 1], [2.0, 0], [-1.0, 0.5], [0.7, 2], [0.1, -1]], dtype=torch.float64)
    target = torch.tensor([1, 0])
    found = score_gradient(scores, [3, 2], target, Readout(pooling), "class_score")
    for rows, k in ((slice(0, 3), 1), (slice(3, 5), 0)):
        of_unit = scores[rows, k]
        expected = {
            "mean": torch.full_like(of_unit, 1 / len(of_unit)),
            "max": (of_unit == of_unit.max()).double(),
            "logsumexp": of_unit.softmax(dim=0),
        }[pooling]
        torch.testing.assert_close(found[rows, k], expected)
        assert (found[rows, 1 - k] == 0).all()
    of_two = score_gradient(
        scores, [3, 2], target, Readout(pooling), "log_odds"
    )  # with two classes: their difference
    other = score_gradient(scores, [3, 2], 1 - target, Readout(pooling), "class_score")
    torch.testing.assert_close(of_two, found - other)


def drawn(n=4000, n_classes=3, temperature=2.5, offsets=(0.0, 1.5, -1.0), seed=0):
    """Scores whose calibration is known: classes are drawn from the calibrated probabilities."""
    rng = np.random.default_rng(seed)
    scores = 4 * torch.from_numpy(rng.standard_normal((n, n_classes)))
    probability = (scores / temperature + torch.tensor(offsets)).softmax(dim=1).numpy()
    target = (probability.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return scores, target, probability


def test_calibration_finds_the_temperature_and_the_offsets():
    scores, target, probability = drawn()
    readout = Readout().with_calibration(scores, target)
    assert readout.temperature == pytest.approx(2.5, rel=0.1)
    offsets = np.array(readout.offsets) - readout.offsets[0]
    np.testing.assert_allclose(offsets, [0, 1.5, -1], atol=0.2)
    np.testing.assert_allclose(readout.calibrated(scores).softmax(dim=1).numpy(), probability, atol=0.03)


def test_few_units_that_are_separated_give_a_finite_calibration():
    scores = torch.tensor([[3.0, -3.0], [2.0, -2.0], [-3.0, 3.0], [-2.0, 2.0]])
    readout = Readout().with_calibration(scores, np.array([0, 0, 1, 1]))
    assert 0.2 < readout.temperature < 5
    assert max(map(abs, readout.offsets)) < 1


def test_calibration_leaves_the_order_of_two_classes():
    scores, target, _ = drawn(n_classes=2, offsets=(0.0, 1.0))
    difference = scores[:, 1] - scores[:, 0]
    calibrated = Readout().with_calibration(scores, target).calibrated(scores)
    np.testing.assert_array_equal(difference.argsort(), (calibrated[:, 1] - calibrated[:, 0]).argsort())


def test_the_decision_has_the_highest_expected_score():
    """With two classes drawn from their probabilities, no other threshold scores surely higher on new units."""
    rng = np.random.default_rng(3)
    p = rng.beta(0.5, 2.0, 40_000)  # the abnormal class is rare
    probability = np.stack([1 - p, p], axis=1)
    readout = Readout().with_decision(probability, Scoring(0, "sprsound"))
    target = rng.random(len(p)) < p

    def score(threshold):
        se, sp = (p >= threshold)[target].mean(), (p < threshold)[~target].mean()
        return ((se + sp) / 2 + 2 * se * sp / (se + sp)) / 2

    best = max(map(score, np.linspace(0.02, 0.98, 97)))
    first, second = readout.decision
    assert score(first / (first + second)) > best - 0.01
    assert score(0.5) < best - 0.05
    np.testing.assert_array_equal(readout.decide(probability), (p > first / (first + second)).astype(int))


def test_where_every_weight_does_well_the_most_probable_class_is_predicted():
    p = np.array([0.001] * 20 + [0.999] * 5)
    readout = Readout().with_decision(np.stack([1 - p, p], axis=1), Scoring(0, "sprsound"))
    assert readout.decision == (1.0, 1.0)


def test_a_class_that_is_not_counted_is_named_where_it_is_twice_as_probable():
    probability = np.random.default_rng(0).dirichlet(np.ones(3), 500)
    readout = Readout().with_decision(probability, Scoring(0, "sprsound", (2,)))
    assert readout.decision[1:] == (1.0, 0.5)
    assert readout.decide(np.array([0.0, 0.45, 0.55])) == 1
    assert readout.decide(np.array([0.0, 0.3, 0.7])) == 2


def test_without_a_normal_class_the_most_probable_one_is_decided_for():
    probability = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    readout = Readout().with_decision(probability, Scoring(None))
    assert readout.decision == ()
    assert readout.decide(probability).tolist() == [1, 0]


def test_what_is_read_from_a_file_is_equal():
    assert Readout("max", 2.0, [0.5, -0.5], [1.0, 2.0]) == Readout("max", 2.0, (0.5, -0.5), (1.0, 2.0))

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from respcam.evidence.faithfulness import (
    STEPS,
    faithfulness,
    heat_similarity,
    interval_columns,
    masks_of,
    order_of,
    randomised_in_cascade,
    rank_correlation,
    resampled_mean,
    with_spread,
)
from respcam.metrics import BootstrapSettings, Interval, weights_and_resamples
from respcam.network.model import BandCNN


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, (6, 11)), rng.standard_normal((6, 11))
    expected = [spearmanr(a, b)[0] for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), expected)
    assert rank_correlation(np.ones(5), np.arange(5)) == 0


def test_the_mean_over_strata_weighs_them_alike_and_drops_a_common_shift():
    values, strata = np.array([1.0, 1, 1, 5]), np.array([0, 0, 0, 1])
    weights = weights_and_resamples(np.arange(4), BootstrapSettings(n_resamples=100))
    assert resampled_mean(values, weights)[0] == 2
    assert resampled_mean(values, weights, strata)[0] == 3
    shifted = values + np.where(strata == 0, 7.0, -7.0)
    assert resampled_mean(shifted, weights, strata)[0] == pytest.approx(3)
    found = resampled_mean(values, weights, strata)
    assert np.isnan(found[weights[:, 3] == 0]).all()  # a resample without a stratum says nothing


def test_intervals_are_over_patients():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.standard_normal(10), 40)
    few = with_spread(
        resampled_mean(values, weights_and_resamples(np.repeat(np.arange(10), 40), BootstrapSettings()))
    )
    many = with_spread(resampled_mean(values, weights_and_resamples(np.arange(400), BootstrapSettings())))
    assert few.high - few.low > 3 * (many.high - many.low)


def additive(contributions):
    """Drops of a score that is the sum of what its groups contribute."""
    n = len(contributions)

    def drops(order):
        return {removed: np.array([contributions[list(removed)].sum()]) for removed in masks_of(order, n).values()}

    return drops


def test_the_true_order_is_the_most_faithful():
    contributions = np.array([0.1, 3, 0, 0.5, 1, 0.2, 0, 0, 0.05, 0, 0.3])
    drops, n = additive(contributions), len(contributions)
    best = order_of(contributions)
    rng = np.random.default_rng(0)
    value = faithfulness(drops(best), best, n)[0]
    for _ in range(50):
        order = tuple(rng.permutation(n).tolist())
        assert faithfulness(drops(order), order, n)[0] <= value + 1e-12
    worst = best[::-1]
    assert faithfulness(drops(worst), worst, n)[0] < 0 < value


def test_deletion_takes_the_first_groups_and_insertion_keeps_them():
    masks = masks_of((2, 0, 1, 3), 4)
    assert masks["deletion", 2] == {0, 2}
    assert masks["insertion", 2] == {1, 3}
    assert {step for _, step in masks} == {step for step in STEPS if step < 4}


def test_weights_are_drawn_anew_from_the_top_and_the_model_is_left_alone():
    torch.manual_seed(0)
    model = BandCNN(2, width=2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    steps = []
    for down_to, fresh in randomised_in_cascade(model):
        state = fresh.state_dict()
        steps.append((down_to, {n for n in before if "weight" in n and not torch.equal(state[n], before[n])}))
    assert steps[0][0].startswith(("head", "blocks.3"))
    assert "head.weight" in steps[0][1]
    assert not any(name.startswith("blocks.0") for name in steps[0][1])
    for (_, earlier), (_, later) in itertools.pairwise(steps):
        assert earlier < later
    assert "blocks.0.0.weight" in steps[-1][1]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_similarity_of_heat():
    rng = np.random.default_rng(0)
    heat, other = rng.random((2, 20, 8, 6)).astype(np.float32)
    same, unlike, none = heat_similarity(heat, [3 * heat, other, np.zeros_like(heat)])
    assert same == pytest.approx(1)
    assert abs(unlike) < 0.1
    assert none == 0
    assert np.isnan(heat_similarity(np.zeros_like(heat), [heat])).all()
    half = heat.copy()
    half[:10] = 0
    assert heat_similarity(half, [heat]) == [pytest.approx(1)]  # patches without heat have no say


def test_a_cascade_copes_with_few_layers():
    names = [name for name, _ in randomised_in_cascade(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))]
    assert names == ["0"]


def test_an_interval_becomes_three_columns():
    assert interval_columns("drop", Interval(2, 1, None)) == {"drop": 2, "drop_low": 1, "drop_high": None}

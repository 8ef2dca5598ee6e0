import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from respcam.evidence.faithfulness import correlation, interval_columns, randomised, resampled_mean, with_spread
from respcam.metrics import BootstrapSettings, Interval, weights_and_resamples
from respcam.network.model import BandCNN


def test_correlation_is_pearsons():
    first, second = np.random.default_rng(0).standard_normal((2, 6, 11))
    expected = [pearsonr(a, b)[0] for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(correlation(first, second), expected)
    assert correlation(np.ones(5), np.arange(5.0)) == 0


def test_the_mean_over_strata_weighs_them_alike_and_drops_a_common_shift():
    values, strata = np.array([1.0, 1, 1, 5]), np.array([0, 0, 0, 1])
    weights = weights_and_resamples(np.arange(4), BootstrapSettings(n_resamples=100))
    assert resampled_mean(values, weights)[0] == 2
    assert resampled_mean(values, weights, strata)[0] == 3
    shifted = values + np.where(strata == 0, 7.0, -7.0)
    assert resampled_mean(shifted, weights, strata)[0] == pytest.approx(3)
    found = resampled_mean(values, weights, strata)
    assert np.isnan(found[weights[:, 3] == 0]).all()  # a resample without a stratum says nothing


def test_intervals_are_over_patients_and_wider_at_a_higher_level():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.standard_normal(10), 40)
    means = resampled_mean(values, weights_and_resamples(np.repeat(np.arange(10), 40), BootstrapSettings()))
    few = with_spread(means)
    many = with_spread(resampled_mean(values, weights_and_resamples(np.arange(400), BootstrapSettings())))
    assert few.high - few.low > 3 * (many.high - many.low)
    wide = with_spread(means, alpha=0.01)
    assert wide.low < few.low
    assert wide.high > few.high


def test_all_weights_are_drawn_anew_and_the_model_is_left_alone():
    torch.manual_seed(5)
    model = BandCNN(2, width=2).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fresh = randomised(model, 0)
    drawn = {name for name, tensor in fresh.state_dict().items() if not torch.equal(tensor, before[name])}
    assert drawn >= {f"blocks.{block}.0.weight" for block in range(4)} | {"head.weight"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training
    assert not fresh.training
    assert torch.equal(randomised(model, 0).head.weight, fresh.head.weight)
    assert not torch.equal(randomised(model, 1).head.weight, fresh.head.weight)


def test_an_interval_becomes_three_columns():
    assert interval_columns("drop", Interval(2, 1, None)) == {"drop": 2, "drop_low": 1, "drop_high": None}

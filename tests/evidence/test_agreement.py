import numpy as np
import pytest
from ten_lines import EDGES_HZ, N_BANDS

from respcam.evidence.agreement import agreement
from respcam.heat.bands import GroupedBands, HzGroups

BANDS = GroupedBands.of(EDGES_HZ, np.ones(N_BANDS, bool), HzGroups([0, 800, 1000, 1200]))  # 8, 2 and 2 bands


def found(heat, effect, spread=0.0, **options):
    rng = np.random.default_rng(0)
    heat = np.array(heat) + np.r_[np.zeros((1, 3)), spread * rng.standard_normal((200, 3))]
    effect = np.array(effect) + np.r_[np.zeros((1, 3)), spread * rng.standard_normal((200, 3))]
    return agreement(heat, effect, BANDS, 0.5, **options)


def test_the_hottest_group_has_the_most_heat_per_band():
    same = found([4.0, 2, 0], [0.1, 1, 0])
    assert (same.hottest, same.costliest) == (1, 1)  # 2 in 2 bands is denser than 4 in 8
    assert same.hottest_effect.value == same.costliest_effect.value == 1
    assert same.shortfall.value == 0.5


def test_heat_elsewhere_falls_short():
    other = found([0.0, 2, 0], [1.0, 0.2, 0], spread=0.05)
    assert (other.hottest, other.costliest) == (1, 0)
    assert other.shortfall.value == pytest.approx(0.2 - 0.5)
    assert other.shortfall.high < 0
    assert other.correlation.high < 0.5


def test_a_lower_alpha_gives_wider_intervals():
    narrow, wide = (found([0.0, 2, 1], [0.1, 1, 0.5], spread=0.3, alpha=alpha) for alpha in (0.05, 0.005))
    assert wide.correlation.low < narrow.correlation.low
    assert wide.hottest_effect.high > narrow.hottest_effect.high


def test_resamples_that_lack_a_class_do_not_count():
    heat = np.array([[0.0, 2, 0], [0, 2, 0], [np.nan] * 3])
    effect = np.array([[0.0, 1, 0], [0, 1, 0], [0, 1, 0]])
    assert agreement(heat, effect, BANDS, 0.5).correlation.low == pytest.approx(1)

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from respcam.experiments import hot_regions as module
from respcam.experiments.hot_regions import audacity_labels, connected, hot_regions, raven_selections

BANDS = pd.DataFrame({"lower_hz": [100.0, 200.0, 300.0], "upper_hz": [300.0, 400.0, 500.0]})


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.8])
def test_groups_are_those_of_scipy(seed, share):
    is_marked = np.random.default_rng(seed).random((12, 40)) < share
    labels, n_groups = ndimage.label(is_marked, structure=np.ones((3, 3)))
    groups = connected(is_marked)
    assert len(groups) == n_groups
    seen = np.zeros_like(labels)
    for rows, columns in groups:
        assert len(set(labels[rows, columns])) == 1
        seen[rows, columns] += 1
    np.testing.assert_array_equal(seen, is_marked)


def test_nothing_marked_is_no_group():
    assert connected(np.zeros((3, 4), dtype=bool)) == []


@pytest.fixture
def every_cell(monkeypatch):
    """Take every cell with heat for a hot one: of equal cells, the hottest 90 % are any."""
    monkeypatch.setattr(module, "hot_cells", lambda heat: heat > 0)


def test_regions_are_boxes_in_order_of_time(every_cell):
    heat = np.zeros((3, 200), dtype=np.float32)
    heat[2, 120:130] = 1
    heat[0:2, 20:30] = 2
    first, second = hot_regions(heat, BANDS, 100)
    assert (first.start_s, first.end_s, first.low_hz, first.high_hz) == (0.2, 0.3, 100, 400)
    assert (second.start_s, second.end_s, second.low_hz, second.high_hz) == (1.2, 1.3, 300, 500)
    assert first.share == pytest.approx(0.8)


def test_no_heat_is_no_region():
    assert hot_regions(np.zeros((3, 50), dtype=np.float32), BANDS, 100) == []


def test_tracks_hold_the_boxes_and_no_line_of_a_label(every_cell):
    heat = np.zeros((3, 100), dtype=np.float32)
    heat[1, 20:30] = 1
    regions = hot_regions(heat, BANDS, 100)
    assert audacity_labels(regions, "a\tb\nc") == "0.200\t0.300\ta b c 100%\n\\\t200.0\t400.0\n"
    lines = raven_selections(regions, "a\tb\nc").splitlines()
    assert lines[1] == "1\tSpectrogram 1\t1\t0.200\t0.300\t200.0\t400.0\ta b c\t1.0000"

from dataclasses import replace

import numpy as np
import pytest

from respcam.errors import Refused
from respcam.heat.bands import (
    BandSelection,
    GroupedBands,
    Guide,
    HzGroups,
    fed_bands,
    group_of_band,
    kept_bands,
    least_important,
)
from respcam.sound.front_end import FrontEnd, band_edges_hz

EDGES = band_edges_hz(FrontEnd())
ABOVE_2000_HZ = [2240, 2500, 2800, 3150, 3550, 4000]
GROUPS = HzGroups([100, 275, 450, 625, 800, 975, 1150, 1325, 1500, 1670, 1840, 2000])


@pytest.mark.parametrize(("rule", "n_cut"), [("lower", 9), ("centre", 10), ("upper", 11)])
def test_above_1500_hz_has_three_meanings(rule, n_cut):
    kept = kept_bands(EDGES, BandSelection("below_1500hz", [[0, 1500]], rule))
    assert (~kept).sum() == n_cut
    assert kept[: 64 - n_cut].all()


def test_every_band_is_kept_without_ranges():
    assert kept_bands(EDGES, BandSelection()).all()


def test_several_ranges_are_united():
    kept = kept_bands(EDGES, BandSelection("two", [[200, 400], [300, 500], [1000, 1200]]))
    centre = EDGES[:, 1]
    np.testing.assert_array_equal(kept, ((centre >= 200) & (centre <= 500)) | ((centre >= 1000) & (centre <= 1200)))


def test_a_selection_that_keeps_nothing_is_refused():
    with pytest.raises(ValueError, match="keeps no band by the centre rule; the bands lie between 100 and 2000 Hz"):
        kept_bands(EDGES, BandSelection("none", [[5000, 6000]]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keep_hz": []}, "expected at least one"),
        ({"keep_hz": [100, 500]}, "has 100; expected"),
        ({"keep_hz": [[500, 100]]}, r"\[500, 100\]; expected \[low, high\]"),
        ({"rule": "edge"}, "lower, centre, upper"),
    ],
)
def test_selections_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        BandSelection(**change)


def test_every_band_is_in_the_group_that_holds_its_centre():
    group = group_of_band(EDGES[:, 1], GROUPS)
    assert set(group) == set(range(11))
    for band, g in enumerate(group):
        assert GROUPS.edges_hz[g] <= EDGES[band, 1] < GROUPS.edges_hz[g + 1]
    assert group_of_band(np.array([50.0, 2500.0]), GROUPS).tolist() == [-1, -1]


def test_groups_finer_than_the_window_resolves_are_refused():
    with pytest.raises(ValueError, match="at least 160 Hz apart"):
        HzGroups([100, 200, 300])


@pytest.mark.parametrize(("choose", "guide"), [("lowest_heat", Guide.HEAT), ("least_drop", Guide.OCCLUSION)])
def test_a_guided_selection_is_decided_by_importance(choose, guide):
    selection = BandSelection("guided", [[0, 1500]], choose=choose)
    assert selection.guide == guide
    with pytest.raises(ValueError, match=f"bands.choose is {choose}, but no model of all bands has decided"):
        kept_bands(EDGES, selection)
    importance = np.ones(64)
    importance[[3, 50]] = 0
    decided = least_important(importance, EDGES, selection)
    assert decided.removed == [0, 1, 2, 3, 4, 5, 6, 7, 8, 50]  # 10 go; equal ones from the lowest up
    assert decided.guide is None
    np.testing.assert_array_equal(np.flatnonzero(~kept_bands(EDGES, decided)), decided.removed)
    assert decided.words.startswith("all but bands 0, 1, 2, 3, 4, 5, 6, 7, 8, 50, those w")


def test_removed_bands_must_be_there_and_leave_some():
    for removed in ([64], list(range(64))):
        with pytest.raises(ValueError, match="bands.removed is .* expected some, not all, of 0 to 63"):
            kept_bands(EDGES, BandSelection("some", removed=removed))


def test_masked_bands_are_fed():
    selection = BandSelection("masked", [[0, 1500]], how="mask")
    assert fed_bands(EDGES, selection).all()
    assert not kept_bands(EDGES, selection).all()
    assert BandSelection().guide is None


@pytest.mark.parametrize(
    ("range_hz", "edges_hz"),
    [
        ((100, 2000), [100, 275, 450, 625, 800, 975, 1150, 1325, 1500, 1670, 1840, 2000]),
        ((100, 4000), [*[100, 275, 450, 625, 800, 975, 1150, 1325, 1500, 1670, 1840, 2000], *ABOVE_2000_HZ]),
        ((50, 600), [50, 275, 600]),
        ((100, 1950), [100, 275, 450, 625, 800, 975, 1150, 1325, 1500, 1670, 1950]),
    ],
)
def test_groups_follow_the_front_end(range_hz, edges_hz):
    front_end = FrontEnd(f_min_hz=range_hz[0], f_max_hz=range_hz[1])
    groups = HzGroups().over(front_end)
    assert groups.edges_hz == edges_hz
    edges = band_edges_hz(front_end)
    assert (group_of_band(edges[:, 1], groups) >= 0).all()
    assert HzGroups([0, 300]).over(front_end).edges_hz == [0, 300]  # as they were set


def test_a_range_that_no_window_resolves_has_no_groups():
    with pytest.raises(Refused, match="f_min_hz, f_max_hz are 100, 200; expected at least 160 Hz between them"):
        HzGroups().over(FrontEnd(f_min_hz=100, f_max_hz=200))


def test_a_fed_band_outside_of_every_group_is_refused():
    is_fed = np.ones(64, dtype=bool)
    with pytest.raises(Refused, match=r"\d+ of the 64 bands that the model is fed lie outside \(15\d\d to 1950 Hz\)"):
        GroupedBands.of(EDGES, is_fed, HzGroups([100, 500, 1500]))
    GroupedBands.of(EDGES, EDGES[:, 1] < 1500, HzGroups([100, 500, 1500]))


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"keep_hz": [[0, 600]]}, r"bands.keep_hz is \[\[0.0, 600.0\]\] in bands=all"),
        ({"removed": [3]}, r"bands.removed is \[3\] in bands=all"),
        ({"spread_hz": [100, 1500]}, r"bands.spread_hz is \[100, 1500\] in bands=all"),
        ({"name": "below_1500hz", "keep_hz": [[0, 600]]}, "below_1500hz, but .* has no edge at 1500 Hz"),
        ({"name": "respread_1500hz", "spread_hz": [100, 900]}, "has no edge at 1500 Hz"),
    ],
)
def test_the_name_of_an_arm_may_not_contradict_its_bands(selection, message):
    with pytest.raises(Refused, match=message):
        BandSelection(**selection)
    BandSelection(**{**selection, "name": "mine"})


@pytest.mark.parametrize("draw", range(40))
def test_random_bands_are_as_many_and_another_draw_takes_others(draw):
    selection = BandSelection("random", [[0, 1500]], choose="random", draw=draw)
    kept = kept_bands(EDGES, selection)
    assert (~kept).sum() == 10
    np.testing.assert_array_equal(kept, kept_bands(EDGES, selection))
    assert (kept != kept_bands(EDGES, replace(selection, draw=draw + 1))).any()


def test_random_bands_are_taken_from_everywhere():
    removed = sum(
        ~kept_bands(EDGES, BandSelection("r", [[0, 1500]], choose="random", draw=draw)) for draw in range(300)
    )
    assert removed.min() > 20  # 47 are expected of each band
    assert removed.max() < 80


def test_a_random_block_is_one_block_as_wide_anywhere():
    places = set()
    for draw in range(1000):
        removed = np.flatnonzero(
            ~kept_bands(EDGES, BandSelection("r", [[0, 1500]], choose="random_block", draw=draw))
        )
        assert len(removed) == 10
        assert removed[-1] - removed[0] == 9
        places.add(int(removed[0]))
    assert places == set(range(55))  # from the lowest to the highest


def test_bands_on_the_edge_of_a_range_are_kept():
    low, high = EDGES[10, 1], EDGES[20, 1]
    np.testing.assert_array_equal(np.flatnonzero(kept_bands(EDGES, BandSelection("r", [[low, high]]))), range(10, 21))


def test_cropped_bands_are_not_fed():
    selection = BandSelection("cropped", [[0, 1500]])
    np.testing.assert_array_equal(fed_bands(EDGES, selection), kept_bands(EDGES, selection))
    assert fed_bands(EDGES, selection).sum() == 54


@pytest.mark.parametrize("spread_hz", [[100], [100, 200, 300], [-1, 500], [500, 500], [500, 100]])
def test_a_spread_is_a_rising_pair(spread_hz):
    with pytest.raises(
        Refused, match=r"bands.spread_hz is \[.*\]; expected \[low, high\] in Hz with 0 <= low < high"
    ):
        BandSelection("mine", spread_hz=spread_hz)


def test_a_spread_is_the_range_of_the_front_end():
    spread = BandSelection("mine", spread_hz=[0, 900]).front_end(FrontEnd())
    assert (spread.f_min_hz, spread.f_max_hz, spread.n_bands) == (0, 900, 64)
    assert BandSelection().front_end(FrontEnd()) == FrontEnd()
    assert BandSelection("respread_1500hz", spread_hz=[100, 1500]).spread_hz == [100, 1500]


@pytest.mark.parametrize("choose", ["random", "random_block", "lowest_heat", "least_drop"])
def test_a_choice_needs_a_number_of_bands(choose):
    with pytest.raises(
        Refused, match=f"bands.choose is {choose}; expected bands.keep_hz, which sets how many bands go"
    ):
        BandSelection("mine", choose=choose)


def test_a_range_of_no_width_is_refused():
    with pytest.raises(Refused, match=r"bands.keep_hz has \[500, 500\]; expected"):
        BandSelection("mine", [[500, 500]])


@pytest.mark.parametrize("keep_hz", [[[200, 1500]], [[0, 600], [900, 1500]]])
def test_below_means_from_zero(keep_hz):
    with pytest.raises(Refused, match=r"bands.name is below_1500hz, but bands.keep_hz is .*; expected \[\[0, HZ\]\]"):
        BandSelection("below_1500hz", keep_hz)


def test_groups_may_be_as_fine_as_the_window_resolves():
    assert len(HzGroups([100, 260, 420])) == 2
    assert HzGroups().over(FrontEnd(f_min_hz=100, f_max_hz=260)).edges_hz == [100, 260]
    with pytest.raises(Refused, match="expected rising edges at least 160 Hz apart: the 25 ms Hann window"):
        HzGroups([100])


def test_a_centre_on_an_edge_is_in_the_group_above():
    assert group_of_band(np.array([99.9, 100.0, 275.0, 1999.9, 2000.0]), GROUPS).tolist() == [-1, 0, 1, 10, -1]


def test_heat_is_summed_over_the_fed_bands_of_a_group():
    edges_hz = np.stack([np.array([200, 300, 400, 800, 1200]) + step for step in (-50, 0, 50)], axis=1).astype(float)
    is_fed = np.array([True, True, True, False, True])
    bands = GroupedBands.of(edges_hz, is_fed, HzGroups([100, 500, 1000, 1500]))
    assert bands.names == ["100-500", "1000-1500"]
    assert bands.centre_hz.tolist() == [200, 300, 400, 1200]
    assert bands.bands_per_group.tolist() == [3, 1]
    sums = bands.per_group(np.array([[1.0, 2, 3, 4], [0, 0, 1, 0]]))
    assert sums.tolist() == [[6, 4], [1, 0]]
    assert bands.densest(sums[0]) == "1000-1500"  # more per band, less in all
    assert bands.densest(sums[1]) == "100-500"


@pytest.mark.parametrize(
    ("keep_hz", "settings", "words"),
    [
        (None, {}, "all"),
        ([[0, 1500]], {}, "0 to 1500 Hz, by the centre of the band"),
        ([[0, 500.5], [800, 900]], {"how": "mask"},
         "0 to 500.5 Hz and 800 to 900 Hz, by the centre of the band, the others blank"),
        ([[0, 1500]], {"choose": "random"},
         "as many as 0 to 1500 Hz, by the centre of the band; removed are others at random"),
    ],
)  # fmt: skip
def test_a_selection_is_told_in_words(keep_hz, settings, words):
    assert BandSelection("some", keep_hz, **settings).words == words

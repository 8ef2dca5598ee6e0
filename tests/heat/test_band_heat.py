import numpy as np
import pandas as pd
import pytest

from respcam.errors import Refused
from respcam.heat.band_heat import band_profile, band_shares, heat_table
from respcam.heat.bands import HzGroups
from respcam.metrics import BootstrapSettings
from respcam.sound.front_end import FrontEnd, band_edges_hz

GROUPS = HzGroups([100, 275, 450, 625, 800, 975, 1150, 1325, 1500, 1670, 1840, 2000])
SETTINGS = BootstrapSettings(n_resamples=200)
BANDS = pd.DataFrame(band_edges_hz(FrontEnd()), columns=["lower_hz", "centre_hz", "upper_hz"]).assign(band=range(64))


def test_uniform_heat_has_ratio_one_everywhere():
    table = heat_table(np.ones((12, 64)), np.repeat(np.arange(4), 3), BANDS, GROUPS, SETTINGS)
    np.testing.assert_allclose(table["ratio"].astype(float), 1)
    for scope in ("band", "group"):
        own = table[table["scope"] == scope]
        assert own["share"].sum() == pytest.approx(1)
        assert own["n_bands"].sum() == 64
    above = table[table["scope"] == "above_mark"].iloc[0]
    assert above["n_bands"] == 10
    assert above["uniform_share"] == pytest.approx(0.15625)


def test_heat_in_one_band_is_found_there():
    heat = np.zeros((6, 64))
    heat[:, 20] = [1, 2, 3, 4, 5, 6]
    table = heat_table(heat, np.arange(6), BANDS, GROUPS, SETTINGS)
    bands = table[table["scope"] == "band"]
    assert bands["ratio"].astype(float).idxmax() == 20
    assert bands.loc[20, "share"] == 1
    assert bands.loc[20, "ratio"] == 64
    group = table[(table["scope"] == "group") & (table["share"] == 1)].iloc[0]
    assert group["lower_hz"] <= BANDS.loc[20, "centre_hz"] < group["upper_hz"]


def test_strong_patches_weigh_more_than_weak_ones():
    heat = np.zeros((2, 64))
    heat[0, 5], heat[1, 50] = 9, 1
    share, _ = band_shares(heat, np.array(["a", "b"]), SETTINGS)
    assert share[5] == pytest.approx(0.9)
    assert share[50] == pytest.approx(0.1)


def test_intervals_reflect_patients():
    rng = np.random.default_rng(0)
    heat = rng.uniform(0.5, 1.5, (400, 64))
    same = heat_table(heat, np.arange(400), BANDS, GROUPS, SETTINGS)
    heat[:200, :8] *= 4  # half of the patches, from one of two patients
    differs = heat_table(heat, np.repeat([0, 1], 200), BANDS, GROUPS, SETTINGS)
    width = [(t["ratio_high"] - t["ratio_low"]).astype(float).iloc[0] for t in (same, differs)]
    assert width[1] > 3 * width[0]


def test_no_heat_is_not_a_share():
    table = heat_table(np.zeros((3, 64)), np.arange(3), BANDS, GROUPS, SETTINGS)
    assert table["share"].isna().all()
    assert table["ratio"].isna().all()


def test_bands_that_were_cut_away_have_no_row():
    table = heat_table(np.ones((3, 54)), np.arange(3), BANDS[:54], GROUPS, SETTINGS)
    assert set(table["scope"]) == {"band", "group"}
    assert len(table[table["scope"] == "group"]) == 8


def test_the_profile_of_heat_is_its_table_without_intervals():
    heat = np.random.default_rng(0).uniform(0, 1, (6, 64, 96)).astype(np.float32)
    patients = np.repeat([0, 1, 2], 2)
    expected = heat_table(heat.sum(axis=2, dtype=np.float64), patients, BANDS, GROUPS, BootstrapSettings())
    pd.testing.assert_frame_equal(band_profile(heat, patients=patients), expected)
    profile = band_profile(heat)
    assert not {"ratio_low", "ratio_high"} & set(profile)
    pd.testing.assert_frame_equal(profile, expected.drop(columns=["ratio_low", "ratio_high"]))


def test_the_profile_is_over_the_range_of_the_front_end():
    profile = band_profile(np.ones((2, 20, 9)), FrontEnd(n_bands=20, f_max_hz=900))
    assert profile[profile["scope"] == "band"]["upper_hz"].max() == pytest.approx(900)
    assert "above_mark" not in set(profile["scope"])


def test_heat_of_other_bands_or_patients_is_refused():
    with pytest.raises(
        Refused, match=r"heat has the shape \(2, 54, 96\); expected \(patch, band, frame\) with 64 bands"
    ):
        band_profile(np.ones((2, 54, 96)))
    with pytest.raises(Refused, match=r"patients has the shape \(3,\); expected one patient for each of 2 patches"):
        band_profile(np.ones((2, 64, 96)), patients=np.arange(3))


@pytest.mark.parametrize("f_max_hz", [1000, 2000, 4000, 8000])
def test_all_heat_lies_in_a_group_whatever_the_range(f_max_hz):
    front_end = FrontEnd(f_max_hz=f_max_hz)
    heat = np.random.default_rng(0).random((6, 64))
    bands = pd.DataFrame(band_edges_hz(front_end), columns=["lower_hz", "centre_hz", "upper_hz"]).assign(
        band=range(64)
    )
    groups = HzGroups().over(front_end)
    table = heat_table(heat, np.repeat(["a", "b"], 3), bands, groups, SETTINGS)
    of_groups = table[table["scope"] == "group"]
    assert of_groups["share"].sum() == pytest.approx(1)
    assert of_groups["n_bands"].sum() == 64


def test_rows_say_where_their_bands_lie():
    bands = BANDS.assign(band=range(7, 71))
    table = heat_table(np.ones((4, 64)), np.arange(4), bands, GROUPS, SETTINGS)
    rows = table[table["scope"] == "band"]
    assert rows["name"].tolist() == [str(number) for number in range(7, 71)]
    assert rows["centre_hz"].tolist() == bands["centre_hz"].tolist()
    rows = table[table["scope"] == "group"]
    assert rows["name"].tolist() == GROUPS.names
    assert rows["centre_hz"].tolist() == GROUPS.centres_hz
    above = table.iloc[-1]
    assert (above["name"], above["lower_hz"], above["upper_hz"]) == ("above 1500", 1500, BANDS["upper_hz"].max())
    assert above["centre_hz"] == pytest.approx((1500 + BANDS["upper_hz"].max()) / 2)


def test_the_mark_itself_is_not_above_it_and_groups_without_bands_have_no_row():
    bands = pd.DataFrame({"band": [0, 1], "lower_hz": [300, 1400], "centre_hz": [350, 1500], "upper_hz": [400, 1600]})
    table = heat_table(np.ones((3, 2)), np.arange(3), bands, GROUPS, SETTINGS)
    assert table["name"].tolist() == ["0", "1", "275-450", "1500-1670"]


def test_the_interval_of_a_ratio_is_that_of_resampled_shares():
    heat = np.random.default_rng(0).uniform(size=(30, 64)) * np.linspace(1, 2, 64)
    table = heat_table(heat, np.repeat(np.arange(10), 3), BANDS, GROUPS, SETTINGS)
    share, resampled = band_shares(heat, np.repeat(np.arange(10), 3), SETTINGS)
    np.testing.assert_allclose(share, heat.sum(axis=0) / heat.sum())
    np.testing.assert_allclose(resampled.sum(axis=1), 1)
    above = table.iloc[-1]
    ends = np.quantile(resampled[:, -10:].sum(axis=1) / (10 / 64), [0.025, 0.975])
    assert [above["ratio_low"], above["ratio_high"]] == pytest.approx(ends.tolist())
    assert above["ratio_low"] < above["ratio"] < above["ratio_high"]

import numpy as np
from small_runs import PLANT

from respcam.sound.front_end import FrontEnd


def test_the_hottest_band_is_the_planted_one(stages):
    heat = stages["profile"].band_heat()
    adventitious = heat[heat["target_class"] == "adventitious"]
    bands, groups = adventitious[adventitious["scope"] == "band"], adventitious[adventitious["scope"] == "group"]
    top = bands.loc[bands["ratio"].idxmax()]
    front_end = FrontEnd()
    lobe_hz = 2 * front_end.sample_rate_hz / front_end.window_samples  # how far a Hann window spreads a tone
    reach_hz = PLANT.plant_spread_hz + lobe_hz
    assert top["lower_hz"] <= PLANT.plant_hz + reach_hz
    assert top["upper_hz"] >= PLANT.plant_hz - reach_hz
    group = groups.loc[groups["ratio"].idxmax()]
    assert group["lower_hz"] <= PLANT.plant_hz < group["upper_hz"]


def test_shares_of_bands_add_up_for_every_part_and_class(stages):
    heat = stages["profile"].band_heat()
    for scope in ("band", "group"):
        shares = heat[heat["scope"] == scope].groupby(["part", "target_class"])["share"].sum()
        np.testing.assert_allclose(shares, 1)


def test_the_summary_says_where_heat_comes_from(stages):
    summary = stages["profile"].summary()
    assert summary["method"] == "hires_cam"
    assert (summary["map_rows"], summary["n_bands"]) == (64, 64)
    n_patches = {row["target_class"]: row["n_patches"] for row in summary["classes"]}
    assert sum(n_patches.values()) == len(stages["explain"].index())


def test_importance_leaves_the_normal_class_out(stages):
    heat = stages["profile"].band_heat()
    is_adventitious = (heat["target_class"] == "adventitious") & (heat["scope"] == "band")
    np.testing.assert_allclose(stages["profile"].importance(), heat.loc[is_adventitious, "ratio"])

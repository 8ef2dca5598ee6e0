import numpy as np
import pytest
import torch
from ten_lines import BAND, BOOTSTRAP, FLOOR, GROUPS, N_BANDS, TOP_HZ, Memory, grouped, recordings, trained

from respcam.evidence.agreement import (
    LOUDEST_BAND,
    densest_group,
    faithfulness_of_orders,
    method_table,
    profile_table,
    profiles_of,
)
from respcam.evidence.faithfulness import resampled_mean
from respcam.evidence.occlusion import drops_of_target, occlusion_scores, sweep
from respcam.evidence.sample import sample_patches
from respcam.heat.cam import Choice

HEAT = Choice("hires_cam", ("high",))
COLD = Choice("layer_cam", ("high",))


@pytest.fixture(scope="module")
def sample():
    units, data = recordings(12)
    return sample_patches(units, data, [1], 24, 0, BOOTSTRAP)


@pytest.fixture(scope="module")
def scores(sample):
    (scores,) = occlusion_scores(trained(), grouped(), sample, ["mean"], FLOOR, 0, lambda fill: Memory()).values()
    conditions = sweep(len(GROUPS), ["single"])
    scores.score([condition.removed for condition in conditions], np.arange(len(sample)), "")
    return scores


@pytest.fixture(scope="module")
def effect(sample, scores):
    return resampled_mean(drops_of_target(scores, sample), sample.weights, sample.target)


def heat_at(sample, band):
    maps = torch.zeros(len(sample.judged), N_BANDS, 4)
    maps[:, band] = 1
    return maps


def test_a_profile_is_heat_added_up_over_time(sample):
    profiles = profiles_of(sample, {HEAT: heat_at(sample, BAND)})
    assert list(profiles) == [HEAT, LOUDEST_BAND]
    assert profiles[HEAT].argmax(axis=1).tolist() == [BAND] * len(sample.judged)
    np.testing.assert_allclose(profiles[HEAT][:, BAND], 16)
    np.testing.assert_allclose(profiles[LOUDEST_BAND], np.exp(sample.judged_patches.astype(float)).sum(axis=2))


def test_heat_where_the_model_listens_agrees_and_heat_elsewhere_does_not(sample, scores, effect):
    profiles = profiles_of(sample, {HEAT: heat_at(sample, BAND), COLD: heat_at(sample, 0)})
    table = method_table(sample, scores, profiles, effect, 2, 0)
    assert table["method"].tolist() == ["hires_cam", "layer_cam", "loudest_band"]
    assert table["layers"].tolist() == ["high", "high", ""]
    assert table["is_method"].tolist() == [True, True, False]
    hot, cold, loudest = table.to_dict("records")
    assert hot["densest_hz"] == TOP_HZ
    assert hot["peak_hz"] == 750
    assert cold["densest_hz"] == "0-200"
    assert hot["agreement"] > 0.99
    assert hot["agreement_low"] > 0.9
    assert cold["agreement"] < 0
    assert hot["over_random_low"] > 0
    assert cold["over_random"] < hot["over_random"]
    assert loudest["over_loudest"] == 0


def test_the_same_seed_draws_the_same_random_orders(sample, scores, effect):
    profiles = profiles_of(sample, {HEAT: heat_at(sample, BAND)})
    first, again, third = (
        method_table(sample, scores, profiles, effect, 1, seed)["over_random"][0] for seed in (0, 0, 5)
    )
    assert first == again
    assert first != third


def test_the_order_that_begins_with_the_right_group_is_the_most_faithful(sample, scores):
    n = len(GROUPS)
    right = (GROUPS.names.index(TOP_HZ), *(k for k in range(n) if k != GROUPS.names.index(TOP_HZ)))
    best, worst = faithfulness_of_orders(sample, scores, [{1: right}, {1: right[::-1]}])
    assert best.shape == (len(sample.judged),)
    assert (best >= worst).all()
    assert best.mean() > worst.mean()


def test_the_densest_group_has_the_most_heat_per_band():
    bands = grouped()
    assert densest_group(np.array([1.0, 0, 3, 2, 0, 0]), bands) == "400-600"


def test_profiles_and_drops_stand_in_one_table(sample, effect):
    profiles = profiles_of(sample, {HEAT: heat_at(sample, BAND), COLD: torch.zeros(len(sample.judged), 4, 4)})
    table = profile_table(profiles, {"mean": effect, "floor": 2 * effect}, 1.5 * effect, grouped())
    assert list(table) == ["method", "layers", "fill", "hz", "share", "ratio", "drop", "drop_low", "drop_high"]
    rows = table.drop_duplicates(["method", "layers", "fill"])[["method", "layers", "fill"]]
    assert rows.to_numpy().tolist() == [
        ["hires_cam", "high", ""],
        ["layer_cam", "high", ""],
        ["loudest_band", "", ""],
        ["occlusion", "", "median"],
        ["occlusion", "", "mean"],
        ["occlusion", "", "floor"],
    ]
    heat = table[table["method"] == "hires_cam"].set_index("hz")
    assert heat["share"].sum() == pytest.approx(1)
    assert heat.loc[TOP_HZ, "ratio"] == pytest.approx(len(GROUPS) * heat.loc[TOP_HZ, "share"])
    assert table.loc[table["method"] == "layer_cam", "share"].isna().all()  # no heat at all
    drops = table[table["method"] == "occlusion"].pivot(index="hz", columns="fill", values="drop").loc[TOP_HZ]
    assert drops["median"] == pytest.approx(1.5 * drops["mean"])
    assert (table.loc[table["method"] == "occlusion", "hz"].unique() == GROUPS.names).all()

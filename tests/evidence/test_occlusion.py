import numpy as np
import pytest
from ten_lines import (
    BAND,
    BOOTSTRAP,
    EDGES_HZ,
    FLOOR,
    GROUPS,
    N_BANDS,
    QUIET,
    TOP_HZ,
    Memory,
    grouped,
    recordings,
    trained,
)

from respcam.errors import Refused
from respcam.evidence.occlusion import (
    FILLS,
    KINDS,
    drops_of_target,
    fill_of,
    lowest_cutoff,
    occlusion_scores,
    occlusion_table,
    sweep,
)
from respcam.evidence.sample import sample_patches
from respcam.heat.bands import GroupedBands, HzGroups
from respcam.network.trained import TrainedModel
from respcam.store.arrays import ArrayFile

PATCHES = np.arange(2 * 4 * 3, dtype=np.float32).reshape(2, 4, 3)
TOP = GROUPS.names.index(TOP_HZ)


def sampled(n_patients=8):
    units, data = recordings(n_patients)
    return sample_patches(units, data, [1], 8, 0, BOOTSTRAP)


def scores_of(sample, fills=("mean",), stores=lambda fill: Memory(), model=None, bands=None):
    return occlusion_scores(model or trained(), bands or grouped(), sample, fills, FLOOR, 0, stores)


def test_a_sweep_takes_single_groups_and_then_all_from_either_end():
    conditions = sweep(3)
    assert [c.kind for c in conditions] == [kind for kind in KINDS for _ in range(3)]
    removed = {(c.kind, c.group): set(c.removed) for c in conditions}
    assert removed["single", 1] == {1}
    assert removed["low_pass", 1] == {1, 2}
    assert removed["high_pass", 1] == {0, 1}
    assert removed["low_pass", 0] == removed["high_pass", 2] == {0, 1, 2}


def test_the_mean_fill_is_that_of_each_band():
    mean = np.array([1, 2, 3, 4], np.float32)
    fill = fill_of("mean", PATCHES, mean, 0.0, np.array([0, 1]), np.random.default_rng(0))
    np.testing.assert_array_equal(fill[:, :, 0], [mean, mean])


def test_the_floor_fill_is_silence():
    fill = fill_of("floor", PATCHES, np.zeros(4), -4.6, np.array([0, 1]), np.random.default_rng(0))
    assert (fill == np.float32(-4.6)).all()
    assert fill.dtype == np.float32


def test_the_other_fill_comes_from_another_class():
    patches = np.arange(20, dtype=np.float32)[:, None, None] + np.zeros((20, 4, 3), np.float32)
    target = np.arange(20) % 3
    donor = fill_of("other", patches, np.zeros(4), 0.0, target, np.random.default_rng(0))[:, 0, 0].astype(int)
    assert (target[donor] != target).all()
    assert len(set(donor)) > 5


@pytest.mark.parametrize(
    ("rule", "message"), [("noise", "expected one of mean, floor, other"), ("other", "there is one class")]
)
def test_bad_fills_are_refused(rule, message):
    with pytest.raises(Refused, match=message):
        fill_of(rule, PATCHES, np.zeros(4), 0.0, np.array([1, 1]), np.random.default_rng(0))


def test_the_lowest_cutoff_is_where_the_loss_begins_to_stay_small():
    cutoffs = [200, 400, 600, 800]
    assert lowest_cutoff(cutoffs, [0.01, 0.2, 0.04, 0.02], 0.05) == 600  # 200 is below a costly cut
    assert lowest_cutoff(cutoffs, [0.2, 0.2, 0.2, 0.06], 0.05) is None
    assert lowest_cutoff(cutoffs, [0.2, 0.2, 0.2, float("nan")], 0.05) is None
    assert lowest_cutoff(cutoffs[::-1], [0.02, 0.04, 0.01, 0.2], 0.05) == 400


def test_scores_are_those_of_the_patches_without_the_bands():
    sample, model = sampled(), trained()
    (scores,) = scores_of(sample, model=model).values()
    scores.score([frozenset({TOP, 0})], np.arange(8), "")
    patches = sample.patches.copy()
    patches[:, [0, 1, BAND - 1, BAND]] = QUIET  # the mean of the scaler
    np.testing.assert_allclose(scores.log_odds[frozenset({TOP, 0})], model.log_odds(patches), atol=1e-6)
    np.testing.assert_array_equal(scores.intact, model.log_odds(sample.patches))


def test_conditions_count_the_groups_that_hold_a_band():
    bands = GroupedBands.of(EDGES_HZ, np.arange(N_BANDS) >= 4, HzGroups([0, 200, 600, 800, 1200]))
    assert bands.names == ["200-600", "600-800", "800-1200"]  # nothing of the first
    sample = sampled()
    scores = scores_of(
        sample, bands=GroupedBands(bands.groups, EDGES_HZ, np.ones(N_BANDS, bool), np.r_[[-1] * 4, bands.group])
    )
    scores["mean"].score([frozenset({0}), frozenset({1}), frozenset({2})], np.arange(8), "")
    falls = [abs(scores["mean"].drop(frozenset({place}))).max() for place in range(3)]
    assert np.argmax(falls) == 1


def test_only_the_wanted_rows_are_scored():
    (scores,) = scores_of(sampled()).values()
    scores.score([frozenset({0})], np.array([2, 5]), "")
    assert np.flatnonzero(np.isfinite(scores.log_odds[frozenset({0})]).all(axis=1)).tolist() == [2, 5]


def test_occlusion_goes_on_where_it_was(tmp_path, monkeypatch):
    sample, rows, conditions = sampled(), np.arange(8), [frozenset({0}), frozenset({1, 2}), frozenset()]

    def stores(fill):
        return ArrayFile(tmp_path / f"scores-{fill}.npz")

    first = scores_of(sample, stores=stores)["mean"]
    first.score(conditions, rows, "")
    again = scores_of(sample, stores=stores)["mean"]
    assert set(again.log_odds) == set(conditions)
    monkeypatch.setattr(TrainedModel, "occlusion", None)  # what was scored is not scored again
    again.score(conditions, rows, "")
    np.testing.assert_array_equal(again.drop(conditions[1]), first.drop(conditions[1]))
    with np.load(tmp_path / "scores-mean.npz") as saved:
        assert list(saved) == ["_0", "_1_2", "_"]


def test_scores_are_kept_while_occlusion_is_under_way(monkeypatch):
    sample, memory = sampled(), Memory()
    first = scores_of(sample, stores=lambda fill: memory, model=trained(batch_patches=8))["mean"]
    monkeypatch.setattr("respcam.evidence.occlusion.SAVE_EVERY_S", 0)
    calls, answer = [], TrainedModel.log_odds_without

    def interrupted(self, occlusion, is_removed):
        calls.append(is_removed)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return answer(self, occlusion, is_removed)

    monkeypatch.setattr(TrainedModel, "log_odds_without", interrupted)
    with pytest.raises(KeyboardInterrupt):
        first.score([frozenset({0}), frozenset({1})], np.arange(8), "")
    again = scores_of(sample, stores=lambda fill: memory, model=trained(batch_patches=8))["mean"]
    assert np.isfinite(again.log_odds[frozenset({0})]).all()
    assert np.isnan(again.log_odds[frozenset({1})]).all()
    n_before = len(calls)
    again.score([frozenset({0}), frozenset({1})], np.arange(8), "")
    assert len(calls) == n_before + 1  # only what was missing
    assert np.isfinite(again.log_odds[frozenset({1})]).all()


def test_scores_are_saved_once_a_call_when_it_is_short():
    memory = Memory()
    (scores,) = scores_of(sampled(), stores=lambda fill: memory).values()
    scores.score([frozenset({0}), frozenset({1})], np.arange(8), "")
    scores.score([frozenset({0})], np.arange(8), "")
    assert memory.n_saved == 1


def test_one_class_cannot_fill_from_another(caplog):
    units, data = recordings()
    normal = units["target"] == 0
    units = units[normal].reset_index(drop=True)
    data.frames = [frames for frames, is_normal in zip(data.frames, normal, strict=True) if is_normal]
    sample = sample_patches(units, data, [1], 8, 0, BOOTSTRAP)
    assert list(scores_of(sample, FILLS)) == ["mean", "floor"]
    assert "test has only one class" in caplog.text
    with pytest.raises(Refused, match="add mean or floor"):
        scores_of(sample, ["other"])


def test_the_group_that_the_model_listens_to_costs_most():
    sample = sampled()
    scores = scores_of(sample, FILLS)
    conditions = sweep(len(GROUPS))
    for of_fill in scores.values():
        of_fill.score([condition.removed for condition in conditions], np.arange(8), "")
    drops = drops_of_target(scores["mean"], sample)
    assert drops.shape == (8, len(GROUPS))
    assert drops.mean(axis=0).argmax() == TOP
    table = occlusion_table(sample, scores, conditions)
    assert len(table) == len(FILLS) * len(conditions) * 3  # AUROC and two classes
    area = table[(table["of"] == "auroc") & (table["fill"] == "mean")].set_index(["kind", "hz"])["drop"]
    assert area["low_pass", "0-200"] == area["high_pass", "1000-1200"] == 0.5 + area["single", TOP_HZ] - 0.5
    assert (area["single"].drop(TOP_HZ) == 0).all()
    wheeze = table[(table["of"] == "wheeze") & (table["fill"] == "mean") & (table["kind"] == "single")]
    assert wheeze.loc[wheeze["drop"].astype(float).idxmax(), "hz"] == TOP_HZ
    assert (wheeze["drop_low"] <= wheeze["drop"]).all()
    assert (wheeze["drop"] <= wheeze["drop_high"]).all()
    assert table.loc[table["kind"] == "single", "cutoff_hz"].isna().all()
    assert set(table.loc[table["kind"] == "low_pass", "cutoff_hz"]) == {0, 200, 400, 600, 800, 1000}

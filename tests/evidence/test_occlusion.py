import numpy as np
import pytest
from ten_lines import FLOOR, GROUPS, N_BANDS, grouped, recordings, units_of

from respcam.errors import Refused
from respcam.evidence.occlusion import (
    KINDS,
    check_fill,
    class_effect,
    fill_of,
    lowest_cutoff,
    occlusion_table,
    sweep,
)
from respcam.metrics import BootstrapSettings, auroc, weights_and_resamples

MEAN = np.arange(N_BANDS, dtype=np.float32)


def test_a_sweep_takes_single_groups_and_then_all_from_either_end():
    conditions = sweep(3)
    assert [c.kind for c in conditions] == [kind for kind in KINDS for _ in range(3)]
    removed = {(c.kind, c.group): set(c.removed) for c in conditions}
    assert removed["single", 1] == {1}
    assert removed["low_pass", 1] == {1, 2}
    assert removed["high_pass", 1] == {0, 1}
    assert removed["low_pass", 0] == removed["high_pass", 2] == {0, 1, 2}


def test_a_condition_marks_the_bands_of_its_groups():
    (condition,) = [c for c in sweep(len(GROUPS), ["low_pass"]) if c.group == 4]
    assert condition.bands(grouped()).tolist() == [False] * 8 + [True] * 4


def test_the_mean_and_floor_fills():
    units, data = recordings()
    fill = fill_of("mean", 3, data, MEAN, 0)
    assert fill.shape == data.grid(3).shape
    assert (fill == MEAN[:, None]).all()
    assert (fill_of("floor", 3, data, MEAN, 0) == np.float32(FLOOR)).all()
    assert fill_of("floor", 3, data, MEAN, 0).dtype == np.float32
    assert len(units) == len(data)


def test_the_other_fill_is_one_stretch_of_a_recording_of_another_class():
    target = np.arange(12) % 3
    number = [np.full((30 + 5 * unit, N_BANDS), 100 * unit, np.float32) for unit in range(12)]
    frames = [own + np.arange(len(own), dtype=np.float32)[:, None] for own in number]
    data = units_of(frames, target)
    donors = set()
    for unit in range(12):
        fill = fill_of("other", unit, data, MEAN, 0)
        assert fill.shape == data.grid(unit).shape
        donor = int(fill[0, 0, 0] // 100)
        assert target[donor] != target[unit]
        donors.add(donor)
        steps = np.diff(fill[0, 0])
        assert ((steps == 1) | (steps < 0)).all()  # in its order; a short recording begins again
        again = fill_of("other", unit, data, MEAN, 0)
        np.testing.assert_array_equal(fill, again)
    assert len(donors) > 4


def test_bad_fills_are_refused():
    with pytest.raises(Refused, match="expected one of other, mean, floor"):
        check_fill("noise", 2)
    with pytest.raises(Refused, match="there is one class"):
        check_fill("other", 1)


def test_the_lowest_cutoff_is_where_the_loss_begins_to_stay_small():
    cutoffs = [200, 400, 600, 800]
    assert lowest_cutoff(cutoffs, [0.01, 0.2, 0.04, 0.02], 0.05) == 600  # 200 is below a costly cut
    assert lowest_cutoff(cutoffs, [0.2, 0.2, 0.2, 0.06], 0.05) is None
    assert lowest_cutoff(cutoffs, [0.2, 0.2, 0.2, float("nan")], 0.05) is None
    assert lowest_cutoff(cutoffs[::-1], [0.02, 0.04, 0.01, 0.2], 0.05) == 400


def test_the_effect_on_a_class_leaves_out_a_push_that_all_units_get():
    target = np.array([0, 0, 0, 1])
    drop = np.zeros((4, 2, 2))
    drop[:, 0, 1] = np.where(target == 1, 2.0, -2.0)  # the first group tells class 1 from class 0
    drop[:, 1, 1] = 5.0  # the second pushes all units away from class 1
    drop[..., 0] = -drop[..., 1]
    weights = np.ones((1, 4))
    for k in range(2):
        np.testing.assert_allclose(class_effect(drop, target, k, weights), [[2.0, 0.0]], atol=1e-12)
    alone = class_effect(drop[:3], target[:3], 0, weights[:, :3])
    np.testing.assert_allclose(alone, [[2.0, -5.0]])  # without another class the push stays


def test_the_table_has_the_fall_of_every_class_and_of_auroc():
    target = np.array([0, 0, 1, 1])
    intact = np.array([[2.0, -2], [1, -1], [-1, 1], [-2, 2]])
    conditions = sweep(len(GROUPS), ["single", "low_pass"])
    log_odds = np.repeat(intact[:, None], len(conditions), axis=1)
    log_odds[:, 3] = 0  # without group 3 nothing is known
    weights = np.ones((3, 4))
    table = occlusion_table({"mean": log_odds}, intact, conditions, target, weights, grouped(), ["normal", "wheeze"])
    assert len(table) == len(conditions) * 3
    single = table[table["kind"] == "single"].set_index(["of", "hz"])["drop"]
    assert single["auroc", "600-800"] == 0.5
    assert single["wheeze", "600-800"] == single["normal", "600-800"] == 1.5
    assert (single.drop(index="600-800", level="hz") == 0).all()
    assert table.loc[table["kind"] == "single", "cutoff_hz"].isna().all()
    assert set(table.loc[table["kind"] == "low_pass", "cutoff_hz"]) == {0, 200, 400, 600, 800, 1000}


def test_rows_of_the_table_have_their_fill_cut_off_and_resamples():
    rng = np.random.default_rng(0)
    target = np.array([0, 1] * 20)
    intact = np.stack([-target, target], axis=1) + rng.standard_normal((40, 2))
    conditions = sweep(len(GROUPS))
    log_odds = {"mean": rng.standard_normal((40, len(conditions), 2))}
    weights = weights_and_resamples(np.arange(40), BootstrapSettings(n_resamples=200))
    table = occlusion_table(log_odds, intact, conditions, target, weights, grouped(), ["a", "b"])
    assert set(table["fill"]) == {"mean"}
    area = table[table["of"] == "auroc"].reset_index(drop=True)
    edges_hz = grouped().groups.edges_hz
    low, high = (area.loc[area["kind"] == kind, "cutoff_hz"].tolist() for kind in ("low_pass", "high_pass"))
    assert (low, high) == (list(edges_hz[:-1]), list(edges_hz[1:]))
    assert area.loc[area["kind"] == "single", "cutoff_hz"].isna().all()
    losses = auroc(target, intact, weights) - auroc(target, log_odds["mean"][:, 3], weights)
    assert area.loc[3, "drop"] == pytest.approx(losses[0])
    ends = [area.loc[3, "drop_low"], area.loc[3, "drop_high"]]
    assert ends == pytest.approx(np.quantile(losses[1:], [0.025, 0.975]).tolist())


def test_a_loss_of_the_margin_is_within_it():
    assert lowest_cutoff([500, 1000, 1500], [0.3, 0.02, 0.0], 0.02) == 1000


def test_two_classes_are_enough_for_the_other_fill():
    check_fill("other", 2)


def test_a_stretch_of_a_longer_recording_begins_anywhere_and_does_not_wrap():
    frames = [np.zeros((30, N_BANDS), np.float32)]
    frames += [np.repeat(np.arange(33, dtype=np.float32)[:, None], N_BANDS, axis=1) for _ in range(3)]
    data = units_of(frames, np.array([0, 1, 1, 1]))
    firsts = set()
    for seed in range(60):
        fill = fill_of("other", 0, data, MEAN, seed)
        assert (np.diff(fill[0, 0]) == 1).all()
        firsts.add(int(fill[0, 0, 0]))
    assert firsts == {0, 1, 2, 3}

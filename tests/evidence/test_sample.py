import numpy as np
import pytest
from ten_lines import BAND, BOOTSTRAP, N_BANDS, PATCHES, recordings, trained, units_of

from respcam.data.patches import patch_table
from respcam.evidence.sample import log_contributions, sample_patches


def sampled(seed=0, n_patches=8, contributions=None, judged=(1,), **changes):
    units, data = recordings(**changes)
    return sample_patches(units, data, judged, n_patches, seed, BOOTSTRAP, contributions)


def test_patches_are_spread_over_classes_and_patients():
    sample = sampled()
    assert sample.rows["target"].value_counts().to_dict() == {0: 4, 1: 4}
    assert sample.rows["patient_id"].nunique() == 8
    assert sample.part == "test"
    assert len(sample) == 8
    assert sample.weights.shape == (101, 8)
    assert (sample.weights[0] == 1).all()


def test_the_judged_patches_are_those_of_the_classes_that_count():
    sample = sampled()
    assert (sample.judged_target == 1).all()
    assert sample.judged_units == sorted(set(sample.rows["unit"][sample.judged]))
    assert sample.judged_patches.shape == (4, N_BANDS, 16)
    np.testing.assert_array_equal(sample.judged_weights, sample.weights[:, sample.judged])
    assert len(sampled(judged=()).judged) == 8  # a part without such a class: all of them


def test_patches_are_cut_where_the_table_says():
    units, data = recordings()
    sample = sample_patches(units.assign(first_frame=1000), data, [1], 8, 0, BOOTSTRAP)
    for row, patch in zip(sample.rows.itertuples(), sample.patches, strict=True):
        start = row.start_frame - 1000
        np.testing.assert_array_equal(patch, data.frames[row.unit][start : start + 16].T)
    assert sample.n_frames.tolist() == units["n_frames"][sample.rows["unit"]].tolist()


def test_a_short_recording_is_padded_and_its_length_is_kept():
    units, _ = recordings(2)
    data = units_of([np.ones((10, N_BANDS), np.float32)] * len(units), units["target"].to_numpy())
    sample = sample_patches(units.assign(n_frames=10), data, [1], 2, 0, BOOTSTRAP)
    assert sample.n_frames.tolist() == [10, 10]
    assert sample.patches.shape == (2, N_BANDS, 16)


def test_the_same_seed_gives_the_same_patches():
    assert sampled(seed=3).rows["patch"].tolist() == sampled(seed=3).rows["patch"].tolist()
    assert sampled(seed=3).rows["patch"].tolist() != sampled(seed=4).rows["patch"].tolist()


def test_patches_are_drawn_by_their_contribution_to_the_score():
    units, data = recordings()
    model = trained(pooling="logsumexp")
    contributions = log_contributions(model, data, patch_table(units, PATCHES))
    level = {}
    for sampling, given in {"uniform": None, "by_contribution": contributions}.items():
        samples = [sample_patches(units, data, [1], 8, seed, BOOTSTRAP, given) for seed in range(12)]
        level[sampling] = [sample.judged_patches[:, BAND].mean() for sample in samples]
        for sample in samples:
            assert sample.rows["target"].value_counts().to_dict() == {0: 4, 1: 4}
    assert np.mean(level["by_contribution"]) > np.mean(level["uniform"]) + 3 * np.std(level["uniform"]) / np.sqrt(12)


@pytest.mark.parametrize("batch_patches", [1, 5, 1000])
def test_contributions_follow_the_pooling(batch_patches):
    units, data = recordings()
    table = patch_table(units, PATCHES)
    values = {
        pooling: log_contributions(trained(pooling=pooling, batch_patches=batch_patches), data, table)
        for pooling in ("mean", "max", "logsumexp")
    }
    assert (values["mean"] == 0).all()
    assert np.isfinite(values["max"]).sum() >= len(units)
    loudest = table.loc[values["max"] == 0]
    assert set(loudest.loc[loudest["target"] == 1, "start_frame"]) == {16}  # all 16 frames are loud there
    patches = np.concatenate([data.grid(unit) for unit in range(len(units))])
    scores = trained().scores(patches).numpy()[np.arange(len(table)), table["target"]]
    np.testing.assert_allclose(values["logsumexp"], scores, rtol=1e-6)

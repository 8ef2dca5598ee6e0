import numpy as np
import pytest
import torch
from made_units import make_units

from respcam.data.heard import UNKNOWN, HeardEvents
from respcam.network.inputs import RandomPatches, Scaler, patch_batches


def test_drawn_patches_depend_on_seed_epoch_and_unit_alone():
    units = make_units()
    unit = int(np.argmax([len(frames) for frames in units.frames]))
    first = RandomPatches(units, 3, seed=0, epoch=1).__getitems__([unit])[0][0]
    together, target, _ = RandomPatches(units, 3, seed=0, epoch=1).__getitems__([0, unit])
    np.testing.assert_array_equal(first, together[1])
    np.testing.assert_array_equal(target, units.target[[0, unit]])
    assert not np.array_equal(first, RandomPatches(units, 3, seed=0, epoch=2).__getitems__([unit])[0][0])
    assert first.shape == (3, 32, 96)


def test_drawn_patches_are_stretches_of_their_unit_and_reach_both_ends():
    units = make_units()
    unit = int(np.argmin([abs(len(frames) - 100) for frames in units.frames]))
    frames = units.of(unit)
    stretches = [frames[start : start + 96].T for start in range(len(frames) - 95)]
    drawn = RandomPatches(units, 400, seed=0, epoch=0).__getitems__([unit])[0][0].numpy()
    found = {next(i for i, own in enumerate(stretches) if np.array_equal(own, patch)) for patch in drawn}
    assert found == set(range(len(stretches)))


def test_patches_are_drawn_on_events_with_their_class():
    units = make_units()
    unit = int(np.argmax([len(frames) for frames in units.frames]))
    n_frames = len(units.frames[unit])
    heard = [None] * len(units)
    assert (RandomPatches(units, 6, 0, 0, heard, 0.5).__getitems__([unit])[2] == UNKNOWN).all()
    plain = RandomPatches(units, 400, 0, 0).__getitems__([unit])[0]
    heard[unit] = HeardEvents(np.array([n_frames - 20.0]), np.array([float(n_frames)]), np.array([1]), 0)
    drawn, _, classes = RandomPatches(units, 400, 0, 0, heard, 0.5).__getitems__([unit])
    assert (classes[0] == 1).float().mean() > 0.5
    assert (classes[0, :200] != 0).all()  # each of these touches the event
    assert {0, 1} <= set(classes[0].tolist()) <= {UNKNOWN, 0, 1}
    np.testing.assert_array_equal(drawn[0, 200:], plain[0, 200:])  # the others are drawn as without events
    weak, _, classes = RandomPatches(units, 400, 0, 0, heard, 0.0).__getitems__([unit])
    np.testing.assert_array_equal(weak, plain)
    assert (classes != UNKNOWN).any()


def test_pruned_bands_never_reach_the_model():
    kept = np.arange(32) % 3 != 0
    units = make_units(kept=kept)
    np.testing.assert_array_equal(units.of(0), make_units().of(0)[:, kept])
    assert units.grid(1).shape[1] == kept.sum()


def test_the_scaler_centres_every_band():
    units = make_units()
    scaler = Scaler.fit(units)
    frames = np.concatenate([units.of(i) for i in range(len(units))])
    np.testing.assert_allclose(scaler.mean, frames.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(scaler.std, frames.std(axis=0), rtol=1e-4)
    scaled = scaler(torch.from_numpy(units.grid(0)))
    assert scaled.shape[1:] == (1, 32, 96)


@pytest.mark.parametrize("n_patches", [1, 7, 32, 1000])
def test_patches_come_in_order_in_batches_of_one_size(n_patches):
    units = make_units(20)
    batches = list(patch_batches(units, n_patches))
    np.testing.assert_array_equal(np.concatenate(batches), np.concatenate([units.grid(unit) for unit in range(20)]))
    assert {len(batch) for batch in batches[:-1]} <= {n_patches}
    assert 0 < len(batches[-1]) <= n_patches

"""Numbers that stay: neither threads nor the size or order of batches change scores and heat by more than rounding."""

import numpy as np
import pytest
import torch

from respcam.heat.cam import Choice
from respcam.network.band_cnn import BandCNN
from respcam.network.inputs import Scaler
from respcam.network.machine import make_fabric
from respcam.network.readout import Readout
from respcam.network.trained import TrainedModel

#: largest difference, relative to the largest value
BOUND = 1e-5
N_BANDS, N_PATCHES = 64, 40
PATCHES = np.random.default_rng(0).normal(-3, 1, (N_PATCHES, N_BANDS, 96)).astype(np.float32)
SCALER = Scaler(np.full(N_BANDS, -3, np.float32), np.ones(N_BANDS, np.float32))
COUNTS, TARGET = [5] * 8, np.arange(8) % 2
CHOICES = [Choice("hires_cam", tuple(f"blocks.{k}" for k in range(4)), "log_odds"),
           Choice("grad_cam", ("blocks.3",), "class_score")]  # fmt: skip


def numbers(batch_patches, threads, patches=PATCHES, target=TARGET):
    """Scores, heat and scores without bands of one model: float64 arrays by name."""
    before = torch.get_num_threads()
    torch.manual_seed(0)
    try:
        fabric = make_fabric("cpu", "32-true", threads)
        network = BandCNN(2).eval().to(memory_format=torch.channels_last)
        model = TrainedModel(network, SCALER, ["a", "b"], fabric, readout=Readout(), batch_patches=batch_patches)
        heat = model.heat(patches, COUNTS, target, CHOICES)
        removed = [np.arange(N_BANDS) < 20, np.arange(N_BANDS) > 50]
        return {
            "scores": model.scores(patches).numpy(),
            "occlusion": model.scores_without(patches, np.full_like(patches, -3), removed).numpy(),
            **{choice.method: heat[choice].double().numpy() for choice in CHOICES},
        }
    finally:
        torch.set_num_threads(before)


def assert_equal(these, those):
    for name, values in these.items():
        assert np.abs(values).max() > 0
        assert np.abs(values - those[name]).max() <= BOUND * np.abs(values).max(), name


@pytest.fixture(scope="module")
def reference():
    return numbers(64, 1)


@pytest.mark.parametrize(("batch_patches", "threads"), [(3, 1), (7, 2), (40, 1)])
def test_threads_and_size_of_batches_change_nothing(reference, batch_patches, threads):
    assert_equal(reference, numbers(batch_patches, threads))


def test_the_order_of_recordings_changes_nothing(reference):
    order = np.arange(N_PATCHES).reshape(8, 5)[::-1].ravel()
    other = numbers(64, 1, PATCHES[order], TARGET[::-1].copy())
    back = {name: values[:, order] if name == "occlusion" else values[order] for name, values in other.items()}
    assert_equal(reference, back)


def test_a_change_of_a_patch_is_no_rounding(reference):
    changed = PATCHES.copy()
    changed[3, 10, 50] += 1
    with pytest.raises(AssertionError):
        assert_equal(reference, numbers(64, 1, changed))

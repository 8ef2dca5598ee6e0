import numpy as np
import pandas as pd
import pytest

from respcam.data.patches import PatchSettings, cut, cut_patches, padded, patch_starts, patch_table, patch_units
from respcam.errors import Refused
from respcam.sound.front_end import FrontEnd, LogMel


@pytest.mark.parametrize(("n_samples", "n_patches"), [(15_599, 0), (15_600, 1)])
def test_15600_samples_make_the_first_patch_of_the_published_front_end(n_samples, n_patches):
    frames = LogMel(FrontEnd(n_fft=512))(np.ones(n_samples, np.float32))
    assert len(patch_starts(len(frames), PatchSettings(pad="none"))) == n_patches


@pytest.mark.parametrize(
    ("n_frames", "starts"),
    [(96, [0]), (97, [0, 1]), (144, [0, 48]), (145, [0, 48, 49]), (240, [0, 48, 96, 144])],
)
def test_the_last_patch_ends_with_its_unit(n_frames, starts):
    assert patch_starts(n_frames, PatchSettings()).tolist() == starts


@pytest.mark.parametrize(("pad", "n"), [("repeat", 1), ("floor", 1), ("none", 0)])
def test_short_units_follow_the_rule(pad, n):
    settings = PatchSettings(pad=pad)
    assert len(patch_starts(50, settings)) == n
    assert len(patch_starts(0, settings)) == 0


def test_padding_repeats_or_appends_the_floor():
    frames = np.arange(10, dtype=np.float32)[:, None] + np.zeros((1, 3), np.float32)
    again = padded(frames, PatchSettings(length_frames=25), -4.6)
    np.testing.assert_array_equal(again[:, 0], np.arange(25) % 10)
    floor = padded(frames, PatchSettings(length_frames=25, pad="floor"), -4.6)
    np.testing.assert_array_equal(floor[:10], frames)
    np.testing.assert_allclose(floor[10:], -4.6)
    assert padded(frames, PatchSettings(length_frames=10), 0) is frames
    with pytest.raises(ValueError, match="without frames"):
        padded(frames[:0], PatchSettings(), 0)


def test_patches_have_axes_patch_band_frame():
    frames = np.random.default_rng(0).standard_normal((200, 64)).astype(np.float32)
    patches = cut(frames, np.array([0, 48, 104]), 96)
    assert patches.shape == (3, 64, 96)
    np.testing.assert_array_equal(patches[1], frames[48:144].T)


def test_the_patches_of_units_are_listed_in_their_order():
    units = pd.DataFrame(
        {
            "part": "test",
            "unit_id": ["a_1", "a_2", "b"],
            "recording_id": ["a", "a", "b"],
            "patient_id": ["p", "p", "q"],
            "first_frame": [0, 300, 7],
            "n_frames": [200, 50, 96],
            "target": [0, 1, 1],
        }
    )
    table = patch_table(units, PatchSettings())
    assert list(table) == [
        "patch", "part", "unit_id", "recording_id", "patient_id", "start_frame", "unit", "target",
    ]  # fmt: skip
    assert table["patch"].tolist() == list(range(6))
    assert table["unit"].tolist() == [0, 0, 0, 0, 1, 2]
    assert table["start_frame"].tolist() == [0, 48, 96, 104, 300, 7]
    single = patch_units(units, PatchSettings())
    assert single["first_frame"].tolist() == table["start_frame"].tolist()
    assert single["n_frames"].tolist() == [96, 96, 96, 96, 50, 96]
    assert single["unit_id"].tolist() == table["unit_id"].tolist()
    assert patch_table(single, PatchSettings())["start_frame"].tolist() == table["start_frame"].tolist()
    assert table["unit_id"].tolist() == ["a_1"] * 4 + ["a_2", "b"]
    assert len(patch_table(units, PatchSettings(pad="none"))) == 5


def test_patches_of_a_recording_follow_the_settings_and_end_with_it():
    log_mel = np.arange(4 * 150, dtype=np.float32).reshape(4, 150)
    patches = cut_patches(log_mel)
    assert (patches.dtype, patches.shape) == (np.float32, (3, 4, 96))
    for patch, start in zip(patches, (0, 48, 54), strict=True):
        np.testing.assert_array_equal(patch, log_mel[:, start : start + 96])
    assert len(cut_patches(log_mel, PatchSettings(length_frames=50, hop_frames=50))) == 3


def test_a_short_recording_is_padded_by_the_rule():
    log_mel = np.arange(4 * 60, dtype=np.float32).reshape(4, 60)
    (repeated,) = cut_patches(log_mel)
    np.testing.assert_array_equal(repeated, np.concatenate([log_mel, log_mel[:, :36]], axis=1))
    (padded_patch,) = cut_patches(log_mel, PatchSettings(pad="floor"), FrontEnd(log_offset=0.5))
    np.testing.assert_array_equal(padded_patch[:, :60], log_mel)
    assert (padded_patch[:, 60:] == np.float32(np.log(0.5))).all()
    assert cut_patches(log_mel, PatchSettings(pad="none")).shape == (0, 4, 96)


@pytest.mark.parametrize("shape", [(64, 0), (64,), (2, 64, 96)])
def test_what_is_no_log_mel_of_one_recording_is_not_cut(shape):
    with pytest.raises(Refused, match=r"log-mel has the shape .*; expected \(band, frame\)"):
        cut_patches(np.zeros(shape, np.float32))

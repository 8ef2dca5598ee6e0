import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from respcam.errors import Refused
from respcam.sound import frames
from respcam.sound.frames import FrameStore, allocate_frames, lay_out, write_frames
from respcam.sound.front_end import FrontEnd, LogMel, n_frames
from respcam.store.integrity import file_checksum

FRONT_END = FrontEnd()
LENGTHS = {"a": 16_000, "b": 100, "c": 24_000, "d": 8000}


@pytest.fixture
def store(tmp_path, noise, monkeypatch):
    """Frames of four recordings in two arrays, the way that the features stage makes them."""
    monkeypatch.setattr(frames, "SHARD_BYTES", 200 * 64 * 4)  # 200 frames: more than one array
    waves = {name: np.resize(noise, n) * np.float32(level + 1) for level, (name, n) in enumerate(LENGTHS.items())}
    for name, wave in waves.items():
        sf.write(tmp_path / f"{name}.wav", wave, 16_000, subtype="FLOAT")
    index = pd.DataFrame(lay_out(LENGTHS, LENGTHS.values(), FRONT_END))
    shards = []
    for number, rows in index.groupby("shard"):
        path = tmp_path / f"mel-{number:03d}.npy"
        allocate_frames(path, (int(rows["n_frames"].sum()), 64))
        files = [tmp_path / f"{name}.wav" for name in rows["recording_id"]]
        written = write_frames(path, 0, files, FRONT_END)
        assert written.n_bytes == rows["n_frames"].sum() * 64 * 4
        assert file_checksum(path, written.first_byte, written.n_bytes) == written.checksum
        shards.append(np.load(path, mmap_mode="r"))
    bands = pd.DataFrame({"lower_hz": [100.0], "centre_hz": [110.0], "upper_hz": [120.0], "n_bins": [2]})
    return FrameStore(shards, index.set_index("recording_id"), bands, FRONT_END), waves


def test_every_recording_has_its_frames_at_its_place(store):
    store, waves = store
    assert [len(shard) for shard in store.shards] == [98, 196]
    assert store.index["n_frames"].to_dict() == {"a": 98, "b": 0, "c": 148, "d": 48}
    for name, wave in waves.items():
        view = store.frames(name, *store.span(name, np.nan, np.nan))
        np.testing.assert_array_equal(view, LogMel(FRONT_END)(wave))


def test_a_part_of_a_recording_is_a_view_of_its_frames(store):
    store, waves = store
    np.testing.assert_array_equal(store.frames("c", 20, 30), LogMel(FRONT_END)(waves["c"])[20:50])
    assert np.shares_memory(store.frames("c", 20, 30), store.shards[1])


def test_events_are_spans_of_frames(store):
    store, _ = store
    assert store.span("a", 0.2, 0.5) == (20, 30)
    assert store.span("a", 0.9, 5.0) == (90, 8)
    assert store.span("a", 3.0, 5.0) == (98, 0)
    assert store.span("b", np.nan, np.nan) == (0, 0)
    assert store.span("not there", np.nan, np.nan) == (0, 0)


def test_edges_are_those_of_the_bands(store):
    assert store[0].edges_hz.tolist() == [[100.0, 110.0, 120.0]]


def test_arrays_are_filled_in_order_and_no_recording_lies_across_two(monkeypatch):
    monkeypatch.setattr(frames, "SHARD_BYTES", 100 * 64 * 4)
    n_samples = [15_600, 16_000, 400, 48_000, 300, 400]
    places = lay_out("abcdef", n_samples, FRONT_END)
    assert [place.recording_id for place in places] == list("abcdef")
    assert [place.n_frames for place in places] == [n_frames(n, FRONT_END) for n in n_samples]
    assert [place.shard for place in places] == [0, 1, 1, 2, 3, 3]  # d is larger than an array, and alone
    assert [place.first_frame for place in places] == [0, 0, 98, 0, 0, 0]


def test_an_array_is_byte_by_byte_what_numpy_saves(tmp_path):
    allocate_frames(tmp_path / "a.npy", (7, 64))
    np.save(tmp_path / "expected.npy", np.zeros((7, 64), np.float32))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()


def test_frames_that_are_there_stay(tmp_path, noise):
    path = tmp_path / "a.npy"
    sf.write(tmp_path / "a.wav", noise, 16_000, subtype="FLOAT")
    allocate_frames(path, (100, 64))
    write_frames(path, 2, [tmp_path / "a.wav"], FRONT_END)
    allocate_frames(path, (100, 64))
    array = np.load(path)
    np.testing.assert_array_equal(array[2:], LogMel(FRONT_END)(noise))
    assert not array[:2].any()


@pytest.mark.parametrize("sample", [np.nan, np.inf, 1e38])
def test_frames_that_are_not_finite_are_refused(tmp_path, noise, sample):
    noise[8000] = sample
    sf.write(tmp_path / "a.wav", noise, 16_000, subtype="FLOAT")
    allocate_frames(tmp_path / "a.npy", (98, 64))
    with pytest.raises(Refused, match=r"a\.wav: its log-mel is not finite"):
        write_frames(tmp_path / "a.npy", 0, [tmp_path / "a.wav"], FRONT_END)

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from respcam.errors import Refused
from respcam.sound import frames
from respcam.sound.audio import AudioSettings
from respcam.sound.front_end import FrontEnd, LogMel
from respcam.stages.dataset import AudioFiles
from respcam.stages.features import Features
from respcam.stages.resample import Resample
from respcam.store.shard import WHOLE, Shard

FRONT_END = FrontEnd()


@pytest.fixture
def resampled(tmp_path, tone):
    """A finished resample stage with recordings of 1 s, 100 samples, 1.5 s and 0.5 s."""
    lengths = {"a": 16_000, "b": 100, "c": 24_000, "d": 8000}
    files = AudioFiles(tmp_path, pd.DataFrame({"recording_id": list(lengths)}))
    stage = Resample(store=tmp_path, files=files, audio=AudioSettings())
    with stage.artifact.building() as partial:
        (partial / "audio").mkdir()
        for name, n in lengths.items():
            sf.write(partial / "audio" / f"{name}.wav", tone(500, duration_s=n / 16_000), 16_000, subtype="FLOAT")
        Resample.RECORDINGS.write(
            pd.DataFrame({"recording_id": list(lengths), "n_samples": list(lengths.values())}), partial
        )
    return stage


def stage(resampled, store=None, settings=FRONT_END, shard=WHOLE):
    return Features(store=store or resampled.store, resample=resampled, front_end=settings, shard=shard)


def made(resampled, **options):
    features = stage(resampled, **options)
    features.make()
    return features


def log_mel_of(resampled, name):
    waveform, _ = sf.read(resampled.path_of(name), dtype="float32")
    return LogMel(FRONT_END)(waveform)


def test_every_recording_is_at_its_place(resampled, monkeypatch):
    monkeypatch.setattr(frames, "SHARD_BYTES", 200 * 64 * 4)  # 200 frames: more than one shard
    store = made(resampled).frames()
    assert len(store.shards) == 2
    assert store.index["n_frames"].to_dict() == {"a": 98, "b": 0, "c": 148, "d": 48}
    for name in "acd":
        frames_of = store.frames(name, *store.span(name, np.nan, np.nan))
        np.testing.assert_allclose(frames_of, log_mel_of(resampled, name), atol=1e-6)


def test_events_are_spans_of_frames(resampled):
    store = made(resampled).frames()
    assert store.span("a", 0.2, 0.5) == (20, 30)
    assert store.span("a", 0.9, 5.0) == (90, 8)
    assert store.span("a", 3.0, 5.0) == (98, 0)
    assert store.span("b", np.nan, np.nan) == (0, 0)
    assert store.span("not there", np.nan, np.nan) == (0, 0)


def test_bands_table_says_what_each_row_is(resampled):
    bands = made(resampled).bands()
    assert len(bands) == 64
    assert bands.columns.tolist() == ["band", "lower_hz", "centre_hz", "upper_hz", "n_bins"]
    assert (bands["lower_hz"] < bands["centre_hz"]).all()
    assert bands["upper_hz"].max() == pytest.approx(2000)


def test_filters_on_one_bin_are_announced(resampled, caplog):
    made(resampled, settings=FrontEnd(n_fft=512))
    assert "23 of 64 filters rest on fewer than two FFT bins" in caplog.text


def test_another_rate_is_refused(resampled):
    with pytest.raises(Refused, match=r"front_end.sample_rate_hz is 8000, but audio.sample_rate_hz made 16000 Hz"):
        made(resampled, settings=FrontEnd(sample_rate_hz=8000, window_samples=200, hop_samples=80))


def test_shares_make_what_all_of_it_makes(tmp_path, resampled, monkeypatch):
    monkeypatch.setattr(frames, "SHARD_BYTES", 200 * 64 * 4)
    monkeypatch.setattr(Features, "piece_recordings", 1)
    expected = made(resampled).folder
    for index in (1, 0):
        assert not stage(resampled, store=tmp_path / "other").is_finished
        shared = made(resampled, store=tmp_path / "other", shard=Shard(index, 2))
    for name in ("mel-000.npy", "mel-001.npy", "index.csv", "bands.csv"):
        assert (shared.folder / name).read_bytes() == (expected / name).read_bytes()
    assert not list(shared.folder.glob("journal*"))


def dies_at(n_calls, seen):
    """The work of a piece that is interrupted once, at a certain call."""

    def work(path, first_frame, files, settings):
        seen.append([file.stem for file in files])
        if len(seen) == n_calls:
            raise KeyboardInterrupt
        return frames.write_frames(path, first_frame, files, settings)

    return staticmethod(work)


def test_frames_that_are_there_are_not_computed_again(resampled, monkeypatch):
    seen = []
    monkeypatch.setattr(Features, "piece_recordings", 1)
    monkeypatch.setattr(Features, "work", dies_at(3, seen))
    with pytest.raises(KeyboardInterrupt):
        made(resampled)
    features = made(resampled)
    assert seen == [["d"], ["c"], ["b"], ["b"], ["a"]]
    np.testing.assert_allclose(features.frames().frames("a", 0, 98), log_mel_of(resampled, "a"), atol=1e-6)


def test_frames_that_were_damaged_before_the_end_are_computed_again(resampled, monkeypatch, caplog):
    seen = []
    monkeypatch.setattr(Features, "piece_recordings", 1)
    monkeypatch.setattr(Features, "work", dies_at(3, seen))
    with pytest.raises(KeyboardInterrupt):
        made(resampled)
    (partial,) = resampled.store.glob("features/*.partial/mel-000.npy")
    content = bytearray(partial.read_bytes())
    content[-1000] ^= 1  # in "d", the last one
    partial.write_bytes(content)
    features = made(resampled)
    assert seen == [["d"], ["c"], ["b"], ["d"], ["b"], ["a"]]
    np.testing.assert_allclose(features.frames().frames("d", 0, 98), log_mel_of(resampled, "d"), atol=1e-6)
    assert "features: 1 finished pieces are damaged" in caplog.text


def test_pieces_of_another_size_are_not_taken_for_done(resampled, monkeypatch):
    seen = []
    monkeypatch.setattr(Features, "work", dies_at(2, seen))
    monkeypatch.setattr(Features, "piece_recordings", 2)
    with pytest.raises(KeyboardInterrupt):
        made(resampled)
    monkeypatch.setattr(Features, "piece_recordings", 3)
    made(resampled)
    assert seen == [["c", "d"], ["a", "b"], ["d"], ["a", "b", "c"]]


def test_a_share_without_its_input_is_refused(tmp_path, resampled):
    files = AudioFiles(tmp_path, resampled.files.table.assign(path="nowhere.wav", content="missing"))
    part = Resample(store=tmp_path / "new", files=files, audio=AudioSettings(), shard=Shard(0, 8))
    features = Features(store=tmp_path / "new", resample=part, front_end=FRONT_END, shard=Shard(0, 8))
    monkey = pytest.MonkeyPatch()
    monkey.setattr("respcam.stages.resample.Resample.piece_recordings", 1)
    with monkey.context(), pytest.raises(Refused, match="run until=resample with every shard.index first"):
        features.make()


def test_frames_have_the_same_bits_for_any_number_of_workers(tmp_path, resampled, monkeypatch):
    monkeypatch.setattr(Features, "piece_recordings", 1)
    contents = set()
    for workers in (1, 3):
        features = Features(store=tmp_path / str(workers), resample=resampled, front_end=FRONT_END, workers=workers)
        contents.add((features.make() / "mel-000.npy").read_bytes())
    assert len(contents) == 1

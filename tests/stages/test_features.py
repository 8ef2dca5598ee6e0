import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from respcam.sound import front_end
from respcam.sound.front_end import FrontEnd, LogMel
from respcam.stages import features
from respcam.store.artifact import Artifact
from respcam.store.shard import Shard

FRONT_END = FrontEnd()


@pytest.fixture
def resampled(tmp_path, tone):
    artifact = Artifact(tmp_path, "resample", 1)
    lengths = {"a": 16_000, "b": 100, "c": 24_000, "d": 8000}
    with artifact.building() as partial:
        (partial / "audio").mkdir()
        for name, n in lengths.items():
            sf.write(partial / "audio" / f"{name}.wav", tone(500, duration_s=n / 16_000), 16_000, subtype="FLOAT")
        table = pd.DataFrame({"recording_id": list(lengths), "n_samples": list(lengths.values())})
        table.to_csv(partial / "recordings.csv", index=False)
    return artifact


def run(tmp_path, resampled, settings=FRONT_END):
    return features.run(features.plan(tmp_path, resampled, settings), resampled, settings, workers=1)


def test_every_recording_is_found_at_its_place(tmp_path, resampled, monkeypatch):
    monkeypatch.setattr(features, "SHARD_BYTES", 200 * 64 * 4)  # 200 frames: more than one shard
    folder = run(tmp_path, resampled)
    store = features.FrameStore.open(folder, FRONT_END)
    assert len(store.shards) == 2
    assert store.index["n_frames"].to_dict() == {"a": 98, "b": 0, "c": 148, "d": 48}
    for name in "acd":
        wave, _ = sf.read(resampled.folder / "audio" / f"{name}.wav", dtype="float32")
        expected = LogMel(FRONT_END)(wave)
        found = store.frames(name, *store.span(name, np.nan, np.nan))
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_events_are_spans_of_frames(tmp_path, resampled):
    store = features.FrameStore.open(run(tmp_path, resampled), FRONT_END)
    assert store.span("a", 0.2, 0.5) == (20, 30)
    assert store.span("a", 0.9, 5.0) == (90, 8)
    assert store.span("a", 3.0, 5.0) == (98, 0)
    assert store.span("b", np.nan, np.nan) == (0, 0)
    assert store.span("not there", np.nan, np.nan) == (0, 0)


def test_bands_table_says_what_each_row_is(tmp_path, resampled):
    bands = pd.read_csv(run(tmp_path, resampled) / "bands.csv")
    assert len(bands) == 64
    assert bands.columns.tolist() == ["band", "lower_hz", "centre_hz", "upper_hz", "n_bins"]
    assert (bands["lower_hz"] < bands["centre_hz"]).all()
    assert bands["upper_hz"].max() == pytest.approx(2000)


def test_filters_on_one_bin_are_announced(tmp_path, resampled, caplog):
    run(tmp_path, resampled, FrontEnd(n_fft=512))
    assert "23 of 64 filters rest on fewer than two FFT bins" in caplog.text


def test_another_rate_is_refused(tmp_path, resampled):
    with pytest.raises(ValueError, match=r"front_end.sample_rate_hz is 8000, but audio.sample_rate_hz made 16000 Hz"):
        run(tmp_path, resampled, FrontEnd(sample_rate_hz=8000, window_samples=200, hop_samples=80))


def test_shares_make_what_the_whole_makes(tmp_path, resampled, monkeypatch):
    monkeypatch.setattr(features, "SHARD_BYTES", 200 * 64 * 4)
    monkeypatch.setattr(features, "PIECE_RECORDINGS", 1)
    expected = run(tmp_path, resampled)
    artifact = features.plan(tmp_path / "other", resampled, FRONT_END)
    for index in (1, 0):
        assert not artifact.is_finished
        found = features.run(artifact, resampled, FRONT_END, 1, Shard(index, 2))
    for name in ("mel-000.npy", "mel-001.npy", "index.csv", "bands.csv"):
        assert (found / name).read_bytes() == (expected / name).read_bytes()
    assert not list(found.glob("journal*"))


def test_frames_that_are_there_are_not_computed_again(tmp_path, resampled, monkeypatch):
    monkeypatch.setattr(features, "PIECE_RECORDINGS", 1)
    write, seen = front_end.write_frames, []

    def die_at_the_third(path, first_frame, files, settings):
        seen.append(files[0].stem)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return write(path, first_frame, files, settings)

    monkeypatch.setattr(front_end, "write_frames", die_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, resampled)
    folder = run(tmp_path, resampled)
    assert seen == ["d", "c", "b", "b", "a"]
    store = features.FrameStore.open(folder, FRONT_END)
    wave, _ = sf.read(resampled.folder / "audio" / "a.wav", dtype="float32")
    np.testing.assert_allclose(store.frames("a", 0, 98), LogMel(FRONT_END)(wave), atol=1e-6)


def test_pieces_of_another_size_are_not_taken_for_done(tmp_path, resampled, monkeypatch):
    write, seen = front_end.write_frames, []

    def die_at_the_last(path, first_frame, files, settings):
        seen.append([file.stem for file in files])
        if len(seen) == 2:
            raise KeyboardInterrupt
        return write(path, first_frame, files, settings)

    monkeypatch.setattr(front_end, "write_frames", die_at_the_last)
    monkeypatch.setattr(features, "PIECE_RECORDINGS", 2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, resampled)
    monkeypatch.setattr(features, "PIECE_RECORDINGS", 3)
    run(tmp_path, resampled)
    assert seen == [["c", "d"], ["a", "b"], ["d"], ["a", "b", "c"]]

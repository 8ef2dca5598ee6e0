import os
import threading

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from respcam.data import manifest
from respcam.errors import Refused
from respcam.sound import audio
from respcam.sound.audio import AudioSettings
from respcam.stages.dataset import DatasetSettings, open_dataset
from respcam.stages.resample import Resample
from respcam.store.artifact import file_sha256
from respcam.store.shard import WHOLE, Shard
from respcam.store.tables import write_table

SETTINGS = AudioSettings()

DAMAGE = {
    "d0_empty": "empty",
    "d1_text": "not_audio",
    "d2_truncated": "truncated",
    "d3_zero_length": "zero_length",
    "d4_silent": "silent",
    "d5_nan": "not_finite",
    "d6_checksum": "wrong_checksum",
    "d7_missing": "missing",
    "d8_folder": "unreadable",
    "d9_length": "altered",
    "e0_infinite": "not_finite",
    "e1_cut_flac": "not_audio|truncated",
}


def write_damage(root, tone):
    good = tone(300, 8000)
    for name in ["d2_truncated", "d6_checksum", "d9_length"]:
        sf.write(root / f"{name}.wav", good, 8000)
    whole = (root / "d2_truncated.wav").read_bytes()
    (root / "d2_truncated.wav").write_bytes(whole[:5000])
    (root / "d0_empty.wav").write_bytes(b"")
    (root / "d1_text.wav").write_text("no sound here " * 40)
    sf.write(root / "d3_zero_length.wav", np.zeros(0, np.float32), 8000)
    sf.write(root / "d4_silent.wav", np.zeros(8000, np.float32), 8000)
    for name, value in (("d5_nan", np.nan), ("e0_infinite", np.inf)):
        sf.write(root / f"{name}.wav", np.append(good, value).astype(np.float32), 8000, subtype="FLOAT")
    (root / "d8_folder.wav").mkdir()
    noise = np.random.default_rng(0).standard_normal(8000) / 10
    sf.write(root / "e1_cut_flac.wav", noise, 8000, format="FLAC")
    (root / "e1_cut_flac.wav").write_bytes((root / "e1_cut_flac.wav").read_bytes()[:3000])


@pytest.fixture
def damaged(tmp_path, tone):
    """A data set of three good recordings and every kind of damage."""
    root = tmp_path / "data"
    root.mkdir()
    names = [*DAMAGE, "good_0", "good_1", "good_2"]
    write_damage(root, tone)
    for number in range(3):
        sf.write(root / f"good_{number}.wav", tone(200 + number, 8000), 8000)
    rows = [
        {"recording_id": name, "path": f"{name}.wav", "sha256": "", "sample_rate_hz": "", "n_samples": "",
         "patient_id": name, "label": "normal", "split": "train"}
        for name in names
    ]  # fmt: skip
    table = pd.DataFrame(rows).set_index("recording_id", drop=False)
    table.loc["d6_checksum", "sha256"] = "0" * 64
    table.loc["d9_length", "n_samples"] = "123"
    table.loc["good_0", "sha256"] = file_sha256(root / "good_0.wav")
    write_table(table, tmp_path / "manifest.csv")
    return DatasetSettings("damaged", root=root, manifest=tmp_path / "manifest.csv", missing="skip")


def stage(settings, store, shard=WHOLE):
    files = open_dataset(settings, store, workers=2).files
    return Resample(store=store, files=files, audio=SETTINGS, shard=shard)


def run(settings, store, shard=WHOLE):
    return stage(settings, store, shard).make()


def test_every_kind_of_damage_is_listed_and_the_rest_goes_on(damaged, tmp_path):
    folder = run(damaged, tmp_path / "store")
    rejected = pd.read_csv(folder / "rejected.csv").set_index("recording_id")
    assert set(rejected.index) == set(DAMAGE)
    for name, reason in DAMAGE.items():
        assert rejected.at[name, "reason"] in reason.split("|"), rejected.loc[name].tolist()
    usable = pd.read_csv(folder / "recordings.csv")
    assert usable["recording_id"].tolist() == ["good_0", "good_1", "good_2"]
    assert (usable["n_samples"] == 16_000).all()
    for name in usable["recording_id"]:
        header = sf.info(folder / "audio" / f"{name}.wav")
        assert (header.samplerate, header.channels, header.frames) == (16_000, 1, 16_000)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_listed(damaged, tmp_path):
    (damaged.root / "good_1.wav").chmod(0)
    rejected = pd.read_csv(run(damaged, tmp_path / "store") / "rejected.csv").set_index("recording_id")
    assert rejected.at["good_1", "reason"] == "unreadable"


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_listed_and_not_waited_for(damaged, tmp_path, kind):
    path = damaged.root / "good_1.wav"
    path.unlink()
    make = {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": os.mkdir}
    make[kind](path)
    found = []
    thread = threading.Thread(target=lambda: found.append(run(damaged, tmp_path / "store")), daemon=True)
    thread.start()
    thread.join(60)
    assert found, "it waits"
    rejected = pd.read_csv(found[0] / "rejected.csv").set_index("recording_id")
    assert rejected.loc["good_1", ["reason", "detail"]].tolist() == ["unreadable", "not a regular file"]
    assert pd.read_csv(found[0] / "recordings.csv")["recording_id"].tolist() == ["good_0", "good_2"]


def test_a_file_that_goes_while_the_stage_works_stops_it_and_is_not_lost_when_it_is_back(damaged, tmp_path):
    """As on a network drive that comes and goes."""
    path, expected = damaged.root / "good_1.wav", run(damaged, tmp_path / "undisturbed")
    listed = stage(damaged, tmp_path / "store")
    path.rename(tmp_path / "aside.wav")
    with pytest.raises(Refused, match=r"good_1\.wav: No such file .*, but not when the files were listed"):
        listed.make()
    (tmp_path / "aside.wav").rename(path)
    again = run(damaged, tmp_path / "store")
    for name in ("recordings.csv", "rejected.csv"):
        assert (again / name).read_text() == (expected / name).read_text()


def test_a_changed_file_is_another_artifact_and_an_unchanged_one_is_not_read_again(damaged, tmp_path, tone):
    store = tmp_path / "store"
    before = stage(damaged, store).digest
    assert stage(damaged, store).digest == before
    sf.write(damaged.root / "good_2.wav", tone(999, 8000), 8000)
    assert stage(damaged, store).digest != before


def test_labels_do_not_make_audio_again(damaged, tmp_path):
    store = tmp_path / "store"
    before = stage(damaged, store).digest
    write_table(manifest.read_recordings(damaged.manifest).assign(label="wheeze"), damaged.manifest)
    assert stage(damaged, store).digest == before


def test_an_interrupted_stage_goes_on_but_for_what_was_damaged(damaged, tmp_path, monkeypatch):
    resample = stage(damaged, tmp_path / "store")
    one_file, seen = audio.resample_file, []

    def die_at_the_last(row, *rest):
        seen.append(row["recording_id"])
        if row["recording_id"] == "good_2":
            raise KeyboardInterrupt
        return one_file(row, *rest)

    monkeypatch.setattr("respcam.stages.resample.Resample.piece_recordings", 1)
    monkeypatch.setattr(audio, "resample_file", die_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        resample.make()
    partial = resample.artifact.folder.with_name(resample.artifact.folder.name + ".partial")
    with (partial / "journal-0-of-1.jsonl").open("a") as journal:
        journal.write('{"piece": "good_2 1", "outco')  # a line that was cut off
    (partial / "audio/good_0.wav").unlink()
    with (partial / "audio/good_1.wav").open("r+b") as file:
        file.seek(1000)
        file.write(b"!")
    seen.clear()
    monkeypatch.setattr(
        audio, "resample_file", lambda row, *rest: seen.append(row["recording_id"]) or one_file(row, *rest)
    )
    folder = resample.make()
    assert seen == ["good_0", "good_1", "good_2"]
    assert len(resample.recordings()) == 3
    assert not list(folder.glob("journal*"))


def test_shares_make_what_all_of_it_makes(damaged, tmp_path, monkeypatch):
    monkeypatch.setattr("respcam.stages.resample.Resample.piece_recordings", 1)
    expected, store = run(damaged, tmp_path / "undivided"), tmp_path / "shared"
    for index in (2, 0):
        run(damaged, store, Shard(index, 3))
        assert not stage(damaged, store).is_finished
    seen, one_file = [], audio.resample_file
    monkeypatch.setattr(
        audio, "resample_file", lambda row, *rest: seen.append(row["recording_id"]) or one_file(row, *rest)
    )
    run(damaged, store, Shard(0, 3))
    assert seen == []
    folder = run(damaged, store, Shard(1, 3))
    assert seen == list(stage(damaged, store).files.table["recording_id"].iloc[1::3])
    names = sorted(path.relative_to(folder) for path in folder.rglob("*.*"))
    assert names == sorted(path.relative_to(expected) for path in expected.rglob("*.*"))
    for name in names:
        if name.name != "provenance.json":
            assert (folder / name).read_bytes() == (expected / name).read_bytes()


def test_the_undivided_stage_takes_over_what_shares_left(damaged, tmp_path, monkeypatch):
    monkeypatch.setattr("respcam.stages.resample.Resample.piece_recordings", 1)
    store = tmp_path / "store"
    run(damaged, store, Shard(0, 2))
    artifact = stage(damaged, store).artifact
    left = artifact.folder.with_name(f"{artifact.folder.name}.partial")
    stamps = {path: path.stat().st_mtime_ns for path in left.glob("audio/*")}
    assert stamps
    folder = run(damaged, store)
    assert len(pd.read_csv(folder / "recordings.csv")) == 3
    assert all((folder / "audio" / path.name).stat().st_mtime_ns == stamp for path, stamp in stamps.items())

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from respcam.errors import Refused
from respcam.sound.synthetic import Synthetic
from respcam.stages.dataset import DatasetSettings, SyntheticSounds, open_dataset, validate
from respcam.store.artifact import file_sha256
from respcam.store.tables import write_table


@pytest.fixture
def listed(tmp_path, tone):
    """Settings of four recordings: one good, one altered, one missing, one a folder."""
    root = tmp_path / "data"
    root.mkdir()
    names = ["altered", "folder", "good", "missing"]
    for name in ("altered", "good"):
        sf.write(root / f"{name}.wav", tone(300, 8000), 8000)
    (root / "folder.wav").mkdir()
    table = pd.DataFrame({"recording_id": names, "path": [f"{name}.wav" for name in names]})
    table = table.assign(sha256="", sample_rate_hz="", n_samples="", patient_id=names, label="normal", split="train")
    table = table.set_index("recording_id", drop=False)
    table.loc["altered", "sha256"] = "0" * 64
    table.loc["good", "sha256"] = file_sha256(root / "good.wav")
    write_table(table, tmp_path / "manifest.csv")
    return DatasetSettings("listed", root=root, manifest=tmp_path / "manifest.csv", missing="skip")


def test_missing_recordings_are_counted_and_named_unless_skipped(listed, tmp_path):
    strict = DatasetSettings("listed", root=listed.root, manifest=listed.manifest)
    with pytest.raises(Refused, match=r"1 of 4 recordings are not under .*: missing; get them, or set"):
        open_dataset(strict, tmp_path / "store", workers=1)


def test_validation_names_what_is_missing_or_altered(listed, tmp_path):
    problems = validate(listed, tmp_path / "store", workers=1)
    assert [line.split(":")[0] for line in problems] == ["altered.wav", "folder.wav", "missing.wav"]
    assert "altered" in problems[0]
    assert "unreadable" in problems[1]


def test_labels_and_audio_have_digests_of_their_own(listed, tmp_path):
    store = tmp_path / "store"
    before = open_dataset(listed, store, 1)
    table = pd.read_csv(listed.manifest, dtype=str, keep_default_na=False).assign(label="wheeze")
    write_table(table, listed.manifest)
    after = open_dataset(listed, store, 1)
    assert before.files.digest == after.files.digest
    assert before.labels.digest != after.labels.digest


def test_only_content_that_was_read_is_known_to_the_labels(listed, tmp_path):
    content = open_dataset(listed, tmp_path / "store", 1).labels.content
    assert sorted(content.index) == ["altered", "good"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"root": None}, "dataset.root is not set; name the folder of the recordings"),
        ({"manifest": None}, "dataset.manifest is not set"),
    ],
)
def test_a_missing_setting_is_requested(listed, tmp_path, changes, message):
    settings = DatasetSettings(**{**vars(listed), **changes})
    with pytest.raises(Refused, match=message):
        open_dataset(settings, tmp_path / "store", 1)


def test_synthetic_sounds_are_made_once_and_keep_the_rules(tmp_path):
    synthetic = Synthetic(n_patients=20, recordings_per_patient=1, duration_s=1)
    settings = DatasetSettings("synthetic", "synthetic", synthetic=synthetic)
    dataset = open_dataset(settings, tmp_path, 1)
    assert len(dataset.files.table) == 20
    assert set(dataset.labels.events["label"]) <= {"normal", "wheeze"}
    sounds = SyntheticSounds(store=tmp_path, synthetic=synthetic)
    path = sounds.folder / dataset.files.table["path"].iloc[0]
    stamp = path.stat().st_mtime_ns
    waveform, rate_hz = sf.read(path)
    assert (len(waveform), rate_hz) == (8000, 8000)
    assert np.isfinite(waveform).all()
    assert open_dataset(settings, tmp_path, 1).files.digest == dataset.files.digest
    assert path.stat().st_mtime_ns == stamp

import pandas as pd
import pytest
from conftest import PROJECT

from respcam.data import layouts, manifest
from respcam.data.layouts import FOLDER, layout_names, list_layout, write_manifest
from respcam.errors import Refused
from respcam.store.artifact import file_sha256
from respcam.store.tables import write_table

PUBLISHED = [name for name in layout_names() if name != FOLDER]


def test_the_published_layouts_are_registered():
    assert {"sprsound2022", "icbhi2017"} <= set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_data_set_is_at_most_five_files(name):
    module = PROJECT / "src/respcam/data/layouts" / f"{name}.py"
    files = {
        module,
        PROJECT / "conf/dataset" / f"{name}.yaml",
        PROJECT / "data_manifests" / f"{name}.csv",
        PROJECT / "tests/data" / f"test_{name}.py",
    }
    assert all(path.is_file() for path in files)
    description = module.read_text().split('"""')[1]
    assert "Source: " in description
    assert "Licence: " in description


def test_an_unknown_layout_is_refused(tmp_path):
    with pytest.raises(Refused, match="layout is 'lungs'; expected one of folder, "):
        list_layout("lungs", tmp_path)


@pytest.fixture
def root(tmp_path, write_sound, noise):
    """A folder of two recordings, of which the first is no audio."""
    write_sound("mine/crackle/ann_1.wav", noise[:8000], 8000)
    write_sound("mine/normal/bob_1.wav", noise, 16_000)
    (tmp_path / "mine/crackle/ann_1.wav").write_text("not audio")
    return tmp_path / "mine"


def test_checksum_rate_and_length_are_those_of_the_files(root, tmp_path, caplog):
    path = write_manifest("folder", root, tmp_path / "out")
    assert path == tmp_path / "out" / "mine.csv"
    assert [file.name for file in path.parent.iterdir()] == ["mine.csv"]  # no events
    table = manifest.read_recordings(path).set_index("recording_id")
    assert not set(table) & set(manifest.OPTIONAL_COLUMNS)  # nothing is known of them
    normal, crackle = table.loc["normal_bob_1"], table.loc["crackle_ann_1"]
    assert normal[["sha256", "sample_rate_hz", "n_samples"]].tolist() == [
        file_sha256(root / "normal/bob_1.wav"),
        "16000",
        "16000",
    ]
    assert crackle[["sample_rate_hz", "n_samples"]].tolist() == ["", ""]
    assert "ann_1.wav: not readable as audio" in caplog.text


def test_the_patient_pattern_reaches_the_folder(root, tmp_path):
    path = write_manifest("folder", root, tmp_path, patient_pattern="^(.)")
    assert manifest.read_recordings(path)["patient_id"].tolist() == ["a", "b"]


def test_a_folder_named_by_a_dot_has_a_name(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    assert write_manifest("folder", type(root)("."), tmp_path / "out").name == "mine.csv"


def test_audio_that_is_absent_is_described_by_the_published_checksums(tmp_path, monkeypatch, caplog):
    rows = [
        {"recording_id": name, "path": f"{name}.wav", "patient_id": name, "label": "normal", "split": "train"}
        for name in "ab"
    ]
    listing = layouts.Listing.of(rows, [("a", 0.25, 1.0, "wheeze")])
    monkeypatch.setattr(layouts, "list_layout", lambda *arguments: listing)
    published = pd.DataFrame([{"path": "b.wav", "sha256": "0" * 64, "sample_rate_hz": 4000, "n_samples": 7}])
    write_table(published, tmp_path / "published.csv")
    path = write_manifest("lungs", tmp_path, tmp_path, tmp_path / "published.csv")
    table = manifest.read_recordings(path)
    assert table[["sha256", "sample_rate_hz", "n_samples"]].to_numpy().tolist() == [
        ["", "", ""],
        ["0" * 64, "4000", "7"],
    ]
    assert "2 of 2 recordings are not under" in caplog.text
    events = manifest.read_events(tmp_path / "lungs_events.csv", table)
    assert events.to_numpy().tolist() == [["a", 0.25, 1.0, "wheeze"]]


def test_checksums_that_are_absent_or_of_other_columns_are_refused(root, tmp_path):
    with pytest.raises(Refused, match="absent.csv: no such table; expected a CSV with path, sha256"):
        write_manifest("folder", root, tmp_path, tmp_path / "absent.csv")
    write_table(pd.DataFrame({"path": ["a"], "sha256": [""]}), tmp_path / "few.csv")
    with pytest.raises(Refused, match="few.csv: no column sample_rate_hz, n_samples; expected path"):
        write_manifest("folder", root, tmp_path, tmp_path / "few.csv")

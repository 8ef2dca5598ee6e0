import os

import pytest

from respcam.data import manifest
from respcam.data.folder import list_folder
from respcam.errors import Refused


@pytest.fixture
def folder(tmp_path, write_sound, noise):
    for name in ("crackle/ann_1.wav", "crackle/bob_1.flac", "normal/cy_1.wav"):
        write_sound(name, noise)
    (tmp_path / "normal/notes.txt").write_text("not audio")
    return tmp_path


def test_a_folder_of_labels_is_listed(folder):
    recordings = list_folder(folder, "^([a-z]+)_").recordings
    manifest.check_recordings(recordings, "folder")
    assert recordings["patient_id"].tolist() == ["ann", "bob", "cy"]
    assert recordings["label"].tolist() == ["crackle", "crackle", "normal"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("^(x+)_", "finds no patient in ann_1.wav"), ("^a", "exactly one"), ("(", "patient_pattern is")],
)
def test_a_pattern_that_finds_no_patient_is_refused(folder, pattern, message):
    with pytest.raises(Refused, match=message):
        list_folder(folder, pattern)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(Refused, match="no audio in sub-folders"):
        list_folder(tmp_path, "(.)")


@pytest.mark.parametrize("name", [b"ann_\xff.wav", b"ann_\r.wav", b"ann_\n.wav", b"ann_\x07.wav"])
def test_a_name_that_cannot_stand_in_a_table_is_refused(tmp_path, name):
    (tmp_path / "wheeze").mkdir()
    for file in (b"bob_1.wav", name):
        open(os.fsencode(tmp_path / "wheeze") + b"/" + file, "w").close()
    with pytest.raises(Refused, match=r"the names 'ann_.*' are not UTF-8 or have control characters; rename"):
        list_folder(tmp_path)


@pytest.mark.parametrize("name", ["ann_" + "a" * 240, "ann_" + "ä" * 120])
def test_a_long_name_becomes_an_id_that_fits_a_file(tmp_path, name):
    (tmp_path / "wheeze").mkdir()
    for end in "12":
        (tmp_path / "wheeze" / f"{name}{end}.wav").touch()
    ids = list_folder(tmp_path).recordings["recording_id"]
    assert ids.nunique() == 2
    assert ids.map(lambda text: len(text.encode())).max() <= 200
    assert ids.str.startswith("wheeze_ann_").all()

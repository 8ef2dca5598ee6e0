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

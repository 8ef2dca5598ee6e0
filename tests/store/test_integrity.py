import json
import os
import pickle
import shutil

import pytest

from respcam.store import integrity
from respcam.store.artifact import Artifact
from respcam.store.integrity import Damaged, check_output, damages, is_aside, listed_files, set_aside, verified

PROVENANCE = "provenance.json"


@pytest.fixture
def output(tmp_path):
    """Folder of a finished output with two files, one of them in a folder below."""
    artifact = Artifact(tmp_path, "stage", 1)
    with artifact.building() as folder:
        (folder / "a.csv").write_text("a,b\n1,2\n")
        (folder / "below").mkdir()
        (folder / "below" / "b.bin").write_bytes(bytes(range(256)))
    return artifact.folder


def flip(path, place=3):
    """Change one bit; size and modification time stay."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    integrity._COMPARED.clear()  # as in another process


def test_every_file_has_a_checksum(output):
    assert list(listed_files(output)) == ["a.csv", "below/b.bin"]
    check_output(output)
    assert verified(output / "below" / "b.bin").is_file()


@pytest.mark.parametrize("name", ["a.csv", "below/b.bin"])
def test_a_flipped_bit_is_named_before_the_file_is_used(output, name):
    flip(output / name)
    with pytest.raises(Damaged, match=rf"{name} has changed since it was written; the command of its run"):
        verified(output / name)
    assert [damage.name for damage in damages(output)] == [name]


def test_a_file_that_has_gone_is_named(output):
    (output / "a.csv").unlink()
    with pytest.raises(Damaged, match="a.csv has gone"):
        check_output(output)
    (output / "a.csv").mkdir()
    with pytest.raises(Damaged, match="a.csv has gone"):
        verified(output / "a.csv")


@pytest.mark.parametrize(
    ("content", "trouble"),
    [(b"", "cannot be read"), (b"[]", "cannot be read"), (b"{}", "cannot be read"), (b"\xff\xfe", "cannot be read"),
     (b'{"digest": "", "files": {}, "checksum": "0"}', "has changed")],
)  # fmt: skip
def test_a_damaged_provenance_is_named_with_every_file(output, content, trouble):
    (output / PROVENANCE).write_bytes(content)
    for name in ("a.csv", PROVENANCE):
        with pytest.raises(Damaged, match=f"{PROVENANCE} {trouble}"):
            verified(output / name)
    assert [damage.name for damage in damages(output)] == [PROVENANCE]


def test_a_checksum_that_was_changed_in_the_provenance_is_noticed(output):
    content = json.loads((output / PROVENANCE).read_text())
    content["files"]["a.csv"] = content["files"]["below/b.bin"]
    (output / PROVENANCE).write_text(json.dumps(content))
    with pytest.raises(Damaged, match=f"{PROVENANCE} has changed"):
        verified(output / "a.csv")


def test_a_file_that_nobody_listed_is_left_alone(output, tmp_path):
    for path in (output / "note.txt", tmp_path / "elsewhere.csv"):
        path.write_text("mine")
        assert verified(path) == path
    check_output(output)


def test_what_this_process_wrote_is_not_read_again(output, monkeypatch):
    monkeypatch.setattr("respcam.store.integrity.file_checksum", lambda path: pytest.fail("read again"))
    check_output(output)


def test_a_file_is_read_once_per_state(output, monkeypatch):
    integrity._COMPARED.clear()
    verified(output / "a.csv")
    monkeypatch.setattr("respcam.store.integrity.file_checksum", lambda path: pytest.fail("read again"))
    verified(output / "a.csv")


def test_damage_is_handed_on_by_a_worker_process(output):
    damage = pickle.loads(pickle.dumps(Damaged(output, "a.csv", "has changed")))
    assert (damage.folder, damage.name, str(damage)) == (
        output,
        "a.csv",
        str(Damaged(output, "a.csv", "has changed")),
    )


def test_what_is_damaged_is_put_aside_and_an_earlier_one_gives_way(output):
    for _ in range(2):
        aside = set_aside(output)
        assert is_aside(aside)
        assert not output.exists()
        shutil.copytree(aside, output)
    output_file = output.with_name("file")
    output_file.write_text("no folder")
    assert set_aside(output_file).read_text() == "no folder"


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_lies_in_the_place_of_an_output_gives_way(tmp_path, is_folder, caplog):
    artifact = Artifact(tmp_path, "stage", 1)
    artifact.folder.parent.mkdir()
    if is_folder:
        artifact.folder.mkdir()
        (artifact.folder / "old.csv").write_text("kept")
    else:
        artifact.folder.write_text("kept")
        artifact.folder.with_name(f"{artifact.folder.name}.partial").write_text("a file")
    with artifact.building() as folder:
        (folder / "new.csv").write_text("a")
    assert [path.name for path in artifact.folder.glob("*.csv")] == ["new.csv"]
    assert "is incomplete" in caplog.text
    check_output(artifact.folder)


def test_an_output_of_an_earlier_version_has_nothing_to_compare_with(output):
    content = json.loads((output / PROVENANCE).read_text())
    (output / PROVENANCE).write_text(json.dumps({name: content[name] for name in content if name != "checksum"}))
    flip(output / "a.csv")
    assert verified(output / "a.csv") == output / "a.csv"

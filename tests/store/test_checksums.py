import pytest

from respcam.store import checksums
from respcam.store.artifact import file_sha256
from respcam.store.checksums import are_remembered, content_of_files


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"abc")
    (folder / "folder.wav").mkdir()
    return folder


def test_content_of_each_file_or_why_there_is_none(root, tmp_path):
    content = content_of_files(root, ["a.wav", "folder.wav", "absent.wav"], tmp_path / "store", workers=1)
    assert content == [file_sha256(root / "a.wav"), "unreadable", "missing"]


def test_a_file_that_has_not_changed_is_not_read_again(root, tmp_path, monkeypatch):
    before = content_of_files(root, ["a.wav"], tmp_path / "store", workers=1)
    monkeypatch.setattr(checksums, "file_sha256", lambda path: "read")
    assert content_of_files(root, ["a.wav"], tmp_path / "store", workers=1) == before
    (root / "a.wav").write_bytes(b"abcd")
    assert content_of_files(root, ["a.wav"], tmp_path / "store", workers=1) == ["read"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a.wav": 1}', '{"a.wav": [null, "0"]}'])
def test_a_damaged_cache_is_not_used(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(b"sound")
    expected = content_of_files(tmp_path, ["a.wav"], tmp_path, 1)
    memory = next((tmp_path / "checksums").glob("*.json"))
    memory.write_text(content)
    assert not are_remembered(tmp_path, ["a.wav"], tmp_path)
    assert content_of_files(tmp_path, ["a.wav"], tmp_path, 1) == expected

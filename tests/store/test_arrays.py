import numpy as np
import pytest

from respcam.store.arrays import ArrayFile


def test_arrays_come_back_by_name(tmp_path):
    file = ArrayFile(tmp_path / "scores.npz")
    assert file.load() == {}
    file.save({"_": np.arange(3.0), "_0_2": np.full((2, 2), np.nan)})
    loaded = file.load()
    assert list(loaded) == ["_", "_0_2"]
    np.testing.assert_array_equal(loaded["_"], [0, 1, 2])
    assert np.isnan(loaded["_0_2"]).all()


def test_the_content_is_replaced_and_nothing_is_left_beside_it(tmp_path):
    file = ArrayFile(tmp_path / "scores.npz")
    file.save({"a": np.zeros(2)})
    file.save({"b": np.ones(2)})
    assert list(file.load()) == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npz"]


def test_a_writer_that_is_killed_leaves_the_old_content(tmp_path, monkeypatch):
    file = ArrayFile(tmp_path / "scores.npz")
    file.save({"a": np.zeros(2)})

    def killed(path, **arrays):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", killed)
    with pytest.raises(KeyboardInterrupt):
        file.save({"a": np.ones(2)})
    np.testing.assert_array_equal(file.load()["a"], [0, 0])


@pytest.mark.parametrize("content", [b"", b"half", b"PK\x03\x04" + bytes(200)])
def test_a_damaged_file_holds_nothing_and_says_so(tmp_path, caplog, content):
    file = ArrayFile(tmp_path / "scores.npz")
    file.path.write_bytes(content)
    assert file.load() == {}
    assert "is computed again" in caplog.text


def test_a_flipped_byte_is_noticed(tmp_path):
    file = ArrayFile(tmp_path / "scores.npz")
    file.save({"a": np.arange(1000.0)})
    content = bytearray(file.path.read_bytes())
    content[4000] ^= 1
    file.path.write_bytes(content)
    assert file.load() == {}

import json
import shutil

import pytest

from respcam.experiments.repeat import EXACT, check_can_repeat, what_is_the_same


@pytest.fixture
def run(tmp_path):
    """A finished run's folder, as far as it is compared."""
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    for name in (*EXACT, "config.yaml"):
        (folder / name).write_text(name)
    (folder / "metrics.json").write_text(json.dumps({"test": {"auroc": {"value": 0.8}, "n_patients": 3}}))
    made = {"digest": "abc", "libraries": {"torch": "2"}, "python": "3.11", "platform": "Linux", "git": None}
    (folder / "provenance.json").write_text(json.dumps(made))
    return folder


def test_what_differs_is_named(tmp_path, run):
    again = tmp_path / "again"
    shutil.copytree(run, again)
    (again / "predictions.csv").write_text("other")
    (again / "metrics.json").write_text(json.dumps({"test": {"auroc": {"value": 0.7}}}))
    made = json.loads((again / "provenance.json").read_text()) | {"python": "3.12"}
    (again / "provenance.json").write_text(json.dumps(made))
    lines = list(what_is_the_same(run, again))
    assert lines[:2] == ["digest: the same", "python: was 3.11, is 3.12"]
    assert "model.safetensors: identical" in lines
    assert "predictions.csv: differs" in lines
    assert lines[-1] == "test auroc: was 0.8, is 0.7: differs"


def test_a_folder_without_a_run_and_a_second_repetition_are_refused(tmp_path, run):
    check_can_repeat(run, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="not a finished run"):
        check_can_repeat(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="made again before"):
        check_can_repeat(run, tmp_path)

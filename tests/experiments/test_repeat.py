import json
import shutil

import pytest
from made_up_runs import run_in

from respcam.errors import Refused
from respcam.experiments import repeat
from respcam.experiments.repeat import EXACT, check_can_repeat, what_is_the_same


@pytest.fixture
def run(tmp_path):
    """A finished run's folder."""
    return run_in(tmp_path / "runs").folder


def test_what_differs_is_named(tmp_path, run, monkeypatch):
    monkeypatch.setattr(repeat, "git_state", lambda: {"commit": "5678"})
    again = tmp_path / "again"
    shutil.copytree(run, again)
    (again / "predictions.csv").write_text("other")
    metrics = json.loads((again / "metrics.json").read_text())
    metrics["test"]["macro_f1"]["value"] = 0.7
    (again / "metrics.json").write_text(json.dumps(metrics))
    made = json.loads((again / "provenance.json").read_text()) | {"python": "3.12"}
    (again / "provenance.json").write_text(json.dumps(made))
    lines = list(what_is_the_same(run, again))
    assert lines[:2] == ["digest: identical", "python: was 3.11, is 3.12"]
    assert lines[2] == "code: was {'commit': '1234'}, is {'commit': '5678'}"
    assert "model.safetensors: identical" in lines
    assert "predictions.csv: differs" in lines
    assert "test auroc: was 0.8, is 0.8: identical" in lines
    assert lines[-1] == "test macro_f1: was 0.8, is 0.7: differs"


def test_another_digest_is_named(tmp_path, run):
    other = run_in(tmp_path, seed=1).folder
    assert next(what_is_the_same(run, other)) == "digest: differs (settings, inputs or versions changed)"


def test_the_files_that_must_be_equal_are_in_every_run(run):
    assert all((run / name).is_file() for name in EXACT)


def test_a_folder_without_a_run_and_a_second_repetition_are_refused(tmp_path, run):
    check_can_repeat(run, tmp_path / "out")
    with pytest.raises(Refused, match="not a finished run \\(it has no config.yaml\\)"):
        check_can_repeat(tmp_path, tmp_path / "out")
    with pytest.raises(Refused, match="holds an earlier repetition"):
        check_can_repeat(run, tmp_path)

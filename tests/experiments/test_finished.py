import hashlib
import json

import pytest
from made_up_runs import run_in

from respcam.errors import Refused
from respcam.experiments.finished import DESCRIPTION, FinishedRun


@pytest.fixture
def run(tmp_path):
    return run_in(tmp_path, "below", seed=3)


def test_a_run_says_what_it_is(run):
    assert (run.name, run.digest()[:9], run.page.read_text()) == ("below3None", "below3Non", "report")
    assert {name: run.description()[name] for name in DESCRIPTION} == {
        "dataset": "synthetic", "task": "adventitious", "split": "official", "fold": None, "bands": "below",
        "model": "band_cnn", "seed": 3,
    }  # fmt: skip


def test_identifiers_stay_text(run):
    predictions = run.predictions()
    assert predictions["patient_id"].tolist()[:2] == ["0", "1"]
    assert predictions["unit_id"].map(type).eq(str).all()


def test_results_are_read(run):
    assert run.intervals()["test.auroc"] == {"value": 0.8, "low": 0.7, "high": 0.9}
    assert "test.n_patients" not in run.intervals()
    assert "test.confusion" not in run.intervals()
    assert run.heat()["n_bands"] == 64
    assert run.verdicts()["test"]["is_supported"]
    assert run.history()["epoch"].tolist() == [1, 2]
    assert set(run.band_heat()["part"]) == {"validation", "test"}
    assert run.sha256("model.safetensors") == hashlib.sha256(b"weights").hexdigest()


def test_a_file_is_read_once(run):
    assert run.predictions() is run.predictions()
    (run.folder / "metrics.json").write_text("{}")
    assert FinishedRun(run.folder).metrics() == {}


def test_two_of_the_same_folder_are_equal(run):
    run.metrics()
    assert run == FinishedRun(run.folder)
    assert hash(run) == hash(FinishedRun(run.folder))


def test_what_is_no_finished_run_is_refused(tmp_path, run):
    assert FinishedRun.of(run.folder) == run
    assert not FinishedRun(tmp_path).is_finished
    with pytest.raises(Refused, match="not a finished run \\(it has no provenance.json\\)"):
        FinishedRun.of(tmp_path)
    with pytest.raises(Refused, match="it has no notes.txt"):
        FinishedRun.of(run.folder, required="notes.txt")


def test_the_made_up_run_is_what_a_reader_of_json_sees(run):
    assert json.loads((run.folder / "provenance.json").read_text()) == run.provenance()

import json

import pytest
from made_up_runs import run_in

from respcam.experiments import tracking
from respcam.experiments.tracking import TrackerSettings, track


@pytest.fixture
def run(tmp_path):
    """A finished run's folder."""
    run = run_in(tmp_path / "runs")
    metrics = json.loads((run.folder / "metrics.json").read_text())
    metrics["test"]["ece"] = {"value": 0.1, "low": None}
    (run.folder / "metrics.json").write_text(json.dumps(metrics))
    return run.folder


@pytest.fixture
def store(tmp_path):
    """An SQLite store."""
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install -e '.[mlflow]'")
    return TrackerSettings("mlflow", f"sqlite:///{tmp_path}/runs.db", tmp_path / "artifacts", "breath")


def listed(store):
    from mlflow import MlflowClient

    client = MlflowClient(store.uri)
    return client, client.search_runs([client.get_experiment_by_name(store.experiment).experiment_id])


def test_a_run_is_listed_once_with_all_that_is_known(store, run):
    config = {
        "seed": 3,
        "training": {"epochs": 2, **{f"option_{n}": n for n in range(150)}},
        "bands": {"hz": [[0, 9]]},
    }
    track(store, run, config)
    track(store, run, config)
    client, (own,) = listed(store)
    assert own.info.status == "FINISHED"
    assert own.info.run_name == "all0None"
    assert own.data.params["seed"] == "3"
    assert own.data.params["bands.hz"] == "[[0, 9]]"
    assert len(own.data.params) == 153
    assert own.data.metrics["test.auroc"] == 0.8
    assert own.data.metrics["test.auroc.high"] == 0.9
    assert "test.ece.low" not in own.data.metrics
    assert own.data.tags["mlflow.source.git.commit"] == "1234"
    curve = client.get_metric_history(own.info.run_id, "train_loss")
    assert [(each.step, each.value) for each in curve] == [(1, 0.7), (2, 0.5)]
    assert {each.path for each in client.list_artifacts(own.info.run_id)} >= {"report.html", "figures"}
    assert (store.artifacts / own.info.run_id / "artifacts/figures/profile.png").read_bytes() == b"figure"


def test_a_listing_that_was_cut_short_is_made_again(store, run, monkeypatch):
    from mlflow import MlflowClient

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "log_artifacts", die)
        with pytest.raises(KeyboardInterrupt):
            track(store, run, {"seed": 0})
    track(store, run, {"seed": 0})
    _, (own,) = listed(store)
    assert own.info.status == "FINISHED"


def test_a_store_that_refuses_is_named_and_the_run_is_not_lost(tmp_path, store, run):
    refusing = TrackerSettings("mlflow", "nosuch://place", None)
    with pytest.raises(ValueError, match=r"tracker.uri is nosuch://place: .*the run is finished: .*all0None"):
        track(refusing, run, {})


def test_nothing_is_tracked_unless_asked(run):
    track(TrackerSettings(), run, {})
    assert not list(run.parent.glob(".tracking*"))


def test_a_missing_library_is_named_before_any_work(monkeypatch):
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"tracker.name is mlflow, which is not installed: pip install -e '.\[mlflow\]'"
    ):
        TrackerSettings("mlflow")
    with pytest.raises(ValueError, match="tracker.name is 'wandb'; expected one of none, mlflow"):
        TrackerSettings("wandb")

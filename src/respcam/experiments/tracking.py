"""Finished runs in a tracking store: MLflow, where it is asked for."""

import importlib.util
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from respcam.experiments.records import intervals

log = logging.getLogger(__name__)

TRACKERS = ("none", "mlflow")
DIGEST = "respcam.digest"
BATCH = 100  # what MLflow takes at once


@dataclass(frozen=True)
class TrackerSettings:
    """Where finished runs are listed.

    Parameters
    ----------
    name : str
        none or mlflow.
    uri : str
        Of the store: ``sqlite:///file`` or a server's address.
    artifacts : Path, optional
        Folder that run folders are copied to, for a store that is a file; None leaves it to the store.
    experiment : str
        MLflow's name for what the runs belong to.
    """

    name: str = "none"
    uri: str = ""
    artifacts: Path | None = None
    experiment: str = "respcam"

    def __post_init__(self) -> None:
        if self.name not in TRACKERS:
            raise ValueError(f"tracker.name is {self.name!r}; expected one of {', '.join(TRACKERS)}")
        if self.name == "mlflow" and not importlib.util.find_spec("mlflow"):
            raise ValueError("tracker.name is mlflow, which is not installed: pip install -e '.[mlflow]'")


def track(settings: TrackerSettings, run: Path, config: Mapping[str, Any]) -> None:
    """List a finished run, unless it is listed.

    MLflow is handed every setting as a parameter, ``<part>.<metric>`` with ``.low`` and ``.high`` and the
    history over epochs as metrics, and the run folder with report and figures as artifacts.

    Parameters
    ----------
    settings : TrackerSettings
    run : Path
        Folder of the finished run.
    config : mapping
        Its configuration.

    Raises
    ------
    ValueError
        If the store refuses; the run itself is not lost.
    """
    if settings.name == "none":
        return
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.exceptions import MlflowException

    try:
        with FileLock(run.parent / ".tracking.lock"):  # jobs of a sweep would make a new database at once
            _track(settings, run, config)
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"tracker.uri is {settings.uri}: {reason} (the run is finished: {run})") from error


def _track(settings: TrackerSettings, run: Path, config: Mapping[str, Any]) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(settings.uri)
    provenance = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    found = client.get_experiment_by_name(settings.experiment)
    if found is None:
        place = None if settings.artifacts is None else settings.artifacts.resolve().as_uri()
        experiment = client.create_experiment(settings.experiment, artifact_location=place)
    else:
        experiment = found.experiment_id
    for earlier in client.search_runs([experiment], f"tags.`{DIGEST}` = '{provenance['digest']}'"):
        if earlier.info.status == "FINISHED":
            log.info("tracking: %s is listed in %s", run.name, settings.uri)
            return
        client.delete_run(earlier.info.run_id)  # cut short while it was written
    tags = {DIGEST: provenance["digest"], "respcam.run": str(run.resolve())}
    if provenance["git"]:
        tags["mlflow.source.git.commit"] = provenance["git"]["commit"]
    own = client.create_run(experiment, tags=tags, run_name=run.name).info
    (flat,) = pd.json_normalize(dict(config)).to_dict("records")
    for some in _batches([Param(str(name), str(value)) for name, value in flat.items()]):
        client.log_batch(own.run_id, params=some)
    metrics = [
        Metric(name + ("" if which == "value" else f".{which}"), value, own.start_time, 0)
        for name, interval in intervals(run).items()
        for which, value in interval.items()
        if value is not None
    ]
    history = pd.read_csv(run / "history.csv").set_index("epoch")
    for name, column in history.select_dtypes("number").items():
        metrics += [Metric(str(name), value, own.start_time, epoch) for epoch, value in column.dropna().items()]
    for some in _batches(metrics):
        client.log_batch(own.run_id, metrics=some)
    client.log_artifacts(own.run_id, str(run))
    client.set_terminated(own.run_id)
    log.info("tracking: listed %s in %s", run.name, settings.uri)


def _batches(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(values), BATCH):
        yield values[first : first + BATCH]

"""MLflow tracking of finished runs."""

import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from filelock import FileLock

from respcam.errors import Refused
from respcam.experiments.finished import FinishedRun

if TYPE_CHECKING:  # an optional library
    from mlflow import MlflowClient
    from mlflow.entities import Metric

log = logging.getLogger(__name__)

TRACKERS = ("none", "mlflow")
DIGEST = "respcam.digest"
BATCH = 100  # largest number of items that MLflow accepts in one call


@dataclass(frozen=True)
class TrackerSettings:
    """Settings of the tracking of finished runs.

    Parameters
    ----------
    name : str
        Tracker: none or mlflow.
    uri : str
        Address of the tracking store: ``sqlite:///file`` or a server.
    artifacts : Path, optional
        Folder for copies of the run folders, if the store is a file; None takes the default of the store.
    experiment : str
        Name of the MLflow experiment.
    """

    name: str = "none"
    uri: str = ""
    artifacts: Path | None = None
    experiment: str = "respcam"

    def __post_init__(self) -> None:
        if self.name not in TRACKERS:
            raise Refused(f"tracker.name is {self.name!r}; expected one of {', '.join(TRACKERS)}")
        if self.name == "mlflow" and not importlib.util.find_spec("mlflow"):
            raise Refused("tracker.name is mlflow, which is not installed: pip install -e '.[mlflow]'")


def track(settings: TrackerSettings, run: Path, config: Mapping[str, Any]) -> None:
    """Add a finished run to the tracking store, unless it is there.

    In MLflow, every setting is a parameter. ``<part>.<metric>`` with ``.low`` and ``.high`` and the history over
    epochs are metrics. The run folder with report and figures is an artifact.

    Parameters
    ----------
    settings : TrackerSettings
    run : Path
        Folder of the finished run.
    config : mapping
        Configuration of the run.

    Raises
    ------
    Refused
        If the store reports an error; the run is not lost.
    """
    if settings.name == "none":
        return
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.exceptions import MlflowException

    try:
        with FileLock(run.parent / ".tracking.lock"):  # jobs of a sweep would create the database at the same time
            _track(settings, FinishedRun(run), config)
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise Refused(f"tracker.uri is {settings.uri}: {reason} (the run is finished: {run})") from error


def _track(settings: TrackerSettings, run: FinishedRun, config: Mapping[str, Any]) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Param

    client = MlflowClient(settings.uri)
    experiment = _experiment_id(client, settings)
    for earlier in client.search_runs([experiment], f"tags.`{DIGEST}` = '{run.digest()}'"):
        if earlier.info.status == "FINISHED":
            log.info("tracking: %s is already in %s", run.name, settings.uri)
            return
        client.delete_run(earlier.info.run_id)  # its writing was interrupted
    git = run.provenance()["git"]
    tags = {DIGEST: run.digest(), "respcam.run": str(run.folder.resolve())}
    if git:
        tags["mlflow.source.git.commit"] = git["commit"]
    listing = client.create_run(experiment, tags=tags, run_name=run.name).info
    (flat,) = pd.json_normalize(dict(config)).to_dict("records")
    for batch in _batches([Param(str(name), str(value)) for name, value in flat.items()]):
        client.log_batch(listing.run_id, params=batch)
    for batch in _batches(_metrics(run, listing.start_time)):
        client.log_batch(listing.run_id, metrics=batch)
    client.log_artifacts(listing.run_id, str(run.folder))
    client.set_terminated(listing.run_id)
    log.info("tracking: added %s to %s", run.name, settings.uri)


def _experiment_id(client: "MlflowClient", settings: TrackerSettings) -> str:
    experiment = client.get_experiment_by_name(settings.experiment)
    if experiment is not None:
        return experiment.experiment_id
    place = None if settings.artifacts is None else settings.artifacts.resolve().as_uri()
    return client.create_experiment(settings.experiment, artifact_location=place)


def _metrics(run: FinishedRun, start_time: int) -> list["Metric"]:
    """Every metric with the ends of its interval, and the history over epochs."""
    from mlflow.entities import Metric

    metrics = [
        Metric(name if end == "value" else f"{name}.{end}", value, start_time, 0)
        for name, interval in run.intervals().items()
        for end, value in interval.items()
        if value is not None
    ]
    history = run.history().set_index("epoch")
    for name, column in history.select_dtypes("number").items():
        metrics += [Metric(str(name), value, start_time, epoch) for epoch, value in column.dropna().items()]
    return metrics


def _batches(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(values), BATCH):
        yield values[first : first + BATCH]

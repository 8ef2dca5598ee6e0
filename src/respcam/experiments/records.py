"""Run records: the state of every requested run (running, finished, failed or interrupted)."""

import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from respcam.experiments.finished import DESCRIPTION, FinishedRun
from respcam.store.artifact import digest_of, write_atomically
from respcam.store.integrity import Damaged

log = logging.getLogger(__name__)

STATES = RUNNING, FINISHED, FAILED, INTERRUPTED, DAMAGED = ("running", "finished", "failed", "interrupted", "damaged")


@dataclass(frozen=True)
class RunRecord:
    """Record of one requested run.

    Attributes
    ----------
    key : str
        Digest of the requested configuration; a repeated request is another attempt of the same record.
    overrides : list of str
        Overrides of the command line and of the sweep.
    state : str
        running, finished, failed or interrupted; in a table also damaged: files of the finished run have changed.
    run : str
        Folder of the finished run.
    error : str
        Error of the last attempt, one line.
    attempts : int
        Number of attempts, finished or not.
    started : str
        Start of the last attempt, ISO 8601.
    duration_s : float
        Duration of the attempt that did the work; it stays when a later attempt finds everything done.
    host : str
        Machine of the last attempt.
    pid : int
        Process of the last attempt.
    """

    key: str
    overrides: list[str] = field(default_factory=list)
    state: str = RUNNING
    run: str = ""
    error: str = ""
    attempts: int = 0
    started: str = ""
    duration_s: float = 0.0
    host: str = ""
    pid: int = 0


class Attempt:
    """Attempt at a run, from `keeping_record`.

    Attributes
    ----------
    run : Path or None
        Folder of the finished run; the caller sets it before the attempt ends.
    """

    run: Path | None = None


@contextmanager
def keeping_record(folder: Path, configuration: str, overrides: Sequence[str]) -> Iterator[Attempt]:
    """Record the state of one run during an attempt.

    Parameters
    ----------
    folder : Path
        Folder of the records, one JSON file per run.
    configuration : str
        Composed configuration, which identifies the run.
    overrides : sequence of str
        Overrides of the command line and of the sweep.

    Yields
    ------
    Attempt
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = digest_of(configuration)[:16]
    path = folder / f"{key}.json"
    before = (read(path) if path.is_file() else None) or RunRecord(key)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = replace(
        before,
        overrides=list(overrides),
        state=RUNNING,
        error="",
        attempts=before.attempts + 1,
        started=now,
        host=socket.gethostname(),
        pid=os.getpid(),
    )
    _write(path, record)
    start, attempt = time.monotonic(), Attempt()
    try:
        yield attempt
    except BaseException as error:
        state = FAILED if isinstance(error, Exception | SystemExit) else INTERRUPTED
        line = " ".join(f"{type(error).__name__}: {error}".split())
        _write(path, replace(record, state=state, error=line, duration_s=round(time.monotonic() - start, 1)))
        raise
    duration_s = before.duration_s if before.state == FINISHED else round(time.monotonic() - start, 1)
    _write(path, replace(record, state=FINISHED, run=str(attempt.run), duration_s=duration_s))


def read(path: Path) -> RunRecord | None:
    """Read one record; a running record counts as interrupted if its process no longer exists.

    A damaged record is not read (None); the next attempt at its run writes a new one.
    """
    try:
        record = RunRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        log.warning("%s is damaged (%s); the next attempt at its run replaces it", path, error)
        return None
    is_here = record.state == RUNNING and record.host == socket.gethostname()
    return replace(record, state=INTERRUPTED) if is_here and not _is_alive(record.pid) else record


def table(folder: Path) -> pd.DataFrame:
    """List every requested run.

    Parameters
    ----------
    folder : Path
        Folder of the records.

    Returns
    -------
    DataFrame
        A row per record: ``state, duration_s, attempts, started, overrides, digest, run, error``. Finished runs
        also have ``dataset, task, split, fold, bands, model, seed`` and every metric of every part
        (``<part>.<metric>``).
    """
    rows = []
    for path in sorted(folder.glob("*.json")):
        if (record := read(path)) is None:
            continue
        run = FinishedRun(Path(record.run))
        try:
            results = _results(run) if record.state == FINISHED and run.is_finished else {}
        except Damaged as damage:
            results, record = {}, replace(record, state=DAMAGED, error=damage.finding)
        rows.append({"state": record.state, **results, **asdict(record), "overrides": " ".join(record.overrides)})
    last = ["duration_s", "attempts", "started", "overrides", "digest", "run", "error"]
    if not rows:
        return pd.DataFrame(columns=["state", *last])
    listed = pd.DataFrame(rows).drop(columns=["key", "host", "pid"])
    return listed[[name for name in listed if name not in last] + [name for name in last if name in listed]]


def _results(run: FinishedRun) -> dict[str, object]:
    """Description of a finished run, and every metric of every part."""
    description = {name: run.description()[name] for name in DESCRIPTION}
    values = {name: interval["value"] for name, interval in run.intervals().items()}
    return {**description, "digest": run.digest()[:16], **values}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _write(path: Path, record: RunRecord) -> None:
    write_atomically(path, json.dumps(asdict(record), indent=2) + "\n")

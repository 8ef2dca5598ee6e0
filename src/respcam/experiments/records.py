"""What became of every run that was asked for: finished, failed with its error, or cut short."""

import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from respcam.store.artifact import digest_of, write_atomically

RUNNING, FINISHED, FAILED, INTERRUPTED = "running", "finished", "failed", "interrupted"


@dataclass(frozen=True)
class Record:
    """One run that was asked for.

    Attributes
    ----------
    key : str
        Digest of what was asked for; asking again is another attempt of the same record.
    overrides : list of str
        Of the command line and of the sweep.
    state : str
        running, finished, failed or interrupted.
    run : str
        Folder of the finished run.
    error : str
        Of the last attempt, one line.
    attempts : int
        How often it was begun, finished or not.
    started : str
        ISO 8601, of the last attempt.
    duration_s : float
        Of the attempt that did the work; an attempt that found everything done leaves it.
    host : str
    pid : int
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
    """Handed out by `recording`; ``run`` is to be set to the finished run's folder."""

    run: Path | None = None


@contextmanager
def recording(folder: Path, asked: str, overrides: Sequence[str]) -> Iterator[Attempt]:
    """Keep a record of one run while it is made.

    Parameters
    ----------
    folder : Path
        Of the records, a JSON file each.
    asked : str
        The composed configuration: what tells this run from others.
    overrides : sequence of str
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = digest_of(asked)[:16]
    path = folder / f"{key}.json"
    before = read(path) if path.is_file() else Record(key)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = replace(
        before, overrides=list(overrides), state=RUNNING, error="", attempts=before.attempts + 1, started=now,
        host=socket.gethostname(), pid=os.getpid(),
    )  # fmt: skip
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


def read(path: Path) -> Record:
    """Read one record; one whose process is gone counts as interrupted."""
    record = Record(**json.loads(path.read_text(encoding="utf-8")))
    is_gone = record.state == RUNNING and record.host == socket.gethostname() and not _is_alive(record.pid)
    return replace(record, state=INTERRUPTED) if is_gone else record


def table(folder: Path) -> pd.DataFrame:
    """List every run that was asked for.

    Parameters
    ----------
    folder : Path
        Of the records.

    Returns
    -------
    DataFrame
        A row per record: ``state``; what the run is (``dataset, task, split, fold, bands, model, seed``) and
        every metric of every part (``<part>.<metric>``) where it is finished; ``duration_s, attempts, started,
        overrides, digest, run, error``.
    """
    rows = []
    for path in sorted(folder.glob("*.json")):
        record = read(path)
        known: dict[str, object] = {}
        provenance = Path(record.run) / "provenance.json"
        if record.state == FINISHED and provenance.is_file():
            made = json.loads(provenance.read_text(encoding="utf-8"))
            names = ("dataset", "task", "split", "fold", "bands", "model", "seed")
            known = {name: made["settings"]["run"][name] for name in names} | {"digest": made["digest"][:16]}
            known |= {name: own["value"] for name, own in intervals(Path(record.run)).items()}
        rows.append({"state": record.state, **known, **asdict(record), "overrides": " ".join(record.overrides)})
    last = ["duration_s", "attempts", "started", "overrides", "digest", "run", "error"]
    if not rows:
        return pd.DataFrame(columns=["state", *last])
    found = pd.DataFrame(rows).drop(columns=["key", "host", "pid"])
    return found[[name for name in found if name not in last] + [name for name in last if name in found]]


def intervals(run: Path) -> dict[str, dict[str, float]]:
    """Every metric of every part of a finished run: ``<part>.<metric>`` to value, low, high."""
    parts = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return {
        f"{part}.{name}": own
        for part, values in parts.items()
        for name, own in values.items()
        if isinstance(own, dict) and "value" in own
    }


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _write(path: Path, record: Record) -> None:
    write_atomically(path, json.dumps(asdict(record), indent=2) + "\n")

"""Foreign audio to 16 kHz mono: the only stage that meets files we did not write."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from respcam import audio
from respcam.artifact import Artifact
from respcam.audio import AudioSettings
from respcam.manifest import write_table
from respcam.stages.dataset import Source

log = logging.getLogger(__name__)

SCHEMA = 2
REJECTED_COLUMNS = ["recording_id", "path", "reason", "detail"]
RECORDING_COLUMNS = ["recording_id", "n_samples", "source_rate_hz", "source_samples", "rms_db", "peak_db"]


def plan(store: Path, source: Source, settings: AudioSettings) -> Artifact:
    """Name the output before any work is done."""
    return Artifact(store, "resample", SCHEMA, {"audio": settings}, {"audio": source.audio_digest})


def run(artifact: Artifact, source: Source, settings: AudioSettings, workers: int) -> Path:
    """Resample every recording that can be read, and list those that cannot.

    Parameters
    ----------
    artifact : Artifact
        From `plan`.
    source : Source
    settings : AudioSettings
    workers : int
        Processes.

    Returns
    -------
    Path
        Folder with ``audio/<recording_id>.wav``, ``recordings.csv`` and ``rejected.csv``.
    """
    with artifact.building() as partial:
        if partial is None:
            return artifact.folder
        (partial / "audio").mkdir(exist_ok=True)
        journal = partial / "journal.jsonl"
        done = {row["recording_id"]: row for row in _read_journal(journal)}
        todo = source.recordings[~source.recordings["recording_id"].isin(list(done))]
        jobs = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size="auto")(
            delayed(audio.resample_file)(
                row, source.root, source.found[row["recording_id"]], partial / "audio", settings
            )
            for row in todo.to_dict("records")
        )
        bar = tqdm(jobs, total=len(source.recordings), initial=len(done), desc="resample", unit="rec")
        with journal.open("a", encoding="utf-8") as file:
            for row in bar:
                done[row["recording_id"]] = row
                file.write(json.dumps(row) + "\n")
                file.flush()
        rows = [done[name] for name in source.recordings["recording_id"]]
        _write(rows, REJECTED_COLUMNS, "reason", partial / "rejected.csv")
        n_usable = _write(rows, RECORDING_COLUMNS, "n_samples", partial / "recordings.csv")
        log.info("resample: %d recordings usable, %d rejected", n_usable, len(rows) - n_usable)
        journal.unlink()
    return artifact.folder


def _read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Rows that an earlier attempt finished; a last line that was cut off does not count."""
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        path.write_text(whole, encoding="utf-8")
        yield from map(json.loads, whole.splitlines())


def _write(rows: list[dict[str, Any]], columns: list[str], mark: str, path: Path) -> int:
    table = pd.DataFrame([row for row in rows if mark in row], columns=columns)
    write_table(table, path)
    return len(table)

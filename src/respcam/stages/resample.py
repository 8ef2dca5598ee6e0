"""Foreign audio to 16 kHz mono: the only stage that meets files we did not write."""

import logging
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from respcam.sound import audio
from respcam.sound.audio import AudioSettings
from respcam.stages.dataset import Source
from respcam.store.artifact import Artifact
from respcam.store.journal import Journal
from respcam.store.processes import results
from respcam.store.shard import WHOLE, Shard
from respcam.store.tables import write_table

log = logging.getLogger(__name__)

SCHEMA = 2
PIECE_RECORDINGS = 8
EXPECTED_COLUMNS = ["recording_id", "path", "sha256", "sample_rate_hz", "n_samples"]
REJECTED_COLUMNS = ["recording_id", "path", "reason", "detail"]
RECORDING_COLUMNS = ["recording_id", "n_samples", "source_rate_hz", "source_samples", "rms_db", "peak_db"]


def plan(store: Path, source: Source, settings: AudioSettings) -> Artifact:
    """Name the output before any work is done."""
    return Artifact(store, "resample", SCHEMA, {"audio": settings}, {"audio": source.audio_digest})


def run(artifact: Artifact, source: Source, settings: AudioSettings, workers: int, shard: Shard = WHOLE) -> Path:
    """Resample every recording that can be read, and list those that cannot.

    Parameters
    ----------
    artifact : Artifact
        From `plan`.
    source : Source
    settings : AudioSettings
    workers : int
        Processes.
    shard : Shard
        Share of the recordings to do; whoever does the last of them finishes the output.

    Returns
    -------
    Path
        Folder with ``audio/<recording_id>.wav``, ``recordings.csv`` and ``rejected.csv``; it is there once
        every share is done.
    """
    if not shard.is_whole:
        with artifact.contributing(str(shard)) as partial:
            if partial is None:
                return artifact.folder
            n_done = len(_resample(partial, source, settings, workers, shard))
        if n_done < len(source.recordings):
            log.info("resample: %d of %d recordings done; other shards do the rest", n_done, len(source.recordings))
            return artifact.folder
    with artifact.building() as partial:
        if partial is None:
            return artifact.folder
        done = _resample(partial, source, settings, workers, WHOLE)
        rows = [done[name] for name in source.recordings["recording_id"]]
        _write(rows, REJECTED_COLUMNS, "reason", partial / "rejected.csv")
        n_usable = _write(rows, RECORDING_COLUMNS, "n_samples", partial / "recordings.csv")
        log.info("resample: %d recordings usable, %d rejected", n_usable, len(rows) - n_usable)
        Journal(partial, WHOLE).remove()
    return artifact.folder


def _resample(
    folder: Path, source: Source, settings: AudioSettings, workers: int, shard: Shard
) -> dict[str, dict[str, Any]]:
    """Do a share of the recordings; returns what is known of every recording done by now, by recording_id."""
    (folder / "audio").mkdir(exist_ok=True)
    own = source.recordings[[shard.holds(number) for number in range(len(source.recordings))]]
    journal = Journal(folder, shard)
    done = {row["recording_id"] for row in journal.read()}
    todo = own[~own["recording_id"].isin(list(done))]
    table = todo[EXPECTED_COLUMNS].assign(found=source.found[todo["recording_id"]].array)
    rows = (row._asdict() for row in table.itertuples(index=False))
    pieces = (
        (own_rows, source.root, folder / "audio", settings)
        for own_rows in iter(lambda: list(islice(rows, PIECE_RECORDINGS)), [])
    )
    n_pieces = -(-len(todo) // PIECE_RECORDINGS)
    bar = tqdm(total=len(own), initial=len(own) - len(todo), desc="resample", unit="rec")
    with bar, journal:
        for _, found in results(audio.resample_files, pieces, n_pieces, workers):
            journal.append(*found)
            bar.update(len(found))
    return {row["recording_id"]: row for row in journal.read()}


def _write(rows: list[dict[str, Any]], columns: list[str], mark: str, path: Path) -> int:
    table = pd.DataFrame([row for row in rows if mark in row], columns=columns)
    write_table(table, path)
    return len(table)

"""A folder as published to a manifest."""

import logging
from pathlib import Path

import pandas as pd
import soundfile as sf
from tqdm import tqdm

from respcam.data import layouts
from respcam.data import manifest as rules
from respcam.store.artifact import file_sha256
from respcam.store.tables import write_table

log = logging.getLogger(__name__)

LAYOUTS = ("sprsound2022", "icbhi2017", "folder")


def run(layout: str, root: Path, out: Path, known: Path | None, patient_pattern: str) -> Path:
    """Write the manifest of a data set, checked against its rules.

    Parameters
    ----------
    layout : str
        One of `LAYOUTS`.
    root : Path
        Folder of the data set.
    out : Path
        Folder for ``<name>.csv`` and ``<name>_events.csv``.
    known : Path, optional
        CSV with ``path, sha256, sample_rate_hz, n_samples`` for audio that is not there.
    patient_pattern : str
        For layout folder.

    Returns
    -------
    Path
        The table of recordings.
    """
    if layout == "folder":
        recordings, events = layouts.folder(root, patient_pattern), None
    else:
        recordings, events = getattr(layouts, layout)(root)
    if known is not None:
        recordings = _with_known(recordings, known)
    n_absent = 0
    for row in tqdm(recordings.index, desc="read headers and checksums", unit="file"):
        path = root / recordings.at[row, "path"]
        if not path.is_file():
            n_absent += 1
            continue
        recordings.at[row, "sha256"] = file_sha256(path)
        try:
            header = sf.info(path)
        except sf.LibsndfileError:
            log.warning("%s: not readable as audio; rate and length stay blank", path)
            continue
        recordings.at[row, "sample_rate_hz"] = str(header.samplerate)
        recordings.at[row, "n_samples"] = str(header.frames)
    if n_absent:
        log.warning("%d of %d recordings are not under %s", n_absent, len(recordings), root)
    name = root.name if layout == "folder" else layout
    table = out / f"{name}.csv"
    rules.check_recordings(recordings, table.name)
    unknown = [name for name in rules.OPTIONAL_COLUMNS if (recordings[name] == "").all()]
    write_table(recordings.drop(columns=unknown), table)
    if events is not None and len(events):
        rules.check_events(events.astype({"start_s": str, "end_s": str}), recordings, f"{name}_events.csv")
        write_table(events, out / f"{name}_events.csv")
    return table


def _with_known(recordings: pd.DataFrame, known: Path) -> pd.DataFrame:
    """Fill checksum, rate and length from a table, by path."""
    table = pd.read_csv(known, dtype=str, keep_default_na=False).set_index("path")
    columns = ["sha256", "sample_rate_hz", "n_samples"]
    recordings[columns] = table[columns].reindex(recordings["path"]).fillna("").to_numpy()
    return recordings

"""Layouts of published data sets: one module per data set, and manifests made from them.

A new data set is a module in this folder, called like the data set, with source and licence in its first lines and
a function ``list_tables(root: Path) -> Listing``. Nothing names it a second time: the folder is the registry.
"""

import logging
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pandas as pd
import soundfile as sf
from tqdm import tqdm

from respcam.data import manifest as rules
from respcam.data.folder import PATIENT_PATTERN, list_folder
from respcam.data.listing import Listing, as_published
from respcam.errors import Refused
from respcam.store.artifact import file_sha256
from respcam.store.tables import write_table

log = logging.getLogger(__name__)

FOLDER = "folder"  # a user's folder of labels, which is no published data set
FILE_COLUMNS = ["sha256", "sample_rate_hz", "n_samples"]


def layout_names() -> list[str]:
    """Names of all layouts: a user's folder, and the modules of this package.

    Returns
    -------
    list of str

    Examples
    --------
    >>> {"folder", "sprsound2022"} <= set(layout_names())
    True
    """
    return [FOLDER, *sorted(module.name for module in iter_modules(__path__))]


def list_layout(layout: str, root: Path, patient_pattern: str = PATIENT_PATTERN) -> Listing:
    """List the recordings and events of a data set as it was published.

    Parameters
    ----------
    layout : str
        One of `layout_names`.
    root : Path
        Folder of the data set.
    patient_pattern : str
        For layout folder, as in `respcam.data.folder.list_folder`.

    Returns
    -------
    Listing

    Raises
    ------
    Refused
        If there is no such layout, or the root holds something else.

    Examples
    --------
    >>> list_layout("my_lungs", Path("data"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    respcam.errors.Refused: layout is 'my_lungs'; expected one of folder, ...
    """
    if layout not in layout_names():
        raise Refused(f"layout is {layout!r}; expected one of {', '.join(layout_names())}")
    if layout == FOLDER:
        return list_folder(root, patient_pattern)
    return import_module(f"{__name__}.{layout}").list_tables(root)


def write_manifest(
    layout: str,
    root: Path,
    out: Path,
    checksums: Path | None = None,
    patient_pattern: str = PATIENT_PATTERN,
) -> Path:
    """Write the manifest of a data set, checked against its rules.

    Checksum, rate and length are read from the audio that is there.

    Parameters
    ----------
    layout : str
        One of `layout_names`.
    root : Path
        Folder of the data set.
    out : Path
        Folder for ``<name>.csv`` and, where there are events, ``<name>_events.csv``. The name is the layout's, or
        that of the root for layout folder.
    checksums : Path, optional
        CSV with ``path, sha256, sample_rate_hz, n_samples`` for audio that is not there.
    patient_pattern : str
        For layout folder.

    Returns
    -------
    Path
        The table of recordings.

    Raises
    ------
    Refused
        If the root or the table of checksums is not as expected, or the manifest breaks a rule.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp()) / "mine"
    >>> (root / "wheeze").mkdir(parents=True)
    >>> sf.write(root / "wheeze" / "ann_1.wav", [0.1, -0.1], 8000)
    >>> path = write_manifest("folder", root, out=root / "manifests")
    >>> path.name, pd.read_csv(path).loc[0, "recording_id"]
    ('mine.csv', 'wheeze_ann_1')
    """
    listing = list_layout(layout, root, patient_pattern)
    recordings = listing.recordings
    if checksums is not None:
        recordings = _with_checksums(recordings, checksums)
    recordings = _with_headers(recordings, root)
    name = root.absolute().name if layout == FOLDER else layout
    path = out / f"{name}.csv"
    rules.check_recordings(recordings, path.name)
    unknown = [column for column in rules.OPTIONAL_COLUMNS if (recordings[column] == "").all()]
    write_table(recordings.drop(columns=unknown), path)
    if len(listing.events):
        events_path = out / f"{name}_events.csv"
        rules.check_events(listing.events.astype({"start_s": str, "end_s": str}), recordings, events_path.name)
        write_table(listing.events, events_path)
    return path


def _with_headers(recordings: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Fill checksum, rate and length from the files that are there."""
    recordings, n_absent = recordings.copy(), 0
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
    return recordings


def _with_checksums(recordings: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Fill checksum, rate and length from a table, by path."""
    if not path.is_file():
        raise Refused(f"{path}: no such table; expected a CSV with path, {', '.join(FILE_COLUMNS)}")
    with as_published(path, f"a CSV with a row per path and the columns path, {', '.join(FILE_COLUMNS)}"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        missing = [column for column in ("path", *FILE_COLUMNS) if column not in table]
        if missing:
            raise Refused(f"{path.name}: no column {', '.join(missing)}; expected path, {', '.join(FILE_COLUMNS)}")
        filled = table.set_index("path")[FILE_COLUMNS].reindex(recordings["path"]).fillna("")
    return recordings.assign(**{column: filled[column].to_numpy() for column in FILE_COLUMNS})

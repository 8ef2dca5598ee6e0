"""Manifests: tables of recordings and of their events, and the rules that both must keep."""

import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from respcam.errors import Refused

RECORDING_COLUMNS = (
    "recording_id",
    "path",
    "sha256",
    "sample_rate_hz",
    "n_samples",
    "patient_id",
    "label",
    "split",
)
REQUIRED_COLUMNS = ("path", "patient_id", "label")  # of a user's table; the others are made or blank
RECORDING_STRATA = ("device", "sample_rate_hz")  # columns that metrics are also reported by
OPTIONAL_COLUMNS = ("device", "site", "age_years", "sex", "diagnosis")
EVENT_COLUMNS = ("recording_id", "start_s", "end_s", "label")

SECONDS = r"[0-9]{1,9}(\.[0-9]+)?"
LONGEST_ID = 200  # bytes of an id in UTF-8: the name of a file, with what outputs add to it, has at most 255
DIGEST_DIGITS = 12
LONGEST_SHOWN = 120  # characters of a value in a message

#: column -> (pattern that a value must match, what is expected in words). Blank means that the value is unknown.
COLUMN_RULES: Mapping[str, tuple[str, str]] = {
    "recording_id": (r"[\w.&+-][\w .&+-]*", "letters, digits, '_', '.', '-', '+', '&' or inner spaces"),
    "path": (
        r"(?!\s)[^\x00-\x1f\x7f]+(?<!\s)",
        "the recording's file, relative to dataset.root, in printed characters",
    ),
    "sha256": (r"([0-9a-f]{64})?", "64 lower-case hex digits, or blank where it is not known"),
    "sample_rate_hz": (r"([1-9][0-9]{0,8})?", "a whole number of Hz such as 44100, or blank"),
    "n_samples": (r"([0-9]{1,15})?", "a whole number of samples, or blank"),
    "patient_id": (r"\S(.*\S)?", "the patient's identifier, without spaces around it"),
    "label": (r"(\S(.*\S)?)?", "a label without spaces around it, or blank where it is not known"),
    "split": (r"\w+", "a part's name such as train or test for every recording, or no column split"),
    "age_years": (r"([0-9]{1,3}(\.[0-9]+)?)?", "an age in years such as 3.5, or blank"),
    "start_s": (SECONDS, "seconds from the start of the recording, such as 1.25"),
    "end_s": (SECONDS, "seconds from the start of the recording, such as 1.25"),
}
WHOLE = "train"  # the part of every recording where no split is published
#: other names of the parts that patients are chosen from; under them a part would be taken for a test part
PART_NAMES = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev", "development"), "validation"),
}
DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_recordings(path: Path, labels: Collection[str] | None = None, root: Path | None = None) -> pd.DataFrame:
    """Read and check a table of recordings.

    Parameters
    ----------
    path : Path
        CSV (UTF-8) with at least `REQUIRED_COLUMNS`, rows and columns in any order; a blank cell means that the
        value is unknown.
    labels : collection of str, optional
        The closed set that every label that is not blank must belong to.
    root : Path, optional
        Folder that paths are relative to; an absolute path must lie under it.

    Returns
    -------
    DataFrame
        One row per recording, sorted by ``recording_id``, all columns text, blank where unknown. Where the file
        has no ``recording_id``, it is made from the path; where it has no ``split``, all recordings are in train.

    Raises
    ------
    Refused
        If the file cannot be read, or a rule is broken: the first row that breaks it, the value and what is
        expected.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "recordings.csv"
    >>> pd.DataFrame([{"path": "ann/1.wav", "patient_id": "ann", "label": "wheeze"}]).to_csv(path, index=False)
    >>> read_recordings(path, ["normal", "wheeze"]).loc[0, ["recording_id", "label", "split"]].tolist()
    ['ann_1', 'wheeze', 'train']
    """
    table = _read(path, REQUIRED_COLUMNS)
    check_columns(table, REQUIRED_COLUMNS, path.name)
    _check_values(table[["path"]], path.name)
    _check_unique(table, path.name, "path")
    table = _completed(table, path.name, root)
    check_recordings(table, path.name, labels)
    return table.sort_values("recording_id").reset_index(drop=True)


def _completed(table: pd.DataFrame, source: str, root: Path | None) -> pd.DataFrame:
    """Make the columns that a user's table may lack, and absolute paths relative."""
    table = table.assign(path=[_relative(path, root) for path in table["path"]])
    if "recording_id" not in table:
        table["recording_id"] = [_id_of(path) for path in table["path"]]
        repeated = table["recording_id"].duplicated()
        if repeated.any():
            _fail(table, source, "path", repeated, "paths that differ in letters or digits, or a column recording_id")
    if "split" not in table or (table["split"] == "").all():
        table["split"] = WHOLE
    return table.assign(**{column: "" for column in RECORDING_COLUMNS if column not in table})


def _id_of(path: str) -> str:
    place = PurePosixPath(path)
    return safe_id(str(place.with_suffix("")) if place.name else path)


def _relative(path: str, root: Path | None) -> str:
    if root is not None and Path(path).is_absolute():
        for base in (root.absolute(), root.resolve()):
            if Path(path).is_relative_to(base):
                return Path(path).relative_to(base).as_posix()
    return path


def read_events(path: Path, recordings: pd.DataFrame, labels: Collection[str] | None = None) -> pd.DataFrame:
    """Read and check a table of events (or respiratory cycles).

    Parameters
    ----------
    path : Path
        CSV (UTF-8) with `EVENT_COLUMNS`; times in s.
    recordings : DataFrame
        The recordings that events may refer to.
    labels : collection of str, optional
        The closed set of labels.

    Returns
    -------
    DataFrame
        One row per event; ``start_s`` and ``end_s`` float64 in s, the rest text.

    Raises
    ------
    Refused
        If the file is absent, or a rule is broken: the first row that breaks it, the value and what is expected.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "events.csv"
    >>> row = {"recording_id": "ann_1", "start_s": 0.5, "end_s": 1.25, "label": "wheeze"}
    >>> pd.DataFrame([row]).to_csv(path, index=False)
    >>> float(read_events(path, pd.DataFrame({"recording_id": ["ann_1"]})).loc[0, "end_s"])
    1.25
    """
    table = _read(path, EVENT_COLUMNS)
    check_events(table, recordings, path.name, labels)
    return table.astype({"start_s": float, "end_s": float})


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    if not path.is_file():
        raise Refused(f"{path}: no such manifest; name a CSV file or build one with respcam manifest make")
    try:
        options = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig", "skipinitialspace": True}
        header = pd.read_csv(path, header=None, nrows=1, **options).iloc[0].tolist()
        table = pd.read_csv(path, **options).fillna("")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise Refused(
            f"{path.name} line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8; save it as CSV UTF-8"
        ) from error
    except pd.errors.EmptyDataError as error:
        raise Refused(f"{path.name}: is empty; expected the columns {', '.join(columns)}") from error
    except pd.errors.ParserError as error:
        raise Refused(f"{path.name}: is not a table separated by commas: {' '.join(str(error).split())}") from error
    if repeated := [name for name in header if header.count(name) > 1]:
        raise Refused(f"{path.name}: has the column {repeated[0]} {header.count(repeated[0])} times; expected once")
    if len(header) == 1:
        for delimiter, name in DELIMITERS.items():
            if delimiter in header[0]:
                raise Refused(f"{path.name}: its columns are separated by {name}; expected commas")
    return table


def check_recordings(table: pd.DataFrame, source: str, labels: Collection[str] | None = None) -> None:
    """Check that a table of recordings keeps its rules.

    Rules: the columns of `RECORDING_COLUMNS`; values as `COLUMN_RULES` say; unique ids and paths;
    relative paths that stay inside the root; labels from the closed set; parts that are called train, validation,
    or as no other word for these.

    Parameters
    ----------
    table : DataFrame
        Text columns.
    source : str
        Name of the file, for the message.
    labels : collection of str, optional

    Raises
    ------
    Refused
        On the first rule that is broken.

    Examples
    --------
    >>> check_recordings(pd.DataFrame({"recording_id": ["ann_1"]}), "mine.csv")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    respcam.errors.Refused: mine.csv: no column path, sha256, ...
    """
    check_columns(table, RECORDING_COLUMNS, source)
    _check_values(table, source)
    _check_parts(table, source)
    _check_labels(table, source, labels, blank_allowed=True)
    too_long = table["recording_id"].str.encode("utf-8").str.len() > LONGEST_ID
    if too_long.any():
        _fail(table, source, "recording_id", too_long, f"at most {LONGEST_ID} bytes")
    _check_unique(table, source, "recording_id")
    _check_unique(table, source, "path")
    outside = ~table["path"].map(_stays_inside)
    if outside.any():
        _fail(table, source, "path", outside, "a path with '/' that lies under dataset.root")


def _stays_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and "\\" not in path and not path.startswith("/") and ".." not in parts


def check_events(
    table: pd.DataFrame, recordings: pd.DataFrame, source: str, labels: Collection[str] | None = None
) -> None:
    """Check that a table of events keeps its rules.

    Rules: the columns of `EVENT_COLUMNS`; times in s with ``end_s`` after ``start_s``; a recording
    that exists; labels from the closed set, never blank.

    Parameters
    ----------
    table : DataFrame
        Text columns.
    recordings : DataFrame
        The recordings that events may refer to.
    source : str
        Name of the file, for the message.
    labels : collection of str, optional

    Raises
    ------
    Refused
        On the first rule that is broken.

    Examples
    --------
    >>> recordings = pd.DataFrame({"recording_id": ["ann_1"]})
    >>> row = {"recording_id": "ann_1", "start_s": "1.5", "end_s": "1.25", "label": "wheeze"}
    >>> check_events(pd.DataFrame([row]), recordings, "mine_events.csv")
    Traceback (most recent call last):
        ...
    respcam.errors.Refused: mine_events.csv row 2: end_s is '1.25'; expected a time after start_s
    """
    check_columns(table, EVENT_COLUMNS, source)
    _check_values(table, source)
    _check_labels(table, source, labels, blank_allowed=False)
    unknown = ~table["recording_id"].isin(recordings["recording_id"])
    if unknown.any():
        _fail(table, source, "recording_id", unknown, "a recording that the manifest lists")
    reversed_ = table["end_s"].astype(float) <= table["start_s"].astype(float)
    if reversed_.any():
        _fail(table, source, "end_s", reversed_, "a time after start_s")


def check_columns(table: pd.DataFrame, columns: tuple[str, ...], source: str) -> None:
    """Refuse a table without rows, or that lacks a column, with the column that comes nearest."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise Refused(
            f"{source}: no column {', '.join(missing)}; expected {', '.join(columns)}, and the first row has "
            f"{_shown(', '.join(map(str, table.columns)))}"
        )
    if table.empty:
        raise Refused(f"{source}: has no rows")


def _check_unique(table: pd.DataFrame, source: str, column: str) -> None:
    repeated = table[column].duplicated()
    if repeated.any():
        _fail(table, source, column, repeated, "each value once")


def _check_parts(table: pd.DataFrame, source: str) -> None:
    for name, meant in PART_NAMES.items():
        wrong = (table["split"].str.lower() == name) & (table["split"] != meant)
        if wrong.any():
            _fail(table, source, "split", wrong, f"{meant!r}; any other name is that of a test part")


def _check_values(table: pd.DataFrame, source: str) -> None:
    for column in table.columns.intersection(list(COLUMN_RULES)):
        pattern, expected = COLUMN_RULES[column]
        wrong = ~table[column].str.fullmatch(pattern)
        if wrong.any():
            _fail(table, source, column, wrong, expected)


def _check_labels(table: pd.DataFrame, source: str, labels: Collection[str] | None, *, blank_allowed: bool) -> None:
    legal = set(labels) if labels else set(table["label"]) - {""}
    wrong = ~table["label"].isin(legal | ({""} if blank_allowed else set()))
    if wrong.any():
        _fail(table, source, "label", wrong, f"one of {', '.join(sorted(legal))}")


def _fail(table: pd.DataFrame, source: str, column: str, wrong: pd.Series, expected: str) -> None:
    row = int(wrong.to_numpy().argmax())
    n_wrong = int(wrong.sum())
    more = f" (and {n_wrong - 1} more rows)" if n_wrong > 1 else ""
    value = table[column].iloc[row]
    raise Refused(f"{source} row {row + 2}: {column} is {_shown(repr(value))}; expected {expected}{more}")


def _shown(text: str) -> str:
    """A value in a message: a long one is cut."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}... ({len(text)} characters)"


def shared_patients(recordings: pd.DataFrame, same_patient_parts: Collection[str] = ()) -> list[str]:
    """Patients with recordings in more than one part of the ``split`` column.

    Parameters
    ----------
    recordings : DataFrame
    same_patient_parts : collection of str
        Parts that are published as sharing their patients with train; they do not count.

    Returns
    -------
    list of str
        Patient ids, sorted.

    Examples
    --------
    >>> shared_patients(pd.DataFrame({"patient_id": ["ann", "ann", "bob"], "split": ["train", "test", "test"]}))
    ['ann']
    """
    independent = recordings[~recordings["split"].isin(list(same_patient_parts))]
    n_parts = independent.groupby("patient_id")["split"].nunique()
    return sorted(n_parts.index[n_parts > 1])


def check_patients_apart(
    recordings: pd.DataFrame,
    source: str,
    same_patient_parts: Collection[str] = (),
    known_shared: Collection[str] = (),
) -> None:
    """Refuse a manifest that has a patient in two parts of its split.

    Parameters
    ----------
    recordings : DataFrame
    source : str
        Name of the file, for the message.
    same_patient_parts : collection of str
        Parts that are published as sharing their patients with train.
    known_shared : collection of str
        Patients that the published split itself has in two parts.

    Raises
    ------
    Refused
        With the ids of the patients concerned.

    Examples
    --------
    >>> recordings = pd.DataFrame({"patient_id": ["ann", "ann"], "split": ["train", "test"]})
    >>> check_patients_apart(recordings, "mine.csv", known_shared=["ann"])
    """
    undeclared = sorted(set(shared_patients(recordings, same_patient_parts)) - set(known_shared))
    if undeclared:
        raise Refused(
            f"{source}: patient {named(undeclared)} in more than one part of split; "
            "move all recordings of a patient to one part"
        )


def named(items: Collection[str], limit: int = 5) -> str:
    """Name the first few items and count the rest.

    Parameters
    ----------
    items : collection of str
    limit : int
        Number of items that are named.

    Returns
    -------
    str

    Examples
    --------
    >>> named("abcdefg", limit=3)
    'a, b, c and 4 more'
    """
    shown = list(items)[:limit]
    rest = len(items) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def safe_id(text: str) -> str:
    """Turn any text into a legal ``recording_id``: a run of characters that are not legal becomes ``_``.

    A text of more than `LONGEST_ID` bytes is cut, and ends with the first digits of its SHA-256.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> safe_id("a b/c?.wav")
    'a_b_c_.wav'
    """
    text = re.sub(r"[^\w.&+-]+", "_", text).strip("_")
    if len(text.encode()) <= LONGEST_ID:
        return text
    kept = text.encode()[: LONGEST_ID - DIGEST_DIGITS - 1].decode(errors="ignore")
    return f"{kept}_{hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]}"

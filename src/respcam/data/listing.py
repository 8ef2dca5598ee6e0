"""Listings: what a folder of recordings holds, as the two tables of a manifest."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from respcam.data.manifest import COLUMN_RULES, EVENT_COLUMNS, LONGEST_ID, OPTIONAL_COLUMNS, RECORDING_COLUMNS
from respcam.errors import Refused


@dataclass(frozen=True)
class Listing:
    """Recordings and events of a data set; their rules are not checked yet.

    Attributes
    ----------
    recordings : DataFrame
        `RECORDING_COLUMNS` and `OPTIONAL_COLUMNS` of `respcam.data.manifest`, text, blank where unknown,
        sorted by recording_id. Checksum, rate and length may be blank: `respcam.data.layouts.write_manifest`
        reads them from the files.
    events : DataFrame
        `EVENT_COLUMNS`, times float64 in s, sorted by recording_id and time; no rows where nothing is annotated.
    """

    recordings: pd.DataFrame
    events: pd.DataFrame

    @classmethod
    def of(
        cls, recordings: Iterable[Mapping[str, str]], events: Iterable[tuple[str, float, float, str]] = ()
    ) -> "Listing":
        """Make both tables from rows.

        Parameters
        ----------
        recordings : iterable of mapping
            Values by column; a column that is left out is blank.
        events : iterable of (recording_id, start_s, end_s, label)

        Returns
        -------
        Listing

        Examples
        --------
        >>> listing = Listing.of([{"recording_id": "b"}, {"recording_id": "a"}], [("a", 0.5, 1.25, "wheeze")])
        >>> listing.recordings["recording_id"].tolist()
        ['a', 'b']
        """
        columns = [*RECORDING_COLUMNS, *OPTIONAL_COLUMNS]
        table = pd.DataFrame(recordings, columns=columns, dtype=str).fillna("")
        return cls(
            table.sort_values("recording_id").reset_index(drop=True),
            pd.DataFrame(events, columns=EVENT_COLUMNS)
            .sort_values(["recording_id", "start_s", "end_s"], kind="stable")
            .reset_index(drop=True),
        )


def fields_of_name(name: str, form: str) -> list[str]:
    """Take the name of a recording apart.

    Parameters
    ----------
    name : str
        Without suffix.
    form : str
        What is expected, such as ``patient_age_sex_site_number``.

    Returns
    -------
    list of str
        As many as ``form`` has.

    Raises
    ------
    Refused
        If the name has another number of fields, or is none that a recording may have: it could lead out of the root.

    Examples
    --------
    >>> fields_of_name("101_1b1_Al_sc_Meditron", "patient_index_site_mode_device")[0]
    '101'
    """
    values = name.split("_")
    if len(values) != len(form.split("_")) or not re.fullmatch(COLUMN_RULES["recording_id"][0], name):
        raise Refused(f"{name[:LONGEST_ID]!r}: not the name of a recording; expected the form {form}")
    return values


def required(path: Path) -> Path:
    """Return the path of a file or folder of annotations that must be there.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Path

    Raises
    ------
    Refused
        If it is absent.

    Examples
    --------
    >>> required(Path("/nowhere/annotations.csv"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    respcam.errors.Refused: /nowhere/annotations.csv: not there; the data set's annotations must lie as they were ...
    """
    if not path.exists():
        raise Refused(f"{path}: not there; the data set's annotations must lie as they were published")
    return path


@contextmanager
def as_published(path: Path, form: str) -> Iterator[None]:
    """Refuse in one line a file of annotations that cannot be read or taken apart within this block.

    Parameters
    ----------
    path : Path
    form : str
        What the file holds where it is as published.

    Raises
    ------
    Refused
        If it is absent, no regular file, or holds something else.

    Examples
    --------
    >>> with as_published(Path(__file__), "ages in years"):
    ...     int("four")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    respcam.errors.Refused: ...listing.py: not as published (invalid literal ...: 'four'); expected ages in years
    """
    if not required(path).is_file():
        raise Refused(f"{path}: not a file; expected {form}")
    try:
        yield
    except Refused:
        raise
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        detail = f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else str(error)
        raise Refused(f"{path}: not as published ({' '.join(detail.split())[:200]}); expected {form}") from error

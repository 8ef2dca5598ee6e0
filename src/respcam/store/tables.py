"""Tables (CSV) and JSON files of a stage: name, column types, reading and writing."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from respcam.store.artifact import write_atomically
from respcam.store.integrity import verified

NO_NUMBER = ["", "nan", "NaN", "NA", "None"]  # cells of a column of numbers that has none there


@dataclass(frozen=True)
class Table:
    """A CSV file that a stage writes.

    Parameters
    ----------
    name : str
        Name of the file.
    types : mapping of str to type
        Types of columns that must not be guessed, such as identifiers that look like numbers.
    is_text : bool
        Whether a blank cell is a blank text. It is a missing value in columns of type float alone; else in every
        column.

    Words such as ``NA``, ``nan`` and ``None`` are text in every column of type str.
    """

    name: str
    types: Mapping[str, type] = field(default_factory=dict)
    is_text: bool = False

    def write(self, table: pd.DataFrame, folder: Path) -> None:
        """Write the table into a folder."""
        write_table(table, folder / self.name)

    def read(self, folder: Path) -> pd.DataFrame:
        """Read the table from a folder; refused if it is damaged (`respcam.store.integrity.verified`)."""
        path = verified(folder / self.name)
        if self.is_text:
            missing = {name: [""] for name, kind in self.types.items() if kind is float}
        else:
            columns = pd.read_csv(path, nrows=0).columns
            missing = {name: [""] if self.types.get(name) is str else NO_NUMBER for name in columns}
        return pd.read_csv(path, dtype=dict(self.types), keep_default_na=False, na_values=missing)


@dataclass(frozen=True)
class Document:
    """A JSON file that a stage writes.

    Parameters
    ----------
    name : str
        Name of the file.
    """

    name: str

    def write(self, content: Any, folder: Path) -> None:
        """Write plain data into a folder."""
        write_atomically(folder / self.name, json.dumps(content, indent=2) + "\n")

    def read(self, folder: Path) -> Any:
        """Read the data from a folder; refused if they are damaged (`respcam.store.integrity.verified`)."""
        return json.loads(verified(folder / self.name).read_text(encoding="utf-8"))


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table in the format of manifests: UTF-8, LF, comma, no index."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    texts = table.select_dtypes(["object", "string"])
    has_return = any(texts[name].astype(str).str.contains("\r", regex=False).any() for name in texts)
    quoting = csv.QUOTE_NONNUMERIC if has_return else csv.QUOTE_MINIMAL  # which leaves a carriage return bare
    table.to_csv(partial, index=False, lineterminator="\n", encoding="utf-8", quoting=quoting)
    partial.replace(path)

"""Tables (CSV) and JSON files of a stage: name, column types, reading and writing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from respcam.store.artifact import write_atomically


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
        Whether cells such as ``NA`` are text and blank cells stay blank. A blank is a missing value only in columns
        of type float.
    """

    name: str
    types: Mapping[str, type] = field(default_factory=dict)
    is_text: bool = False

    def write(self, table: pd.DataFrame, folder: Path) -> None:
        """Write the table into a folder."""
        write_table(table, folder / self.name)

    def read(self, folder: Path) -> pd.DataFrame:
        """Read the table from a folder."""
        options: dict[str, Any] = {"dtype": dict(self.types), "keep_default_na": not self.is_text}
        if self.is_text:
            options["na_values"] = {name: [""] for name, kind in self.types.items() if kind is float}
        return pd.read_csv(folder / self.name, **options)


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
        """Read the data from a folder."""
        return json.loads((folder / self.name).read_text(encoding="utf-8"))


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table in the format of manifests: UTF-8, LF, comma, no index."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    table.to_csv(partial, index=False, lineterminator="\n", encoding="utf-8")
    partial.replace(path)

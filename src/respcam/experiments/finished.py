"""Finished runs: the files of a run folder and their content."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from respcam.data import run_folder
from respcam.errors import Refused
from respcam.store.artifact import file_sha256
from respcam.store.integrity import verified
from respcam.store.tables import Document, Table

#: Short description of a run: keys of `FinishedRun.description`.
DESCRIPTION = ("dataset", "task", "split", "fold", "bands", "model", "seed")

#: content of the player in a report
PLAYER = re.compile(r'<script type="application/json" id="player-data">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True)
class FinishedRun:
    """Folder of a finished run.

    Each file is read once; do not change the objects that the methods return.

    Parameters
    ----------
    folder : Path
    """

    folder: Path
    _contents: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @staticmethod
    def of(folder: Path, required: str = run_folder.PROVENANCE.name) -> "FinishedRun":
        """Open a run folder.

        Parameters
        ----------
        folder : Path
        required : str
            Required file of the folder; ``provenance.json`` is written last.

        Raises
        ------
        Refused
            If the folder lacks the file.
        """
        if not (folder / required).is_file():
            raise Refused(f"{folder}: not a finished run (it has no {required})")
        return FinishedRun(folder)

    def check_version(self) -> None:
        """Check that this version can read the files.

        Raises
        ------
        Refused
            If another version of respcam made the run.
        """
        schema = self.provenance().get("schema")
        if schema != run_folder.SCHEMA:
            version = "an earlier" if not isinstance(schema, int) or schema < run_folder.SCHEMA else "a later"
            raise Refused(f"{self.folder}: made by {version} version of respcam; run it again")

    @property
    def is_finished(self) -> bool:
        """Whether the run is complete: ``provenance.json`` is written last."""
        return (self.folder / run_folder.PROVENANCE.name).is_file()

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def page(self) -> Path:
        """Path of the report of the run."""
        return self.folder / run_folder.PAGE

    def digest(self) -> str:
        """SHA-256 of the settings, inputs and versions of the run, 64 hex digits."""
        return self.provenance()["digest"]

    def provenance(self) -> dict[str, Any]:
        """Date, machine, versions, settings and inputs of the run."""
        return self._read(run_folder.PROVENANCE)

    def description(self) -> dict[str, Any]:
        """Description of the run: the keys of `DESCRIPTION`, ``task_settings, band_selection`` and two digests.

        The digest ``experiment`` is equal for runs that differ only in bands, seed and fold; ``apart_from_bands`` for
        runs that differ only in bands.
        """
        return self.provenance()["settings"]["run"]

    def metrics(self) -> dict[str, Any]:
        """By part: ``note, n_units, n_recordings, n_patients, confusion``, and each metric with its interval."""
        return self._read(run_folder.METRICS)

    def intervals(self) -> dict[str, dict[str, float | None]]:
        """Every metric of every part: ``<part>.<metric>`` to ``value, low, high``."""
        return {
            f"{part}.{name}": content
            for part, values in self.metrics().items()
            for name, content in values.items()
            if isinstance(content, dict) and "value" in content
        }

    def predictions(self) -> pd.DataFrame:
        """A row per evaluated unit: ``part, unit_id, patient_id, true_class, predicted_class, p_<class>``, strata."""
        return self._read(run_folder.PREDICTIONS)

    def history(self) -> pd.DataFrame:
        """Training history, a row per epoch."""
        return self._read(run_folder.HISTORY)

    def class_names(self) -> list[str]:
        """Names of the classes, in the order of their numbers."""
        return self._read(run_folder.CLASSES)

    def heat(self) -> dict[str, Any]:
        """Settings of heat: ``method, layers, target, n_bands, hop_frames, hz_groups, ...``."""
        return self._read(run_folder.HEAT)

    def band_heat(self) -> pd.DataFrame:
        """Heat per band and per group of Hz, for every part and class."""
        return self._read(run_folder.BAND_HEAT)

    def verdicts(self) -> dict[str, Any]:
        """By part: whether the heat is supported, and the groups of Hz where heat and occlusion are largest."""
        return self._read(run_folder.TRUST)["parts"]

    def player(self) -> dict[str, Any] | None:
        """Content of the player of the report (`respcam.report.player`); None if it has none."""
        if "player" not in self._contents:
            embedded = PLAYER.search(verified(self.page).read_text(encoding="utf-8"))
            self._contents["player"] = None if embedded is None else json.loads(embedded[1])
        return self._contents["player"]

    def sha256(self, name: str) -> str:
        """Checksum of one of the run's files."""
        return file_sha256(verified(self.folder / name))

    def _read(self, file: Document | Table) -> Any:
        if file.name not in self._contents:
            self._contents[file.name] = file.read(self.folder)
        return self._contents[file.name]

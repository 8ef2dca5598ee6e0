"""Finished run: the files of a run folder, and what stands in them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from respcam.data import run_folder
from respcam.errors import Refused
from respcam.store.artifact import file_sha256
from respcam.store.tables import Document, Table

#: What a run is, in a word per item: keys of `FinishedRun.description`.
DESCRIPTION = ("dataset", "task", "split", "fold", "bands", "model", "seed")


@dataclass(frozen=True)
class FinishedRun:
    """A run folder whose run is complete.

    Every file is read once; what a method returns is not to be changed.

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
            File that the folder must have; ``provenance.json`` is written last.

        Raises
        ------
        Refused
            If the folder lacks the file.
        """
        if not (folder / required).is_file():
            raise Refused(f"{folder}: not a finished run (it has no {required})")
        return FinishedRun(folder)

    def check_version(self) -> None:
        """Compare the files with those that this version writes.

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
        """Whether everything is there: ``provenance.json`` is written last."""
        return (self.folder / run_folder.PROVENANCE.name).is_file()

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def page(self) -> Path:
        """Where the page of the run lies."""
        return self.folder / run_folder.PAGE

    def digest(self) -> str:
        """SHA-256 of everything that the run was made from, 64 hex digits."""
        return self.provenance()["digest"]

    def provenance(self) -> dict[str, Any]:
        """When, where, with which versions and from what the run was made."""
        return self._read(run_folder.PROVENANCE)

    def description(self) -> dict[str, Any]:
        """What the run is: the keys of `DESCRIPTION`, ``task_settings, band_selection`` and the digests
        ``experiment`` (shared by runs that differ in bands, seed and fold alone) and ``apart_from_bands``.
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
        """A row per epoch."""
        return self._read(run_folder.HISTORY)

    def heat(self) -> dict[str, Any]:
        """How heat was made: ``method, layers, target, n_bands, hop_frames, hz_groups, ...``."""
        return self._read(run_folder.HEAT)

    def band_heat(self) -> pd.DataFrame:
        """Heat per band and per group of Hz, for every part and class."""
        return self._read(run_folder.BAND_HEAT)

    def verdicts(self) -> dict[str, Any]:
        """By part: whether its heat is supported, and where heat and occlusion find the most."""
        return self._read(run_folder.TRUST)["parts"]

    def sha256(self, name: str) -> str:
        """Checksum of one of the run's files."""
        return file_sha256(self.folder / name)

    def _read(self, file: Document | Table) -> Any:
        if file.name not in self._contents:
            self._contents[file.name] = file.read(self.folder)
        return self._contents[file.name]

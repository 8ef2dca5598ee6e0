"""Evaluation of a model on other labelled recordings: metrics, and the same by device and source rate."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from respcam.data.manifest import named
from respcam.errors import Refused
from respcam.evidence.metadata import auroc_interval, metadata_out_of_fold
from respcam.experiments.listener import ModelInfo
from respcam.experiments.pooled import scoring_of
from respcam.metrics import BootstrapSettings, Predictions, decide, evaluate
from respcam.store.artifact import digest_of

COLUMNS = ("path", "label", "patient_id", "device")
FEWEST_IN_STRATUM = 5


@dataclass(frozen=True, eq=False)
class LabelledFiles:
    """Labels of audio files.

    Attributes
    ----------
    source : str
        File that they come from, for messages.
    table : DataFrame
        ``path`` as in the list of audio files, ``label, patient_id, device``; text, blank if unknown.
    """

    source: str
    table: pd.DataFrame

    @staticmethod
    def read(path: Path, root: Path, listed: Sequence[str]) -> "LabelledFiles":
        """Read a CSV of labels.

        Parameters
        ----------
        path : Path
        root : Path
            Folder of the audio files.
        listed : sequence of str
            Audio files, relative to the root.

        Raises
        ------
        Refused
            If the file cannot be read, lacks a column, names a file twice or none of the audio files.
        """
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        except (OSError, ValueError, UnicodeError) as error:
            raise Refused(f"{path}: not a CSV in UTF-8 ({error})") from error
        missing = [name for name in ("path", "label") if name not in table]
        if missing:
            raise Refused(f"{path}: no column {named(missing)}; expected path, label; patient_id, device if known")
        table = table.reindex(columns=COLUMNS, fill_value="")
        table["path"] = [_relative(name, root) for name in table["path"]]
        twice = table["path"][table["path"].duplicated()]
        if len(twice):
            raise Refused(f"{path}: {named(sorted(set(twice)))} stands there twice; expected one row per file")
        there = table[table["path"].isin(set(listed))]
        if there.empty:
            raise Refused(f"{path}: none of its {len(table)} paths is an audio file below {root}")
        return LabelledFiles(str(path), there.reset_index(drop=True))

    @cached_property
    def digest(self) -> str:
        """Digest of the table."""
        return digest_of(self.table.to_csv(index=False))

    @property
    def devices(self) -> dict[str, str]:
        """Device of each file, blank if unknown."""
        return dict(zip(self.table["path"], self.table["device"], strict=True))

    def classes(self, info: ModelInfo) -> dict[str, str]:
        """Class of each labelled file; a label is a class of the model, or a label of the task of the run.

        Raises
        ------
        Refused
            If a label belongs to no class of the model.
        """
        task, class_names = info.description["task_settings"], info.class_names
        class_of = {label: name for name, labels in (task["classes"] or {}).items() for label in labels}
        class_of |= {name: name for name in class_names}
        rows = self.table[(self.table["label"] != "") & ~self.table["label"].isin(task["drop"])]
        unknown = sorted(set(rows["label"]) - set(class_of))
        if unknown:
            raise Refused(
                f"{self.source}: label {named(unknown)} belongs to no class of {info.name}; expected one of "
                f"{', '.join(class_of)}, or blank"
            )
        return {path: class_of[label] for path, label in zip(rows["path"], rows["label"], strict=True)}


def _relative(name: str, root: Path) -> str:
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(root.resolve()):
        return str(path.relative_to(root.resolve()))
    return str(path)


def evaluation_of(info: ModelInfo, labels: LabelledFiles, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Evaluate predictions of labelled files.

    Parameters
    ----------
    info : ModelInfo
    labels : LabelledFiles
        Where no patient is named, every file counts as a patient of its own.
    rows : sequence of mapping
        ``path, probability, device, source_rate_hz, duration_s, level_db`` of the usable files.

    Returns
    -------
    dict
        ``n_units, n_patients, has_patients, confusion, metrics`` (each with its interval), and ``strata``: the AUROC
        by device and source rate, for strata of five files or more with two classes; and ``metadata``: the AUROC of
        classifiers of device, source rate, duration and level alone, each patient classified by the others.
    """
    class_names = info.class_names
    class_of, patients = labels.classes(info), labels.table.set_index("path")["patient_id"]
    rows = [row for row in rows if row["path"] in class_of]
    if not rows:
        nothing: dict[str, Any] = {"confusion": [], "metrics": {}, "strata": [], "metadata": []}
        return {"n_units": 0, "n_patients": 0, "has_patients": False, **nothing}
    target = np.array([class_names.index(class_of[row["path"]]) for row in rows])
    probability = np.array([row["probability"] for row in rows])
    patient = np.array([patients[row["path"]] or row["path"] for row in rows])
    scoring = scoring_of(info.description["task_settings"], class_names)
    bootstrap = BootstrapSettings()
    predictions = Predictions(target, probability, decide(probability, info.decision))
    confusion, intervals = evaluate(predictions, patient, scoring, bootstrap)
    evaluated = _Evaluated(rows, target, probability, patient, class_names)
    return {
        "n_units": len(rows),
        "n_patients": len(set(patient.tolist())),
        "has_patients": bool((patients != "").all()),
        "confusion": confusion.tolist(),
        "metrics": {name: asdict(value) for name, value in intervals.items()},
        "strata": evaluated.strata(bootstrap),
        "metadata": evaluated.metadata(bootstrap),
    }


@dataclass(frozen=True)
class _Evaluated:
    """Labelled files with their scores.

    Attributes
    ----------
    rows : sequence of mapping
        Facts of each file, as `evaluation_of`.
    target : int [shape=(file,)]
    probability : float [shape=(file, class)]
    patient : str [shape=(file,)]
    class_names : sequence of str
    """

    rows: Sequence[Mapping[str, Any]]
    target: np.ndarray
    probability: np.ndarray
    patient: np.ndarray
    class_names: Sequence[str]

    def strata(self, bootstrap: BootstrapSettings) -> list[dict[str, Any]]:
        """AUROC of each device and each source rate."""
        table = pd.DataFrame(
            {
                "device": [row["device"] or "unknown" for row in self.rows],
                "source rate (Hz)": [f"{row['source_rate_hz']:g}" for row in self.rows],
            }
        )
        strata = []
        for field, values in table.items():
            for value in sorted(set(values)):
                inside = (values == value).to_numpy()
                if inside.sum() < FEWEST_IN_STRATUM or len(set(self.target[inside])) < 2 or inside.all():
                    continue
                units = pd.DataFrame({"patient_id": self.patient[inside], "target": self.target[inside]})
                area = auroc_interval(units, self.probability[inside], bootstrap)
                counts = [f"{int((units['target'] == k).sum())} {name}" for k, name in enumerate(self.class_names)]
                strata.append({"field": field, "value": value, "classes": ", ".join(counts), "auroc": asdict(area)})
        return strata

    def metadata(self, bootstrap: BootstrapSettings) -> list[dict[str, Any]]:
        """AUROC of metadata alone."""
        paths = [row["path"] for row in self.rows]
        units = pd.DataFrame({"recording_id": paths, "patient_id": self.patient, "target": self.target})
        facts = pd.DataFrame(
            [
                {name: row[name] for name in ("device", "source_rate_hz", "duration_s", "level_db")}
                for row in self.rows
            ],
            index=paths,
        )
        facts["device"] = facts["device"].replace("", np.nan).astype("category")
        scores = metadata_out_of_fold(facts, units, len(self.class_names), bootstrap)
        return [{"fields": ", ".join(score.fields), "auroc": asdict(score.auroc)} for score in scores]

"""Units of a task: recordings or events with frames, their class and their part."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from respcam.data.labels import Labels
from respcam.data.manifest import named
from respcam.data.patches import PatchSettings, patch_starts
from respcam.data.splits import TRAIN, UNUSED, VALIDATION, Division, SplitSettings, divide, permuted, test_parts
from respcam.data.tasks import Task, units_of
from respcam.errors import Refused

SpanOf = Callable[[str, float, float], tuple[int, int]]


@dataclass(frozen=True)
class UnitRules:
    """What becomes a unit, of which class, and in which part.

    Attributes
    ----------
    task : Task
    split : SplitSettings
    patches : PatchSettings
        A unit that no patch can be cut from is left out.
    permute_labels : bool
        Whether classes are dealt out anew within each part: a control.
    """

    task: Task
    split: SplitSettings
    patches: PatchSettings
    permute_labels: bool = False


@dataclass(frozen=True)
class PreparedUnits:
    """Units that can be used.

    Attributes
    ----------
    units : DataFrame
        As `respcam.data.tasks.units_of`, with ``part, first_frame, n_frames`` (within the recording).
    class_names : list of str
    notes : dict of str to str
        What must stand beside the metrics of a part.
    remarks : list of str
        What was left out, and why.
    """

    units: pd.DataFrame
    class_names: list[str]
    notes: dict[str, str]
    remarks: list[str]

    def of(self, part: str) -> pd.DataFrame:
        """Units of one part."""
        return self.units[self.units["part"] == part]

    @property
    def test_parts(self) -> list[str]:
        """Names of the parts that are tested, sorted."""
        return test_parts(self.units["part"])


def prepare_units(rules: UnitRules, labels: Labels, span_of: SpanOf) -> PreparedUnits:
    """List the units with frames, their class and their part.

    Parameters
    ----------
    rules : UnitRules
    labels : Labels
    span_of : callable
        First frame and number of frames of a stretch of a recording: recording_id, start and end in s (NaN
        for all of it).

    Returns
    -------
    PreparedUnits

    Raises
    ------
    Refused
        If no unit is usable, or the units cannot be divided.
    """
    task = rules.task
    units, class_names = units_of(task, labels.recordings, labels.events)
    spans = [span_of(*row) for row in units[["recording_id", "start_s", "end_s"]].itertuples(index=False)]
    units[["first_frame", "n_frames"]] = np.array(spans, dtype=int).reshape(-1, 2)
    has_patch = np.array([len(patch_starts(n, rules.patches)) > 0 for n in units["n_frames"]], dtype=bool)
    usable = units[has_patch].reset_index(drop=True)
    if usable.empty:
        raise Refused(
            f"task {task.name}: no usable {task.unit} among {len(units)}; "
            "see rejected.csv of the resample stage, or the task's labels"
        )
    division = divide(usable, rules.split, labels.content, labels.same_patient_parts)
    _check_train(usable, division, class_names)
    remarks = [*division.remarks, *_left_out(task, units, has_patch, labels.recordings)]
    if rules.permute_labels:
        remarks.append("the labels were permuted: a control, whose metrics say nothing about any sound")
        usable = usable.assign(target=permuted(usable["target"].to_numpy(), division.part.to_numpy()))
    return PreparedUnits(usable.assign(part=division.part), class_names, division.notes, remarks)


@dataclass(frozen=True)
class ExpectedUnits:
    """What units there will be, as far as tables without audio say.

    Attributes
    ----------
    class_names : list of str
    parts : list of str
        Parts that have units.
    """

    class_names: list[str]
    parts: list[str]


def expected_units(
    rules: UnitRules,
    recordings: pd.DataFrame,
    events: pd.DataFrame | None,
    same_patient_parts: Collection[str] = (),
    content: pd.Series | None = None,
) -> ExpectedUnits:
    """Divide all labelled units, whether their audio turns out to be usable or not.

    Parameters
    ----------
    rules : UnitRules
    recordings, events : DataFrame
        The tables of a data set.
    same_patient_parts : collection of str
        Parts published as sharing their patients with train.
    content : Series of str, optional
        SHA-256 of each file by recording_id, where it is known.

    Returns
    -------
    ExpectedUnits

    Raises
    ------
    Refused
        If labels, patients or parts do not allow the task or the split.
    """
    units, class_names = units_of(rules.task, recordings, events)
    division = divide(units, rules.split, content, same_patient_parts)
    _check_train(units, division, class_names)
    return ExpectedUnits(class_names, sorted(set(division.part) - {UNUSED}))


def _check_train(units: pd.DataFrame, division: Division, class_names: list[str]) -> None:
    """Refuse a division that leaves a class out of train; note a part that a class is missing from."""
    for part in (TRAIN, VALIDATION, *division.test_parts):
        counts = np.bincount(units["target"][division.part == part], minlength=len(class_names))
        bare = [name for name, count in zip(class_names, counts, strict=True) if count == 0]
        if bare and part == TRAIN:
            raise Refused(
                f"train: no usable recording of class {named(bare)} in train; choose another split or split.seed, "
                "merge classes (task.classes), or see rejected.csv of the resample stage"
            )
        if bare:
            division.remarks.append(
                f"{part} has no recording of class {named(bare)}: some of its metrics are undefined"
            )


def _left_out(task: Task, units: pd.DataFrame, has_patch: np.ndarray, recordings: pd.DataFrame) -> list[str]:
    """Say which recordings and units are not used."""
    remarks = []
    n_unlabelled = int((recordings[task.column] == "").sum()) if task.unit == "recording" else 0
    if n_unlabelled:
        remarks.append(f"{n_unlabelled} recordings have no label in the column {task.column} and are left out")
    if task.unit == "event":
        n_bare = (~recordings["recording_id"].isin(units["recording_id"])).sum()
        if n_bare:
            remarks.append(f"{n_bare} recordings have no event that the task is about")
    unusable = units[~has_patch]
    if len(unusable):
        remarks.append(
            f"{len(unusable)} of {len(units)} {task.unit}s left out, because their recording is missing, "
            f"rejected or too short: {named(list(unusable['unit_id']))}"
        )
    return remarks

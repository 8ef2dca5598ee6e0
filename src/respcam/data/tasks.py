"""Classification tasks: labels to classes, per recording or per event."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from respcam.data.manifest import named
from respcam.errors import Refused, there_are
from respcam.metrics import Scoring

UNITS = ("recording", "event")
SCORES = ("icbhi", "sprsound")


@dataclass(frozen=True)
class Task:
    """A classification task.

    Parameters
    ----------
    name : str
    unit : str
        What gets a score: recording or event.
    column : str
        Column of the manifest that holds the label of a recording (label or diagnosis).
    classes : dict of class name to list of labels, optional
        In the order of the class indices; None makes every label a class.
    drop : list of str
        Labels that are left out.
    normal : str, optional
        The class that specificity is about; sensitivity is about all others. Without it,
        sensitivity, specificity and score are not defined.
    uncounted : list of str
        Classes, beside the normal one, that sensitivity and score leave out; ``sensitivity_all, score_all`` count
        them.
    score : str
        icbhi: (SE + SP) / 2. sprsound: mean of that and of 2 SE SP / (SE + SP).
    events : dict of class name to list of labels, optional
        Labels of events that make a stretch of a recording this class; a stretch without any is of the normal class.
        A training on recordings may learn from them where they are annotated (``training.event_weight``).
    throughout : list of str
        Classes of recordings that every stretch of the recording has, such as poor quality.

    Raises
    ------
    Refused
        If a value is out of its range, or a label belongs to two classes.
    """

    name: str
    unit: str = "recording"
    column: str = "label"
    classes: dict[str, list[str]] | None = None
    drop: list[str] = field(default_factory=list)
    normal: str | None = None
    uncounted: list[str] = field(default_factory=list)
    score: str = "icbhi"
    events: dict[str, list[str]] | None = None
    throughout: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise Refused(f"task.unit is {self.unit!r}; expected one of {', '.join(UNITS)}")
        if self.score not in SCORES:
            raise Refused(f"task.score is {self.score!r}; expected one of {', '.join(SCORES)}")
        if self.events is not None:
            self._check_events(self.events)
        if self.classes is None:
            return
        if len(self.classes) < 2:
            raise Refused(f"task.classes names {len(self.classes)} class; expected at least 2")
        if self.normal is not None and self.normal not in self.classes:
            raise Refused(f"task.normal is {self.normal!r}; expected one of {', '.join(self.classes)}")
        if self.uncounted:
            self._check_uncounted(list(self.classes))
        strange = [name for name in self.throughout if name not in self.classes]
        if strange:
            raise Refused(f"task.throughout names {strange[0]!r}; {there_are(list(self.classes), strange[0])}")
        labels = [label for class_labels in self.classes.values() for label in class_labels] + self.drop
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise Refused(f"task.classes: label {named(twice)} stands in two places; expected one")

    def scoring(self, class_names: list[str]) -> Scoring:
        """What sensitivity, specificity and score are about."""
        return Scoring.of(class_names, self.normal, self.score, self.uncounted)

    def _check_uncounted(self, class_names: list[str]) -> None:
        absent = [name for name in self.uncounted if name not in class_names or name == self.normal]
        if absent:
            raise Refused(
                f"task.uncounted names {absent[0]!r}; expected a class beside the normal one: "
                f"{', '.join(name for name in class_names if name != self.normal)}"
            )
        if len({*self.uncounted, self.normal}) >= len(class_names):
            raise Refused("task.uncounted leaves no class for the sensitivity; expected at least one")

    def _check_events(self, events: dict[str, list[str]]) -> None:
        if self.normal is None:
            raise Refused("task.events needs task.normal, the class of a stretch without any of them; set it")
        absent = [name for name in events if self.classes is not None and name not in self.classes]
        if absent:
            raise Refused(f"task.events names {absent[0]!r}; {there_are(list(self.classes or {}), absent[0])}")
        labels = [label for of_class in events.values() for label in of_class]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise Refused(f"task.events: label {named(twice)} stands in two places; expected one")


def units_of(task: Task, recordings: pd.DataFrame, events: pd.DataFrame | None) -> tuple[pd.DataFrame, list[str]]:
    """List the units of a task, with their class.

    Parameters
    ----------
    task : Task
    recordings : DataFrame
        Rows of the manifest.
    events : DataFrame, optional
        Needed where the unit is an event.

    Returns
    -------
    units : DataFrame
        One row per unit: ``unit_id, recording_id, patient_id, split, start_s, end_s`` (NaN for a
        whole recording), ``label, target`` (class index). Units whose label is blank or dropped
        are left out.
    class_names : list of str

    Raises
    ------
    Refused
        If a label belongs to no class, a class has no unit or one patient alone, the settings name a label or
        class that is not there, or the task needs events and there are none.

    Examples
    --------
    >>> patients, labels = ["ann", "bob", "cy", "di"], ["wheeze", "normal", "crackle", "normal"]
    >>> recordings = pd.DataFrame({"recording_id": patients, "patient_id": patients, "label": labels, "split": ""})
    >>> task = Task("adventitious", classes={"normal": ["normal"], "adventitious": ["wheeze", "crackle"]})
    >>> units, class_names = units_of(task, recordings, None)
    >>> class_names[units.loc[0, "target"]]
    'adventitious'
    """
    units = _labelled(task, recordings, events)
    _check_labels(task, sorted(set(units["label"])))
    units = units[~units["label"].isin(task.drop)]
    classes = task.classes or {label: [label] for label in sorted(set(units["label"]))}
    index_of = {label: index for index, labels in enumerate(classes.values()) for label in labels}
    unknown = sorted(set(units["label"]) - set(index_of))
    if unknown:
        raise Refused(
            f"task {task.name}: label {named(unknown)} belongs to no class; add it to task.classes or task.drop, "
            "or make every label a class (task=labels)"
        )
    columns = ["unit_id", "recording_id", "patient_id", "split", "start_s", "end_s", "label"]
    table = units[columns].reset_index(drop=True)
    table["target"] = table["label"].map(index_of).astype(int)
    _check_classes(task, table, list(classes))
    return table, list(classes)


def _labelled(task: Task, recordings: pd.DataFrame, events: pd.DataFrame | None) -> pd.DataFrame:
    """Units that have a label, of a class or not."""
    if task.unit == "recording":
        if task.column not in recordings:
            there = there_are(map(str, recordings.columns), task.column)
            raise Refused(f"task {task.name}: the manifest has no column {task.column!r}; {there}")
        units = recordings.assign(
            unit_id=recordings["recording_id"], start_s=np.nan, end_s=np.nan, label=recordings[task.column]
        )
    else:
        if events is None:
            raise Refused(
                f"task {task.name} is about events, and this data set has none; set dataset.events to a CSV of "
                "events (respcam manifest make builds one)"
            )
        units = events.merge(recordings.drop(columns="label"), on="recording_id", validate="many_to_one")
        units = units.sort_values(["recording_id", "start_s", "end_s"], kind="stable")
        number = units.groupby("recording_id").cumcount()
        units["unit_id"] = units["recording_id"] + "#" + number.astype(str)
    units = units[units["label"] != ""]
    if units.empty:
        raise Refused(f"task {task.name}: no {task.unit} has a label in the column {task.column}")
    return units


def _check_labels(task: Task, labels: list[str]) -> None:
    """Refuse settings that name what no unit has, where every label is a class."""
    if task.classes is not None:
        return
    absent = [label for label in task.drop if label not in labels]
    if absent:
        raise Refused(f"task.drop has {absent[0]!r}, which is no label; {there_are(labels, absent[0])}")
    kept = [label for label in labels if label not in task.drop]
    if task.normal is not None and task.normal not in kept:
        raise Refused(f"task.normal is {task.normal!r}, which is no class; {there_are(kept, task.normal)}")
    spellings: dict[str, str] = {}
    for label in kept:
        before = spellings.setdefault(label.casefold(), label)
        if before != label:
            raise Refused(
                f"task {task.name}: labels {before!r} and {label!r} differ in case alone; mend the labels, or merge "
                f"them: 'task.classes={{{before.casefold()}:[{before},{label}],...}}'"
            )


def _check_classes(task: Task, units: pd.DataFrame, class_names: list[str]) -> None:
    """Refuse a task that nothing can be learnt from."""
    counts = np.bincount(units["target"], minlength=len(class_names))
    bare = [name for name, count in zip(class_names, counts, strict=True) if count == 0]
    if bare:
        raise Refused(
            f"task {task.name}: no {task.unit} is of class {named(bare)}; set task.classes to what there is"
        )
    if len(class_names) < 2:
        raise Refused(
            f"task {task.name}: every {task.unit} is of class {class_names[0]}; expected at least 2 classes"
        )
    for target, patients in units.groupby("target")["patient_id"].unique().items():
        if len(patients) == 1:
            raise Refused(
                f"task {task.name}: class {class_names[target]} has one patient alone ({patients[0]}), who cannot be "
                "in train and test; add patients, merge it with another class (task.classes), or drop it (task.drop)"
            )

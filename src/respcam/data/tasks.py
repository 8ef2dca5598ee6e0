"""Classification tasks: labels to classes, per recording or per event."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from respcam.data.manifest import named
from respcam.errors import Refused

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
    score : str
        icbhi: (SE + SP) / 2. sprsound: mean of that and of 2 SE SP / (SE + SP).

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
    score: str = "icbhi"

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise Refused(f"task.unit is {self.unit!r}; expected one of {', '.join(UNITS)}")
        if self.score not in SCORES:
            raise Refused(f"task.score is {self.score!r}; expected one of {', '.join(SCORES)}")
        if self.classes is None:
            return
        if len(self.classes) < 2:
            raise Refused(f"task.classes names {len(self.classes)} class; expected at least 2")
        if self.normal is not None and self.normal not in self.classes:
            raise Refused(f"task.normal is {self.normal!r}; expected one of {', '.join(self.classes)}")
        labels = [label for class_labels in self.classes.values() for label in class_labels] + self.drop
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise Refused(f"task.classes: label {named(twice)} stands in two places; expected one")


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
        If a label belongs to no class, or the task needs events and there are none.

    Examples
    --------
    >>> row = {"recording_id": "ann_1", "patient_id": "ann", "split": "train", "label": "wheeze"}
    >>> task = Task("adventitious", classes={"normal": ["normal"], "adventitious": ["wheeze", "crackle"]})
    >>> units, class_names = units_of(task, pd.DataFrame([row]), None)
    >>> class_names[units.loc[0, "target"]]
    'adventitious'
    """
    if task.unit == "recording":
        if task.column not in recordings:
            raise Refused(f"task {task.name}: the manifest has no column {task.column!r}")
        units = recordings.assign(
            unit_id=recordings["recording_id"], start_s=np.nan, end_s=np.nan, label=recordings[task.column]
        )
    else:
        if events is None:
            raise Refused(
                f"task {task.name} is about events, and this data set has none; set dataset.events to a CSV of "
                "events (respcam manifest builds one)"
            )
        units = events.merge(recordings.drop(columns="label"), on="recording_id", validate="many_to_one")
        units = units.sort_values(["recording_id", "start_s", "end_s"], kind="stable")
        number = units.groupby("recording_id").cumcount()
        units["unit_id"] = units["recording_id"] + "#" + number.astype(str)
    units = units[(units["label"] != "") & ~units["label"].isin(task.drop)]
    classes = task.classes or {label: [label] for label in sorted(set(units["label"]))}
    index_of = {label: index for index, labels in enumerate(classes.values()) for label in labels}
    unknown = sorted(set(units["label"]) - set(index_of))
    if unknown:
        raise Refused(
            f"task {task.name}: label {named(unknown)} belongs to no class; add it to task.classes or task.drop"
        )
    columns = ["unit_id", "recording_id", "patient_id", "split", "start_s", "end_s", "label"]
    table = units[columns].reset_index(drop=True)
    return table.assign(target=table["label"].map(index_of).astype(int)), list(classes)

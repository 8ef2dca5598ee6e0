import numpy as np
import pandas as pd
import pytest

from respcam.data.tasks import Task, units_of
from respcam.errors import Refused

ADVENTITIOUS = Task(
    "adventitious", classes={"normal": ["normal"], "adventitious": ["wheeze", "crackle"]}, normal="normal"
)


def test_recordings_get_the_class_of_their_label(recordings):
    recordings.loc[0, "label"] = ""
    recordings.loc[1, "label"] = "cough"
    task = Task("t", classes={"normal": ["normal"], "other": ["wheeze"]}, drop=["cough"])
    units, classes = units_of(task, recordings, None)
    assert classes == ["normal", "other"]
    assert len(units) == 14
    assert (units["target"] == (units["label"] == "wheeze")).all()
    assert units["start_s"].isna().all()


def test_events_get_the_class_of_their_own_label(recordings):
    events = pd.DataFrame(
        {"recording_id": ["p0_1", "p0_0", "p0_0", "p1_0", "p1_1"], "start_s": [0.0, 0.7, 0.1, 0.2, 0.3],
         "end_s": [0.4, 0.9, 0.5, 0.5, 0.5], "label": ["wheeze", "normal", "crackle", "normal", "wheeze"]}
    )  # fmt: skip
    task = Task("t", unit="event", classes=ADVENTITIOUS.classes)
    units, _ = units_of(task, recordings, events)
    assert units["unit_id"].tolist() == ["p0_0#0", "p0_0#1", "p0_1#0", "p1_0#0", "p1_1#0"]
    assert units["target"].tolist() == [1, 0, 1, 0, 1]
    assert units["patient_id"].tolist() == ["p0"] * 3 + ["p1"] * 2
    np.testing.assert_array_equal(units["start_s"], [0.1, 0.7, 0.0, 0.2, 0.3])


def test_without_classes_every_label_is_one(recordings):
    _, classes = units_of(Task("labels"), recordings, None)
    assert classes == ["normal", "wheeze"]


def test_a_diagnosis_can_be_the_label(recordings):
    task = Task("disease", column="diagnosis", classes={"healthy": ["Healthy"], "ill": ["COPD"]})
    with pytest.raises(Refused, match="the manifest has no column 'diagnosis'"):
        units_of(task, recordings, None)
    diagnosed = recordings.assign(diagnosis=recordings["label"].map({"normal": "Healthy", "wheeze": "COPD"}))
    units, _ = units_of(task, diagnosed, None)
    assert (units["target"] == (recordings["label"] == "wheeze")).all()


def test_what_cannot_be_mapped_is_named(recordings):
    with pytest.raises(Refused, match="label wheeze belongs to no class; add it to task.classes or task.drop"):
        units_of(Task("t", classes={"a": ["normal"], "b": ["crackle"]}), recordings, None)
    with pytest.raises(Refused, match="is about events, and this data set has none"):
        units_of(Task("t", unit="event"), recordings, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": "patient"}, "recording, event"),
        ({"score": "f1"}, "icbhi, sprsound"),
        ({"classes": {"a": ["x"]}}, "names 1 class"),
        ({"classes": {"a": ["x"], "b": ["x"]}}, "label x stands in two places"),
        ({"classes": {"a": ["x"], "b": ["y"]}, "normal": "c"}, "task.normal is 'c'; expected one of a, b"),
    ],
)
def test_tasks_are_checked(change, message):
    with pytest.raises(Refused, match=message):
        Task("t", **change)

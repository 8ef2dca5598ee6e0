import numpy as np
import pandas as pd
import pytest

from respcam.data.labels import Labels
from respcam.data.patches import PatchSettings
from respcam.data.splits import SplitSettings, permuted
from respcam.data.tasks import Task
from respcam.data.units import UnitRules, prepare_units
from respcam.errors import Refused

FRAMES = 200  # of every recording, 10 ms each
SPLIT = SplitSettings(validation_fraction=0.34)
TASK, PATCHES = Task("labels"), PatchSettings()


def span(recording_id, start_s, end_s):
    """Frames of a stretch; recordings p0 were rejected."""
    if recording_id.startswith("p0"):
        return 0, 0
    return (0, FRAMES) if np.isnan(start_s) else (int(100 * start_s), int(100 * end_s) - int(100 * start_s))


@pytest.fixture
def labels(recordings):
    events = pd.DataFrame(
        {
            "recording_id": sorted(recordings["recording_id"])[:-1],
            "start_s": 0.1,
            "end_s": [0.4 + 0.1 * (number % 3) for number in range(15)],
            "label": ["crackle", "normal", "wheeze"] * 5,
        }
    )
    content = recordings.set_index("recording_id")["sha256"].drop(["p0_0", "p0_1"])
    return Labels(recordings, events, [], content)


def prepared_units(labels, task=TASK, patches=PATCHES, span_of=span, permute_labels=False):
    return prepare_units(UnitRules(task, SPLIT, patches, permute_labels), labels, span_of)


def test_units_have_a_class_a_part_and_frames(labels):
    prepared = prepared_units(labels)
    units = prepared.units
    assert units["recording_id"].tolist() == sorted(labels.recordings["recording_id"])[2:]
    assert prepared.class_names == ["normal", "wheeze"]
    assert (units["target"] == (units["label"] == "wheeze")).all()
    assert set(units["part"]) == {"train", "validation", "test"}
    assert (units["part"] == "test").tolist() == units["patient_id"].isin(["p6", "p7"]).tolist()
    assert (units[["first_frame", "n_frames"]] == [0, FRAMES]).all(axis=None)
    assert prepared.notes == {}


def test_what_is_left_out_is_remarked(labels):
    recordings = prepared_units(labels)
    assert recordings.remarks == [
        "2 of 16 recordings left out, because their recording is missing, rejected or too short: p0_0, p0_1"
    ]
    task = Task("t", unit="event", drop=["crackle"])
    events = prepared_units(labels, task, PatchSettings(length_frames=40, pad="none"))
    assert events.units["unit_id"].tolist() == [f"{name}#0" for name in events.units["recording_id"]]
    assert (events.units["first_frame"] == 10).all()
    assert (events.units["n_frames"] >= 40).all()
    assert events.remarks[0] == "6 recordings have no event that the task is about"
    assert events.remarks[1].startswith("1 of 10 events left out, because their recording is missing")


def test_declared_parts_and_copies_are_noted(labels):
    shared = labels.recordings.assign(split=np.where(labels.recordings.index % 2, "train", "intra"))
    content = labels.content.copy()
    content["p1_0"] = content["p2_1"]  # the same file in train and in intra
    prepared = prepared_units(Labels(shared, None, ["intra"], content))
    assert prepared.notes == {"intra": "patients also in train"}
    assert prepared.units.set_index("recording_id").at["p2_1", "part"] == ""
    assert prepared.remarks[0].startswith("recording p2_1: taken out of train")


def test_permuted_labels_are_dealt_within_each_part_and_remarked(labels):
    intact = prepared_units(labels)
    control = prepared_units(labels, permute_labels=True)
    expected = permuted(intact.units["target"].to_numpy(), intact.units["part"].to_numpy())
    np.testing.assert_array_equal(control.units["target"], expected)
    assert control.units["target"].tolist() != intact.units["target"].tolist()
    assert control.remarks[-1] == ("the labels were permuted: a control, whose metrics say nothing about any sound")
    pd.testing.assert_frame_equal(control.units.drop(columns="target"), intact.units.drop(columns="target"))


def test_no_usable_unit_is_refused(labels):
    message = "task labels: no usable recording among 16; see rejected.csv of the resample stage"
    with pytest.raises(Refused, match=message):
        prepared_units(labels, span_of=lambda *stretch: (0, 0))

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from respcam.data.heard import UNKNOWN, HeardEvents, heard_in
from respcam.data.tasks import Task
from respcam.errors import Refused

TASK = Task("t", classes={"normal": ["normal"], "CAS": ["CAS"], "DAS": ["DAS"]}, normal="normal",
            events={"CAS": ["wheeze"], "DAS": ["crackle"]})  # fmt: skip
NAMES = ["normal", "CAS", "DAS"]


def heard(*events):
    start, end, target = zip(*events, strict=True) if events else ((), (), ())
    return HeardEvents(np.array(start, float), np.array(end, float), np.array(target, int), otherwise=0)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (0, 0),
        (4, 0),
        (5, UNKNOWN),
        (28, UNKNOWN),
        (29, 1),
        (100, 1),
        (125, 1),
        (126, UNKNOWN),
        (149, UNKNOWN),
        (150, 0),
    ],
)
def test_half_of_an_event_makes_the_class_and_less_is_unknown(first, expected):
    assert heard((100, 150, 1)).class_of(first, 96) == expected


def test_half_of_a_patch_inside_a_long_event_makes_the_class():
    assert heard((0, 500, 1)).class_of(452, 96) == 1
    assert heard((0, 500, 1)).class_of(453, 96) == UNKNOWN


def test_events_of_two_classes_in_one_patch_are_unknown():
    both = heard((0, 40, 1), (50, 90, 2))
    assert both.class_of(0, 96) == UNKNOWN
    assert heard((0, 40, 1), (50, 90, 1)).class_of(0, 96) == 1
    assert both.class_of(200, 96) == 0


def test_patches_are_drawn_on_events():
    rng = np.random.default_rng(0)
    events = heard((300, 320, 1), (900, 1000, 1))
    starts = events.starts_on(4000, 96, last=1404, rng=rng)
    on_first = (starts < 320) & (starts + 96 > 300)
    on_second = (starts < 1000) & (starts + 96 > 900)
    assert (on_first | on_second).all()
    assert on_first.mean() == pytest.approx(0.5, abs=0.05)  # a short event as often as a long one
    assert heard((0, 10, 1)).starts_on(50, 96, last=0, rng=rng).tolist() == [0] * 50


def test_a_recording_without_annotations_is_told_from_one_without_such_events():
    units = pd.DataFrame({"recording_id": ["a", "b", "c"], "target": [1, 0, 2]})
    events = pd.DataFrame(
        [("a", 1.0, 1.5, "wheeze"), ("a", 2.0, 3.0, "normal"), ("b", 0.0, 1.0, "normal")],
        columns=["recording_id", "start_s", "end_s", "label"],
    )
    first, second, third = heard_in(units, events, TASK, NAMES, 100.0)
    assert (first.start.tolist(), first.end.tolist(), first.target.tolist(), first.otherwise) == (
        [100.0],
        [150.0],
        [1],
        0,
    )
    assert len(second.start) == 0
    assert second.class_of(0, 96) == 0
    assert third is None
    for task, table in ((TASK, None), (replace(TASK, unit="event"), events), (replace(TASK, events=None), events)):
        assert heard_in(units, table, task, NAMES, 100.0) == [None] * 3


def test_every_stretch_of_a_recording_of_poor_quality_is_so_without_annotations():
    task = Task("t", classes={"normal": ["n"], "CAS": ["c"], "poor": ["p"]}, normal="normal", events={"CAS": ["w"]},
                throughout=["poor"])  # fmt: skip
    units = pd.DataFrame({"recording_id": ["a", "b"], "target": [2, 2]})
    events = pd.DataFrame([("a", 1.0, 1.5, "w")], columns=["recording_id", "start_s", "end_s", "label"])
    for of_recording in heard_in(units, events, task, list(task.classes), 100.0):
        assert [of_recording.class_of(first, 96) for first in (0, 80, 500)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"normal": None}, "task.events needs task.normal"),
        ({"throughout": ["poor"]}, "task.throughout names 'poor'"),
        ({"uncounted": ["normal"]}, "task.uncounted names 'normal'"),
        ({"uncounted": ["CAS", "DAS"]}, "leaves no class"),
        ({"events": {"wheeze": ["wheeze"]}}, "task.events names 'wheeze'"),
        ({"events": {"CAS": ["wheeze"], "DAS": ["wheeze"]}}, "task.events: label wheeze stands in two places"),
    ],
)
def test_events_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(Refused, match=words):
        Task(**{**vars(TASK), **settings})

import numpy as np
import pandas as pd
import pytest
from ten_lines import BOOTSTRAP, PATCHES, recordings, trained

from respcam.data.patches import PatchSettings
from respcam.evidence.localisation import (
    COLUMNS,
    AnnotatedUnits,
    annotated_events,
    event_units,
    inside_events,
    localisation_table,
    localise,
)
from respcam.heat.cam import Choice

RATE_HZ = 100.0
HEAT = Choice("hires_cam", ("high",))
REFERENCE = Choice("grad_cam", ("high",), "class_score")  # what leads are measured from
EVERY_FRAME_ONCE = PatchSettings(length_frames=16, hop_frames=16)


def test_frames_inside_events():
    inside = inside_events([(0.1, 0.25), (0.9, 2.0)], 100, 100)
    assert inside.sum() == 15 + 10
    assert inside[[10, 24, 90, 99]].all()
    assert not inside[[9, 25, 89]].any()


def test_heat_in_an_event_is_a_hit():
    inside = np.zeros(100, dtype=bool)
    inside[20:40] = True
    weight = np.ones(100)
    weight[30] = 21
    hit, share, distance = localise(weight, inside)
    assert (hit, distance) == (1, 0)
    assert share == pytest.approx(40 / 120)
    hit, share, _ = localise(np.ones(100), inside)
    assert hit == share == pytest.approx(0.2)  # no highest place: chance
    assert localise(1.0 - inside, inside) == (0, 0, 20)
    assert np.isnan(localise(np.zeros(100), inside)).all()


def test_normal_events_do_not_count():
    events = pd.DataFrame(
        [("a", 0.0, 1.0, "Normal"), ("a", 1.0, 2.0, "Wheeze"), ("b", 0.0, 1.0, "Normal")],
        columns=["recording_id", "start_s", "end_s", "label"],
    )
    assert annotated_events(events, ["Normal"]) == {"a": [(1.0, 2.0)]}


def annotated(odd=True, patches=EVERY_FRAME_ONCE):
    """The recordings that hold an event: frames 16 to 31 of those of odd patients."""
    units, data = recordings()
    events = {name: [(0.16, 0.32)] for name in units.loc[units["target"] == 1, "recording_id"]}
    chosen = units[units["recording_id"].isin(list(events))] if odd else units[:0]
    data.frames = [data.frames[place] for place in chosen.index]
    data.target = chosen["target"].to_numpy()
    return AnnotatedUnits(chosen.reset_index(drop=True), data, events, patches, RATE_HZ)


def test_the_recordings_to_compare_are_drawn_from_those_with_events():
    units, _ = recordings()
    events = {name: [(0.1, 0.2)] for name in units["recording_id"][::2]}
    chosen = event_units(units, events, 3, seed=0)
    assert len(chosen) == 3
    assert set(chosen["recording_id"]) <= set(events)
    assert chosen["recording_id"].tolist() == event_units(units, events, 3, seed=0)["recording_id"].tolist()
    assert chosen["recording_id"].is_monotonic_increasing
    assert len(event_units(units, events, 100, seed=0)) == len(events)
    assert event_units(units, {}, 3, seed=0).empty


@pytest.mark.parametrize("patches", [EVERY_FRAME_ONCE, PATCHES])
def test_the_heat_of_a_model_that_hears_the_event_lies_in_it(patches):
    table = localisation_table(trained(), [HEAT, REFERENCE], annotated(patches=patches), BOOTSTRAP, 0)
    origin = table[["method", "layers", "weights"]].to_numpy().tolist()
    assert origin[:2] == [["hires_cam", "high", "trained"], ["grad_cam", "high", "trained"]]
    assert ["hires_cam", "high", "random"] in origin  # a method whose random heat is zero everywhere has no row
    assert origin[-1] == ["loudest_moment", "", ""]
    heat, reference = table.iloc[0], table.iloc[1]
    assert heat["pointing"] == 1
    assert heat["inside"] > 0.9
    assert heat["error_s"] == 0
    assert heat["gain"] == pytest.approx(heat["inside"] - heat["covered"])
    assert heat["n_recordings"] == 8
    assert heat["n_patients"] == 4
    assert reference["pointing_lead"] == reference["inside_lead"] == 0
    assert heat["inside_lead"] == pytest.approx(heat["inside"] - reference["inside"])
    assert heat["inside_low"] <= heat["inside"] <= heat["inside_high"]


def test_without_the_reference_there_is_no_lead():
    table = localisation_table(trained(), [HEAT], annotated(), BOOTSTRAP, 0)
    assert table["pointing_lead"].isna().all()
    assert table["pointing"].notna().all()


def test_no_recording_is_an_empty_table():
    table = localisation_table(trained(), [HEAT], annotated(odd=False), BOOTSTRAP, 0)
    assert table.empty
    assert list(table) == COLUMNS

import numpy as np
import pandas as pd
import pytest

from respcam.evidence.localisation import annotated_events, inside_events, localise


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

import json

import pytest

from respcam.data import manifest
from respcam.data.layouts import sprsound2022
from respcam.errors import Refused


def test_sprsound_is_listed_from_its_annotations(tmp_path):
    (tmp_path / "SPRSound_patient_summary.csv").write_text(
        ",patient_num,disease,age,gender\n0,41,Asthma,6.1,F\n1,42,Bronchitis,4,M\n"
    )
    files = {
        "train_json/41_6.1_1_p2_7.json": ("CAS", [("84", "1824", "Wheeze")]),
        "test_json/intra_test_json/41_6.1_1_p1_8.json": ("Normal", []),
        "test_json/inter_test_json/42_4.0_0_p4_9.json": ("Poor Quality", []),
    }
    for name, (label, events) in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        content = [{"start": start, "end": end, "type": kind} for start, end, kind in events]
        path.write_text(json.dumps({"record_annotation": label, "event_annotation": content}))
    listing = sprsound2022.list_tables(tmp_path)
    recordings, events = listing.recordings, listing.events
    manifest.check_recordings(recordings, "sprsound")
    assert recordings["split"].tolist() == ["intra", "train", "inter"]
    row = recordings.set_index("recording_id").loc["41_6.1_1_p2_7"]
    assert row["path"] == "train_wav/41_6.1_1_p2_7.wav"
    assert row[["patient_id", "label", "sex", "site", "age_years", "diagnosis"]].tolist() == [
        "41",
        "CAS",
        "female",
        "left lateral",
        "6.1",
        "Asthma",
    ]
    assert events.to_numpy().tolist() == [["41_6.1_1_p2_7", 0.084, 1.824, "Wheeze"]]


def test_absent_annotations_are_named(tmp_path):
    with pytest.raises(Refused, match=r"SPRSound_patient_summary\.csv: not there"):
        sprsound2022.list_tables(tmp_path)

import re

import pandas as pd
import pytest
import yaml
from conftest import PROJECT

from respcam.data import manifest
from respcam.errors import Refused
from respcam.store.tables import write_table

DATASETS = {
    path.stem: yaml.safe_load(path.read_text())
    for path in sorted((PROJECT / "conf/dataset").glob("*.yaml"))
    if (PROJECT / "data_manifests" / f"{path.stem}.csv").is_file()
}


def written(table, tmp_path):
    write_table(table, tmp_path / "recordings.csv")
    return tmp_path / "recordings.csv"


def test_a_good_table_is_read_as_it_was_written(recordings, tmp_path):
    table = manifest.read_recordings(written(recordings, tmp_path), ["normal", "wheeze"])
    pd.testing.assert_frame_equal(table, recordings.astype("str"))


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (
            12,
            "sample_rate_hz",
            "44.1k",
            "recordings.csv row 14: sample_rate_hz is '44.1k'; expected a whole number",
        ),
        (0, "sha256", "abc", "row 2: sha256 is 'abc'; expected 64 lower-case hex digits"),
        (3, "path", "../secret.wav", "row 5: path is '../secret.wav'; expected a path with"),
        (3, "path", "/etc/passwd", "row 5: path is '/etc/passwd'; expected a path with"),
        (1, "path", "audio/p0_0.wav", "row 3: path is 'audio/p0_0.wav'; expected each value once"),
        (1, "recording_id", "p0_0", "row 3: recording_id is 'p0_0'; expected each value once"),
        (1, "recording_id", "a/b", "row 3: recording_id is 'a/b'; expected letters"),
        (4, "label", "wheeze ", "row 6: label is 'wheeze '; expected a label without spaces around it"),
        (4, "split", "val", "row 6: split is 'val'; expected 'validation'; any other name is that of a test part"),
        (4, "label", "cough", "row 6: label is 'cough'; expected one of normal, wheeze"),
        (4, "patient_id", "", "row 6: patient_id is ''; expected the patient's identifier"),
        (4, "split", "", "row 6: split is ''; expected a part's name"),
    ],
)
def test_a_broken_rule_names_row_value_and_what_is_expected(recordings, tmp_path, row, column, value, message):
    recordings.loc[row, column] = value
    with pytest.raises(Refused, match=re.escape(message)):
        manifest.read_recordings(written(recordings, tmp_path), ["normal", "wheeze"])


def test_a_missing_column_and_a_missing_file_are_named(recordings, tmp_path):
    with pytest.raises(Refused, match="no column patient_id"):
        manifest.read_recordings(written(recordings.drop(columns="patient_id"), tmp_path))
    with pytest.raises(Refused, match=r"absent\.csv: no such manifest; .* build one with respcam manifest make"):
        manifest.read_recordings(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end_s": "0.5"}, "row 2: end_s is '0.5'; expected a time after start_s"),
        ({"start_s": "-1"}, "row 2: start_s is '-1'; expected seconds"),
        (
            {"recording_id": "nobody"},
            "row 2: recording_id is 'nobody'; expected a recording that the manifest lists",
        ),
        ({"label": ""}, "row 2: label is ''; expected one of wheeze"),
    ],
)
def test_events_have_rules_too(recordings, tmp_path, change, message):
    event = {"recording_id": "p0_0", "start_s": "0.5", "end_s": "1.25", "label": "wheeze", **change}
    path = tmp_path / "events.csv"
    write_table(pd.DataFrame([event]), path)
    with pytest.raises(Refused, match=re.escape(message)):
        manifest.read_events(path, recordings, ["wheeze"])


def test_a_patient_in_two_parts_is_refused_by_id(recordings):
    recordings.loc[15, "split"] = "train"
    with pytest.raises(Refused, match=r"recordings.csv: patient p7 in more than one part of split"):
        manifest.check_patients_apart(recordings, "recordings.csv")
    manifest.check_patients_apart(recordings, "recordings.csv", known_shared=["p7"])
    manifest.check_patients_apart(recordings, "recordings.csv", same_patient_parts=["test"])


def test_there_are_committed_manifests():
    assert {"sprsound2022", "icbhi2017"} <= set(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_committed_manifests_keep_their_rules(name):
    settings = DATASETS[name]
    folder = PROJECT / "data_manifests"
    recordings = manifest.read_recordings(folder / f"{name}.csv", settings["labels"])
    manifest.read_events(folder / f"{name}_events.csv", recordings, settings["event_labels"])
    manifest.check_patients_apart(
        recordings,
        name,
        settings.get("same_patient_parts", []),
        settings.get("known_shared_patients", []),
    )


def test_committed_manifests_hold_the_published_numbers():
    folder = PROJECT / "data_manifests"
    sprsound = manifest.read_recordings(folder / "sprsound2022.csv")
    assert sprsound["split"].value_counts().to_dict() == {"train": 1949, "intra": 379, "inter": 355}
    assert sprsound.groupby("split")["patient_id"].nunique()[["train", "inter"]].tolist() == [251, 41]
    assert (sprsound["sha256"] != "").all()
    assert len(manifest.read_events(folder / "sprsound2022_events.csv", sprsound)) == 9089
    icbhi = manifest.read_recordings(folder / "icbhi2017.csv")
    assert icbhi["split"].value_counts().to_dict() == {"train": 539, "test": 381}
    assert manifest.shared_patients(icbhi) == ["156", "218"]
    assert icbhi["patient_id"].nunique() == 126


@pytest.mark.parametrize(("text", "expected"), [("a b/c?.wav", "a_b_c_.wav"), ("CAS & DAS", "CAS_&_DAS")])
def test_any_text_becomes_a_legal_id(text, expected):
    assert manifest.safe_id(text) == expected


def test_many_items_are_counted():
    assert manifest.named(["a", "b", "c"], limit=2) == "a, b and 1 more"
    assert manifest.named(["a"]) == "a"

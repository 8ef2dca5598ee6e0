import json

import pytest

from respcam.data import layouts, manifest


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
    recordings, events = layouts.sprsound2022(tmp_path)
    manifest.check_recordings(recordings, "sprsound")
    assert recordings["split"].tolist() == ["intra", "train", "inter"]
    row = recordings.set_index("recording_id").loc["41_6.1_1_p2_7"]
    assert row["path"] == "train_wav/41_6.1_1_p2_7.wav"
    assert row[["patient_id", "label", "sex", "site", "age_years", "diagnosis"]].tolist() == [
        "41", "CAS", "female", "left lateral", "6.1", "Asthma",
    ]  # fmt: skip
    assert events.to_numpy().tolist() == [["41_6.1_1_p2_7", 0.084, 1.824, "Wheeze"]]


def test_icbhi_is_listed_with_its_cycles(tmp_path):
    (tmp_path / "ICBHI_challenge_train_test.txt").write_text(
        "101_1b1_Al_sc_Meditron\ttest\n102_1b1_Ar_mc_AKGC417L\ttrain\n"
    )
    (tmp_path / "patient_diagnosis.csv").write_bytes(b"101,URTI\r\n102,COPD\r\n")
    (tmp_path / "demographic_info.txt").write_bytes(b"\r\n101 3 F NA 19 99\r\n102 NA NA NA NA NA\r\n")
    database = tmp_path / "ICBHI_final_database"
    database.mkdir()
    cycles = "0.036\t0.579\t0\t0\n0.579\t2.45\t1\t0\n2.45\t3.9\t1\t1\n"
    (database / "101_1b1_Al_sc_Meditron.txt").write_text(cycles)
    recordings, events = layouts.icbhi2017(tmp_path)
    manifest.check_recordings(recordings, "icbhi")
    assert recordings["label"].tolist() == ["both", ""]
    assert recordings["device"].tolist() == ["Meditron", "AKGC417L"]
    assert recordings["age_years"].tolist() == ["3", ""]
    assert recordings["sex"].tolist() == ["female", ""]
    assert events["label"].tolist() == ["normal", "crackle", "both"]
    assert events["end_s"].tolist() == [0.579, 2.45, 3.9]


def test_absent_annotations_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"SPRSound_patient_summary\.csv: not there"):
        layouts.sprsound2022(tmp_path)


@pytest.fixture
def folder(tmp_path, write_sound, noise):
    for name in ("crackle/ann_1.wav", "crackle/bob_1.flac", "normal/cy_1.wav"):
        write_sound(name, noise)
    (tmp_path / "normal/notes.txt").write_text("not audio")
    return tmp_path


def test_a_folder_of_labels_is_listed(folder):
    recordings = layouts.folder(folder, "^([a-z]+)_")
    manifest.check_recordings(recordings, "folder")
    assert recordings["patient_id"].tolist() == ["ann", "bob", "cy"]
    assert recordings["label"].tolist() == ["crackle", "crackle", "normal"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("^(x+)_", "finds no patient in ann_1.wav"), ("^a", "exactly one"), ("(", "patient_pattern is")],
)
def test_a_pattern_that_finds_no_patient_is_refused(folder, pattern, message):
    with pytest.raises(ValueError, match=message):
        layouts.folder(folder, pattern)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no audio in sub-folders"):
        layouts.folder(tmp_path, "(.)")

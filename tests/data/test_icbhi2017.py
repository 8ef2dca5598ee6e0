import pytest

from respcam.data import manifest
from respcam.data.layouts import icbhi2017
from respcam.errors import Refused


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
    listing = icbhi2017.list_tables(tmp_path)
    recordings, events = listing.recordings, listing.events
    manifest.check_recordings(recordings, "icbhi")
    assert recordings["label"].tolist() == ["both", ""]
    assert recordings["device"].tolist() == ["Meditron", "AKGC417L"]
    assert recordings["age_years"].tolist() == ["3", ""]
    assert recordings["sex"].tolist() == ["female", ""]
    assert events["label"].tolist() == ["normal", "crackle", "both"]
    assert events["end_s"].tolist() == [0.579, 2.45, 3.9]


def test_absent_annotations_are_named(tmp_path):
    with pytest.raises(Refused, match=r"ICBHI_challenge_train_test\.txt: not there"):
        icbhi2017.list_tables(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        (
            "ICBHI_final_database/101_1b1_Al_sc_x.txt",
            "0 1 2 0\n",
            "expected start and end in s, crackles and wheezes 0 or 1",
        ),
        ("patient_diagnosis.csv", "101,URTI\n101,COPD\n", "expected a row per patient"),
        ("patient_diagnosis.csv", "102,URTI\n", "has no row of patient 101, to whom 101_1b1_Al_sc_x belongs"),
        ("ICBHI_challenge_train_test.txt", "101_1b1_Al_sc_x test now\n", "a row has more columns"),
        ("demographic_info.txt", "101 3 F NA 19 99 7\n", "a row has more columns"),
    ],
)
def test_what_is_not_as_published_is_named(tmp_path, name, content, line):
    (tmp_path / "ICBHI_final_database").mkdir()
    (tmp_path / "ICBHI_challenge_train_test.txt").write_text("101_1b1_Al_sc_x test\n")
    (tmp_path / "patient_diagnosis.csv").write_text("101,URTI\n")
    (tmp_path / "demographic_info.txt").write_text("101 3 F NA 19 99\n")
    icbhi2017.list_tables(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(Refused, match=f"{name}: .*{line}"):
        icbhi2017.list_tables(tmp_path)

import numpy as np
import pandas as pd

from respcam.store.tables import Document, Table, write_table


def test_column_types_are_those_of_the_table(tmp_path):
    table = Table("a.csv", {"patient_id": str})
    table.write(pd.DataFrame({"patient_id": ["007", "NA1"], "age": [3, 4]}), tmp_path)
    assert table.read(tmp_path)["patient_id"].tolist() == ["007", "NA1"]
    assert (tmp_path / "a.csv").read_bytes() == b"patient_id,age\n007,3\nNA1,4\n"


def test_text_stays_text_and_only_numbers_may_be_missing(tmp_path):
    table = Table("a.csv", {"label": str, "start_s": float}, is_text=True)
    table.write(pd.DataFrame({"label": ["NA", ""], "start_s": [0.1, np.nan], "n": [1, 2]}), tmp_path)
    read = table.read(tmp_path)
    assert read["label"].tolist() == ["NA", ""]
    assert read["start_s"].isna().tolist() == [False, True]
    assert read["n"].tolist() == [1, 2]


def test_words_that_look_like_nothing_are_text_and_a_blank_is_not(tmp_path):
    names = ["NA", "nan", "None", "null", "007", "1e5", "N/A", ""]
    table = Table("a.csv", {"patient_id": str, "part": str})
    columns = {"patient_id": names, "part": names[::-1], "p": [0.5, np.nan, 1, 1, 1, 1, 1, 1]}
    table.write(pd.DataFrame(columns), tmp_path)
    read = table.read(tmp_path)
    assert read["patient_id"].tolist()[:-1] == names[:-1]
    assert read["patient_id"].isna().tolist() == [False] * 7 + [True]
    assert read["part"].tolist()[1:] == names[::-1][1:]
    assert read["p"].isna().tolist() == [False, True] + [False] * 6


def test_documents_come_back_as_they_were(tmp_path):
    content = {"part": "test", "values": [1.5, None, True]}
    Document("a.json").write(content, tmp_path)
    assert Document("a.json").read(tmp_path) == content


def test_a_table_is_written_whole_or_not_at_all(tmp_path):
    write_table(pd.DataFrame({"a": [1]}), tmp_path / "new" / "a.csv")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.csv"]


def test_numbers_come_back_to_the_last_digit(tmp_path):
    table = pd.DataFrame({"value": np.random.default_rng(0).random(1000)})
    Table("table.csv").write(table, tmp_path)
    assert Table("table.csv").read(tmp_path)["value"].tolist() == table["value"].tolist()

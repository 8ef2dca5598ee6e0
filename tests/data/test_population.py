import pandas as pd
import pytest

from respcam.data.population import cautions, description


def table(patients, **columns):
    return pd.DataFrame({"path": [f"{k}.wav" for k in range(len(patients))], "patient_id": patients, **columns})


def test_patients_labels_and_devices_are_counted():
    recordings = table(["ann", "ann", "bob"], label=["wheeze", "", "wheeze"], device=["BP", "DP", "BP"])
    assert description(recordings) == [
        "3 recordings of 2 patients, 1 to 2 each; for example patient 'ann' in 0.wav, 'bob' in 2.wav",
        "labels: wheeze 2",
        "devices: BP 2, DP 1",
    ]


@pytest.mark.parametrize(
    ("patients", "sentences"),
    [
        (list("abcdefghijkl") * 2, []),
        (list("abcdefghijkl"), ["every recording is its own patient (12)"]),
        (list("abc") * 4, ["only 3 patients (a, b, c)"]),
        ([*list("abcdefghijkl") * 2, "A"], ["patients differ in case alone: A, a"]),
        (list("abc"), ["every recording is its own patient (3)", "only 3 patients (a, b, c)"]),
    ],
)
def test_what_would_make_a_split_by_patients_mean_little_is_said(patients, sentences):
    found = cautions(table(patients, label="wheeze"))
    assert len(found) == len(sentences)
    assert all(line.startswith(start) for line, start in zip(found, sentences, strict=True))


def test_the_setting_is_named_where_a_pattern_found_the_patients():
    assert "dataset.patient_pattern" in cautions(table(list("abc"), label="wheeze"), is_by_pattern=True)[0]
    assert "dataset.patient_pattern" not in cautions(table(list("abc"), label="wheeze"))[0]

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from bad_files import UNUSUAL_NAMES, write_bad_files
from browser import address_of, browser, needs_chromium

from respcam.data.trained_on import RecordingFacts, TrainedOn
from respcam.errors import Refused
from respcam.experiments.prediction import prediction_of


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory):
    """Test recordings of the finished run beside files that cannot be used."""
    folder = tmp_path_factory.mktemp("mixed")
    predictions = pd.read_csv(finished[1] / "predictions.csv", dtype={"recording_id": str})
    sources = {path.stem: path for path in finished[0].glob("store/synthetic/*/audio/*.wav")}
    for name in predictions[predictions["part"] == "test"]["recording_id"].head(6):
        shutil.copy(sources[name], folder / f"{name}.wav")
    noise = 0.05 * np.random.default_rng(0).standard_normal(4 * 4000)
    (folder / "other").mkdir()
    sf.write(folder / "other" / "slow.wav", noise, 4000, subtype="PCM_24")
    write_bad_files(folder)
    (folder / "notes.txt").write_text("not listed")
    (folder / ".hidden.wav").write_text("not listed")
    return folder


@pytest.fixture(scope="module")
def prediction(finished, folder, tmp_path_factory):
    prediction = prediction_of(finished[1], folder, tmp_path_factory.mktemp("predictions"))
    prediction.make()
    return prediction


def rows_of(prediction):
    return pd.read_csv(prediction.folder / "predictions.csv", keep_default_na=False).set_index("path")


def test_scores_are_those_of_the_run(finished, prediction):
    expected = pd.read_csv(finished[1] / "predictions.csv", dtype={"recording_id": str}).set_index("recording_id")
    rows = rows_of(prediction)
    compared = [name for name in rows.index if name.removesuffix(".wav") in expected.index]
    assert len(compared) == 6
    for name in compared:
        for column in ("p_normal", "p_adventitious"):
            # the run rounds to six digits
            assert float(rows.loc[name, column]) == pytest.approx(expected.loc[name[:-4], column], abs=1.6e-6)


def test_a_bad_file_is_one_row_with_its_reason_and_the_others_are_done(prediction, folder):
    rows = rows_of(prediction)
    reasons = {name: reason for name, reason in rows["reason"].items() if reason}
    assert reasons == write_reasons()
    assert len(rows) == len(reasons) + 7
    assert all(rows.loc[list(reasons), "detail"])
    assert "notes.txt" not in rows.index


def write_reasons():
    from bad_files import REASONS

    return REASONS


def test_a_recording_outside_of_the_training_has_its_cautions(prediction):
    rows = rows_of(prediction)
    assert "source rate 4000 Hz; the model was trained on 8000 Hz" in rows.loc["other/slow.wav", "cautions"]
    like_the_training = rows[(rows["reason"] == "") & (rows.index != "other/slow.wav")]
    assert set(like_the_training["cautions"]) == {"device unknown; the model was trained on plain"}


def test_every_file_of_the_prediction_agrees(prediction):
    summary = json.loads((prediction.folder / "predictions.json").read_text())
    rows = rows_of(prediction)
    good = [row for row in summary["files"] if not row["reason"]]
    bands = pd.read_csv(prediction.folder / "bands.csv")
    scores = pd.read_csv(prediction.folder / "scores.csv")
    for row in good:
        of_file = bands[bands["path"] == row["path"]]
        assert of_file["share"].sum() == pytest.approx(1, abs=1e-6)
        assert of_file.loc[of_file["ratio"].idxmax(), "name"] == rows.loc[row["path"], "hottest_hz"]
        assert (scores["path"] == row["path"]).sum() == len(row["start_s"])
    assert summary["model"][0]["part"] == "test"
    assert summary["model"][0]["outcome"] in ("supported", "undecided", "not_supported")
    for kind, suffix in (("audacity", ".txt"), ("raven", ".selections.txt")):
        files = sorted((prediction.folder / kind).iterdir())
        assert len(files) == len(good)
        assert all(path.name.endswith(suffix) for path in files)
    table = pd.read_csv(sorted((prediction.folder / "raven").iterdir())[0], sep="\t")
    assert list(table.columns[:7]) == [
        "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)",
    ]  # fmt: skip
    assert (table["End Time (s)"] > table["Begin Time (s)"]).all()
    assert (table["High Freq (Hz)"] > table["Low Freq (Hz)"]).all()


def test_an_interrupted_prediction_goes_on(finished, folder, prediction, tmp_path, monkeypatch):
    from respcam.experiments import prediction as module

    other = prediction_of(finished[1], folder, tmp_path)
    true, done = module.row_of, []

    def stop_after_three(*arguments):
        done.append(arguments[1])
        if len(done) == 4:
            raise KeyboardInterrupt
        return true(*arguments)

    monkeypatch.setattr(module, "row_of", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        other.make()
    monkeypatch.setattr(module, "row_of", true)
    first = done[:3]
    monkeypatch.setattr(module, "row_of", lambda *arguments: done.append(arguments[1]) or true(*arguments))
    other.make()
    assert not set(first) & set(done[4:])
    name = "predictions.csv"
    assert (other.folder / name).read_bytes() == (prediction.folder / name).read_bytes()


def test_labels_of_another_data_set_give_metrics(finished, folder, tmp_path):
    predictions = pd.read_csv(finished[1] / "predictions.csv", dtype={"recording_id": str})
    rows = predictions[predictions["part"] == "test"].head(6)
    labels = pd.DataFrame(
        {
            "path": [f"{name}.wav" for name in rows["recording_id"]],
            "label": rows["true_class"].replace("adventitious", "wheeze"),  # a label of the task will do
            "patient_id": rows["patient_id"],
            "device": ["A", "B"] * 3,
        }
    )
    labels.to_csv(tmp_path / "labels.csv", index=False)
    prediction = prediction_of(finished[1], folder, tmp_path / "out", tmp_path / "labels.csv")
    prediction.make()
    evaluation = json.loads((prediction.folder / "evaluation.json").read_text())
    hits = (rows["true_class"] == rows["predicted_class"]).sum()
    is_sick = rows["true_class"] == "adventitious"
    recall = (rows["predicted_class"] == "adventitious")[is_sick].mean()
    assert (evaluation["n_units"], evaluation["n_patients"]) == (6, rows["patient_id"].nunique())
    assert np.trace(evaluation["confusion"]) == hits
    assert evaluation["metrics"]["sensitivity"]["value"] == pytest.approx(recall)
    page = (prediction.folder / "predict.html").read_text()
    assert "Against the labels" in page
    assert {row["fields"] for row in evaluation["metadata"]} >= {"device", "duration_s"} or evaluation[
        "metadata"
    ] == []


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("path\na.wav\n", "no column label"),
        ("path,label\nnone.wav,normal\n", "none of its 1 paths is an audio file"),
        ("path,label\nshort.wav,crackle\n", "label crackle belongs to no class of synthetic-.*; expected one of"),
        ("path,label\nshort.wav,normal\nshort.wav,normal\n", "short.wav stands there twice"),
    ],
)
def test_labels_that_break_a_rule_are_refused_before_anything_is_read(finished, folder, tmp_path, table, words):
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(Refused, match=words):
        prediction_of(finished[1], folder, tmp_path / "out", tmp_path / "labels.csv")


def test_a_place_without_audio_is_refused(finished, tmp_path):
    with pytest.raises(Refused, match="no such file or folder"):
        prediction_of(finished[1], tmp_path / "absent", tmp_path)
    with pytest.raises(Refused, match="no file with an audio suffix"):
        prediction_of(finished[1], tmp_path, tmp_path / "out")


def test_cautions_name_what_is_outside():
    like = RecordingFacts(8000.0, 9.0, -20.0, 0.3, "Meditron")
    trained_on = TrainedOn.of([like, replace(like, duration_s=12.0, level_db=-30.0)])
    assert trained_on.cautions(like, 2000) == {}
    for change, words in (
        ({"source_rate_hz": 4000.0}, "Near and above 2000 Hz this recording is empty"),
        ({"source_rate_hz": 44_100.0}, "source rate 44100 Hz; the model was trained on 8000 Hz"),
        ({"duration_s": 60.0}, "duration 60.0 s; the model was trained on 9.0 to 12.0 s"),
        ({"level_db": -60.0}, "level -60 dB"),
        ({"blank": 0.9}, "90% of the input holds no sound"),
        ({"device": ""}, "device unknown; the model was trained on Meditron"),
        ({"device": "Litt3200"}, "device Litt3200; the model was trained on Meditron"),
    ):
        cautions = trained_on.cautions(replace(like, **change), 2000)
        assert list(cautions) == list(change)
        assert words in cautions[next(iter(change))]


@needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
def test_the_page_of_predictions_opens(prediction, width, scheme):
    with browser(width, scheme) as opened:
        page = opened.open(address_of(prediction.page)).page
        opened.drawn()
        page.click("#play")
        page.wait_for_timeout(300)
        assert float(page.locator("#clock").inner_text().removesuffix(" s")) > 0
        page.click("#play")
        text = page.locator("body").inner_text()
        assert "this model has AUROC" in " ".join(text.split())
        assert "not a regular file" in text
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert opened.violations() == ""
        assert opened.errors == []
        assert opened.outside() == []


def test_the_command_ends_with_status_1_where_a_file_was_bad(finished, folder, command):
    result = command("predict", str(finished[1]), str(folder), "--audio", "none", "--open", "1")
    assert result.returncode == 1
    assert result.stdout.strip().endswith("predict.html")
    assert (
        result.stderr.strip().splitlines()[-1].startswith("error: 14 of 21 files cannot be used, the others are done")
    )
    good = next(folder.glob("*_*.wav"))
    result = command("predict", str(finished[1]), str(good), "--audio", "none")
    assert result.returncode == 0


def test_sounds_with_unusual_names_are_scored_as_any_other(finished, tmp_path):
    (tmp_path / "sounds").mkdir()
    source = next(finished[0].glob("store/synthetic/*/audio/*.wav"))
    for name in ("plain.wav", *UNUSUAL_NAMES):
        shutil.copy(source, tmp_path / "sounds" / name)
    prediction = prediction_of(finished[1], tmp_path / "sounds", tmp_path / "predictions")
    prediction.make()
    rows = prediction.rows().set_index("path")
    assert set(rows.index) == {"plain.wav", *UNUSUAL_NAMES}
    assert rows["reason"].isna().all()
    assert rows["p_normal"].nunique() == 1
    for kind in ("audacity", "raven"):
        tracks = list((prediction.folder / kind).iterdir())
        assert len(tracks) == len(rows)
        assert len({path.read_text() for path in tracks}) == 1


def test_a_file_that_goes_meanwhile_stops_the_command_and_is_not_lost_when_it_is_back(finished, tmp_path):
    sound = next(finished[0].glob("store/synthetic/*/audio/*.wav"))
    (tmp_path / "sounds").mkdir()
    path = shutil.copy2(sound, tmp_path / "sounds")
    listed = prediction_of(finished[1], tmp_path / "sounds", tmp_path / "out", sound="none")
    os.rename(path, tmp_path / "aside.wav")
    with pytest.raises(Refused, match="no such file, but not when the files were listed"):
        listed.make()
    os.rename(tmp_path / "aside.wav", path)
    again = prediction_of(finished[1], tmp_path / "sounds", tmp_path / "out", sound="none")
    assert again.digest == listed.digest
    again.make()
    assert rows_of(again)["reason"].tolist() == [""]

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from respcam.audio import AudioSettings
from respcam.bands import BandSelection, HzGroups
from respcam.front_end import FrontEnd
from respcam.metrics import METRICS, BootstrapSettings
from respcam.model import ModelSettings
from respcam.patches import PatchSettings
from respcam.splits import SplitSettings
from respcam.stages import compare
from respcam.stages.dataset import DatasetSettings
from respcam.stages.explain import ExplainSettings
from respcam.stages.pipeline import STAGES, Pipeline, RunSettings
from respcam.stages.train import TrainSettings
from respcam.synthetic import Synthetic
from respcam.tasks import Task
from respcam.training import Training

GROUPS = HzGroups([100, 275, 450, 625, 800, 975, 1150, 1325, 1500, 1670, 1840, 2000])
BOOTSTRAP = BootstrapSettings(n_resamples=100)
TASK = Task("adventitious", classes={"normal": ["normal"], "adventitious": ["wheeze"]}, normal="normal")
PLANT = Synthetic(n_patients=32, recordings_per_patient=2, duration_s=4)
BELOW = BandSelection("below_1500hz", [[0, 1500]])


def settings_in(folder: Path, epochs: int = 15, **changes) -> RunSettings:
    base = RunSettings(
        dataset=DatasetSettings("synthetic", "synthetic", synthetic=PLANT),
        audio=AudioSettings(gain="rms"),
        front_end=FrontEnd(),
        trained=TrainSettings(
            task=TASK,
            split=SplitSettings(),
            patches=PatchSettings(),
            bands=BandSelection(),
            model=ModelSettings(),
            training=Training(epochs=epochs, batch_units=8, learning_rate=3e-3, patience=epochs, threads=1),
            bootstrap=BOOTSTRAP,
        ),
        explain=ExplainSettings(),
        hz_groups=GROUPS,
        seed=0,
        device="cpu",
        workers=1,
        store=folder / "store",
        runs=folder / "runs",
        config="seed: 0\n",
    )
    trained = {name: changes.pop(name) for name in list(changes) if hasattr(base.trained, name)}
    return replace(base, trained=replace(base.trained, **trained), **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    page = Pipeline(settings_in(folder)).run_all()
    return folder, page.parent


def test_a_run_folder_holds_everything(finished):
    _, run = finished
    assert {path.name for path in run.iterdir()} >= {
        "config.yaml", "metrics.json", "predictions.csv", "history.csv", "model.safetensors", "band_heat.csv",
        "report.html", "figures", "provenance.json", "rejected.csv",
    }  # fmt: skip
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) == {"validation", "test"}
    for part in metrics.values():
        assert part["n_recordings"] > 0
        assert part["n_patients"] > 0
        assert part["confusion"]["classes"] == ["normal", "adventitious"]
        assert np.sum(part["confusion"]["true_by_predicted"]) == part["n_units"]
        for name in METRICS:
            assert set(part[name]) == {"value", "low", "high"}


def test_the_planted_difference_is_learnt(finished):
    metrics = json.loads((finished[1] / "metrics.json").read_text())
    assert metrics["test"]["auroc"]["value"] > 0.95


def test_the_hottest_band_is_the_planted_one(finished):
    heat = pd.read_csv(finished[1] / "band_heat.csv")
    own = heat[heat["target_class"] == "adventitious"]
    bands, groups = own[own["scope"] == "band"], own[own["scope"] == "group"]
    top = bands.loc[bands["ratio"].idxmax()]
    assert top["lower_hz"] <= PLANT.plant_hz + PLANT.plant_spread_hz
    assert top["upper_hz"] >= PLANT.plant_hz - PLANT.plant_spread_hz
    group = groups.loc[groups["ratio"].idxmax()]
    assert group["lower_hz"] <= PLANT.plant_hz < group["upper_hz"]


def test_no_patient_is_on_two_sides_of_the_run(finished):
    units = pd.read_csv(finished[1] / "units.csv")
    assert units.groupby("patient_id")["side"].nunique().max() == 1


def test_predictions_agree_with_the_metrics(finished):
    metrics = json.loads((finished[1] / "metrics.json").read_text())
    predictions = pd.read_csv(finished[1] / "predictions.csv")
    for part, figures in metrics.items():
        own = predictions[predictions["split"] == part]
        assert len(own) == figures["n_units"]
        hits = (own["true_class"] == own["predicted_class"]).sum()
        assert hits == np.trace(figures["confusion"]["true_by_predicted"])


def test_the_page_stands_alone(finished):
    page = (finished[1] / "report.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("data:image/png;base64,") == len(list((finished[1] / "figures").glob("*.png")))
    for words in ("AUROC", "uniform share", "above 1500 Hz", "rows for 64 bands", "gain"):
        assert words in page


def test_the_same_again_does_nothing_and_says_so(finished, caplog):
    folder, run = finished
    before = {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and "checksums" not in str(path)
    }
    with caplog.at_level("INFO"):
        page = Pipeline(settings_in(folder)).run_all()
    assert page.parent == run
    assert "nothing recomputed" in caplog.text
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_pruned_run_reuses_the_features_and_is_compared(finished):
    folder, full = finished
    pruned = Pipeline(settings_in(folder, bands=BELOW))
    assert pruned.artifacts["features"].is_finished
    assert not pruned.artifacts["train"].is_finished
    run = pruned.run_all().parent
    assert len(list((folder / "store/features").glob("[!.]*"))) == 1
    assert json.loads((run / "heat_summary.json").read_text())["n_bands"] == 54
    assert len(pd.read_csv(run / "scaler.csv")) == 54
    artifact = compare.plan(folder / "comparisons", [full, run], BOOTSTRAP)
    page = compare.run(artifact, [full, run], BOOTSTRAP)
    table = pd.read_csv(page.parent / "comparison.csv")
    assert set(table["bands"]) == {"all", "below_1500hz"}
    values = table[table["part"] == "test"].set_index("bands")["auroc"]
    difference = pd.read_csv(page.parent / "differences.csv")
    assert len(difference) == 1
    assert difference["auroc"][0] == pytest.approx(values["below_1500hz"] - values["all"], abs=1e-6)
    assert difference["auroc_low"][0] <= difference["auroc"][0] <= difference["auroc_high"][0]
    text = page.read_text()
    for name in ("all", "below_1500hz", full.name, run.name):
        assert name in text


def test_a_folder_that_is_no_run_cannot_be_compared(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a finished run"):
        compare.plan(tmp_path, [tmp_path / "nothing"], BOOTSTRAP)


def test_a_stage_without_its_input_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run scripts/features\.py with the same overrides first"):
        Pipeline(settings_in(tmp_path)).run("train")


@pytest.mark.parametrize(
    "changes",
    [
        {"split": SplitSettings("patient_holdout")},
        {"split": SplitSettings("patient_kfold", n_folds=3, fold=1)},
        {"task": replace(TASK, unit="event")},
        {"model": ModelSettings("timm", "resnet10t")},
        {"explain": ExplainSettings(target="predicted")},
        {"explain": ExplainSettings(target="adventitious", sides=["validation", "test"])},
        {"model": ModelSettings(width=4, layer="blocks.1")},
        {"bands": BandSelection("two", [[200, 400], [900, 1200]])},
    ],
    ids=["holdout", "kfold", "event", "timm", "predicted", "named class", "layer", "ranges"],
)
def test_variants_run_to_the_end(finished, changes):
    folder, _ = finished
    page = Pipeline(settings_in(folder, epochs=1, **changes)).run_all()
    assert page.is_file()
    metrics = json.loads((page.parent / "metrics.json").read_text())
    assert len(metrics) == 2


def test_a_class_without_usable_recordings_ends_with_one_line(finished, tmp_path):
    folder, _ = finished
    root = next((folder / "store/synthetic").glob("[!.]*"))
    table = pd.read_csv(root / "recordings.csv", dtype=str, keep_default_na=False)
    table.loc[(table["label"] == "wheeze") & (table["split"] == "train"), "path"] += ".gone"
    table.to_csv(tmp_path / "manifest.csv", index=False)
    dataset = DatasetSettings("csv", root=root, manifest=tmp_path / "manifest.csv", missing="skip")
    with pytest.raises(ValueError, match="no usable recording of class adventitious in train"):
        Pipeline(settings_in(tmp_path, dataset=dataset)).run_all()


CHILD = """
import logging, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
logging.basicConfig(level="INFO")
from test_pipeline import Pipeline, settings_in
Pipeline(settings_in(Path(sys.argv[2]), epochs=6)).run_all()
"""


def start(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(folder)]
    with (folder / "log.txt").open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def kill_in(stage: str, folder: Path) -> None:
    """Start the run and kill it as soon as the stage has begun (in training, after an epoch)."""
    place = folder / ("runs" if stage == "report" else f"store/{stage}")
    pattern = "*.partial/checkpoint.pt" if stage == "train" else "*.partial"
    child = start(folder)
    deadline = time.monotonic() + 120
    while not list(place.glob(pattern)):
        assert child.poll() is None, (folder / "log.txt").read_text()[-2000:]
        assert time.monotonic() < deadline, f"{stage} never began"
        time.sleep(0.0005)
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL


def test_a_run_killed_in_every_stage_ends_like_an_undisturbed_one(tmp_path):
    disturbed, undisturbed = tmp_path / "disturbed", tmp_path / "undisturbed"
    disturbed.mkdir()
    made = {}
    for stage in STAGES:
        kill_in(stage, disturbed)
        for done in STAGES[: STAGES.index(stage)]:
            (provenance,) = (disturbed / "store" / done).glob("*[!l]/provenance.json")
            assert made.setdefault(done, provenance.stat().st_mtime_ns) == provenance.stat().st_mtime_ns
    child = start(disturbed)
    assert child.wait(120) == 0, (disturbed / "log.txt").read_text()[-2000:]
    assert "going on after epoch" in (disturbed / "log.txt").read_text()
    Pipeline(settings_in(undisturbed, epochs=6)).run_all()
    (one,), (other,) = (list(folder.glob("runs/*/metrics.json")) for folder in (disturbed, undisturbed))
    assert one.read_text() == other.read_text()
    first, second = (load_file(path.with_name("model.safetensors")) for path in (one, other))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert not list(disturbed.rglob("*.partial"))

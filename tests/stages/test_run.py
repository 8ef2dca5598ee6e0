import json
import os
import re
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

from respcam.data.patches import PatchSettings
from respcam.data.splits import SplitSettings
from respcam.data.tasks import Task
from respcam.evidence import confounds
from respcam.experiments import compare
from respcam.experiments.differences import Design
from respcam.heat.bands import BandSelection, HzGroups
from respcam.metrics import METRICS, BootstrapSettings, Interval
from respcam.network.model import ModelSettings
from respcam.network.training import Training
from respcam.sound.audio import AudioSettings
from respcam.sound.front_end import FrontEnd
from respcam.sound.synthetic import Synthetic
from respcam.stages.dataset import DatasetSettings
from respcam.stages.explain import ExplainSettings, chosen_units
from respcam.stages.features import FrameStore
from respcam.stages.run import STAGES, Pipeline, RunSettings
from respcam.stages.subject import Subject, TrustSettings, draw, occluders_of
from respcam.stages.train import TrainSettings
from respcam.store.shard import WHOLE

GROUPS = HzGroups([100, 275, 450, 625, 800, 975, 1150, 1325, 1500, 1670, 1840, 2000])
BOOTSTRAP = BootstrapSettings(n_resamples=100)
TASK = Task("adventitious", classes={"normal": ["normal"], "adventitious": ["wheeze"]}, normal="normal")
PLANT = Synthetic(n_patients=32, recordings_per_patient=2, duration_s=4, snr_db=6)
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
            training=Training(
                epochs=epochs, batch_units=8, learning_rate=3e-3, pooling="mean", patience=epochs, threads=1
            ),
            bootstrap=BOOTSTRAP,
        ),
        explain=ExplainSettings(),
        trust=TrustSettings(patches=24),
        hz_groups=GROUPS,
        seed=0,
        device="cpu",
        workers=1,
        shard=WHOLE,
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
        "report.html", "figures", "provenance.json", "rejected.csv", "trust.json", "occlusion.csv", "methods.csv",
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
    front_end = FrontEnd()
    lobe_hz = 2 * front_end.sample_rate_hz / front_end.window_samples  # how far a Hann window spreads a tone
    reach_hz = PLANT.plant_spread_hz + lobe_hz
    assert top["lower_hz"] <= PLANT.plant_hz + reach_hz
    assert top["upper_hz"] >= PLANT.plant_hz - reach_hz
    group = groups.loc[groups["ratio"].idxmax()]
    assert group["lower_hz"] <= PLANT.plant_hz < group["upper_hz"]


def test_the_heat_of_a_planted_sound_is_supported(finished):
    trust = json.loads((finished[1] / "trust.json").read_text())
    part = trust["parts"]["test"]
    assert trust["is_supported"], part["words"]
    assert part["top"] == {"occlusion": "800-975", "heat": "800-975"}
    assert part["warnings"] == []
    assert part["words"].startswith("Supported: HiResCAM")
    methods = pd.read_csv(finished[1] / "methods.csv").set_index("name")
    assert methods["is_supported"].iloc[0]
    assert not methods.loc["loudest band", "is_supported"]
    assert methods.loc["loudest band", "densest_hz"] == "275-450"  # the hum
    assert "Can the heat be trusted?" in (finished[1] / "report.html").read_text()


def test_occlusion_of_everything_costs_everything(finished):
    table = pd.read_csv(finished[1] / "occlusion.csv")
    area = table[table["of"] == "auroc"]
    for kind, cutoff_hz in (("low_pass", 100), ("high_pass", 2000)):
        ends = area[(area["kind"] == kind) & (area["cutoff_hz"] == cutoff_hz) & (area["fill"] != "other")]
        np.testing.assert_allclose(ends["fall"], 0.5, atol=0.02)  # constant pictures: AUROC 0.5
    above = area[(area["kind"] == "low_pass") & (area["cutoff_hz"] >= 1150) & (area["fill"] == "mean")]
    assert above["fall"].abs().max() < 0.1  # the plant is at 890 Hz


def examined(folder):
    """The trained model of a finished run and eight of its test patches."""
    pipeline = Pipeline(settings_in(folder))
    own, of = pipeline.settings, pipeline.artifacts
    store = FrameStore.open(of["features"].folder, own.front_end)
    subject = Subject.load(
        of["train"], store, own.trained, own.explain, own.trust, own.hz_groups, BOOTSTRAP, own.device
    )
    sample = draw(subject, chosen_units(of["train"].folder, None), 8)
    return subject, sample


def test_patches_are_drawn_by_their_part_in_the_score(finished):
    subject, even = examined(finished[0])
    of = {"even": [], "by_part": []}
    pooled = replace(subject.trained, training=replace(subject.trained.training, pooling="logsumexp"))
    units = chosen_units(subject.train.folder, None)
    for pick, found in of.items():
        for seed in range(12):
            asked = replace(subject, trained=pooled, settings=replace(subject.settings, pick=pick, seed=seed))
            sample = draw(asked, units, 8)
            found.append(subject.log_odds(sample.pictures)[np.arange(len(sample.rows)), sample.target].mean())
            assert sample.rows["target"].value_counts().tolist() == even.rows["target"].value_counts().tolist()
    assert np.mean(of["by_part"]) > np.mean(of["even"]) + 3 * np.std(of["even"]) / np.sqrt(12)
    same = draw(replace(subject, settings=replace(subject.settings, pick="even")), units, 8)
    assert same.rows["patch"].tolist() == even.rows["patch"].tolist()


def test_occlusion_goes_on_where_it_was(finished, tmp_path):
    subject, sample = examined(finished[0])
    rows, gone = np.arange(8), [frozenset({0}), frozenset({1, 2})]
    first = occluders_of(subject, sample, tmp_path / "scores", ["mean"])["mean"]
    first.score(gone, rows, "")
    again = occluders_of(subject, sample, tmp_path / "scores", ["mean"])["mean"]
    assert set(again.known) == set(gone)
    object.__setattr__(subject, "model", None)  # whatever is known is not asked again
    again.score(gone, rows, "")
    np.testing.assert_array_equal(again.fall(gone[1]), first.fall(gone[1]))


def test_scores_are_kept_while_occlusion_is_under_way(finished, tmp_path, monkeypatch):
    subject, sample = examined(finished[0])
    first = occluders_of(subject, sample, tmp_path / "scores", ["mean"])["mean"]
    monkeypatch.setattr("respcam.stages.subject.SAVE_EVERY_S", 0)
    asked, answer = [], Subject.log_odds_of

    def interrupted(self, occlusion, is_gone):
        asked.append(is_gone)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return answer(self, occlusion, is_gone)

    monkeypatch.setattr(Subject, "log_odds_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        first.score([frozenset({0}), frozenset({1})], np.arange(8), "")
    again = occluders_of(subject, sample, tmp_path / "scores", ["mean"])["mean"]
    assert np.isfinite(again.known[frozenset({0})]).all()
    assert np.isnan(again.known[frozenset({1})]).all()
    n_before = len(asked)
    again.score([frozenset({0}), frozenset({1})], np.arange(8), "")
    assert len(asked) == n_before + 1  # only what was missing
    assert np.isfinite(again.known[frozenset({1})]).all()


def test_groups_without_a_band_are_refused(finished):
    nowhere = settings_in(finished[0], hz_groups=HzGroups([3000, 4000]), trust=TrustSettings(patches=24))
    with pytest.raises(ValueError, match="none of the bands that the model is fed lies in a group"):
        Pipeline(nowhere).run("trust")


def test_the_cutoff_is_judged_on_validation_patients(finished):
    cutoff = json.loads((finished[1] / "trust.json").read_text())["cutoff"]
    units = pd.read_csv(finished[1] / "units.csv")
    assert cutoff["n_patients"] == units.loc[units["side"] == "validation", "patient_id"].nunique()
    assert cutoff["cutoff_hz"] is None or cutoff["cutoff_hz"] >= 975


def test_a_model_of_permuted_labels_supports_nothing(finished):
    folder, _ = finished
    page = Pipeline(settings_in(folder, permute_labels=True)).run_all()
    trust = json.loads((page.parent / "trust.json").read_text())
    assert not trust["is_supported"]
    assert trust["parts"]["test"]["words"].startswith("Not supported: the model is not surely better than chance")
    assert trust["parts"]["test"]["supported_methods"] == []
    assert "the labels were permuted" in page.read_text()


def test_the_control_trains_on_permuted_labels_and_is_compared(finished):
    folder, _ = finished
    pipeline = Pipeline(settings_in(folder, trust=TrustSettings(patches=24, permuted_control=True)))
    page = pipeline.run_all()
    assert pipeline.artifacts["control"].is_finished
    assert pipeline.artifacts["control"].digest != pipeline.artifacts["train"].digest
    methods = pd.read_csv(page.parent / "methods.csv")
    assert methods.loc[methods["is_method"], "control_similarity"].between(-1, 1).all()
    assert "permuted labels" in page.read_text()


def test_a_shortcut_is_named_with_its_band(tmp_path):
    shortcut = replace(PLANT, snr_db=-6, shortcut="hiss", shortcut_hz=[1500.0, 1840.0])
    page = Pipeline(settings_in(tmp_path, dataset=DatasetSettings("s", "synthetic", synthetic=shortcut))).run_all()
    part = json.loads((page.parent / "trust.json").read_text())["parts"]["test"]
    assert part["top"]["occlusion"] in {"1500-1670", "1670-1840"}
    assert part["top"]["heat"] in {"1500-1670", "1670-1840", "1840-2000"}  # the skirt of the hiss
    text = " ".join(part["warnings"])
    assert "metadata alone tells the classes apart nearly as well as the model (AUROC device 1.000" in text
    assert "shortcut: the device follows the class" in text
    assert "1500-1670, 1670-1840 Hz" in text
    assert re.search("occlusion (points|and heat point) there", text)
    assert "shortcut: the device follows the class" in page.read_text()


def test_the_bench_scores_methods_against_the_plant(finished):
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts/bench"))
    import planted

    rows = {row["method"]: row for row in planted.score(finished[1], PLANT.plant_hz, GROUPS)}
    own = rows["hires_cam @ blocks.0+blocks.1+blocks.2+blocks.3"]
    assert own["is_hit"]
    assert own["inside"] > 3 * own["even"]
    assert own["error_hz"] < 175
    assert own["pointing"] > own["covered"]
    assert rows["occlusion"]["is_hit"]
    assert not rows["loudest band"]["is_hit"]
    wrong = {row["method"]: row for row in planted.score(finished[1], 1585.0, GROUPS)}
    assert not wrong["occlusion"]["is_hit"]
    text = planted.summary(pd.DataFrame(rows.values()).assign(accuracy=1.0))
    assert "| occlusion | 1 of 1 |" in text
    assert "| loudest band | 0 of 1 |" in text


def audit_with(finished, **columns):
    """Warnings of the audit of the finished run, had its manifest these columns."""
    pipeline = Pipeline(settings_in(finished[0]))
    own, of, source = pipeline.settings, pipeline.artifacts, pipeline.source
    store = FrameStore.open(of["features"].folder, own.front_end)
    subject = Subject.load(
        of["train"], store, own.trained, own.explain, own.trust, own.hz_groups, BOOTSTRAP, own.device
    )
    told = {name: make(source.recordings).astype(str) for name, make in columns.items()}
    source = replace(source, recordings=source.recordings.assign(**told))
    metrics = json.loads((finished[1] / "metrics.json").read_text())
    units = chosen_units(of["train"].folder, None)
    model = Interval(**metrics["test"]["auroc"])
    top = {"occlusion": "800-975", "heat": "800-975"}
    return confounds.look(subject, source, of["resample"], of["explain"], units, model, top)


def test_a_manifest_whose_device_names_the_class_is_warned_of(finished):
    tables, warnings = audit_with(
        finished,
        device=lambda r: np.where(r["label"] == "wheeze", "AKGC417L", "Meditron"),
        site=lambda r: np.resize(["Al", "Ar", "Tc", "Pl", "Pr"], len(r)),
    )
    assert warnings[0].startswith(
        "metadata alone tells the classes apart nearly as well as the model (AUROC device 1.0"
    )
    assert set(tables["strata"]["value"]) == {"AKGC417L", "Meditron"}
    assert tables["strata"]["auroc"].isna().all()  # one class each: nothing to tell apart


def test_a_manifest_whose_device_says_nothing_is_not(finished):
    tables, warnings = audit_with(
        finished,
        device=lambda r: np.resize(["AKGC417L", "Meditron", "Litt3200"], len(r)),
        site=lambda r: np.resize(["Al", "Ar", "Tc", "Pl", "Pr"], len(r)),
        age_years=lambda r: np.resize(np.arange(20, 37), len(r)),
    )
    assert warnings == []
    assert set(tables["strata"]["field"]) == {"device"}
    assert set(tables["strata"]["densest_hz"]) <= {"800-975", "975-1150"}  # the plant reaches to 950 Hz
    assert tables["metadata"]["auroc"].max() < 0.9


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
    assert "://" not in page  # characters that no picture in base64 holds by chance
    for words in ("correlation with", "known without listening", "on the log floor", "can see (bands"):
        assert words in page
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
    asked = ([full, run], BOOTSTRAP, Design(n_permutations=100), "auroc", "all")
    page = compare.run(compare.plan(folder / "comparisons", *asked), *asked)
    table = pd.read_csv(page.parent / "comparison.csv")
    assert set(table["bands"]) == {"all", "below_1500hz"}
    values = table[table["part"] == "test"].set_index("bands")["auroc"]
    difference = pd.read_csv(page.parent / "differences.csv")
    own = difference[(difference["metric"] == "auroc") & (difference["stratum"] == "all recordings")].iloc[0]
    assert own["value"] == pytest.approx(values["below_1500hz"] - values["all"], abs=1e-6)
    assert own["low"] <= own["value"] <= own["high"]
    assert "One training each" in own["sentence"]
    text = page.read_text()
    for name in ("all", "below_1500hz", full.name, run.name, "minus that of all"):
        assert name in text


def test_a_folder_that_is_no_run_cannot_be_compared(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a finished run"):
        compare.plan(tmp_path, [tmp_path / "nothing"], BOOTSTRAP, Design(), "auroc", "all")


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
        {"model": ModelSettings(width=4), "explain": ExplainSettings("grad_cam", ["blocks.1"], hop_frames=48)},
        {"bands": BandSelection("two", [[200, 400], [900, 1200]])},
        {"bands": BandSelection("one", [[820, 960]])},
    ],
    ids=["holdout", "kfold", "event", "timm", "predicted", "named class", "layer", "ranges", "one group"],
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
from test_run import Pipeline, settings_in
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

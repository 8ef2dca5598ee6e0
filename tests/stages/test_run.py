import itertools
import json
import logging
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import BELOW, BOOTSTRAP, PLANT, TASK, settings_in, short_settings_in

from respcam.data.splits import SplitSettings
from respcam.errors import Refused
from respcam.experiments.compare import Comparison, ComparisonSettings
from respcam.experiments.differences import Design
from respcam.heat.bands import BandSelection
from respcam.network.model import ModelSettings
from respcam.stages.dataset import DatasetSettings
from respcam.stages.explain import ExplainSettings
from respcam.stages.run import STAGES, Run
from respcam.store import artifact, integrity
from respcam.store.shard import Shard


def test_the_same_again_does_nothing_and_says_so(finished, caplog):
    folder, run = finished
    results = [path for path in folder.rglob("*") if path.is_file() and "checksums" not in str(path)]
    before = {path: path.stat().st_mtime_ns for path in results if path.suffix != ".lock"}
    with caplog.at_level("INFO"):
        page = Run.of(settings_in(folder)).make()
    assert page.parent == run
    assert "nothing recomputed" in caplog.text
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_pruned_run_reuses_the_features_and_is_compared(tmp_path):
    folder, all_bands = tmp_path, Run.of(short_settings_in(tmp_path)).make().parent
    pruned = Run.of(short_settings_in(folder, bands=BELOW))
    assert pruned.stages["features"].is_finished
    assert not pruned.stages["train"].is_finished
    made = set((folder / "store/features").glob("[!.]*"))
    run = pruned.make().parent
    assert set((folder / "store/features").glob("[!.]*")) == made
    assert pruned.stages["profile"].summary()["n_bands"] == 54
    assert len(pruned.stages["train"].bands()) == 54
    settings = ComparisonSettings(BOOTSTRAP, Design())
    comparison = Comparison.of(folder / "comparisons", [all_bands, run], settings)
    comparison.make()
    table = comparison.table()
    assert set(table["bands"]) == {"all", "below_1500hz"}
    values = table[table["part"] == "test"].set_index("bands")["auroc"]
    difference = comparison.differences()
    row = difference[(difference["metric"] == "auroc") & (difference["stratum"] == "all recordings")].iloc[0]
    assert row["value"] == pytest.approx(values["below_1500hz"] - values["all"], abs=1e-6)
    assert row["low"] <= row["value"] <= row["high"]
    assert "Nothing follows about the arms" in row["sentence"]
    text = comparison.page.read_text()
    for name in ("all", "below_1500hz", all_bands.name, run.name, "minus AUROC of all"):
        assert name in text


def test_a_stage_that_is_not_made_names_the_command(tmp_path):
    with pytest.raises(Refused, match=r"start respcam run until=features with the same overrides first"):
        Run.of(settings_in(tmp_path)).stages["features"].frames()


def test_a_stage_makes_what_it_needs(tmp_path):
    run = Run.of(settings_in(tmp_path, epochs=1))
    folder = run.make("features")
    assert folder == run.stages["features"].folder
    assert run.stages["resample"].is_finished
    assert not run.stages["train"].is_finished


def test_an_unknown_stage_and_a_shard_of_what_is_not_divided_are_refused(tmp_path):
    with pytest.raises(Refused, match="until is 'bands'; there are resample, features"):
        settings_in(tmp_path, until="bands")
    with pytest.raises(Refused, match="shard.count is 2; only until=resample and until=features divide their work"):
        settings_in(tmp_path, until="train", shard=Shard(0, 2))


MANY = DatasetSettings("synthetic", "synthetic", synthetic=PLANT)


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch, caplog):
    days = itertools.count(20_000, -1)
    clock = Mock(now=lambda zone: datetime.fromtimestamp(86_400 * next(days), zone))  # a day back at every look
    monkeypatch.setattr(artifact, "datetime", clock)
    run = Run.of(short_settings_in(tmp_path)).make().parent
    made = sorted(tmp_path.rglob("provenance.json"))
    assert len(made) > len(STAGES)
    assert min(json.loads(path.read_text())["duration_s"] for path in made) >= 0
    for number, path in enumerate(tmp_path.rglob("*")):
        os.utime(path, (0, 0) if number % 2 else (2**32, 2**32))  # 1970 and 2106
    integrity._COMPARED.clear()  # as in another process
    with caplog.at_level("INFO"):
        assert Run.of(short_settings_in(tmp_path)).make().parent == run
    assert "nothing recomputed" in caplog.text
    assert sorted(tmp_path.rglob("provenance.json")) == made
    assert {path.stat().st_mtime for path in made} <= {0, 2**32}


@pytest.mark.parametrize(
    "changes",
    [
        {"split": SplitSettings("patient_holdout"), "dataset": MANY},
        {"split": SplitSettings("patient_kfold", n_folds=3, fold=1), "dataset": MANY},
        {"task": replace(TASK, unit="event")},
        {"model": ModelSettings("timm", "lcnet_035")},
        {"explain": ExplainSettings(target="predicted")},
        {"explain": ExplainSettings(target="adventitious", parts=["validation", "test"])},
        {
            "model": ModelSettings(width=4),
            "explain": ExplainSettings(level="patch", method="grad_cam", layers=["blocks.1"], hop_frames=48),
        },
        {"bands": BandSelection("two", [[200, 400], [900, 1200]])},
        {"bands": BandSelection("one", [[820, 960]])},
    ],
    ids=["holdout", "kfold", "event", "timm", "predicted", "named class", "layer", "ranges", "one group"],
)
def test_variants_run_to_the_end(brief, changes):
    run = Run.of(short_settings_in(brief, **changes))
    assert run.make().is_file()
    assert len(run.stages["train"].metrics()) == 2


FORKED = multiprocessing.get_context("forkserver")  # its server imports what takes seconds once for all children
FORKED.set_forkserver_preload(["respcam.stages.run", "respcam.report.run_page", "lightning_fabric", "scipy.signal"])


def run_to_the_end(folder: Path) -> None:
    os.setsid()
    with (folder / "log.txt").open("a") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    logging.basicConfig(level="INFO")
    Run.of(short_settings_in(folder, epochs=6)).make()


def start(folder: Path) -> multiprocessing.Process:
    child = FORKED.Process(target=run_to_the_end, args=(folder,))
    child.start()
    return child


def kill_in(stage: str, folder: Path) -> None:
    """Start the run and kill it as soon as the stage has begun (in training, after an epoch)."""
    place = folder / ("runs" if stage == "report" else f"store/{stage}")
    pattern = "*.partial/checkpoint.pt" if stage == "train" else "*.partial"
    child = start(folder)
    deadline = time.monotonic() + 120
    while not list(place.glob(pattern)):
        assert child.is_alive(), (folder / "log.txt").read_text()[-2000:]
        assert time.monotonic() < deadline, f"{stage} never began"
        time.sleep(0.0005)
    os.killpg(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL


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
    child.join(120)
    assert child.exitcode == 0, (disturbed / "log.txt").read_text()[-2000:]
    assert "continues after epoch" in (disturbed / "log.txt").read_text()
    Run.of(short_settings_in(undisturbed, epochs=6)).make()
    (metrics,), (expected,) = (list(folder.glob("runs/*/metrics.json")) for folder in (disturbed, undisturbed))
    assert metrics.read_text() == expected.read_text()
    weights, expected_weights = (load_file(path.with_name("model.safetensors")) for path in (metrics, expected))
    for name in weights:
        np.testing.assert_array_equal(weights[name], expected_weights[name])
    assert not list(disturbed.rglob("*.partial"))

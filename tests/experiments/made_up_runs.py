"""Made-up run folders: 40 patients, of whom a fold tests half; recordings of device b alone have the gain."""

import json

import numpy as np
import pandas as pd

from respcam.data import run_folder
from respcam.experiments.finished import FinishedRun
from respcam.heat.bands import BandSelection
from respcam.metrics import METRICS

CLASSES = ["normal", "wheeze"]
SURROUNDINGS = {"libraries": {"torch": "2"}, "python": "3.11", "platform": "Linux", "git": {"commit": "1234"}}


def predictions_of(bands, seed, fold, gain, devices):
    rng = np.random.default_rng([seed, fold or 0, len(bands)])
    patient = np.array([p for p in range(40) if fold is None or p // 2 % 2 == fold])
    target, device = patient % 2, patient // 4 % 2
    p = 1 / (1 + np.exp(-(target - 0.5 + rng.normal(0, 1, len(patient)) + gain * device * (2 * target - 1))))
    table = {
        "part": "test" if fold is None else f"fold{fold}", "unit_id": patient.astype(str),
        "patient_id": patient.astype(str), "true_class": np.array(CLASSES)[target],
        "predicted_class": np.array(CLASSES)[(p > 0.5).astype(int)], "p_normal": 1 - p, "p_wheeze": p,
        "device": np.array(devices)[device],
    }  # fmt: skip
    return pd.DataFrame(table)


def band_heat_of(parts):
    rows = [
        {"part": part, "target_class": name, "scope": scope, "name": "0", "centre_hz": hz, "ratio": 1.0}
        for part in parts
        for name in CLASSES
        for scope, hz in (("band", 200.0), ("band", 300.0), ("group", 250.0))
    ]
    return pd.DataFrame(rows)


def metrics_of(note=None):
    interval = {"value": 0.8, "low": 0.7, "high": 0.9}
    counts = {"n_units": 40, "n_recordings": 40, "n_patients": 40}
    confusion = {"classes": CLASSES, "true_by_predicted": [[10, 10], [10, 10]]}
    return {"note": note, **counts, "confusion": confusion, **dict.fromkeys(METRICS, interval)}


def run_in(folder, bands="all", seed=0, fold=None, gain=0.0, devices=("a", "b"), note=None, experiment="e" * 64):
    """Write the folder of a finished run and open it."""
    name = f"{bands}{seed}{fold}"
    path = folder / name
    (path / "figures").mkdir(parents=True)
    part = "test" if fold is None else f"fold{fold}"
    predictions_of(bands, seed, fold, gain, devices).to_csv(path / "predictions.csv", index=False)
    band_heat_of(["validation", part]).to_csv(path / "band_heat.csv", index=False)
    keep_hz = None if bands == "all" else [[0.0, 1500.0]]
    description = {
        "dataset": "synthetic", "task": "adventitious", "split": "official" if fold is None else "patient_kfold",
        "fold": fold, "bands": bands, "model": "band_cnn", "seed": seed,
        "task_settings": {"unit": "recording", "normal": "normal", "score": "icbhi", "uncounted": []},
        "apart_from_bands": f"{seed}-{fold}", "experiment": experiment,
        "band_selection": vars(BandSelection(bands, keep_hz)),
    }  # fmt: skip
    verdict = {
        "is_supported": True,
        "top": {"heat": "275-450", "occlusion": "450-625"},
        "classes": [{"class": "wheeze"}],
    }
    contents = {
        "metrics.json": {"validation": metrics_of(), part: metrics_of(note)},
        "trust.json": {"parts": {part: verdict}},
        "heat_summary.json": {"n_bands": 64, "hz_groups": {"mark_hz": 1500.0}},
        "provenance.json": {
            "digest": f"{name:x<64}",
            "schema": run_folder.SCHEMA,
            "settings": {"run": description},
            **SURROUNDINGS,
        },
    }
    for file, content in contents.items():
        (path / file).write_text(json.dumps(content))
    history = pd.DataFrame({"epoch": [1, 2], "train_loss": [0.7, 0.5], "is_best": [False, True]})
    history.to_csv(path / "history.csv", index=False)
    (path / "units.csv").write_text("unit_id\n0\n")
    (path / "model.safetensors").write_bytes(b"weights")
    (path / "config.yaml").write_text("seed: 0\n")
    (path / "report.html").write_text("report")
    (path / "figures" / "profile.png").write_bytes(b"figure")
    return FinishedRun(path)

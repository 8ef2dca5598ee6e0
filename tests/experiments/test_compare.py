import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from respcam.experiments.compare import EVERYONE, FOLDS, _differences, _heat_of_arms
from respcam.experiments.differences import Design
from respcam.metrics import BootstrapSettings

SETTINGS = (BootstrapSettings(n_resamples=100), Design(n_permutations=100), "all")


def made_up(bands, seed, fold=None, gain=0.0, devices=("a", "b")):
    """What is read of a run: 40 patients, of whom a fold tests half; device b alone hears the gain."""
    rng = np.random.default_rng([seed, fold or 0, len(bands)])
    patient = np.array([p for p in range(40) if fold is None or p // 2 % 2 == fold])
    target, device = patient % 2, patient // 4 % 2
    p = 1 / (1 + np.exp(-(target - 0.5 + rng.normal(0, 1, len(patient)) + gain * device * (2 * target - 1))))
    part = "test" if fold is None else f"fold{fold}"
    names = np.array(["normal", "wheeze"])
    table = pd.DataFrame(
        {
            "split": part, "unit_id": patient.astype(str), "patient_id": patient.astype(str),
            "true_class": names[target], "p_normal": 1 - p, "p_wheeze": p, "device": np.array(devices)[device],
        }
    )  # fmt: skip
    metrics = {part: {"note": None, "confusion": {"classes": names.tolist()}}}
    return {
        "name": f"{bands}{seed}{fold}", "bands": bands, "seed": seed, "fold": fold, "metrics": metrics,
        "apart_from_bands": f"{seed}-{fold}", "predictions": table, "task_settings": {"normal": "normal", "score": "icbhi"},
    }  # fmt: skip


def area(each, device=None):
    own = each["predictions"]
    own = own if device is None else own[own["device"] == device]
    return roc_auc_score(own["true_class"] == "wheeze", own["p_wheeze"])


def of(rows, stratum=EVERYONE, metric="auroc"):
    found = pd.DataFrame(rows)
    return found[(found["stratum"] == stratum) & (found["metric"] == metric)].set_index("arm")


def test_arms_are_paired_by_seed_and_split_by_device():
    runs = [made_up(bands, seed, gain=4 * (bands == "pruned")) for bands in ("all", "pruned") for seed in range(3)]
    rows = _differences(runs, *SETTINGS)
    for stratum, device in ((EVERYONE, None), ("device a", "a"), ("device b", "b")):
        expected = np.mean(
            [area(arm, device) - area(base, device) for base, arm in zip(runs[:3], runs[3:], strict=True)]
        )
        assert of(rows, stratum).loc["pruned", "value"] == pytest.approx(expected)
    assert of(rows, "device b").loc["pruned", "value"] > of(rows, "device a").loc["pruned", "value"]
    assert of(rows, "device b").loc["pruned", "n_patients"] == 20


def test_folds_are_one_part():
    runs = [made_up(bands, seed, fold) for bands in ("all", "pruned") for seed in (0, 1) for fold in (0, 1)]
    found = of(_differences(runs, *SETTINGS))
    assert found.loc["pruned", ["part", "n_patients", "n_trainings"]].tolist() == [FOLDS, 40, 2]


def test_one_device_is_no_stratum():
    runs = [made_up(bands, seed, devices=("a", "a")) for bands in ("all", "pruned") for seed in (0, 1)]
    assert {row["stratum"] for row in _differences(runs, *SETTINGS)} == {EVERYONE}


def test_a_run_without_its_base_is_left_out_and_named(caplog):
    runs = [made_up("all", 0), made_up("pruned", 0), made_up("pruned", 1)]
    assert of(_differences(runs, *SETTINGS)).loc["pruned", "n_trainings"] == 1
    assert "pruned1None has no run of the base arm" in caplog.text


def test_p_values_are_corrected_over_the_arms():
    runs = [made_up(bands, seed, gain=4 * (bands == "b")) for bands in ("all", "b", "c", "d") for seed in range(3)]
    found = of(_differences(runs, *SETTINGS))
    assert found.loc["b", "p_corrected"] == pytest.approx(min(1, 3 * found.loc["b", "p"]))


def test_supported_heat_is_counted_over_the_trainings_of_an_arm():
    table = pd.DataFrame(
        [("pruned", True, "275-450", "275-450"), ("pruned", False, "1840-2000", "275-450"),
         ("pruned", True, "275-450", "450-625"), ("all", False, "100-275", "275-450"), ("all", None, None, None)],
        columns=["bands", "heat_is_supported", "heat_densest_hz", "occlusion_most_hz"],
    )  # fmt: skip
    assert _heat_of_arms(table, ["all", "pruned", "random"]) == [
        {"arm": "all", "n_runs": 1, "n_supported": 0, "heat_densest_hz": ["100-275 (1)"],
         "occlusion_most_hz": ["275-450 (1)"]},
        {"arm": "pruned", "n_runs": 3, "n_supported": 2, "heat_densest_hz": ["275-450 (2)", "1840-2000 (1)"],
         "occlusion_most_hz": ["275-450 (2)", "450-625 (1)"]},
    ]  # fmt: skip

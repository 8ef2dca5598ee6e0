import json
import re

import numpy as np
import pandas as pd
import pytest
from made_up_runs import run_in
from sklearn.metrics import roc_auc_score

from respcam.errors import Refused
from respcam.experiments.compare import (
    EVERYONE,
    FOLDS,
    Comparison,
    ComparisonSettings,
    _differences,
    _experiments,
)
from respcam.experiments.differences import Design
from respcam.metrics import BootstrapSettings

SETTINGS = ComparisonSettings(BootstrapSettings(n_resamples=100), Design())


def area(run, device=None):
    table = run.predictions()
    table = table if device is None else table[table["device"] == device]
    return roc_auc_score(table["true_class"] == "wheeze", table["p_wheeze"])


def of(rows, stratum=EVERYONE, metric="auroc"):
    table = pd.DataFrame(rows)
    return table[(table["stratum"] == stratum) & (table["metric"] == metric)].set_index("arm")


def test_arms_are_paired_by_seed_and_divided_by_device(tmp_path):
    runs = [
        run_in(tmp_path, bands, seed, gain=4 * (bands == "pruned"))
        for bands in ("all", "pruned")
        for seed in range(3)
    ]
    rows = _differences(runs, SETTINGS)
    for stratum, device in ((EVERYONE, None), ("device a", "a"), ("device b", "b")):
        expected = np.mean(
            [area(arm, device) - area(base, device) for base, arm in zip(runs[:3], runs[3:], strict=True)]
        )
        assert of(rows, stratum).loc["pruned", "value"] == pytest.approx(expected)
    assert of(rows, "device b").loc["pruned", "value"] > of(rows, "device a").loc["pruned", "value"]
    assert of(rows, "device b").loc["pruned", "n_patients"] == 20


def test_arms_are_in_the_order_of_their_numbers(tmp_path):
    runs = [run_in(tmp_path, bands, devices=("a", "a")) for bands in ("arm_10", "all", "arm_9", "arm_9b")]
    arms = [row["arm"] for row in _differences(runs, SETTINGS)]
    assert list(dict.fromkeys(arms)) == ["arm_9", "arm_9b", "arm_10"]


def test_folds_are_one_part(tmp_path):
    runs = [run_in(tmp_path, bands, seed, fold) for bands in ("all", "pruned") for seed in (0, 1) for fold in (0, 1)]
    table = of(_differences(runs, SETTINGS))
    assert table.loc["pruned", ["part", "n_patients", "n_trainings"]].tolist() == [FOLDS, 40, 4]
    assert table.loc["pruned", "interval_over"] == "patients alone"


def test_one_device_is_no_stratum(tmp_path):
    runs = [run_in(tmp_path, bands, seed, devices=("a", "a")) for bands in ("all", "pruned") for seed in (0, 1)]
    assert {row["stratum"] for row in _differences(runs, SETTINGS)} == {EVERYONE}


def test_a_run_without_its_base_is_left_out_and_named(tmp_path, caplog):
    runs = [run_in(tmp_path, "all", 0), run_in(tmp_path, "pruned", 0), run_in(tmp_path, "pruned", 1)]
    assert of(_differences(runs, SETTINGS)).loc["pruned", "n_trainings"] == 1
    assert "pruned1None has no run of the base arm" in caplog.text


def test_p_values_are_corrected_over_the_arms(tmp_path):
    runs = [
        run_in(tmp_path, bands, seed, gain=4 * (bands == "b"), devices=("a", "a"))
        for bands in ("all", "b", "c", "d")
        for seed in range(3)
    ]
    table = of(_differences(runs, SETTINGS))
    assert table.loc["b", "p_corrected"] == pytest.approx(min(1, 3 * table.loc["b", "p"]))


def test_arms_that_were_tested_on_different_units_are_refused(tmp_path):
    runs = [run_in(tmp_path, "all"), run_in(tmp_path, "pruned")]
    path = runs[1].folder / "predictions.csv"
    pd.read_csv(path).iloc[1:].to_csv(path, index=False)
    with pytest.raises(Refused, match="pruned0None and all0None were tested on different units of test"):
        _differences(runs, SETTINGS)


def test_experiments_are_named_by_what_tells_them_apart(tmp_path):
    runs = [run_in(tmp_path / "a", experiment="1" * 64), run_in(tmp_path / "b", fold=0, experiment="2" * 64)]
    assert list(_experiments(runs)) == ["split official", "split patient_kfold"]
    alike = [run_in(tmp_path / "c", experiment="1" * 64), run_in(tmp_path / "d", experiment="2" * 64)]
    names = list(_experiments(alike))
    assert [name.split(" (")[0][-7:] for name in names] == ["group 1", "group 2"]
    assert all(run.name in name for run, name in zip(alike, names, strict=True))


def test_a_comparison_is_made_once(tmp_path):
    runs = tmp_path / "runs"
    folders = [
        run_in(runs, bands, seed, note="patient p1 also in train").folder
        for bands in ("all", "pruned")
        for seed in (0, 1)
    ]
    comparison = Comparison.of(tmp_path / "comparisons", reversed(folders), SETTINGS)
    assert [run.folder for run in comparison.runs] == sorted(folders)
    comparison.make()
    page = comparison.page
    assert len(pd.read_csv(page.parent / "comparison.csv")) == 8
    differences = pd.read_csv(page.parent / "differences.csv")
    assert set(differences["arm"]) == {"pruned"}
    assert set(differences["interval_over"]) == {"patients alone"}
    assert set(differences["verdict"]) <= {"models differ", "models not distinguished"}
    text = page.read_text()
    assert "these 4 models" in text
    assert not re.search("helps|harms|ArmVerdict", text + " ".join(differences["sentence"]))
    assert "patient p1 also in train. These metrics are not patient-independent." in text
    assert 'href="../../runs/all0None/report.html"' in text
    assert (page.parent / "../../runs/all0None/report.html").is_file()
    before = page.stat().st_mtime_ns
    again = Comparison.of(tmp_path / "comparisons", folders, SETTINGS)
    again.make()
    assert again.page == page
    assert page.stat().st_mtime_ns == before


def test_heat_of_folds_is_drawn_together(tmp_path):
    folders = [run_in(tmp_path, bands, fold=fold).folder for bands in ("all", "pruned") for fold in (0, 1)]
    Comparison.of(tmp_path, folders, SETTINGS).write(tmp_path)
    names = {path.name.split("_")[1] for path in (tmp_path / "figures").glob("profiles_*")}
    assert names == {"held-out", "validation"}


def test_a_run_whose_part_has_no_verdict_is_listed(tmp_path):
    run = run_in(tmp_path)
    (run.folder / "trust.json").write_text(json.dumps({"parts": {}}))
    Comparison.of(tmp_path, [run.folder], SETTINGS).write(tmp_path)
    assert pd.read_csv(tmp_path / "comparison.csv")["heat_is_supported"].isna().all()


def test_what_cannot_be_compared_is_refused(tmp_path):
    with pytest.raises(Refused, match="not a finished run"):
        Comparison.of(tmp_path, [tmp_path / "nothing"], SETTINGS)
    with pytest.raises(Refused, match="metric is 'accuracy'; expected one of auroc"):
        ComparisonSettings(metric="accuracy")
    path = run_in(tmp_path).folder / "provenance.json"
    made = json.loads(path.read_text())
    made["schema"] -= 1
    path.write_text(json.dumps(made))
    with pytest.raises(Refused, match="made by an earlier version"):
        Comparison.of(tmp_path, [path.parent], SETTINGS)


def opened(folder, **settings):
    folders = [path for path in folder.iterdir() if path.is_dir() and path.name != "comparisons"]
    return Comparison.of(folder / "comparisons", folders, ComparisonSettings(**settings))


def with_selection(folder, run, digest, **changes):
    """Give a made-up run another selection of bands, and another digest."""
    path = run.folder / "provenance.json"
    content = json.loads(path.read_text())
    content["settings"]["run"]["band_selection"] |= changes
    path.write_text(json.dumps({**content, "digest": digest}))


def test_a_base_arm_that_no_run_has_is_refused(tmp_path):
    run_in(tmp_path), run_in(tmp_path, "below")
    with pytest.raises(Refused, match="--base none: no run has this arm; there are all, below"):
        opened(tmp_path, base="none")
    assert len(opened(tmp_path, base="below").runs) == 2


def test_one_name_for_two_selections_of_bands_is_refused(tmp_path):
    run_in(tmp_path), run_in(tmp_path, "below"), run_in(tmp_path, "below", seed=1)
    with_selection(tmp_path, run_in(tmp_path, "below", seed=2), "f" * 64, keep_hz=[[0.0, 900.0]])
    with pytest.raises(Refused, match="arm below has other bands in below2None than in below0None; give one of them"):
        opened(tmp_path)


def test_two_names_for_one_selection_of_bands_are_refused(tmp_path):
    run_in(tmp_path), run_in(tmp_path, "below"), run_in(tmp_path, "under")
    with pytest.raises(
        Refused, match="arms below and under are fed the same bands, so they cannot be compared; leave one out"
    ):
        opened(tmp_path)


def test_every_seed_of_a_random_arm_removes_other_bands(tmp_path):
    for seed in range(2):
        run_in(tmp_path, seed=seed)
        with_selection(tmp_path, run_in(tmp_path, "random", seed=seed), f"{seed}" * 64, choose="random", draw=seed)
    assert len(opened(tmp_path).runs) == 4


def test_a_run_that_is_named_twice_is_counted_once(tmp_path, caplog):
    run = run_in(tmp_path)
    comparison = Comparison.of(tmp_path / "out", [run.folder, run.folder / "." / ""], ComparisonSettings())
    assert len(comparison.runs) == 1
    assert "is the same run as" in caplog.text

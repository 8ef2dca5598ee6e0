import numpy as np
import pandas as pd
import pytest
from made_up_runs import run_in

from respcam.experiments.compare import Comparison, ComparisonSettings
from respcam.experiments.pooled import Pool, pooled
from respcam.metrics import BootstrapSettings, auroc

BOOTSTRAP = BootstrapSettings(n_resamples=200)
TASK = {"normal": "normal", "score": "icbhi", "uncounted": []}


def table(seed, n_patients=30, shift=1.0, names=("normal", "wheeze")):
    rng = np.random.default_rng(seed)
    target = np.arange(n_patients) % len(names)
    p = rng.dirichlet(np.ones(len(names)), n_patients)
    p[np.arange(n_patients), target] += shift
    p /= p.sum(axis=1, keepdims=True)
    columns = {f"p_{name}": p[:, k] for k, name in enumerate(names)}
    ids, classes = np.arange(n_patients).astype(str), np.array(names)
    decided = {"true_class": classes[target], "predicted_class": classes[p.argmax(axis=1)]}
    return pd.DataFrame({"unit_id": ids, "patient_id": ids, **decided, **columns})


def test_folds_are_one_value_over_all_their_patients():
    whole = table(0, shift=0.2)
    pool = Pool(TASK, ["normal", "wheeze"], [whole.iloc[:10], whole.iloc[10:]])
    values, roc = pooled({"all": pool}, "auroc", BOOTSTRAP)
    row = values.iloc[0]
    assert row["value"] == pytest.approx(float(auroc(pool.predictions.target, pool.predictions.probability)))
    assert row["low"] < row["value"] < row["high"]
    assert (row["n_trainings"], row["n_units"], row["n_patients"]) == (2, 30, 30)
    area = np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"])
    assert area == pytest.approx(row["value"])


def test_another_training_of_the_same_patients_does_not_narrow_the_interval():
    whole = table(0, shift=0.2)
    one, two = (
        pooled({"all": Pool(TASK, ["normal", "wheeze"], [whole] * n)}, "auroc", BOOTSTRAP)[0].iloc[0] for n in (1, 2)
    )
    assert (two["low"], two["high"]) == pytest.approx((one["low"], one["high"]))
    assert two["n_units"] == 30


def test_more_classes_have_a_value_and_no_curve():
    names = ["normal", "crackle", "wheeze"]
    values, roc = pooled({"all": Pool(TASK, names, [table(0, names=names)])}, "score", BOOTSTRAP)
    assert len(values) == 1
    assert roc.empty


def test_the_page_of_a_cross_validation_shows_it(tmp_path):
    folders = [run_in(tmp_path, bands, fold=fold).folder for bands in ("all", "pruned") for fold in (0, 1)]
    Comparison.of(tmp_path, folders, ComparisonSettings(bootstrap=BOOTSTRAP)).write(tmp_path)
    saved = pd.read_csv(next((tmp_path / "figures").glob("pooled_held-out*.csv")))
    assert list(saved["arm"]) == ["all", "pruned"]
    assert list(saved["n_patients"]) == [40, 40]  # each of the two folds tested 20
    assert "each is tested by a model that has not heard its patient" in (tmp_path / "comparison.html").read_text()

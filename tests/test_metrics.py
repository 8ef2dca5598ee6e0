import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from respcam.metrics import (
    CALIBRATION_BINS,
    METRICS,
    BootstrapSettings,
    Interval,
    Predictions,
    Scoring,
    auroc,
    calibration_error,
    compared_metrics,
    confusion_matrices,
    decide,
    defined,
    evaluate,
    interval,
    mean_of_known,
    metrics_from_confusion,
    patient_weights,
    weights_and_resamples,
)

SETTINGS = BootstrapSettings(n_resamples=200)


def evaluated(target, probability, patients, normal=0):
    predictions = Predictions(target, probability, probability.argmax(axis=1))
    return evaluate(predictions, patients, Scoring(normal), SETTINGS)


def draw(n_classes, n=300, seed=0):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, n_classes, n)
    scores = rng.standard_normal((n, n_classes)) + np.eye(n_classes)[target]
    probability = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return target, probability, rng.integers(0, 40, n)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_metrics_agree_with_scikit_learn(n_classes):
    target, probability, patients = draw(n_classes)
    predicted = probability.argmax(axis=1)
    confusion, metrics = evaluated(target, probability, patients)
    np.testing.assert_array_equal(confusion, sk.confusion_matrix(target, predicted))
    value = {name: metric.value for name, metric in metrics.items()}
    assert value["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(target, predicted))
    assert value["macro_f1"] == pytest.approx(sk.f1_score(target, predicted, average="macro"))
    assert value["specificity"] == pytest.approx(sk.recall_score(target == 0, predicted == 0))
    ill = target != 0
    assert value["sensitivity"] == pytest.approx((predicted == target)[ill].mean())
    if n_classes == 2:
        assert value["auroc"] == pytest.approx(sk.roc_auc_score(target, probability[:, 1]))
    else:
        assert value["auroc"] == pytest.approx(sk.roc_auc_score(target, probability, multi_class="ovr"))
    assert set(METRICS) - set(defined([value])) == {"sensitivity_all", "score_all"}
    for name in defined([value]):
        assert metrics[name].low < metrics[name].value < metrics[name].high


def test_ties_count_half_as_in_scikit_learn():
    target, probability, _ = draw(2)
    coarse = probability.round(1)
    assert len(np.unique(coarse[:, 1])) < 12
    assert auroc(target, coarse) == pytest.approx(sk.roc_auc_score(target, coarse[:, 1]))
    weights = np.random.default_rng(2).integers(0, 3, (5, len(target)))
    expected = [sk.roc_auc_score(target, coarse[:, 1], sample_weight=row) for row in weights]
    np.testing.assert_allclose(auroc(target, coarse, weights), expected)


def test_weights_count_a_unit_that_often():
    target, probability, _ = draw(3)
    weights = np.random.default_rng(1).integers(0, 4, len(target))
    again = np.repeat(np.arange(len(target)), weights)
    assert auroc(target, probability, weights) == pytest.approx(auroc(target[again], probability[again]))
    predicted = probability.argmax(axis=1)
    found = confusion_matrices(target, predicted, 3, weights[None])[0]
    np.testing.assert_array_equal(found, sk.confusion_matrix(target[again], predicted[again]))


@pytest.mark.parametrize(("score", "expected"), [("icbhi", 0.7), ("sprsound", (0.7 + 2 * 0.8 * 0.6 / 1.4) / 2)])
def test_the_two_published_scores(score, expected):
    metrics = metrics_from_confusion(np.array([[6.0, 4], [2, 8]]), Scoring(0, score))
    assert metrics["sensitivity"] == pytest.approx(0.8)
    assert metrics["specificity"] == pytest.approx(0.6)
    assert metrics["score"] == pytest.approx(expected)


def test_a_class_that_is_not_counted_is_left_out_of_the_score_alone():
    confusion = np.array([[8.0, 1, 1], [4, 6, 0], [5, 0, 5]])
    metrics = metrics_from_confusion(confusion, Scoring.of(["normal", "wheeze", "poor"], "normal", "icbhi", ["poor"]))
    assert metrics["sensitivity"] == pytest.approx(0.6)
    assert metrics["score"] == pytest.approx(0.7)
    assert metrics["sensitivity_all"] == pytest.approx(11 / 20)
    assert metrics["score_all"] == pytest.approx((11 / 20 + 0.8) / 2)
    every = metrics_from_confusion(confusion, Scoring(0))
    assert every["sensitivity"] == metrics["sensitivity_all"]
    assert np.isnan(every["sensitivity_all"])
    assert defined([every]) == [name for name in METRICS if name not in ("auroc", "sensitivity_all", "score_all")]


def test_the_decision_weighs_probabilities():
    probability = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]])
    assert decide(probability).tolist() == [0, 2]
    assert decide(probability, [0.4, 1, 1]).tolist() == [1, 2]
    assert int(decide(probability[0], [0.4, 1, 1])) == 1


def test_a_wrong_adventitious_class_is_no_hit():
    confusion = np.array([[5.0, 0, 0], [0, 1, 4], [0, 5, 0]])
    assert metrics_from_confusion(confusion, Scoring(0))["sensitivity"] == pytest.approx(0.1)


def test_metrics_that_are_not_defined_are_none():
    target, probability = np.zeros(20, int), np.tile([0.9, 0.1], (20, 1))
    _, metrics = evaluated(target, probability, np.arange(20))
    assert metrics["auroc"].value is None
    assert metrics["sensitivity"].value is None
    assert metrics["specificity"].value == 1
    _, metrics = evaluated(*draw(2), normal=None)
    assert metrics["score"].value is None
    assert metrics["auroc"].value is not None
    assert set(metrics) == set(METRICS)


def test_patients_are_drawn_whole():
    patients = np.array(["a", "a", "b", "c", "c", "c"])
    weights = patient_weights(patients, SETTINGS)
    assert weights.shape == (200, 6)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    np.testing.assert_array_equal(weights[:, 3], weights[:, 5])
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_recordings_of_few_patients_give_wider_intervals():
    target, probability, _ = draw(2, n=600)
    # whole patients right or wrong: 600 recordings, but only 20 independent opinions
    patients = np.repeat(np.arange(20), 30)
    probability[:, 1] = np.where((target == 1) ^ (patients % 4 == 0), 0.9, 0.1)
    probability[:, 0] = 1 - probability[:, 1]
    _, grouped = evaluated(target, probability, patients)
    _, single = evaluated(target, probability, np.arange(600))
    width = [each["balanced_accuracy"].high - each["balanced_accuracy"].low for each in (grouped, single)]
    assert width[0] > 3 * width[1]


def test_too_few_resamples_are_refused():
    with pytest.raises(ValueError, match="expected at least 100"):
        BootstrapSettings(n_resamples=99)
    BootstrapSettings(n_resamples=100)


def test_a_calibrated_probability_has_no_calibration_error():
    rng = np.random.default_rng(0)
    p = rng.random(50_000)
    probability = np.stack([1 - p, p], axis=1)
    once = np.ones((1, len(p)), dtype=int)
    target = (rng.random(len(p)) < p).astype(int)
    assert calibration_error(target, probability, once)[0] < 0.01
    overconfident = np.stack([1 - np.clip(2 * p - 0.5, 0, 1), np.clip(2 * p - 0.5, 0, 1)], axis=1)
    assert calibration_error(target, overconfident, once)[0] == pytest.approx(0.125, abs=0.01)


def test_the_calibration_error_of_ten_bins_by_hand():
    p = np.repeat(np.linspace(0.05, 0.95, 10), 2)
    target = np.tile([0, 1], 10)  # half of every bin
    probability = np.stack([1 - p, p], axis=1)
    weights = np.stack([np.ones(20, int), target * 2])
    once, twice = calibration_error(target, probability, weights)
    assert once == pytest.approx(np.abs(np.linspace(0.05, 0.95, 10) - 0.5).mean())
    assert twice == pytest.approx(np.mean(1 - np.linspace(0.05, 0.95, 10)))  # only those that are so are drawn


def test_the_calibration_error_is_the_mean_over_classes():
    probability = np.full((30, 3), 1 / 3)
    target = np.zeros(30, dtype=int)
    assert calibration_error(target, probability, np.ones((1, 30), int))[0] == pytest.approx(
        (2 / 3 + 1 / 3 + 1 / 3) / 3
    )


def test_an_interval_holds_the_middle_of_its_resamples():
    resampled = np.append(np.random.default_rng(0).permutation(np.arange(1001.0)), np.nan)
    assert interval(500, resampled) == Interval(500, 25, 975)
    assert interval(500, resampled, alpha=0.5) == Interval(500, 250, 750)
    for value, values in ((np.nan, resampled), (500, np.array([np.nan]))):
        assert interval(value, values) == Interval(None, None, None)


def test_the_interval_is_over_resamples_and_not_over_the_patients_as_they_are():
    target, probability, patients = draw(2)
    _, metrics = evaluated(target, probability, patients)
    resampled = auroc(target, probability, patient_weights(patients, SETTINGS))
    ends = [metrics["auroc"].low, metrics["auroc"].high]
    assert ends == pytest.approx(np.quantile(resampled, [0.025, 0.975]).tolist(), abs=0)


def test_resamples_follow_their_seed_after_the_patients_as_they_are():
    patients = np.repeat(np.arange(9), 2)
    weights = weights_and_resamples(patients, SETTINGS)
    assert weights.shape == (1 + SETTINGS.n_resamples, 18)
    assert (weights[0] == 1).all()
    np.testing.assert_array_equal(weights[1:], patient_weights(patients, SETTINGS))
    other = patient_weights(patients, BootstrapSettings(n_resamples=200, seed=1))
    assert (weights[1:] != other).any()


def test_predictions_are_read_by_the_names_of_their_classes():
    table = pd.DataFrame(
        {"true_class": ["b", "a", "c"], "predicted_class": ["c", "a", "b"], "p_a": [1, 2, 3], "p_b": [4, 5, 6]}
    ).assign(p_c=[7, 8, 9])
    predictions = Predictions.of(table, ["a", "b", "c"])
    assert predictions.target.tolist() == [1, 0, 2]
    assert predictions.predicted.tolist() == [2, 0, 1]
    assert predictions.probability.tolist() == [[1, 4, 7], [2, 5, 8], [3, 6, 9]]
    some = predictions.at(np.array([True, False, True]))
    assert (some.target.tolist(), some.predicted.tolist()) == ([1, 2], [2, 1])
    assert some.probability.tolist() == [[1, 4, 7], [3, 6, 9]]


def test_scores_of_all_classes_are_compared_only_where_some_class_is_not_counted():
    assert compared_metrics(Scoring(0, uncounted=(1,))) == list(METRICS)
    others = compared_metrics(Scoring(0))
    assert others == [name for name in METRICS if name not in ("sensitivity_all", "score_all")]
    assert len(others) == len(METRICS) - 2


def test_the_score_of_a_model_without_any_hit_is_zero():
    metrics = metrics_from_confusion(np.array([[[0, 5], [5, 0]]]), Scoring(0, "sprsound"))
    assert metrics["score"].tolist() == [0]


def test_auroc_of_two_classes_is_that_of_the_second():
    target, scores = np.array([0, 0, 1, 1]), np.array([[0.1, 0.0], [0.2, 0.1], [0.3, 0.2], [0.4, 0.3]])
    assert auroc(target, scores, np.ones((1, 4))).tolist() == [1]


@pytest.mark.parametrize("n", [37, 400])
def test_the_calibration_error_of_bins_of_equal_size(n):
    rng = np.random.default_rng(0)
    p = rng.permutation(np.linspace(0.03, 0.97, n))
    target = (rng.uniform(size=n) < p**2).astype(int)
    weights = np.stack([np.ones(n), rng.integers(0, 3, n)])
    bins = pd.qcut(pd.Series(p), CALIBRATION_BINS, labels=False).to_numpy()
    errors = []
    for w in weights:
        distances = [abs((w * (target - p))[bins == k].sum()) for k in range(CALIBRATION_BINS)]
        errors.append(sum(distances) / w.sum())
    found = calibration_error(target, np.stack([1 - p, p], axis=1), weights)
    np.testing.assert_allclose(found, errors, rtol=1e-9)


def test_what_is_not_known_is_left_out_of_a_mean():
    values = np.array([[0.2, np.nan, 0.6], [np.nan, np.nan, np.nan]])
    np.testing.assert_allclose(mean_of_known(values), [0.4, np.nan])


def test_a_metric_is_defined_by_its_value_or_the_value_of_its_interval():
    kept = {"auroc": {"value": 0.8, "low": None}, "score": {"value": None, "low": 0.1}, "sensitivity": 0.5}
    assert defined([kept, {"specificity": float("nan")}]) == [m for m in METRICS if m in ("auroc", "sensitivity")]

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from respcam.metrics import BootstrapSettings, weights_and_resamples
from respcam.report import curves

RNG = np.random.default_rng(0)
TARGET = RNG.integers(0, 2, 120)
SCORE = np.round(RNG.normal(TARGET, 1.0), 1)  # with ties
WEIGHTS = weights_and_resamples(np.arange(120) // 3, BootstrapSettings(n_resamples=200))


def test_roc_is_that_of_scikit_learn():
    curve = curves.roc(TARGET == 1, SCORE, WEIGHTS)
    false, found, thresholds = roc_curve(TARGET, SCORE, drop_intermediate=False)
    np.testing.assert_allclose(curve["false_positive_rate"], false)
    np.testing.assert_allclose(curve["true_positive_rate"], found)
    np.testing.assert_allclose(curve["threshold"][1:], thresholds[1:])
    area = np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"])
    assert area == pytest.approx(roc_auc_score(TARGET, SCORE))


def test_precision_recall_is_that_of_scikit_learn():
    curve = curves.precision_recall(TARGET == 1, SCORE, WEIGHTS)
    precision, recall, thresholds = precision_recall_curve(TARGET, SCORE)
    np.testing.assert_allclose(curve["recall"][::-1], recall[:-1])
    np.testing.assert_allclose(curve["precision"][::-1], precision[:-1])
    np.testing.assert_allclose(curve["threshold"][::-1], thresholds)


@pytest.mark.parametrize("curve", [curves.roc, curves.precision_recall, curves.reliability])
def test_the_band_holds_the_curve_and_widens_with_fewer_patients(curve):
    x, y = {
        "roc": ("false_positive_rate", "true_positive_rate"),
        "precision_recall": ("recall", "precision"),
        "reliability": ("predicted", "observed"),
    }[curve.__name__]
    # where the curve is upright, the band is that of its upper end
    many = curve(TARGET == 1, SCORE, WEIGHTS).groupby(x).max()
    assert ((many["low"] <= many[y] + 1e-9) & (many[y] <= many["high"] + 1e-9)).mean() > 0.95
    few = curve(TARGET[:30] == 1, SCORE[:30], WEIGHTS[:, :30]).groupby(x).max()
    assert (few["high"] - few["low"]).mean() > 1.3 * (many["high"] - many["low"]).mean()


def test_a_calibrated_probability_lies_on_the_diagonal():
    p = RNG.random(20_000)
    curve = curves.reliability(RNG.random(20_000) < p, p, np.ones((101, 20_000), dtype=int))
    assert len(curve) == curves.MOST_BINS
    assert curve["n_units"].sum() == 20_000
    np.testing.assert_allclose(curve["observed"], curve["predicted"], atol=0.03)


def test_two_classes_have_one_curve_and_more_have_one_each():
    p = RNG.random((120, 3))
    assert set(curves.per_class(curves.roc, TARGET, p[:, :2], WEIGHTS, ["a", "b"])["class"]) == {"b"}
    third = np.arange(120) % 3
    assert set(curves.per_class(curves.roc, third, p, WEIGHTS, ["a", "b", "c"])["class"]) == {"a", "b", "c"}
    assert set(curves.per_class(curves.roc, TARGET, p, WEIGHTS, ["a", "b", "never"])["class"]) == {"a", "b"}
    assert curves.per_class(curves.roc, np.zeros(120, int), p, WEIGHTS, ["a", "b", "c"]).empty

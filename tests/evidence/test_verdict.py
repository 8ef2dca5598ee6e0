import pytest

from respcam.evidence.verdict import Evidence, Limits, against_method, against_model
from respcam.metrics import Interval

GOOD = Interval(0.8, 0.5, 0.9)
NONE = Interval(None, None, None)


def test_good_evidence_is_supported():
    assert against_method(Evidence(GOOD, GOOD, GOOD, 0.1), Limits()) == []
    assert against_method(Evidence(GOOD, GOOD, Interval(0.0, 0.0, 0.0), -0.2), Limits()) == []
    assert against_model(Interval(0.8, 0.7, 0.9)) == []


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (Evidence(Interval(0.4, 0.2, 0.6), GOOD, GOOD, 0.1), "disagrees with occlusion"),
        (
            Evidence(Interval(0.8, -0.1, 0.9), GOOD, GOOD, 0.1),
            "too uncertain to confirm it (correlation 0.80, interval",
        ),
        (Evidence(NONE, GOOD, GOOD, 0.1), "says nothing to agree with"),
        (Evidence(GOOD, Interval(0.2, -0.1, 0.5), GOOD, 0.1), "no better than random groups"),
        (Evidence(GOOD, NONE, GOOD, 0.1), "no better than random groups"),
        (Evidence(GOOD, GOOD, Interval(-0.2, -0.3, -0.1), 0.1), "worse than the loudest groups"),
        (Evidence(GOOD, GOOD, GOOD, 0.3), "insensitive to the weights"),
        (Evidence(GOOD, GOOD, GOOD, None), "insensitive to the weights"),
    ],
)
def test_each_failure_is_named(evidence, words):
    (reason,) = against_method(evidence, Limits())
    assert words in reason


@pytest.mark.parametrize("auroc", [Interval(0.6, 0.49, 0.7), Interval(0.3, 0.1, 0.5), NONE])
def test_a_model_that_knows_nothing_supports_nothing(auroc):
    (reason,) = against_model(auroc)
    assert "not surely better than chance" in reason


def test_limits_are_checked():
    with pytest.raises(ValueError, match=r"trust.limits.margin is 2; expected 0 to 1"):
        Limits(margin=2)

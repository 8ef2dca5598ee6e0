import json

import pytest

from respcam.errors import Refused
from respcam.evidence.verdict import (
    Evidence,
    Limits,
    Objection,
    ObjectionKind,
    Outcome,
    joined_sentences,
    judge,
    objections_to_method,
    objections_to_model,
    verdict_sentence,
)
from respcam.heat.cam import Choice
from respcam.metrics import Interval

GOOD = Interval(0.8, 0.5, 0.9)
NONE = Interval(None, None, None)
SUPPORTED = Evidence(GOOD, GOOD, GOOD, 0.1)
CHOICE = Choice("hires_cam", ("blocks.2", "blocks.3"))


def test_good_evidence_is_supported():
    assert objections_to_method(SUPPORTED, Limits()) == []
    assert objections_to_method(Evidence(GOOD, GOOD, Interval(0.0, 0.0, 0.0), -0.2), Limits()) == []
    assert objections_to_model(Interval(0.8, 0.7, 0.9)) == []


@pytest.mark.parametrize(
    ("evidence", "kind", "words"),
    [
        (
            Evidence(Interval(0.4, 0.2, 0.6), GOOD, GOOD, 0.1),
            "disagreement",
            "disagrees with occlusion (correlation 0.40)",
        ),
        (
            Evidence(Interval(0.8, -0.1, 0.9), GOOD, GOOD, 0.1),
            "uncertain",
            "occlusion is too uncertain to confirm it (correlation 0.80, interval from -0.10): examine more patches "
            "(trust.patches)",
        ),
        (Evidence(NONE, GOOD, GOOD, 0.1), "no_effect", "agreement with occlusion is not defined"),
        (
            Evidence(GOOD, Interval(0.2, -0.1, 0.5), GOOD, 0.1),
            "not_better_than_random",
            "its hottest groups carry no more of the score than random groups",
        ),
        (
            Evidence(GOOD, NONE, GOOD, 0.1),
            "not_better_than_random",
            "its hottest groups carry no more of the score than random groups",
        ),
        (
            Evidence(GOOD, GOOD, Interval(-0.2, -0.3, -0.1), 0.1),
            "worse_than_loudest",
            "its hottest groups carry less of the score than the loudest groups",
        ),
        (
            Evidence(GOOD, GOOD, GOOD, 0.3),
            "insensitive",
            "insensitive to the weights: a network with random weights gives similar heat (correlation 0.30)",
        ),
        (
            Evidence(GOOD, GOOD, GOOD, None),
            "insensitive",
            "insensitive to the weights: a network with random weights gives similar heat",
        ),
    ],
)
def test_each_failure_is_named(evidence, kind, words):
    (objection,) = objections_to_method(evidence, Limits())
    assert objection.kind == kind
    assert objection.sentence == words
    assert json.loads(json.dumps(objection.plain)) == {
        "kind": kind,
        "figures": objection.figures,
        "sentence": words,
    }


@pytest.mark.parametrize(
    ("auroc", "shown"),
    [
        (Interval(0.6, 0.49, 0.7), "AUROC 0.60, interval from 0.49"),
        (Interval(0.3, 0.1, 0.5), "AUROC 0.30, interval from 0.10"),
        (NONE, "AUROC not defined"),
    ],
)
def test_a_model_that_knows_nothing_supports_nothing(auroc, shown):
    (objection,) = objections_to_model(auroc)
    assert objection.kind is ObjectionKind.CHANCE
    assert objection.sentence == f"the model is not clearly better than chance ({shown})"
    verdict = judge([], [objection])
    assert verdict.outcome is Outcome.NOT_SUPPORTED
    assert verdict_sentence(verdict, CHOICE, SUPPORTED, "0-200", "200-400") == (
        f"Not supported: {objection.sentence}. No heat map of this model can be interpreted."
    )


def test_lack_of_evidence_is_undecided_and_evidence_against_is_not_supported():
    uncertain = Objection(ObjectionKind.UNCERTAIN, {"agreement": 0.8, "agreement_low": -0.1})
    against = Objection(ObjectionKind.DISAGREEMENT, {"agreement": 0.1})
    assert judge([], []).outcome is Outcome.SUPPORTED
    assert judge([uncertain], []).outcome is Outcome.UNDECIDED
    assert judge([uncertain, against], []).outcome is Outcome.NOT_SUPPORTED
    assert judge([against], []).outcome is Outcome.NOT_SUPPORTED
    assert joined_sentences([]) == ""
    for objections, word in (([uncertain], "Undecided"), ([uncertain, against], "Not supported")):
        sentence = verdict_sentence(judge(objections, []), CHOICE, SUPPORTED, "0-200", "200-400")
        assert sentence == (
            f"{word}: HiResCAM at blocks.2 + blocks.3: {joined_sentences(objections)}. "
            "Occlusion costs most at 200-400 Hz."
        )


@pytest.mark.parametrize(
    ("over_loudest", "words"),
    [
        (GOOD, "better than chance and better than loudness"),
        (Interval(0.1, -0.1, 0.2), "better than chance, but not clearly better than loudness"),
        (NONE, "better than chance, but not clearly better than loudness"),
    ],
)
def test_support_is_put_into_words(over_loudest, words):
    evidence = Evidence(GOOD, GOOD, over_loudest, 0.1)
    assert verdict_sentence(judge([], []), CHOICE, evidence, "0-200", "200-400") == (
        "Supported: HiResCAM at blocks.2 + blocks.3 agrees with occlusion (correlation 0.80). It finds the bands that "
        f"carry the score {words}. A network with random weights gives other heat. Heat is densest at 0-200 Hz; "
        "occlusion costs most at 200-400 Hz."
    )


def test_limits_are_checked():
    with pytest.raises(Refused, match=r"trust.limits.margin is 2; expected 0 to 1"):
        Limits(margin=2)

import pytest

from respcam.errors import Refused
from respcam.evidence.agreement import Agreement
from respcam.evidence.verdict import (
    Evidence,
    Limits,
    Objection,
    ObjectionKind,
    Outcome,
    joined_sentences,
    judge,
    objections_to,
    verdict_sentence,
)
from respcam.heat.cam import Choice
from respcam.metrics import Interval

GOOD = Interval(0.9, 0.85, 0.95)
NONE = Interval(None, None, None)


def evidence(
    correlation=(0.9, 0.7, 0.95),
    hottest=(1.0, 0.8, 1.2),
    costliest=(1.0, 0.8, 1.2),
    shortfall=(0.5, 0.4, 0.6),
    over_random=(0.6, 0.3, 0.9),
    random_answer=0.0,
):
    found = Agreement(
        correlation=Interval(*correlation),
        hottest=1,
        costliest=2,
        hottest_effect=Interval(*hottest),
        costliest_effect=Interval(*costliest),
        shortfall=Interval(*shortfall),
    )
    return Evidence(found, Interval(*over_random), random_answer)


def outcome_of(auroc=GOOD, **changes):
    objections = objections_to(evidence(**changes), auroc, Limits())
    return judge(objections).outcome, [objection.kind for objection in objections]


def test_heat_without_an_objection_is_supported():
    assert outcome_of() == (Outcome.SUPPORTED, [])


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"correlation": (0.1, -0.4, 0.45)}, ObjectionKind.DISAGREEMENT),
        ({"shortfall": (-0.3, -0.4, -0.1)}, ObjectionKind.ELSEWHERE),
        ({"over_random": (-0.3, -0.4, -0.1)}, ObjectionKind.INSENSITIVE),
    ],
)
def test_evidence_against_heat_refuses_it(changes, kind):
    assert outcome_of(**changes) == (Outcome.NOT_SUPPORTED, [kind])


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"correlation": (-0.04, -0.21, 0.81)}, ObjectionKind.UNCERTAIN),  # nothing is known
        ({"correlation": (0.9, -0.1, 0.99)}, ObjectionKind.UNCERTAIN),
        ({"correlation": (0.45, 0.2, 0.7)}, ObjectionKind.UNCERTAIN),
        ({"shortfall": (-0.3, -0.6, 0.1)}, ObjectionKind.UNCERTAIN_PLACE),
        ({"hottest": (0.6, -0.1, 1.0)}, ObjectionKind.UNCERTAIN_PLACE),
        ({"costliest": (0.6, -0.1, 1.0)}, ObjectionKind.NO_EFFECT),
        ({"over_random": (-0.1, -0.4, 0.2)}, ObjectionKind.NOT_BETTER_THAN_RANDOM),
        ({"auroc": Interval(0.6, 0.45, 0.75)}, ObjectionKind.CHANCE),
        ({"auroc": NONE}, ObjectionKind.CHANCE),
    ],
)
def test_a_lack_of_evidence_decides_nothing(changes, kind):
    assert outcome_of(**changes) == (Outcome.UNDECIDED, [kind])


def test_random_weights_that_listen_to_the_same_groups_are_no_objection():
    assert outcome_of(over_random=(-0.3, -0.4, -0.1), random_answer=0.9)[0] is Outcome.SUPPORTED
    assert outcome_of(over_random=(None, None, None), random_answer=None)[0] is Outcome.SUPPORTED


def test_evidence_against_outweighs_a_lack_of_it():
    outcome, kinds = outcome_of(correlation=(0.4, -0.3, 0.8), shortfall=(-0.3, -0.4, -0.1))
    assert outcome is Outcome.NOT_SUPPORTED
    assert kinds == [ObjectionKind.UNCERTAIN, ObjectionKind.ELSEWHERE]


def test_the_limits_are_settings():
    objections = objections_to(evidence(correlation=(0.9, 0.7, 0.92)), GOOD, Limits(min_agreement=0.95))
    assert [objection.kind for objection in objections] == [ObjectionKind.DISAGREEMENT]
    with pytest.raises(Refused, match=r"trust\.limits\.min_effect is 2; expected 0 to 1"):
        Limits(min_effect=2)


def sentence(auroc=GOOD, **changes):
    found = evidence(**changes)
    verdict = judge(objections_to(found, auroc, Limits()))
    choice = Choice("hires_cam", ("low", "high"))
    return verdict_sentence(verdict, choice, "wheeze", found.agreement, ["a", "b", "c"]), verdict


def test_the_sentence_says_what_was_found():
    words, _ = sentence()
    assert words == (
        "Supported: heat for wheeze (HiResCAM at low + high) agrees with occlusion (correlation 0.90), and its hottest "
        "group carries the score. Heat is densest at b Hz; occlusion costs most at c Hz."
    )
    words, verdict = sentence(correlation=(-0.04, -0.21, 0.81))
    assert words.startswith("Undecided: heat for wheeze")
    assert joined_sentences(verdict.objections) in words
    assert "correlation -0.04, from -0.21 to 0.81" in words
    words, _ = sentence(auroc=Interval(0.6, 0.45, 0.75))
    assert "the model is not clearly better than chance (AUROC 0.60, from 0.45)" in words
    assert "densest" not in words


def test_an_objection_is_plain_data():
    _, verdict = sentence(shortfall=(-0.3, -0.4, -0.1), hottest=(0.2, 0.1, 0.3))
    (objection,) = verdict.objections
    assert objection.plain["kind"] == "elsewhere"
    assert objection.plain["figures"] == {"hottest_effect": 0.2, "costliest_effect": 1.0}
    assert "fall by 0.20, without the costliest group by 1.00" in objection.plain["sentence"]


FIGURES = {"agreement": 0.12, "agreement_low": 0.23, "agreement_high": 0.34, "hottest_effect": 0.45,
           "costliest_effect": 0.56, "auroc": 0.67, "auroc_low": 0.78}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (ObjectionKind.CHANCE, "the model is not clearly better than chance (AUROC 0.67, from 0.78)"),
        (ObjectionKind.DISAGREEMENT, "disagrees with occlusion (correlation 0.12, at most 0.34)"),
        (ObjectionKind.ELSEWHERE, "its hottest group carries little of the score: without it the log-odds fall by 0.45, "
                                  "without the costliest group by 0.56"),
        (ObjectionKind.INSENSITIVE, "random weights, which listen to other groups, give heat that agrees better"),
        (ObjectionKind.NO_EFFECT, "no group of Hz surely carries the score"),
        (ObjectionKind.UNCERTAIN, "it is not sure that it agrees with occlusion (correlation 0.12, from 0.23 to 0.34)"),
        (ObjectionKind.UNCERTAIN_PLACE, "it is not sure that its hottest group carries the score: without it the "
                                        "log-odds fall by 0.45, without the costliest group by 0.56"),
        (ObjectionKind.NOT_BETTER_THAN_RANDOM, "random weights, which listen to other groups, give heat that agrees as "
                                               "well"),
    ],
)  # fmt: skip
def test_an_objection_says_its_figures(kind, sentence):
    assert Objection(kind, FIGURES).sentence == sentence
    assert Objection(kind, FIGURES).plain == {"kind": str(kind), "figures": FIGURES, "sentence": sentence}
    others = dict.fromkeys(FIGURES)
    assert Objection(kind, others).sentence.count("not defined") == sum(str(n) in sentence for n in FIGURES.values())


def test_objections_are_joined():
    text = joined_sentences([Objection(ObjectionKind.NO_EFFECT), Objection(ObjectionKind.INSENSITIVE)])
    assert text.startswith("no group of Hz surely carries the score; random weights")
    assert joined_sentences([]) == ""


@pytest.mark.parametrize(
    ("changes", "figures"),
    [
        ({"correlation": (0.1, -0.4, 0.45)}, {"agreement": 0.1, "agreement_low": -0.4, "agreement_high": 0.45}),
        ({"correlation": (0.45, 0.2, 0.7)}, {"agreement": 0.45, "agreement_low": 0.2, "agreement_high": 0.7}),
        (
            {"shortfall": (-0.3, -0.4, -0.1), "hottest": (0.2, 0.1, 0.3)},
            {"hottest_effect": 0.2, "costliest_effect": 1.0},
        ),
        ({"shortfall": (-0.3, -0.6, 0.1)}, {"hottest_effect": 1.0, "costliest_effect": 1.0}),
        ({"over_random": (-0.3, -0.4, -0.1)}, {"over_random": -0.3, "random_answer": 0.0}),
        ({"over_random": (-0.1, -0.4, 0.2)}, {"over_random": -0.1, "random_answer": 0.0}),
    ],
)
def test_an_objection_has_its_figures(changes, figures):
    (objection,) = objections_to(evidence(**changes), GOOD, Limits())
    assert objection.figures == figures


def test_what_lies_on_a_limit():
    limit = Limits().min_agreement
    assert outcome_of(correlation=(limit, 0.1, 0.9)) == (Outcome.SUPPORTED, [])
    assert outcome_of(correlation=(0.4, 0.1, limit)) == (Outcome.UNDECIDED, [ObjectionKind.UNCERTAIN])
    assert outcome_of(correlation=(0.9, 0.0, 1)) == (Outcome.UNDECIDED, [ObjectionKind.UNCERTAIN])
    assert outcome_of(shortfall=(0, -0.1, 0.1)) == (Outcome.SUPPORTED, [])
    assert outcome_of(shortfall=(-0.1, -0.2, 0)) == (Outcome.UNDECIDED, [ObjectionKind.UNCERTAIN_PLACE])
    assert outcome_of(over_random=(-0.1, -0.2, 0)) == (Outcome.UNDECIDED, [ObjectionKind.NOT_BETTER_THAN_RANDOM])
    assert outcome_of(over_random=(-0.1, -0.2, -0.05), random_answer=limit) == (Outcome.SUPPORTED, [])
    assert outcome_of(auroc=Interval(0.6, 0.5, 0.7)) == (Outcome.UNDECIDED, [ObjectionKind.CHANCE])
    assert Limits(min_agreement=0).min_agreement == 0
    assert Limits(min_agreement=1).min_agreement == 1

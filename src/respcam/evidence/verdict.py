"""Verdicts on the heat for a class: supported, undecided or not supported, with the objections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from respcam.errors import Refused
from respcam.evidence.agreement import Agreement
from respcam.heat.cam import METHODS, Choice
from respcam.metrics import Interval


@dataclass(frozen=True)
class Limits:
    """Limits that evidence is compared with.

    Parameters
    ----------
    min_agreement : float
        Lowest correlation between the heat for a class and the effect of occlusion, over groups of Hz. Ranks are not
        used: where the model needs one group, the ranks of the others are noise.
    min_effect : float
        Smallest effect of the hottest group, as a share of that of the costliest group. It is below 1 because enough
        recordings tell any two groups apart, also two that both carry the score.
    margin : float
        Largest loss of AUROC at a suggested cut-off.
    closeness : float
        A baseline comes close to the model from this share of the model's AUROC above 0.5.
    max_blank : float
        A group of bands is called blank from this share of blank cells.
    """

    min_agreement: float = 0.5
    min_effect: float = 0.5
    margin: float = 0.05
    closeness: float = 0.8
    max_blank: float = 0.9

    def __post_init__(self) -> None:
        for name in ("min_agreement", "min_effect", "margin", "closeness", "max_blank"):
            if not 0 <= getattr(self, name) <= 1:
                raise Refused(f"trust.limits.{name} is {getattr(self, name)}; expected 0 to 1")


@dataclass(frozen=True)
class Evidence:
    """Evidence about the heat of one method for one class.

    Attributes
    ----------
    agreement : Agreement
    over_random : Interval
        Correlation of heat with the effect, minus that of the heat of a network with random weights.
    random_answer : float or None
        Correlation of the effect in a network with random weights with that in the trained network. If it is high,
        both listen to the same groups, and their heat has to be alike.
    """

    agreement: Agreement
    over_random: Interval
    random_answer: float | None


class ObjectionKind(StrEnum):
    """Reason why heat is not supported."""

    CHANCE = "chance"  # the model is not clearly better than chance
    DISAGREEMENT = "disagreement"  # heat surely disagrees with occlusion
    ELSEWHERE = "elsewhere"  # the hottest group surely carries little of the score
    INSENSITIVE = "insensitive"  # random weights, which listen elsewhere, surely give better heat
    NO_EFFECT = "no_effect"  # no group surely carries the score
    UNCERTAIN = "uncertain"  # agreement is not sure
    UNCERTAIN_PLACE = "uncertain_place"  # it is not sure that the hottest group carries the score
    NOT_BETTER_THAN_RANDOM = "not_better_than_random"  # random weights, which listen elsewhere, give as good heat


AGAINST = {ObjectionKind.DISAGREEMENT, ObjectionKind.ELSEWHERE, ObjectionKind.INSENSITIVE}


@dataclass(frozen=True)
class Objection:
    """A reason against a model or a method.

    Attributes
    ----------
    kind : ObjectionKind
    figures : mapping of str to float or None
        Numbers behind the objection.
    """

    kind: ObjectionKind
    figures: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The objection in words."""
        return _objection_sentence(self)

    @property
    def plain(self) -> dict[str, Any]:
        """The objection as plain data: ``kind, figures, sentence``."""
        return {"kind": str(self.kind), "figures": dict(self.figures), "sentence": self.sentence}


class Outcome(StrEnum):
    """Outcome of the evidence on the heat of one method."""

    SUPPORTED = "supported"
    UNDECIDED = "undecided"
    NOT_SUPPORTED = "not_supported"


#: from the best outcome to the worst
OUTCOMES = (Outcome.SUPPORTED, Outcome.UNDECIDED, Outcome.NOT_SUPPORTED)


@dataclass(frozen=True)
class Verdict:
    """Outcome for the heat of one method for one class, with its reasons.

    Attributes
    ----------
    outcome : Outcome
    objections : tuple of Objection
    """

    outcome: Outcome
    objections: tuple[Objection, ...] = ()


def objections_to(evidence: Evidence, auroc: Interval, limits: Limits) -> list[Objection]:
    """List the objections to the heat of a method for a class; supported heat has none.

    Parameters
    ----------
    evidence : Evidence
    auroc : Interval
        AUROC of the model on the examined part.
    limits : Limits

    Returns
    -------
    list of Objection
    """
    if auroc.low is None or auroc.low <= 0.5:
        return [Objection(ObjectionKind.CHANCE, {"auroc": auroc.value, "auroc_low": auroc.low})]
    agreement = evidence.agreement
    if not _is_above(agreement.costliest_effect.low, 0):
        return [Objection(ObjectionKind.NO_EFFECT)]
    return [*_to_agreement(agreement, limits), *_to_place(agreement), *_to_independence(evidence, limits)]


def _to_agreement(agreement: Agreement, limits: Limits) -> list[Objection]:
    value, low, high = agreement.correlation.value, agreement.correlation.low, agreement.correlation.high
    figures = {"agreement": value, "agreement_low": low, "agreement_high": high}
    if high is not None and high < limits.min_agreement:
        return [Objection(ObjectionKind.DISAGREEMENT, figures)]
    is_sure = _is_above(low, 0) and value is not None and value >= limits.min_agreement
    return [] if is_sure else [Objection(ObjectionKind.UNCERTAIN, figures)]


def _to_place(agreement: Agreement) -> list[Objection]:
    value, high = agreement.shortfall.value, agreement.shortfall.high
    figures = {"hottest_effect": agreement.hottest_effect.value, "costliest_effect": agreement.costliest_effect.value}
    if high is not None and high < 0:
        return [Objection(ObjectionKind.ELSEWHERE, figures)]
    is_sure = _is_above(agreement.hottest_effect.low, 0) and value is not None and value >= 0
    return [] if is_sure else [Objection(ObjectionKind.UNCERTAIN_PLACE, figures)]


def _to_independence(evidence: Evidence, limits: Limits) -> list[Objection]:
    if evidence.random_answer is None or evidence.random_answer >= limits.min_agreement:
        return []
    figures = {"over_random": evidence.over_random.value, "random_answer": evidence.random_answer}
    if evidence.over_random.high is not None and evidence.over_random.high < 0:
        return [Objection(ObjectionKind.INSENSITIVE, figures)]
    is_better = _is_above(evidence.over_random.value, 0)
    return [] if is_better else [Objection(ObjectionKind.NOT_BETTER_THAN_RANDOM, figures)]


def _is_above(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def judge(objections: Sequence[Objection]) -> Verdict:
    """Decide from the objections.

    "Not supported" needs evidence against the heat. Where only certainty is missing, the outcome is undecided.
    """
    if not objections:
        outcome = Outcome.SUPPORTED
    elif any(objection.kind in AGAINST for objection in objections):
        outcome = Outcome.NOT_SUPPORTED
    else:
        outcome = Outcome.UNDECIDED
    return Verdict(outcome, tuple(objections))


def _objection_sentence(objection: Objection) -> str:
    figures = objection.figures

    def shown(name: str) -> str:
        value = figures.get(name)
        return "not defined" if value is None else f"{value:.2f}"

    match objection.kind:
        case ObjectionKind.CHANCE:
            return f"the model is not clearly better than chance (AUROC {shown('auroc')}, from {shown('auroc_low')})"
        case ObjectionKind.DISAGREEMENT:
            return f"disagrees with occlusion (correlation {shown('agreement')}, at most {shown('agreement_high')})"
        case ObjectionKind.ELSEWHERE:
            return (
                "its hottest group carries little of the score: without it the log-odds fall by "
                f"{shown('hottest_effect')}, without the costliest group by {shown('costliest_effect')}"
            )
        case ObjectionKind.INSENSITIVE:
            return "random weights, which listen to other groups, give heat that agrees better"
        case ObjectionKind.NO_EFFECT:
            return "no group of Hz surely carries the score"
        case ObjectionKind.UNCERTAIN:
            return (
                f"it is not sure that it agrees with occlusion (correlation {shown('agreement')}, from "
                f"{shown('agreement_low')} to {shown('agreement_high')})"
            )
        case ObjectionKind.UNCERTAIN_PLACE:
            return (
                "it is not sure that its hottest group carries the score: without it the log-odds fall by "
                f"{shown('hottest_effect')}, without the costliest group by {shown('costliest_effect')}"
            )
        case ObjectionKind.NOT_BETTER_THAN_RANDOM:
            return "random weights, which listen to other groups, give heat that agrees as well"


def joined_sentences(objections: Sequence[Objection]) -> str:
    """Several objections in words, as one text; blank where there are none."""
    return "; ".join(objection.sentence for objection in objections)


OUTCOME_WORDS = {
    Outcome.SUPPORTED: "Supported",
    Outcome.UNDECIDED: "Undecided",
    Outcome.NOT_SUPPORTED: "Not supported",
}


def verdict_sentence(
    verdict: Verdict, choice: Choice, class_name: str, agreement: Agreement, names: Sequence[str]
) -> str:
    """Write the verdict on the heat of one method for one class in words.

    Parameters
    ----------
    verdict : Verdict
    choice : Choice
    class_name : str
    agreement : Agreement
    names : sequence of str
        Names of the groups of Hz.

    Returns
    -------
    str
    """
    title = f"heat for {class_name} ({METHODS[choice.method].title} at {' + '.join(choice.layers)})"
    word = OUTCOME_WORDS[verdict.outcome]
    if any(objection.kind is ObjectionKind.CHANCE for objection in verdict.objections):
        return f"{word}: {title}: {joined_sentences(verdict.objections)}. So no heat map of it says anything."
    places = (
        f"Heat is densest at {names[agreement.hottest]} Hz; occlusion costs most at {names[agreement.costliest]} Hz."
    )
    if verdict.outcome is not Outcome.SUPPORTED:
        return f"{word}: {title}: {joined_sentences(verdict.objections)}. {places}"
    return (
        f"{word}: {title} agrees with occlusion (correlation {agreement.correlation.value:.2f}), and its hottest "
        f"group carries the score. {places}"
    )

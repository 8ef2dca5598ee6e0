"""Verdicts on heat: supported, undecided or not supported, with the objections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from respcam.errors import Refused
from respcam.heat.cam import METHODS, Choice
from respcam.metrics import Interval


@dataclass(frozen=True)
class Limits:
    """Limits that evidence is compared with.

    Parameters
    ----------
    min_agreement : float
        Lowest correlation between the heat of a method and the drop under occlusion, over groups of Hz. Ranks
        are not used: where the model needs one group, the ranks of the others are noise.
    max_similarity : float
        Limit of the rank correlation between heat and the heat of the network with random weights.
    margin : float
        Largest loss of AUROC at a suggested cut-off.
    closeness : float
        A baseline comes close to the model from this share of the model's AUROC above 0.5.
    max_blank : float
        A group of bands is called blank from this share of blank cells.
    """

    min_agreement: float = 0.5
    max_similarity: float = 0.3
    margin: float = 0.05
    closeness: float = 0.8
    max_blank: float = 0.9

    def __post_init__(self) -> None:
        for name in ("min_agreement", "max_similarity", "margin", "closeness", "max_blank"):
            if not 0 <= getattr(self, name) <= 1:
                raise Refused(f"trust.limits.{name} is {getattr(self, name)}; expected 0 to 1")


@dataclass(frozen=True)
class Evidence:
    """Evidence about one method on one model.

    Attributes
    ----------
    agreement : Interval
        Correlation of heat with the drop under occlusion, over groups of Hz.
    over_random, over_loudest : Interval
        Faithfulness of the order of groups by heat, minus that of random orders, and of the order by loudness.
    similarity : float or None
        Rank correlation of heat with the heat of the network with random weights.
    """

    agreement: Interval
    over_random: Interval
    over_loudest: Interval
    similarity: float | None


class ObjectionKind(StrEnum):
    """Reason why heat is not supported."""

    CHANCE = "chance"  # the model is not clearly better than chance
    NO_EFFECT = "no_effect"  # agreement with occlusion is not defined
    DISAGREEMENT = "disagreement"  # heat disagrees with occlusion
    UNCERTAIN = "uncertain"  # too few patches to confirm the agreement with occlusion
    NOT_BETTER_THAN_RANDOM = "not_better_than_random"
    WORSE_THAN_LOUDEST = "worse_than_loudest"
    INSENSITIVE = "insensitive"  # heat does not depend on the weights


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


@dataclass(frozen=True)
class Verdict:
    """Outcome for one method, with its reasons.

    Attributes
    ----------
    outcome : Outcome
    objections : tuple of Objection
        Objections to the method.
    objections_to_model : tuple of Objection
        Objections to the model; a single one excludes every method.
    """

    outcome: Outcome
    objections: tuple[Objection, ...] = ()
    objections_to_model: tuple[Objection, ...] = ()


def objections_to_method(evidence: Evidence, limits: Limits) -> list[Objection]:
    """List the objections to a method; a supported method has none.

    Parameters
    ----------
    evidence : Evidence
    limits : Limits

    Returns
    -------
    list of Objection
    """
    objections = []
    agreement, over_random, over_loudest = evidence.agreement, evidence.over_random, evidence.over_loudest
    if agreement.value is None or agreement.low is None:
        objections.append(Objection(ObjectionKind.NO_EFFECT))
    elif agreement.value < limits.min_agreement:
        objections.append(Objection(ObjectionKind.DISAGREEMENT, {"agreement": agreement.value}))
    elif agreement.low <= 0:
        figures = {"agreement": agreement.value, "agreement_low": agreement.low}
        objections.append(Objection(ObjectionKind.UNCERTAIN, figures))
    if over_random.low is None or not over_random.low > 0:
        objections.append(Objection(ObjectionKind.NOT_BETTER_THAN_RANDOM, {"over_random_low": over_random.low}))
    if over_loudest.high is not None and over_loudest.high < 0:
        objections.append(Objection(ObjectionKind.WORSE_THAN_LOUDEST, {"over_loudest_high": over_loudest.high}))
    if evidence.similarity is None or not evidence.similarity < limits.max_similarity:
        objections.append(Objection(ObjectionKind.INSENSITIVE, {"similarity": evidence.similarity}))
    return objections


def objections_to_model(auroc: Interval) -> list[Objection]:
    """List the objections to a model; with one, nothing can be said about where it listens.

    Parameters
    ----------
    auroc : Interval
        AUROC of the model on the examined part.

    Returns
    -------
    list of Objection
    """
    if auroc.low is not None and auroc.low > 0.5:
        return []
    return [Objection(ObjectionKind.CHANCE, {"auroc": auroc.value, "auroc_low": auroc.low})]


def judge(to_method: Sequence[Objection], to_model: Sequence[Objection]) -> Verdict:
    """Decide on one method from the objections to it and to the model.

    "Not supported" needs evidence against the heat. Where only certainty is missing, the outcome is undecided.
    """
    if to_model:
        outcome = Outcome.NOT_SUPPORTED
    elif not to_method:
        outcome = Outcome.SUPPORTED
    elif all(objection.kind is ObjectionKind.UNCERTAIN for objection in to_method):
        outcome = Outcome.UNDECIDED
    else:
        outcome = Outcome.NOT_SUPPORTED
    return Verdict(outcome, tuple(to_method), tuple(to_model))


def _objection_sentence(objection: Objection) -> str:
    figures = objection.figures
    match objection.kind:
        case ObjectionKind.CHANCE:
            auroc, low = figures["auroc"], figures["auroc_low"]
            shown = "not defined" if auroc is None else f"{auroc:.2f}, interval from {low:.2f}"
            return f"the model is not clearly better than chance (AUROC {shown})"
        case ObjectionKind.NO_EFFECT:
            return "agreement with occlusion is not defined"
        case ObjectionKind.DISAGREEMENT:
            return f"disagrees with occlusion (correlation {figures['agreement']:.2f})"
        case ObjectionKind.UNCERTAIN:
            return (
                f"occlusion is too uncertain to confirm it (correlation {figures['agreement']:.2f}, interval from "
                f"{figures['agreement_low']:.2f}): examine more patches (trust.patches)"
            )
        case ObjectionKind.NOT_BETTER_THAN_RANDOM:
            return "its hottest groups carry no more of the score than random groups"
        case ObjectionKind.WORSE_THAN_LOUDEST:
            return "its hottest groups carry less of the score than the loudest groups"
        case ObjectionKind.INSENSITIVE:
            similarity = figures["similarity"]
            shown = "" if similarity is None else f" (correlation {similarity:.2f})"
            return f"insensitive to the weights: a network with random weights gives similar heat{shown}"


def joined_sentences(objections: Sequence[Objection]) -> str:
    """Several objections in words, as one text; blank where there are none."""
    return "; ".join(objection.sentence for objection in objections)


def verdict_sentence(verdict: Verdict, choice: Choice, evidence: Evidence, densest_hz: str, top_hz: str) -> str:
    """Write the verdict on one method in words.

    Parameters
    ----------
    verdict : Verdict
    choice : Choice
        The method and its layers.
    evidence : Evidence
        Evidence behind the verdict.
    densest_hz : str
        Group of Hz with the most heat per band.
    top_hz : str
        Group of Hz with the largest drop under occlusion.

    Returns
    -------
    str
    """
    if verdict.objections_to_model:
        objections = joined_sentences(verdict.objections_to_model)
        return f"Not supported: {objections}. No heat map of this model can be interpreted."
    title = f"{METHODS[choice.method].title} at {' + '.join(choice.layers)}"
    if verdict.outcome is not Outcome.SUPPORTED:
        word = "Undecided" if verdict.outcome is Outcome.UNDECIDED else "Not supported"
        objections = joined_sentences(verdict.objections)
        return f"{word}: {title}: {objections}. Occlusion costs most at {top_hz} Hz."
    if evidence.over_loudest.low is not None and evidence.over_loudest.low > 0:
        beyond = "better than chance and better than loudness"
    else:
        beyond = "better than chance, but not clearly better than loudness"
    return (
        f"Supported: {title} agrees with occlusion (correlation {evidence.agreement.value:.2f}). It finds the bands "
        f"that carry the score {beyond}. A network with random weights gives other heat. Heat is densest at "
        f"{densest_hz} Hz; occlusion costs most at {top_hz} Hz."
    )

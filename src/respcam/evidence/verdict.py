"""Verdicts on heat: supported, undecided or not supported, and the objections that decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from respcam.errors import Refused
from respcam.heat.cam import METHODS, Choice
from respcam.metrics import Interval


@dataclass(frozen=True)
class Limits:
    """What evidence must reach.

    Parameters
    ----------
    min_agreement : float
        Correlation, over groups of Hz, of a method's heat with the drop under occlusion. Not of the
        ranks: where the model needs one group, the others are ranked by noise.
    max_similarity : float
        Rank correlation of heat before and after the network's weights were all drawn anew.
    margin : float
        Loss of AUROC that a suggested cut-off may cost.
    closeness : float
        Share of the model's lead over chance from which a baseline is said to come close.
    max_blank : float
        Share of blank cells from which a group of bands is called blank.
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
        Correlation of its heat with the drop under occlusion, over groups of Hz.
    over_random, over_loudest : Interval
        Faithfulness of its order of groups minus that of random orders, and of the loudest first.
    similarity : float or None
        Of its heat to that of the network with fresh weights.
    """

    agreement: Interval
    over_random: Interval
    over_loudest: Interval
    similarity: float | None


class ObjectionKind(StrEnum):
    """Why a statement about heat is not supported."""

    CHANCE = "chance"  # the model is not surely better than chance
    NO_EFFECT = "no_effect"  # occlusion has no agreement to measure
    DISAGREEMENT = "disagreement"  # with occlusion
    UNCERTAIN = "uncertain"  # agreement with occlusion, for lack of patches
    NOT_BETTER_THAN_RANDOM = "not_better_than_random"
    WORSE_THAN_LOUDEST = "worse_than_loudest"
    INSENSITIVE = "insensitive"  # to the weights


@dataclass(frozen=True)
class Objection:
    """A reason against a model or a method.

    Attributes
    ----------
    kind : ObjectionKind
    figures : mapping of str to float or None
        The numbers that the objection rests on.
    """

    kind: ObjectionKind
    figures: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The objection for a reader."""
        return _objection_sentence(self)

    @property
    def plain(self) -> dict[str, Any]:
        """The objection as plain data: ``kind, figures, sentence``."""
        return {"kind": str(self.kind), "figures": dict(self.figures), "sentence": self.sentence}


class Outcome(StrEnum):
    """What the evidence says about heat by one method."""

    SUPPORTED = "supported"
    UNDECIDED = "undecided"
    NOT_SUPPORTED = "not_supported"


@dataclass(frozen=True)
class Verdict:
    """Outcome for one method, and why.

    Attributes
    ----------
    outcome : Outcome
    objections : tuple of Objection
        To the method.
    objections_to_model : tuple of Objection
        Any of these rules out every method.
    """

    outcome: Outcome
    objections: tuple[Objection, ...] = ()
    objections_to_model: tuple[Objection, ...] = ()


def objections_to_method(evidence: Evidence, limits: Limits) -> list[Objection]:
    """List the objections to a method; there are none where it is supported.

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
    """List what rules out any statement about where a model listens.

    Parameters
    ----------
    auroc : Interval
        Of the model on the part in question.

    Returns
    -------
    list of Objection
    """
    if auroc.low is not None and auroc.low > 0.5:
        return []
    return [Objection(ObjectionKind.CHANCE, {"auroc": auroc.value, "auroc_low": auroc.low})]


def judge(to_method: Sequence[Objection], to_model: Sequence[Objection]) -> Verdict:
    """Decide on one method from the objections to it and to the model.

    "Not supported" needs evidence against the heat: it is undecided where all that is missing is certainty.
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
            return f"the model is not surely better than chance (AUROC {shown})"
        case ObjectionKind.NO_EFFECT:
            return "occlusion says nothing to agree with"
        case ObjectionKind.DISAGREEMENT:
            return f"disagrees with occlusion (correlation {figures['agreement']:.2f})"
        case ObjectionKind.UNCERTAIN:
            return (
                f"occlusion is too uncertain to confirm it (correlation {figures['agreement']:.2f}, interval from "
                f"{figures['agreement_low']:.2f}): look at more patches (trust.patches)"
            )
        case ObjectionKind.NOT_BETTER_THAN_RANDOM:
            return "its hottest groups carry the score no better than random groups"
        case ObjectionKind.WORSE_THAN_LOUDEST:
            return "its hottest groups carry the score worse than the loudest groups, which know no model"
        case ObjectionKind.INSENSITIVE:
            similarity = figures["similarity"]
            shown = "" if similarity is None else f" (correlation {similarity:.2f})"
            return f"insensitive to the weights: a network with random weights gives much the same heat{shown}"


def joined_sentences(objections: Sequence[Objection]) -> str:
    """Several objections as one text for a reader; blank where there are none."""
    return "; ".join(objection.sentence for objection in objections)


def verdict_sentence(verdict: Verdict, choice: Choice, evidence: Evidence, densest_hz: str, top_hz: str) -> str:
    """Word the verdict on one method for a reader.

    Parameters
    ----------
    verdict : Verdict
    choice : Choice
        The method and its layers.
    evidence : Evidence
        What the verdict rests on.
    densest_hz : str
        Group of Hz with the most heat per band.
    top_hz : str
        Group of Hz that costs most under occlusion.

    Returns
    -------
    str
    """
    if verdict.objections_to_model:
        objections = joined_sentences(verdict.objections_to_model)
        return f"Not supported: {objections}. No heat map of this model says anything."
    title = f"{METHODS[choice.method].title} at {' + '.join(choice.layers)}"
    if verdict.outcome is not Outcome.SUPPORTED:
        word = "Undecided" if verdict.outcome is Outcome.UNDECIDED else "Not supported"
        objections = joined_sentences(verdict.objections)
        return f"{word}: {title}: {objections}. Occlusion finds {top_hz} Hz to matter most."
    if evidence.over_loudest.low is not None and evidence.over_loudest.low > 0:
        beyond = "finds the bands that carry the score better than chance and better than loudness alone"
    else:
        beyond = "finds the bands that carry the score better than chance, though loudness alone does so as well"
    return (
        f"Supported: {title} agrees with occlusion (correlation {evidence.agreement.value:.2f}), {beyond}, and is "
        f"not the heat of a network with random weights. It is densest at {densest_hz} Hz; occlusion costs most "
        f"at {top_hz} Hz."
    )

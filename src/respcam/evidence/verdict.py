"""From evidence to words: which band heat is supported for a model, and which is not."""

from dataclasses import dataclass

from respcam.metrics import Interval

UNCERTAIN = "occlusion is too uncertain"


@dataclass(frozen=True)
class Limits:
    """What evidence must reach.

    Parameters
    ----------
    min_agreement : float
        Correlation, over groups of Hz, of a method's heat with the fall under occlusion. Not of the
        ranks: where the model needs one group, the other ten are ranked by noise.
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
                raise ValueError(f"trust.limits.{name} is {getattr(self, name)}; expected 0 to 1")


@dataclass(frozen=True)
class Evidence:
    """What was found about one method on one model.

    Attributes
    ----------
    agreement : Interval
        Correlation of its heat with the fall under occlusion, over groups of Hz.
    over_random, over_loudest : Interval
        Faithfulness of its order of groups minus that of random orders, and of the loudest first.
    similarity : float or None
        Of its heat to that of the network with fresh weights.
    """

    agreement: Interval
    over_random: Interval
    over_loudest: Interval
    similarity: float | None


def against_method(evidence: Evidence, limits: Limits) -> list[str]:
    """Say what speaks against a method; nothing means that it is supported.

    Returns
    -------
    list of str
    """
    reasons = []
    agreement = evidence.agreement
    if agreement.value is None or agreement.low is None:
        reasons.append("occlusion says nothing to agree with")
    elif agreement.value < limits.min_agreement:
        reasons.append(f"disagrees with occlusion (correlation {agreement.value:.2f})")
    elif agreement.low <= 0:
        reasons.append(
            f"{UNCERTAIN} to confirm it (correlation {agreement.value:.2f}, interval from "
            f"{agreement.low:.2f}): look at more patches (trust.patches)"
        )
    if evidence.over_random.low is None or not evidence.over_random.low > 0:
        reasons.append("its hottest groups carry the score no better than random groups")
    if evidence.over_loudest.high is not None and evidence.over_loudest.high < 0:
        reasons.append("its hottest groups carry the score worse than the loudest groups, which know no model")
    if evidence.similarity is None or not evidence.similarity < limits.max_similarity:
        shown = "" if evidence.similarity is None else f" (correlation {evidence.similarity:.2f})"
        reasons.append(f"insensitive to the weights: a network with random weights gives much the same heat{shown}")
    return reasons


def against_model(auroc: Interval) -> list[str]:
    """Say what forbids any statement about where a model listens.

    Parameters
    ----------
    auroc : Interval
        Of the model on the part in question.

    Returns
    -------
    list of str
    """
    if auroc.low is not None and auroc.low > 0.5:
        return []
    shown = "not defined" if auroc.value is None else f"{auroc.value:.2f}, interval from {auroc.low:.2f}"
    return [f"the model is not surely better than chance (AUROC {shown})"]

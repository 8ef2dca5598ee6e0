"""Standing of a model: how well it does and whether its heat may be believed, as it stands beside every score."""

from dataclasses import dataclass
from typing import Any

from respcam.data.splits import VALIDATION
from respcam.experiments.finished import FinishedRun

SUPPORTED = "supported"  # value of an outcome (`respcam.evidence.verdict.Outcome`, which imports torch)


@dataclass(frozen=True)
class Standing:
    """AUROC and verdict of a model on one test part.

    Attributes
    ----------
    part, note : str
        Test part; note such as "patients also in train", or blank.
    auroc, low, high : float or None
        AUROC with its 95 % interval over patients.
    outcome : str
        supported, undecided or not_supported; blank if the heat was not examined.
    verdict_class, words : str
        Class whose heat the verdict is about, and the verdict in words.
    """

    part: str
    note: str
    auroc: float | None
    low: float | None
    high: float | None
    outcome: str
    verdict_class: str
    words: str

    @property
    def is_supported(self) -> bool:
        """Whether the heat is supported."""
        return self.outcome == SUPPORTED

    @property
    def sentence(self) -> str:
        """The standing in one sentence for a reader of a score."""
        note = f" ({self.note})" if self.note else ""
        auroc = "AUROC not defined"
        if self.auroc is not None:
            auroc = f"AUROC {self.auroc:.3f} ({self.low:.3f} to {self.high:.3f})"
        heat = (
            f"heat for {self.verdict_class}: {self.outcome.replace('_', ' ')}"
            if self.outcome
            else "heat not examined"
        )
        return f"on {self.part}{note} this model has {auroc}; {heat}"


def standings(run: FinishedRun) -> list[Standing]:
    """Standing of the model of a run on each of its test parts."""
    verdicts = run.verdicts()
    rows = []
    for part, values in run.metrics().items():
        if part == VALIDATION:
            continue
        verdict: dict[str, Any] = verdicts.get(part, {"outcome": "", "words": "", "classes": [{"class": ""}]})
        auroc = values["auroc"]
        rows.append(
            Standing(
                part=part,
                note=values["note"] or "",
                auroc=auroc["value"],
                low=auroc["low"],
                high=auroc["high"],
                outcome=verdict["outcome"],
                verdict_class=verdict["classes"][0]["class"],
                words=verdict["words"],
            )
        )
    return rows

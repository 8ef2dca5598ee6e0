"""Standing of a model: how well it does and whether its heat may be believed, as it stands beside every score."""

from dataclasses import dataclass
from typing import Any

from respcam.experiments.finished import FinishedRun

ANSWERS = {"supported": "supported", "undecided": "undecided", "not_supported": "not supported"}


@dataclass(frozen=True)
class Standing:
    """AUROC and verdict of a model on one test part.

    Attributes
    ----------
    part, note : str
        Test part; note such as "patients also in train", or blank.
    auroc, low, high : float or None
        AUROC with its 95 % interval over patients.
    verdict : str
        supported, undecided or not supported; blank if the heat was not examined.
    verdict_class, words : str
        Class whose heat the verdict is about, and the verdict in words.
    """

    part: str
    note: str
    auroc: float | None
    low: float | None
    high: float | None
    verdict: str
    verdict_class: str
    words: str

    @property
    def sentence(self) -> str:
        """The standing in one sentence for a reader of a score."""
        note = f" ({self.note})" if self.note else ""
        auroc = "AUROC not defined"
        if self.auroc is not None:
            auroc = f"AUROC {self.auroc:.3f} ({self.low:.3f} to {self.high:.3f})"
        heat = f"heat for {self.verdict_class}: {self.verdict}" if self.verdict else "heat not examined"
        return f"on {self.part}{note} this model has {auroc}; {heat}"


def standings(run: FinishedRun) -> list[Standing]:
    """Standing of the model of a run on each of its test parts."""
    verdicts = run.verdicts()
    rows = []
    for part, values in run.metrics().items():
        if part == "validation":
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
                verdict=ANSWERS.get(verdict["outcome"], ""),
                verdict_class=verdict["classes"][0]["class"],
                words=verdict["words"],
            )
        )
    return rows

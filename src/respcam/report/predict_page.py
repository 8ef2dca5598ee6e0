"""Page of predictions: scores of any recordings, with the player, cautions, and files that could not be used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from respcam.metrics import defined
from respcam.report.page import render
from respcam.report.player import PlayerContent
from respcam.store.artifact import write_atomically

NAME = "predict.html"


@dataclass(frozen=True, kw_only=True)
class PredictContent:
    """Content of a page of predictions.

    Attributes
    ----------
    run : str
        Name of the run whose model predicted.
    description : mapping
        Description of the run: ``dataset, task, bands``.
    standings : sequence of str
        How well the model does, and the verdict on its heat, per test part.
    supported : sequence of bool
        Whether the heat is supported, per test part.
    decision : str
        How the predicted class follows from the probabilities.
    rows : sequence of mapping
        A row per file: ``path, reason, detail``, or ``path, predicted_class, probability, cautions``.
    evaluation : mapping or None
        Metrics, where the files are labelled.
    player : PlayerContent
    """

    run: str
    description: Mapping[str, Any]
    standings: Sequence[str]
    supported: Sequence[bool]
    decision: str
    rows: Sequence[Mapping[str, Any]]
    evaluation: Mapping[str, Any] | None
    player: PlayerContent


def write_predict_page(content: PredictContent, folder: Path) -> None:
    """Write ``predict.html``."""
    cautions: dict[str, list[str]] = {}
    for row in content.rows:
        for fact, caution in row.get("cautions", {}).items():
            cautions.setdefault(fact, []).append(f"{row['path']}: {caution}")
    page = render(
        "predict.html",
        scripts=["player.js"],
        title=f"respcam: {sum(not row['reason'] for row in content.rows)} recordings heard by a model",
        content=content,
        cautions=sorted(cautions.values(), key=len, reverse=True),
        bad=[row for row in content.rows if row["reason"]],
        metric_names=defined([content.evaluation["metrics"]] if content.evaluation else []),
        player_data=content.player.embedded,
        has_views=any(unit.views for unit in content.player.units),
    )
    write_atomically(folder / NAME, page)

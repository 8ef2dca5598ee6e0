"""Side by side: several models on the same test recordings, those first about which they differ most."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from respcam.data.splits import VALIDATION
from respcam.experiments.finished import FinishedRun

MOST_MODELS, MOST_OPEN = 4, 12
COMMON = ("classes", "methods", "frame_rate_hz", "sample_rate_hz", "patch_s")
COLUMNS = {"id": "recording", "true": "true class"}


def side_by_side(runs: Mapping[str, FinishedRun]) -> dict[str, Any] | None:
    """Merge the players of reports: one recording, a picture per model, on the same axes.

    Parameters
    ----------
    runs : mapping of title to FinishedRun
        At most `MOST_MODELS` are taken.

    Returns
    -------
    dict or None
        Content of a player (`respcam.report.player`); None if the runs cannot be laid side by side: fewer than two,
        other classes or methods, or no recording that two reports open.
    """
    taken = dict(list(runs.items())[:MOST_MODELS])
    every = {title: run.player() for title, run in taken.items()}
    players = {title: player for title, player in every.items() if player is not None}
    if len(players) < 2 or len({str([player[name] for name in COMMON]) for player in players.values()}) > 1:
        return None
    probability = _probabilities({title: taken[title] for title in players})
    opened = {
        title: {unit["cells"]["id"]: unit for unit in player["units"] if unit["views"]}
        for title, player in players.items()
    }
    n_views = pd.Series([name for units in opened.values() for name in units]).value_counts()
    common = set(n_views[n_views > 1].index) & set(probability.index)
    if not common:
        return None
    shown = [name for name in probability.index if name in common][:MOST_OPEN]
    widest = max(players.values(), key=lambda player: len(player["bands_hz"]))
    titles = list(players)
    of_models = {f"p{number}": f"P(true), {title}" for number, title in enumerate(titles)}
    columns = {**COLUMNS, "difference": "difference", **of_models}
    units = []
    for name, row in probability.iterrows():
        views = {
            title: {**opened[title][name]["views"][0], "title": title, "bands_hz": players[title]["bands_hz"]}
            for title in titles
            if name in shown and name in opened[title]
        }
        units.append(_unit(str(name), row, titles, views, [opened[title].get(name) for title in views]))
    return {**widest, "columns": list(columns.items()), "order": "difference", "units": units}


def _probabilities(runs: Mapping[str, FinishedRun]) -> pd.DataFrame:
    """Probability of the true class by every model, for units that all tested; the largest difference first."""
    columns = []
    for title, run in runs.items():
        table = run.predictions()
        table = table[table["part"] != VALIDATION].set_index("unit_id")
        of_true = [row[f"p_{row['true_class']}"] for row in table.to_dict("records")]
        columns.append(pd.DataFrame({title: of_true, f"true {title}": table["true_class"]}, index=table.index))
    joined = pd.concat(columns, axis=1, join="inner")
    first = next(iter(runs))
    joined = joined.rename(columns={f"true {first}": "true"})[["true", *runs]]
    joined["difference"] = (joined[list(runs)].max(axis=1) - joined[list(runs)].min(axis=1)).round(3)
    return joined.sort_values("difference", ascending=False, kind="stable")


def _unit(
    name: str,
    row: pd.Series,
    titles: Sequence[str],
    views: Mapping[str, dict[str, Any]],
    units: Sequence[Mapping[str, Any] | None],
) -> dict[str, Any]:
    """A recording in the player, as `respcam.report.player.unit_data`."""
    first: Mapping[str, Any] = next((unit for unit in units if unit is not None), {})
    p = {f"p{number}": round(float(row[title]), 4) for number, title in enumerate(titles)}
    return {
        "cells": {"id": name, "true": row["true"], "difference": float(row["difference"]), **p},
        "mistake": bool(min(p.values()) < 0.5),
        "reason": "",
        "events": first.get("events", []),
        "cautions": [],
        "sound": first.get("sound"),
        "duration_s": first.get("duration_s"),
        "views": list(views.values()),
    }

"""Trust section of a run report: evidence on heat as rows, sentences and figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from respcam.heat.cam import METHODS, Choice
from respcam.report import figures
from respcam.report.page import DASH, MINUS, InlineFigure, save_figure

TABLES = ("occlusion", "methods", "profiles", "localisation", "metadata", "strata", "blank")
TEXT_COLUMNS = ("layers", "fill", "objections", "densest_hz")  # may be blank
BASELINES = {"loudest_band": "loudest band", "loudest_moment": "loudest moment"}
OCCLUSION = "occlusion"  # rows of profiles.csv that no method made
OUTCOMES = {"supported": "supported", "undecided": "undecided", "not_supported": "not supported"}


@dataclass(frozen=True, kw_only=True)
class TrustTables:
    """Evidence on the heat of one run, and the verdict.

    Attributes
    ----------
    summary : mapping
        Content of ``trust.json``: ``method, layers, parts, cutoff, fields, settings``.
    tables : mapping of str to DataFrame
        Tables by the names in `TABLES`, each with a column ``part``.
    """

    summary: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]

    @property
    def choice(self) -> Choice:
        """Method and layers of the heat of the run."""
        return Choice(self.summary["method"], tuple(self.summary["layers"]))

    @property
    def blocks(self) -> tuple[str, ...]:
        """Layers with a measured receptive field: the blocks of the network, lowest first."""
        return tuple(row["layer"] for row in self.summary["fields"])

    def of_part(self, part: str) -> dict[str, pd.DataFrame]:
        """The rows of one part; blank cells of text are empty text."""
        return {name: _rows_of(self.tables[name], part) for name in TABLES}


def _rows_of(table: pd.DataFrame, part: str) -> pd.DataFrame:
    rows = table[table["part"] == part]
    columns = [rows[name].astype(object) for name in TEXT_COLUMNS if name in rows]
    return rows.assign(**{str(column.name): column.where(column.notna(), "") for column in columns})


def section(trust: TrustTables, bands: pd.DataFrame, metrics: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Collect the content of the trust section.

    Parameters
    ----------
    trust : TrustTables
    bands : DataFrame
        The bands that the model was fed: ``lower_hz, upper_hz``.
    metrics : mapping
        Metrics and ``note`` of every part.
    folder : Path
        Folder that figures are written to.

    Returns
    -------
    dict
        ``parts, limits, cutoff, sources, fields``.
    """
    summary = trust.summary
    return {
        "parts": [_part(trust, name, metrics[name], folder) for name in summary["parts"]],
        "limits": summary["settings"]["limits"],
        "cutoff": _cutoff(summary["cutoff"]),
        "sources": list(METHODS.values()),
        "fields": [_field(row, bands) for row in summary["fields"]],
    }


def _part(trust: TrustTables, name: str, metrics: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    tables, verdict = trust.of_part(name), trust.summary["parts"][name]
    title = f"{name} ({metrics['note']})" if metrics["note"] else name
    return {
        **verdict,
        "name": name,
        "note": metrics["note"],
        "model": metrics["auroc"],
        "figures": [_figure(trust, tables, title, folder / f"occlusion_{name}.png")],
        "has_padding": bool((tables["methods"]["padding_uniform"] > 0).any()),
        "has_control": "control_similarity" in tables["methods"],
        "methods": _method_rows(trust, tables["methods"]),
        "localisation": _localisation_rows(trust, tables["localisation"]),
        "metadata": [_with_intervals(row, "auroc") for row in tables["metadata"].to_dict("records")],
        "strata": [_with_intervals(row, "auroc") for row in tables["strata"].to_dict("records")],
        **_blank(tables["blank"]),
    }


def _interval(row: Mapping[str, Any], name: str) -> dict[str, float | None]:
    values = (row.get(f"{name}{end}") for end in ("", "_low", "_high"))
    return {
        key: None if value is None or pd.isna(value) else float(value)
        for key, value in zip(("value", "low", "high"), values, strict=True)
    }


def _with_intervals(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**row, **{name: _interval(row, name) for name in names}}


def _shown(trust: TrustTables) -> dict[tuple[str, str], str]:
    """Titles of the rows that the page shows, by method and layers.

    The order is: the choice of this report, every method on the last block and on all blocks fused, the baselines.
    """
    blocks = trust.blocks
    choices = [trust.choice]
    choices += [Choice(method, layers) for method in METHODS for layers in ((blocks[-1],), blocks)]
    titles = {(choice.method, choice.place): _title(choice, blocks) for choice in choices}
    return titles | {(name, ""): f"{words} (no model)" for name, words in BASELINES.items()}


def _title(choice: Choice, blocks: tuple[str, ...]) -> str:
    is_fused = choice.layers == blocks
    place = "all blocks fused" if is_fused else " + ".join(choice.layers)
    return f"{METHODS[choice.method].title}, {place}"


def _by_choice(table: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["method"], row["layers"]): row for row in table.to_dict("records")}


def _method_rows(trust: TrustTables, table: pd.DataFrame) -> list[dict[str, Any]]:
    by_choice = _by_choice(table)
    return [
        {
            **_with_intervals(by_choice[key], "agreement", "rank_agreement", "over_random", "over_loudest"),
            "title": title,
            "is_explained": key == (trust.choice.method, trust.choice.place),
            "similarity": _number(by_choice[key]["similarity"]),
            "control": _number(by_choice[key].get("control_similarity")),
            "border": _share(by_choice[key], "border"),
            "blank": _share(by_choice[key], "blank"),
            "padding": _share(by_choice[key], "padding"),
            "verdict": _verdict(by_choice[key]),
        }
        for key, title in _shown(trust).items()
        if key in by_choice
    ]


def _verdict(row: Mapping[str, Any]) -> str:
    if row["method"] not in METHODS:
        return "baseline"
    words = OUTCOMES[row["outcome"]]
    if row["outcome"] == "supported":
        return words
    return f"{words}: {row['objections'] or 'see the verdict on the model'}"


def _number(value: float | None) -> str:
    return DASH if value is None or pd.isna(value) else f"{value:.2f}".replace("-", MINUS)


def _share(row: Mapping[str, Any], name: str) -> str:
    return DASH if pd.isna(row[name]) else f"{row[name]:.0%} ({row[f'{name}_uniform']:.0%})"


def _localisation_rows(trust: TrustTables, table: pd.DataFrame) -> list[dict[str, Any]]:
    if table.empty:
        return []
    is_random = table["weights"] == "random"
    by_choice, randomised = _by_choice(table[~is_random]), _by_choice(table[is_random])
    return [
        {
            **_with_intervals(by_choice[key], "pointing", "inside", "gain", "pointing_lead", "inside_lead"),
            "title": title,
            "is_explained": key == (trust.choice.method, trust.choice.place),
            "covered": f"{by_choice[key]['covered']:.3f}",
            "random": f"{randomised[key]['pointing']:.3f}" if key in randomised else DASH,
        }
        for key, title in _shown(trust).items()
        if key in by_choice
    ]


def _blank(table: pd.DataFrame) -> dict[str, Any]:
    rows = [
        {"name": name, "shares": [f"{share:.0%}" for share in of_class["blank"]]}
        for name, of_class in table.groupby("class", sort=False)
    ]
    return {"blank_hz": list(dict.fromkeys(table["hz"])), "blank": rows}


def _cutoff(cutoff: Mapping[str, Any]) -> str:
    basis = (
        f"Measured on {cutoff['n_patches']} patches of {cutoff['n_patients']} validation patients; bands above the "
        f"cut-off were replaced by {figures.FILL_WORDS[cutoff['fill']]}. It is a suggestion for a run with fewer "
        "bands, not a result."
    )
    if cutoff["cutoff_hz"] is None:
        return f"No cut-off keeps the loss of AUROC within {cutoff['margin']:g} with 95 % confidence. {basis}"
    return (
        f"{cutoff['cutoff_hz']:g} Hz is the lowest suitable cut-off: there and at every higher cut-off the loss of "
        f"AUROC stays within {cutoff['margin']:g} with 95 % confidence. {basis}"
    )


def _field(row: Mapping[str, Any], bands: pd.DataFrame) -> dict[str, Any]:
    low_hz, high_hz = bands["lower_hz"].iloc[row["first_band"]], bands["upper_hz"].iloc[row["last_band"]]
    return {**row, "seen_hz": f"{low_hz:.0f} to {high_hz:.0f} Hz"}


def _figure(trust: TrustTables, tables: Mapping[str, pd.DataFrame], title: str, path: Path) -> InlineFigure:
    profiles, curves = tables["profiles"], tables["occlusion"]
    is_explained = (profiles["method"] == trust.choice.method) & (profiles["layers"] == trust.choice.place)
    figure = figures.occlusion(
        profiles[profiles["method"] == OCCLUSION],
        profiles[is_explained],
        curves[(curves["of"] == "auroc") & (curves["kind"] != "single")],
        trust.summary["settings"]["limits"]["margin"],
        f"{title}: occlusion and heat",
    )
    caption = (
        f"{title}. Top left: drop of the class score (log-odds, equal weight for each class) when one group of Hz is "
        "replaced. Bottom left: share of the heat in each group. Where both are high, heat agrees with occlusion. "
        "Right: drop of AUROC when all bands above (or below) a cut-off are replaced. Bars and shading: 95 % "
        "intervals over patients."
    )
    return save_figure(figure, path, caption)

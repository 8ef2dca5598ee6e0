"""The report's section on trust: tables and pictures from what the trust stage found."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from respcam.evidence.tables import LOUDEST
from respcam.heat.cam import METHODS
from respcam.report import figures
from respcam.report.pictures import png
from respcam.store.artifact import Artifact

TABLES = ("occlusion", "methods", "profiles", "randomisation", "localisation", "metadata", "strata", "blank")
FILES = ("trust.json", *(f"{name}.csv" for name in TABLES))


def section(trust: Artifact, bands: pd.DataFrame, metrics: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Gather what the template shows.

    Parameters
    ----------
    trust : Artifact
    bands : DataFrame
        Those that the model was fed: ``lower_hz, upper_hz``.
    metrics : dict
        Figures of each part.
    folder : Path
        For the pictures.

    Returns
    -------
    dict
    """
    found = json.loads((trust.require() / "trust.json").read_text(encoding="utf-8"))
    text = {"name": str, "value": str, "hz": str, "densest_hz": str}
    tables = {name: pd.read_csv(trust.folder / f"{name}.csv", dtype=text) for name in TABLES}
    parts = []
    for name, verdict in found["parts"].items():
        own = {key: table[table["split"] == name] for key, table in tables.items()}
        parts.append(
            {
                **verdict,
                "name": name,
                "note": metrics[name]["note"],
                "model": metrics[name]["auroc"],
                "pictures": [_picture(own, found, name, metrics[name]["note"], folder)],
                "has_padding": bool((own["methods"]["padding_even"] > 0).any()),
                "has_control": "control_similarity" in own["methods"],
                "methods": _methods(own["methods"], found),
                "localisation": _localisation(own["localisation"], found),
                "metadata": [_with(row, "auroc") for row in own["metadata"].to_dict("records")],
                "strata": [
                    _with(row, "auroc") for row in own["strata"].fillna({"densest_hz": ""}).to_dict("records")
                ],
                **_blank(own["blank"]),
            }
        )
    return {
        "parts": parts,
        "limits": found["settings"]["limits"],
        "cutoff": _cutoff(found["cutoff"]),
        "sources": list(METHODS.values()),
        "fields": [_field(row, bands) for row in found["fields"]],
    }


def _figure(row: dict[str, Any], name: str) -> dict[str, float | None]:
    values = (row.get(f"{name}{end}") for end in ("", "_low", "_high"))
    return {
        key: None if value is None or pd.isna(value) else float(value)
        for key, value in zip(("value", "low", "high"), values, strict=True)
    }


def _with(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**row, **{name: _figure(row, name) for name in names}}


def _title(name: str, n_stages: int) -> str:
    method, _, layers = name.partition(" @ ")
    if method not in METHODS:
        return f"{name} (no model)"
    place = "all stages fused" if layers.count("+") == n_stages - 1 else layers.replace("+", " + ")
    return f"{METHODS[method].title}, {place}"


def _shown(names: pd.Series, found: dict[str, Any]) -> list[str]:
    """The method of this report first, then each method on the last stage and fused, then the baselines."""
    stages = [row["layer"] for row in found["fields"]]
    own = f"{found['method']} @ {'+'.join(found['layers'])}"
    wanted = [f"{method} @ {layers}" for method in METHODS for layers in (stages[-1], "+".join(stages))]
    return [name for name in dict.fromkeys([own, *wanted, LOUDEST, "loudest moment"]) if name in set(names)]


def _methods(table: pd.DataFrame, found: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    by_name = table.set_index("name", drop=False)
    shown = _shown(table["name"], found)
    for name in shown:
        row = by_name.loc[name].to_dict()
        is_baseline = not row["is_method"]
        verdict = "supported" if row["is_supported"] else f"not supported: {row['against']}"
        if not is_baseline and not row["is_supported"] and pd.isna(row["against"]):
            verdict = "not supported: see the verdict on the model"
        rows.append(
            {
                **_with(row, "agreement", "rank_agreement", "over_random", "over_loudest"),
                "title": _title(name, len(found["fields"])),
                "is_own": name == shown[0],
                "similarity": _number(row["similarity"]),
                "control": _number(row.get("control_similarity")),
                "border": _share(row, "border"),
                "blank": _share(row, "blank"),
                "padding": _share(row, "padding"),
                "verdict": "baseline" if is_baseline else verdict,
            }
        )
    return rows


def _number(value: float | None) -> str:
    return "\N{EN DASH}" if value is None or pd.isna(value) else f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _share(row: dict[str, Any], name: str) -> str:
    return "\N{EN DASH}" if pd.isna(row[name]) else f"{row[name]:.0%} ({row[f'{name}_even']:.0%})"


def _localisation(table: pd.DataFrame, found: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    by_name = table.set_index("name", drop=False)
    shown = _shown(table["name"], found)
    for name in shown:
        row = by_name.loc[name].to_dict()
        random = f"{name} (random weights)"
        rows.append(
            {
                **_with(row, "pointing", "inside", "gain", "pointing_lead", "inside_lead"),
                "title": _title(name, len(found["fields"])),
                "is_own": name == shown[0],
                "covered": f"{row['covered']:.3f}",
                "random": f"{by_name.at[random, 'pointing']:.3f}" if random in by_name.index else "\N{EN DASH}",
            }
        )
    return rows


def _blank(table: pd.DataFrame) -> dict[str, Any]:
    rows = [
        {"name": name, "shares": [f"{share:.0%}" for share in own["blank"]]}
        for name, own in table.groupby("class", sort=False)
    ]
    return {"blank_hz": list(dict.fromkeys(table["hz"])), "blank": rows}


def _cutoff(cutoff: dict[str, Any]) -> str:
    basis = (
        f"judged on {cutoff['n_patches']} patches of {cutoff['n_patients']} validation patients, bands above the "
        f"cut-off filled with {figures.FILL_WORDS[cutoff['fill']]}; a suggestion for a pruned run, not a result"
    )
    if cutoff["cutoff_hz"] is None:
        return f"No cut-off keeps the loss of AUROC within {cutoff['margin']:g} with 95 % confidence ({basis})."
    return (
        f"{cutoff['cutoff_hz']:g} Hz is the lowest cut-off from which upwards the loss of AUROC stays within "
        f"{cutoff['margin']:g} with 95 % confidence ({basis})."
    )


def _field(row: dict[str, Any], bands: pd.DataFrame) -> dict[str, Any]:
    low_hz, high_hz = bands["lower_hz"].iloc[row["first_band"]], bands["upper_hz"].iloc[row["last_band"]]
    return {**row, "seen_hz": f"{low_hz:.0f} to {high_hz:.0f} Hz"}


def _picture(
    tables: dict[str, pd.DataFrame], found: dict[str, Any], part: str, note: str | None, folder: Path
) -> dict[str, str]:
    profiles, curves = tables["profiles"], tables["occlusion"]
    own = f"{found['method']} @ {'+'.join(found['layers'])}"
    words = f"{part}{f' ({note})' if note else ''}"
    picture = figures.occlusion(
        profiles[profiles["name"].str.startswith("occlusion")],
        profiles[profiles["name"] == own],
        curves[(curves["of"] == "auroc") & (curves["kind"] != "single")],
        found["settings"]["limits"]["margin"],
        f"{words}: what the model needs, and where its heat lies",
    )
    caption = (
        f"{words}. Left, above: fall of the class score (log-odds, classes weighted alike) when one group of Hz is "
        "replaced; below: share of the heat in each group. Where both are high the picture tells the truth. Right: "
        "loss of AUROC when everything above, or below, a cut-off is replaced. Bars and shades: 95 % over patients."
    )
    return png(picture, folder / f"occlusion_{part}.png", caption)

"""Trust section of a run report: evidence on heat as rows, sentences and figures."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from respcam.data import run_folder
from respcam.data.splits import VALIDATION
from respcam.heat.bands import HzGroups
from respcam.heat.cam import METHODS, Choice
from respcam.report import figures
from respcam.report.page import DASH, MINUS
from respcam.report.saved import FigureFolder, InlineFigure, file_stem

TABLES = ("occlusion", "methods", "profiles", "localisation", "metadata", "strata", "blank")
TEXT_COLUMNS = ("layers", "score", "fill", "objections", "outcome", "densest_hz", "costliest_hz")  # may be blank
BASELINES = {"loudest_band": "loudest band", "loudest_moment": "loudest moment"}
MOSTLY_BLANK = 0.8  # share of blank cells from which a band counts as empty
OCCLUSION = "occlusion"  # rows of profiles.csv that no method made
ANSWERS = {"supported": "Yes", "undecided": "Not decided", "not_supported": "No"}
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
        """Method, layers and score of the heat of the run."""
        return Choice(self.summary["method"], tuple(self.summary["layers"]), self.summary["score"])

    @property
    def beside(self) -> Choice:
        """Method, layers and score of the heat that stands beside it."""
        beside = self.summary["beside"]
        return Choice(beside["method"], tuple(beside["layers"]), beside["score"])

    @property
    def blocks(self) -> tuple[str, ...]:
        """Layers with a measured receptive field: the blocks of the network, lowest first."""
        return tuple(row["layer"] for row in self.summary["fields"])

    def outcomes(self, part: str, is_beside: bool = False) -> dict[str, str]:
        """Verdict on the heat for each class, in words; empty for a part that was not examined."""
        verdict = self.summary["parts"].get(part, {"classes": [], "beside": {"classes": []}})
        classes = verdict["beside"]["classes"] if is_beside else verdict["classes"]
        return {row["class"]: OUTCOMES[row["outcome"]] for row in classes}

    def falls(self, part: str) -> pd.DataFrame:
        """Fall of each class's log-odds when a group of Hz is replaced: ``class, hz, drop, drop_low, drop_high``."""
        profiles = self.tables["profiles"]
        is_median = (profiles["method"] == OCCLUSION) & (profiles["fill"] == run_folder.MEDIAN)
        return profiles.loc[is_median & (profiles["part"] == part), ["class", "hz", "drop", "drop_low", "drop_high"]]

    def of_part(self, part: str) -> dict[str, pd.DataFrame]:
        """The rows of one part; blank cells of text are empty text."""
        return {name: _rows_of(self.tables[name], part) for name in TABLES}


def _rows_of(table: pd.DataFrame, part: str) -> pd.DataFrame:
    rows = table[table["part"] == part]
    columns = [rows[name].astype(object) for name in TEXT_COLUMNS if name in rows]
    return rows.assign(**{str(column.name): column.where(column.notna(), "") for column in columns})


def section(
    trust: TrustTables, bands: pd.DataFrame, groups: HzGroups, metrics: Mapping[str, Any], saved: FigureFolder
) -> dict[str, Any]:
    """Collect the content of the trust section.

    Parameters
    ----------
    trust : TrustTables
    bands : DataFrame
        The bands that the model was fed: ``lower_hz, upper_hz``.
    groups : HzGroups
        Groups of Hz of the evidence.
    metrics : mapping
        Metrics and ``note`` of every part.
    saved : FigureFolder

    Returns
    -------
    dict
        ``parts, limits, cutoff, sources, fields``.
    """
    summary = trust.summary
    return {
        "parts": [_part(trust, name, metrics[name], saved) for name in summary["parts"]],
        "limits": summary["settings"]["limits"],
        "cutoff": _cutoff(summary["cutoff"], metrics, trust.tables["blank"], groups),
        "sources": list(METHODS.values()),
        "fields": [_field(row, bands) for row in summary["fields"]],
    }


def _part(trust: TrustTables, name: str, metrics: Mapping[str, Any], saved: FigureFolder) -> dict[str, Any]:
    tables, verdict = trust.of_part(name), trust.summary["parts"][name]
    title = f"{name} ({metrics['note']})" if metrics["note"] else name
    return {
        **verdict,
        "name": name,
        "answer": ANSWERS[verdict["outcome"]],
        "note": metrics["note"],
        "model": metrics["auroc"],
        "figures": [_figure(trust, tables, verdict, name, title, saved)],
        "certainty": f"{1 - verdict['alpha']:.1%}",
        "has_padding": bool((tables["methods"]["padding_uniform"] > 0).any()),
        "has_control": bool(tables["methods"]["control_agreement"].notna().any()),
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


Key = tuple[str, str, str]  # method, layers and score, as in a table


def _key(choice: Choice) -> Key:
    return choice.method, choice.place, choice.score


def _title_of(row: Mapping[str, Any], blocks: tuple[str, ...]) -> str:
    """Title of a row of a table: method, layers and score, or a baseline."""
    if row["method"] in BASELINES:
        return f"{BASELINES[row['method']]} (no model)"
    layers = row["layers"]
    place = {"+".join(blocks): "all blocks fused", blocks[-1]: "last block"}.get(layers, layers.replace("+", " + "))
    published = ", of the class score" if row["score"] == "class_score" else ""
    return f"{METHODS[row['method']].title}, {place}{published}"


def _method_rows(trust: TrustTables, table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "title": _title_of(row, trust.blocks),
            "class": row["class"],
            "densest_hz": row["densest_hz"],
            **{name: _interval(row, name) for name in ("agreement", "densest_drop")},
            "is_explained": (row["method"], row["layers"], row["score"]) == _key(trust.choice),
            "random": _number(row["random_agreement"]),
            "random_answer": _number(row["random_answer"]),
            "control": _number(row["control_agreement"]),
            "border": _share(row, "border"),
            "blank": _share(row, "blank"),
            "padding": _share(row, "padding"),
            "verdict": _verdict(row),
        }
        for row in table.to_dict("records")
    ]


def _verdict(row: Mapping[str, Any]) -> str:
    if row["method"] not in METHODS:
        return "baseline"
    words = OUTCOMES[row["outcome"]]
    return words if row["outcome"] == "supported" else f"{words}: {row['objections']}"


def _number(value: float | None) -> str:
    return DASH if value is None or pd.isna(value) else f"{value:.2f}".replace("-", MINUS)


def _share(row: Mapping[str, Any], name: str) -> str:
    return DASH if pd.isna(row[name]) else f"{row[name]:.0%} ({row[f'{name}_uniform']:.0%})"


def _localisation_rows(trust: TrustTables, table: pd.DataFrame) -> list[dict[str, Any]]:
    if table.empty:
        return []
    is_random = table["weights"] == "random"
    of_random = {
        (row["method"], row["layers"], row["score"]): row["pointing"] for row in table[is_random].to_dict("records")
    }
    rows = []
    for row in table[~is_random].to_dict("records"):
        key = (row["method"], row["layers"], row["score"])
        rows.append(
            {
                **_with_intervals(row, "pointing", "inside", "gain", "pointing_lead", "inside_lead"),
                "title": _title_of(row, trust.blocks),
                "is_explained": key == _key(trust.choice),
                "covered": f"{row['covered']:.3f}",
                "random": f"{of_random[key]:.3f}" if key in of_random else DASH,
            }
        )
    return rows


def _blank(table: pd.DataFrame) -> dict[str, Any]:
    rows = [
        {"name": name, "shares": [f"{share:.0%}" for share in of_class["blank"]]}
        for name, of_class in table.groupby("class", sort=False)
    ]
    return {"blank_hz": list(dict.fromkeys(table["hz"])), "blank": rows}


def _cutoff(cutoff: Mapping[str, Any], metrics: Mapping[str, Any], blank: pd.DataFrame, groups: HzGroups) -> str:
    """The suggested cut-off in words; none for a model that guesses, and with a word on bands that are blank."""
    low = metrics[VALIDATION]["auroc"]["low"] if VALIDATION in metrics else None
    if low is None or low <= 0.5:
        return (
            "No cut-off is suggested: on the validation patients, the model is not surely better than guessing. "
            "A model that does not listen loses nothing when bands are removed."
        )
    basis = (
        f"Measured on {cutoff['n_units']} recordings of {cutoff['n_patients']} validation patients; bands above the "
        f"cut-off were replaced by {figures.FILL_WORDS[cutoff['fill']]}. It is a suggestion for a run with fewer "
        "bands, not a result."
    )
    if cutoff["cutoff_hz"] is None:
        return f"No cut-off keeps the loss of AUROC within {cutoff['margin']:g} with 95 % confidence. {basis}"
    blank_above = _blank_above(cutoff["cutoff_hz"], blank, groups)
    return (
        f"{cutoff['cutoff_hz']:g} Hz is the lowest suitable cut-off: there and at every higher cut-off the loss of "
        f"AUROC stays within {cutoff['margin']:g} with 95 % confidence. {basis}{blank_above}"
    )


def _blank_above(cutoff_hz: float, blank: pd.DataFrame, groups: HzGroups) -> str:
    """Warn where the removed bands hold no sound in these recordings: then nothing was tested there."""
    removed = [name for name, (low_hz, _) in groups.spans.items() if low_hz >= cutoff_hz]
    above = blank[blank["hz"].isin(removed)]
    share = above["blank"].mean()
    if above.empty or share < MOSTLY_BLANK:
        return ""
    return (
        f" Above it, {share:.0%} of the input is blank (log floor): there is next to no sound to remove in these "
        "recordings, so the cut-off says nothing about recordings that have some."
    )


def _field(row: Mapping[str, Any], bands: pd.DataFrame) -> dict[str, Any]:
    low_hz, high_hz = bands["lower_hz"].iloc[row["first_band"]], bands["upper_hz"].iloc[row["last_band"]]
    return {**row, "seen_hz": f"{low_hz:.0f} to {high_hz:.0f} Hz"}


def _figure(
    trust: TrustTables,
    tables: Mapping[str, pd.DataFrame],
    verdict: Mapping[str, Any],
    part: str,
    title: str,
    saved: FigureFolder,
) -> InlineFigure:
    """Occlusion and the heat of both methods for the class that the verdict is about."""
    name = verdict["classes"][0]["class"]
    profiles, curves = tables["profiles"], tables["occlusion"]
    profiles = profiles[profiles["class"] == name]

    def of(choice: Choice) -> pd.DataFrame:
        return profiles[(profiles[["method", "layers", "score"]] == list(_key(choice))).all(axis=1)]

    heat = {_title_of({**asdict(c), "layers": c.place}, trust.blocks): of(c) for c in (trust.choice, trust.beside)}
    curves = curves[(curves["of"] == "auroc") & (curves["kind"] != "single")]
    falls = profiles[profiles["method"] == OCCLUSION]
    figure = figures.occlusion(
        falls,
        heat,
        curves,
        trust.summary["settings"]["limits"]["margin"],
        f"{title}: occlusion and heat",
    )
    caption = (
        f"{title}, class {name}. Top left: what each group of Hz contributes to telling this class from the others: "
        "the mean fall of the log-odds of a recording when the group is replaced. Bottom left: share of the heat for "
        "this class in each group. Where both are high, heat agrees with occlusion. Right: drop of AUROC when all "
        "bands above (or below) a cut-off are replaced by their mean. Bars and shading: 95 % intervals over patients."
    )
    shown = pd.concat([falls, *heat.values(), curves], ignore_index=True)
    return saved.save_figure(figure, file_stem("occlusion", part), caption, shown)

"""Charts of results in Vega-Lite: interactive in a page, and PNG, SVG, PDF and CSV beside it for papers.

Marks, scales and axes follow the Vega-Lite 6 specification; every chart is one table and one specification.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

BLUE, ORANGE, GREY = "#2f7fb8", "#d55e00", "#8a8a8a"
#: told apart by colour-blind readers (Okabe and Ito 2008), on white and on black
COLOURS = (BLUE, ORANGE, "#009e73", "#b7740f", "#b0568c", "#3a9fc9", "#7d7a18")
INK = "currentColor"  # that of the page, light or dark; black in a file
#: Vega-Lite configuration of every chart
STYLE: dict[str, Any] = {
    "background": None,
    "mark": {"aria": False},  # a screen reader is told the caption, not a thousand points
    "view": {"stroke": "#88888866"},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": "#88888833",
        "domainColor": "#888888",
        "tickColor": "#888888",
        "titleFontWeight": "normal",
        "aria": False,
    },
    "legend": {"labelColor": INK, "titleColor": INK, "aria": False},
    "title": {"color": INK, "aria": False, "anchor": "start", "fontWeight": 600},
}
SIDE = 270  # width and height of a square chart, in pixels: fits a phone
WIDE = 640

Spec = dict[str, Any]


@dataclass(frozen=True)
class Chart:
    """A table and how to draw it.

    Attributes
    ----------
    name : str
        Stem of the names of its files.
    caption : str
    table : DataFrame
        The data, in plain columns.
    spec : dict
        Vega-Lite specification without data and style.
    is_wide : bool
        Whether it takes the width of a page.
    """

    name: str
    caption: str
    table: pd.DataFrame
    spec: Spec
    is_wide: bool = False


def chart_data(chart: Chart) -> dict[str, Any]:
    """Plain data of a chart: its name, and its specification with data and style."""
    values = json.loads(chart.table.to_json(orient="records", double_precision=6))
    return {
        "name": chart.name,
        "spec": {**chart.spec, "description": chart.caption, "data": {"values": values}, "config": STYLE},
    }


def _axis(field: str, title: str, domain: Sequence[float] | None = None, **scale: Any) -> Spec:
    channel: Spec = {"field": field, "type": "quantitative", "title": title}
    limits = {} if domain is None else {"domain": list(domain)}
    return {**channel, "scale": {"zero": False, "nice": domain is None, **limits, **scale}}


def _colour(field: str) -> Spec:
    return {
        "field": field,
        "type": "nominal",
        "sort": None,
        "title": None,
        "scale": {"range": list(COLOURS)},
        "legend": {"orient": "bottom", "columns": 1, "labelLimit": SIDE, "symbolOpacity": 1},
    }


def _tooltip(**titles: str) -> list[Spec]:
    return [
        {"field": field, "title": title}
        if field in ("class", "curve", "arm")
        else {"field": field, "type": "quantitative", "title": title, "format": ".3~f"}
        for field, title in titles.items()
    ]


def _line(values: Mapping[str, Sequence[float]]) -> Spec:
    """A dashed reference line through the given points."""
    points = [dict(zip(values, point, strict=True)) for point in zip(*values.values(), strict=True)]
    x, y = values
    return {
        "data": {"values": points},
        "mark": {"type": "line", "strokeDash": [4, 4], "color": GREY},
        "encoding": {"x": {"field": x, "type": "quantitative"}, "y": {"field": y, "type": "quantitative"}},
    }


def _banded(field: str, x: Spec, y: Spec, tooltip: list[Spec]) -> list[Spec]:
    """A curve per value of a field, in a band; a click on the legend brings one to the front."""
    opacity = {"condition": {"param": "picked", "value": 1}, "value": 0.15}
    by = {"x": x, "color": _colour(field)}
    return [
        {
            "mark": {"type": "area", "opacity": 0.18},
            "encoding": {**by, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
        },
        {
            "params": [{"name": "picked", "select": {"type": "point", "fields": [field]}, "bind": "legend"}],
            "mark": {"type": "line", "strokeWidth": 2, "point": {"size": 12}},
            "encoding": {**by, "y": y, "order": {"field": "step"}, "opacity": opacity, "tooltip": tooltip},
        },
    ]


def roc(name: str, caption: str, table: pd.DataFrame, field: str = "class") -> Chart:
    """ROC curves of classes (`respcam.report.curves.roc`), over the diagonal of a model that guesses."""
    x = _axis("false_positive_rate", "false alarms (1 \N{MINUS SIGN} specificity)", (0, 1))
    y = _axis("true_positive_rate", "found (sensitivity)", (0, 1))
    titles = {field: field, "threshold": "from score", "true_positive_rate": "found", "low": "low", "high": "high"}
    tooltip = _tooltip(**titles, false_positive_rate="false alarms")
    diagonal = _line({"false_positive_rate": (0, 1), "true_positive_rate": (0, 1)})
    return Chart(name, caption, table, _square("ROC", [diagonal, *_banded(field, x, y, tooltip)]))


def precision_recall(name: str, caption: str, table: pd.DataFrame, prevalence: float | None) -> Chart:
    """Precision over recall (`respcam.report.curves.precision_recall`), over the line of a model that guesses."""
    x, y = _axis("recall", "found (recall)", (0, 1)), _axis("precision", "right among alarms (precision)", (0, 1))
    tooltip = _tooltip(**{"class": "class"}, threshold="from score", recall="found", precision="right among alarms")
    layers = _banded("class", x, y, tooltip)
    if prevalence is not None:
        layers = [_line({"recall": (0, 1), "precision": (prevalence, prevalence)}), *layers]
    return Chart(name, caption, table, _square("Precision and recall", layers))


def reliability(name: str, caption: str, table: pd.DataFrame) -> Chart:
    """Observed share over predicted probability (`respcam.report.curves.reliability`), over the diagonal."""
    x = _axis("predicted", "predicted probability", (0, 1))
    y = _axis("observed", "share that is so", (0, 1))
    tooltip = _tooltip(
        **{"class": "class"}, predicted="predicted", observed="observed", low="low", high="high", n_units="number"
    )
    by = {"x": x, "color": _colour("class")}
    layers = [
        _line({"predicted": (0, 1), "observed": (0, 1)}),
        {"mark": "rule", "encoding": {**by, "y": {**y, "field": "low"}, "y2": {"field": "high"}}},
        {"mark": {"type": "line", "point": {"size": 45}}, "encoding": {**by, "y": y, "tooltip": tooltip}},
    ]
    return Chart(name, caption, table, _square("Calibration", layers))


def _square(title: str, layers: list[Spec]) -> Spec:
    return {"title": title, "width": SIDE, "height": SIDE, "layer": layers}


def values_of_arms(name: str, caption: str, table: pd.DataFrame, metric: str) -> Chart:
    """A value with its interval for each arm.

    Parameters
    ----------
    name, caption : str
    table : DataFrame
        ``arm, value, low, high``.
    metric : str
        Title of the axis.
    """
    arm = {"field": "arm", "type": "nominal", "sort": None, "title": None}
    value = _axis("value", metric)
    tooltip = _tooltip(arm="arm", value=metric, low="low", high="high")
    layers = [
        {
            "mark": {"type": "rule", "color": BLUE},
            "encoding": {"x": {**value, "field": "low"}, "x2": {"field": "high"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 60, "color": BLUE},
            "encoding": {"x": value, "tooltip": tooltip},
        },
    ]
    spec = {
        "title": f"{metric} of each arm",
        "width": SIDE,
        "height": {"step": 24},
        "encoding": {"y": arm},
        "layer": layers,
    }
    return Chart(name, caption, table, spec)


def training(name: str, caption: str, history: pd.DataFrame) -> Chart:
    """Losses and validation AUROC over epochs, with the chosen epoch.

    Parameters
    ----------
    name, caption : str
    history : DataFrame
        ``epoch, train_loss, validation_loss, validation_auroc, is_best``.
    """
    first, last = int(history["epoch"].min()), int(history["epoch"].max())
    ticks = list(range(first, last + 1, 1 + (last - first) // 10))
    epoch = {**_axis("epoch", "epoch", (first, last)), "axis": {"values": ticks, "format": "d"}}
    chosen = {
        "transform": [{"filter": "datum.is_best"}],
        "mark": {"type": "rule", "strokeDash": [2, 3], "color": GREY, "strokeWidth": 2},
        "encoding": {"x": epoch},
    }
    curves = {"train_loss": "train", "validation_loss": "validation patients"}
    cases = "".join(f"datum.kind == '{column}' ? '{words}' : " for column, words in curves.items())
    loss = {
        "transform": [
            {"fold": list(curves), "as": ["kind", "loss"]},
            {"calculate": f"{cases}''", "as": "curve"},
        ],
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": epoch,
            "y": _axis("loss", "cross-entropy"),
            "color": _colour("curve"),
            "tooltip": _tooltip(epoch="epoch", curve="of", loss="loss"),
        },
    }
    auroc = {
        "mark": {"type": "line", "point": {"color": ORANGE}, "color": ORANGE},
        "encoding": {
            "x": epoch,
            "y": _axis("validation_auroc", "AUROC, validation patients"),
            "tooltip": _tooltip(epoch="epoch", validation_auroc="AUROC"),
        },
    }
    panels = [
        {"title": title, "width": SIDE, "height": 170, "layer": [chosen, layer]}
        for title, layer in (("Loss", loss), ("AUROC", auroc))
    ]
    return Chart(name, caption, history, {"hconcat": panels}, is_wide=True)


def heat_and_occlusion(
    name: str, caption: str, table: pd.DataFrame, mark_hz: float, outcomes: Mapping[str, str]
) -> Chart:
    """Heat per band over the fall under occlusion, a pair of panels per class, on one axis in Hz.

    Heat that is not supported is grey, so that nobody takes its peak for an answer.

    Parameters
    ----------
    name, caption : str
    table : DataFrame
        ``class, kind, lower_hz, centre_hz, upper_hz, value, low, high``; kind is ``band`` (heat over uniform heat, of
        a mel band), ``group`` (the same of a group of Hz) or ``occlusion`` (fall of the log-odds when the group is
        replaced).
    mark_hz : float
        Frequency of a vertical line.
    outcomes : mapping of str to str
        Verdict on the heat for each class.
    """
    x = {**_axis("lower_hz", "frequency (Hz)", (0, max(2000, float(table["upper_hz"].max()))))}
    panels: list[Spec] = []
    for number, class_name in enumerate(dict.fromkeys(table["class"])):
        outcome = outcomes.get(class_name)
        words = f"heat for class {class_name}" + (f" ({outcome})" if outcome else "")
        colour = GREY if outcome == "not supported" else BLUE
        of_class = table["class"] == class_name
        panels.append(_heat_panel(x, number, words, colour, mark_hz))
        if (table["kind"] == "occlusion")[of_class].any():
            panels.append(_occlusion_panel(x, number, mark_hz))
    numbers = {class_name: number for number, class_name in enumerate(dict.fromkeys(table["class"]))}
    numbered = table.assign(panel=table["class"].map(numbers))
    return Chart(name, caption, numbered, {"vconcat": panels, "spacing": 12}, is_wide=True)


def _rows(number: int, kind: str) -> list[Spec]:
    return [{"filter": {"and": [{"field": "panel", "equal": number}, {"field": "kind", "equal": kind}]}}]


def _mark(x: Spec, mark_hz: float) -> Spec:
    return {
        "data": {"values": [{"lower_hz": mark_hz}]},
        "mark": {"type": "rule", "color": ORANGE},
        "encoding": {"x": x, "tooltip": {"value": f"{mark_hz:g} Hz"}},
    }


def _heat_panel(x: Spec, number: int, title: str, colour: str, mark_hz: float) -> Spec:
    y = {"field": "value", "type": "quantitative", "title": "heat / uniform", "scale": {"zero": True}}
    centre = {**x, "field": "centre_hz"}
    tooltip = _tooltip(lower_hz="from Hz", upper_hz="to Hz", value="heat / uniform", low="low", high="high")
    groups = {
        "transform": _rows(number, "group"),
        "mark": {"type": "rect", "color": colour, "opacity": 0.25, "stroke": "white"},
        "encoding": {"x": x, "x2": {"field": "upper_hz"}, "y": y, "y2": {"datum": 0}, "tooltip": tooltip},
    }
    ribbon = {
        "transform": _rows(number, "band"),
        "mark": {"type": "area", "color": colour, "opacity": 0.3},
        "encoding": {"x": centre, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
    }
    curve = {
        "transform": _rows(number, "band"),
        "mark": {"type": "line", "color": colour, "point": {"size": 14, "color": colour}},
        "encoding": {"x": centre, "y": y, "tooltip": tooltip},
    }
    uniform = {
        "mark": {"type": "rule", "strokeDash": [5, 4], "color": "currentColor"},
        "encoding": {"y": {"datum": 1, "type": "quantitative"}},
    }
    layers = [groups, ribbon, curve, uniform, _mark(x, mark_hz)]
    return {"title": title, "width": WIDE, "height": 150, "layer": layers}


def _occlusion_panel(x: Spec, number: int, mark_hz: float) -> Spec:
    y = {"field": "value", "type": "quantitative", "title": ["fall of the log-odds", "when replaced"]}
    tooltip = _tooltip(lower_hz="from Hz", upper_hz="to Hz", value="fall", low="low", high="high")
    bars = {
        "transform": _rows(number, "occlusion"),
        "mark": {"type": "rect", "color": "#c9a227", "opacity": 0.75, "stroke": "white"},
        "encoding": {"x": x, "x2": {"field": "upper_hz"}, "y": y, "y2": {"datum": 0}, "tooltip": tooltip},
    }
    ends = {
        "transform": _rows(number, "occlusion"),
        "mark": {"type": "rule", "color": "currentColor"},
        "encoding": {"x": {**x, "field": "centre_hz"}, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
    }
    return {"width": WIDE, "height": 90, "layer": [bars, ends, _mark(x, mark_hz)]}

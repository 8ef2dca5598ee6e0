"""Self-contained HTML page: templates, inlined figures, charts, number formats."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from respcam.data.manifest import safe_id
from respcam.report.charts import Chart

if TYPE_CHECKING:  # takes a second to import, and most commands draw nothing
    from matplotlib.figure import Figure

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
DOTS_PER_INCH = 110
CHART_SCALE = 2  # pixels of a saved chart per pixel on the page
LONGEST_STEM = 80  # characters of the name of a figure's file
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

ENVIRONMENT = Environment(
    loader=PackageLoader("respcam.report", "templates"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class InlineFigure:
    """A figure inside a page.

    Attributes
    ----------
    uri : str
        The PNG as a ``data:`` address.
    caption : str
    """

    uri: str
    caption: str


def file_stem(*words: str) -> str:
    """Join words to the stem of a file's name that lies in its folder whatever the words are.

    Examples
    --------
    >>> file_stem("roc", "test")
    'roc_test'
    >>> file_stem("roc", "../etc")
    'roc_.._etc-3154c100'
    """
    text = "_".join(words)
    plain = safe_id(text).encode("ascii", "ignore").decode()[:LONGEST_STEM]
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def save_figure(figure: "Figure", path: Path, caption: str, table: pd.DataFrame | None = None) -> InlineFigure:
    """Save a figure beside a page, as PNG, SVG and PDF, and return it for use in the page.

    A dollar sign in a label is a dollar sign: no text is read as a formula.

    Parameters
    ----------
    figure : Figure
    path : Path
        PNG file to write; its folder is made where it is missing.
    caption : str
    table : DataFrame, optional
        What the figure shows, written as CSV.

    Returns
    -------
    InlineFigure
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DOTS_PER_INCH)
    svg = StringIO()
    figure.savefig(svg, format="svg", dpi=DOTS_PER_INCH, metadata={"Date": None})
    _save_drawing(svg.getvalue(), path)
    if table is not None:
        table.to_csv(path.with_suffix(".csv"), index=False, lineterminator="\n")
    return InlineFigure(data_uri(path.read_bytes()), caption)


def _save_drawing(svg: str, path: Path) -> None:
    """Save a drawing as SVG and PDF beside a path."""
    import vl_convert  # in a tenth of the time of another pass of matplotlib; only pages with pictures need it

    path.with_suffix(".svg").write_text(svg, encoding="utf-8")
    path.with_suffix(".pdf").write_bytes(vl_convert.svg_to_pdf(svg))


def save_chart(chart: Chart, folder: Path) -> Chart:
    """Save a chart beside a page, as PNG, SVG, PDF and CSV, and return it for use in the page.

    Parameters
    ----------
    chart : Chart
    folder : Path
        Made where it is missing.
    """
    import vl_convert  # only pages with charts need it

    folder.mkdir(parents=True, exist_ok=True)
    spec = {**chart_data(chart)["spec"], "background": "white"}
    path = folder / f"{chart.name}.csv"
    chart.table.to_csv(path, index=False, lineterminator="\n")
    svg = vl_convert.vegalite_to_svg(spec)
    path.with_suffix(".png").write_bytes(vl_convert.svg_to_png(svg, scale=CHART_SCALE))
    _save_drawing(svg, path)
    return chart


def chart_data(chart: Chart) -> dict[str, Any]:
    """Plain data of a chart: its name, and its specification with data and style."""
    values = json.loads(chart.table.to_json(orient="records", double_precision=6))
    return {
        "name": chart.name,
        "spec": {**chart.spec, "description": chart.caption, "data": {"values": values}, "config": STYLE},
    }


def embedded(content: Any) -> Markup:
    """Write plain data as JSON that can stand inside a ``script`` element.

    Examples
    --------
    >>> embedded({"label": "</script>"})
    Markup('{"label":"\\\\u003c/script\\\\u003e"}')
    """
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def data_uri(png: bytes) -> str:
    """Inline a PNG image."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def with_interval(metric: Mapping[str, float | None]) -> Markup:
    """Write a value with its interval below it; a dash where the value is not defined.

    Parameters
    ----------
    metric : mapping
        ``value, low, high``; None where the metric is not defined.

    Returns
    -------
    Markup
        HTML with three decimals.
    """
    if metric["value"] is None:
        return Markup(DASH)
    # adding zero turns a rounded -0.0 into 0.0
    value, low, high = (
        f"{round(metric[name] or 0.0, 3) + 0.0:.3f}".replace("-", MINUS) for name in ("value", "low", "high")
    )
    return Markup('{}<br><span class="small">{} to {}</span>').format(value, low, high)


@cache
def asset(name: str) -> Markup:
    """Text of a style sheet or script of this package, as it stands in a page."""
    return Markup(files("respcam.report").joinpath("assets", name).read_text(encoding="utf-8"))


def policy(style: str, scripts: Sequence[str], connects: bool = False) -> str:
    """Write the content security policy of a page: its own style, scripts, pictures and sounds, nothing else.

    Parameters
    ----------
    style : str
        Text of the style element.
    scripts : sequence of str
        Texts of the script elements.
    connects : bool
        Whether the page may ask the server that it comes from.
    """

    def sources(texts: Sequence[str]) -> str:
        hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in texts)
        return " ".join(f"'sha256-{value}'" for value in hashes) or "'none'"

    rules = [
        "default-src 'none'",
        f"style-src {sources([style])}",
        f"script-src {sources(scripts)}" + (" 'self'" if connects else ""),
        "img-src data:",
        "media-src data: blob:",
        "base-uri 'none'",
        "form-action 'none'",
        *(["connect-src 'self'"] if connects else []),
    ]
    return "; ".join(rules)


@cache
def vega() -> Markup:
    """Vega, Vega-Lite and Vega-Embed as one script, from vl-convert (BSD-3-Clause)."""
    import vl_convert

    return Markup(vl_convert.javascript_bundle())  # type: ignore[call-arg]  # the stub lacks the default


def render(
    template: str, scripts: Sequence[str] = (), connects: bool = False, charts: Sequence[Chart] = (), **content: Any
) -> str:
    """Fill a template of this package (``report.html``, ``comparison.html``, ...); text is escaped.

    Parameters
    ----------
    template : str
    scripts : sequence of str
        Names of the scripts of the page, such as ``player.js``.
    connects : bool
        Whether the page may ask the server that it comes from.
    charts : sequence of Chart
        Charts of the page; a page without any carries no chart library.

    Raises
    ------
    jinja2.UndefinedError
        If the content lacks a name that the template uses.
    """
    style, texts = asset("page.css"), [asset(name) for name in scripts]
    data = None
    if charts:
        data = embedded([chart_data(chart) for chart in charts])
        texts = [vega(), asset("charts.js"), *texts]
    return ENVIRONMENT.get_template(template).render(
        style=style, scripts=texts, policy=policy(style, texts, connects), charts_data=data, **content
    )


ENVIRONMENT.filters["with_interval"] = with_interval

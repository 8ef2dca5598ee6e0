"""Self-contained HTML page: templates, policy, charts, number formats."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from respcam.report.charts import Chart, chart_data

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"

ENVIRONMENT = Environment(
    loader=PackageLoader("respcam.report", "templates"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


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


def decision_words(class_names: Sequence[str], weights: Sequence[float]) -> str:
    """Say how the predicted class follows from the probabilities.

    Parameters
    ----------
    class_names : sequence of str
    weights : sequence of float
        Weight of each class (`respcam.metrics.decide`); empty for equal weights.

    Examples
    --------
    >>> decision_words(["normal", "wheeze"], [0.25, 1.0])
    'Class wheeze is predicted from a probability of 0.20 on, chosen on validation patients for the score.'
    >>> decision_words(["normal", "wheeze", "poor"], [0.4, 1.0, 0.5]).partition(". ")[2]
    'Weights: normal 0.40, poor 0.50, all others 1.'
    """
    weighed = [name for name, weight in zip(class_names, weights, strict=bool(weights)) if weight != 1]
    if not weighed:
        return "The most probable class is predicted."
    if len(class_names) == 2:
        first, second = weights
        threshold = first / (first + second)
        where = "chosen on validation patients for the score"
        return f"Class {class_names[1]} is predicted from a probability of {threshold:.2f} on, {where}."
    weight = dict(zip(class_names, weights, strict=True))
    factors = ", ".join(f"{name} {weight[name]:.2f}" for name in weighed)
    return f"The predicted class has the largest product of probability and weight. Weights: {factors}, all others 1."


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
        texts = [asset("vega.js"), asset("charts.js"), *texts]
    return ENVIRONMENT.get_template(template).render(
        style=style, scripts=texts, policy=policy(style, texts, connects), charts_data=data, **content
    )


ENVIRONMENT.filters["with_interval"] = with_interval

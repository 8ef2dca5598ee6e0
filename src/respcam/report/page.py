"""One self-contained HTML page from tables and pictures."""

import base64
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

ENVIRONMENT = Environment(
    loader=PackageLoader("respcam.report", "templates"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def with_interval(figure: Mapping[str, float | None]) -> Markup:
    """Write a figure with its interval below it, or a dash where it is not defined."""
    if figure["value"] is None:
        return Markup("\N{EN DASH}")
    # adding zero turns a rounded -0.0 into 0.0
    value, low, high = (
        f"{round(figure[name] or 0.0, 3) + 0.0:.3f}".replace("-", "\N{MINUS SIGN}")
        for name in ("value", "low", "high")
    )
    return Markup('{}<br><span class="small">{} to {}</span>').format(value, low, high)


def data_uri(png: bytes) -> str:
    """Inline a PNG picture."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def render(template: str, **content: Any) -> str:
    """Fill a template of this package (``report.html`` or ``comparison.html``); text is escaped.

    Raises
    ------
    jinja2.UndefinedError
        If the template names something that is not given.
    """
    return ENVIRONMENT.get_template(template).render(**content)


ENVIRONMENT.filters["with_interval"] = with_interval

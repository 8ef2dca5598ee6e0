"""Figures of a page, saved beside it for papers."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from respcam.data.manifest import safe_id
from respcam.report.charts import Chart, chart_data

if TYPE_CHECKING:  # takes a second to import, and most commands draw nothing
    from matplotlib.figure import Figure

DOTS_PER_INCH = 110
CHART_SCALE = 2  # pixels of a saved chart per pixel on the page
LONGEST_STEM = 80  # characters of the name of a figure's file
FORMATS = ("png", "svg", "pdf")


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


@dataclass(frozen=True)
class FigureFolder:
    """Folder that the figures of a page are saved in, each with what it shows as CSV.

    Attributes
    ----------
    folder : Path
        Made where it is missing.
    formats : sequence of str
        Some of `FORMATS`.
    """

    folder: Path
    formats: Sequence[str] = FORMATS

    def save_figure(
        self, figure: "Figure", stem: str, caption: str, table: pd.DataFrame | None = None
    ) -> InlineFigure:
        """Save a figure and return it for use in the page.

        A dollar sign in a label is a dollar sign: no text is read as a formula.

        Parameters
        ----------
        figure : Figure
        stem : str
            Name of its files, from `file_stem`.
        caption : str
        table : DataFrame, optional
            What the figure shows.
        """
        from matplotlib.text import Text

        for text in figure.findobj(Text):
            text.set_parse_math(False)
        memory = BytesIO()
        figure.savefig(memory, format="png", dpi=DOTS_PER_INCH)
        png = memory.getvalue()
        if "png" in self.formats:
            self._path(stem, "png").write_bytes(png)
        if {"svg", "pdf"} & set(self.formats):
            svg = StringIO()
            figure.savefig(svg, format="svg", dpi=DOTS_PER_INCH, metadata={"Date": None})
            self._save_drawing(svg.getvalue(), stem)
        if table is not None:
            self._save_table(table, stem)
        return InlineFigure(data_uri(png), caption)

    def save_chart(self, chart: Chart) -> Chart:
        """Save a chart and return it for use in the page."""
        self._save_table(chart.table, chart.name)
        if self.formats:
            import vl_convert  # only pages with charts need it

            svg = vl_convert.vegalite_to_svg({**chart_data(chart)["spec"], "background": "white"})
            self._save_drawing(svg, chart.name)
            if "png" in self.formats:
                self._path(chart.name, "png").write_bytes(vl_convert.svg_to_png(svg, scale=CHART_SCALE))
        return chart

    def _save_drawing(self, svg: str, stem: str) -> None:
        if "svg" in self.formats:
            self._path(stem, "svg").write_text(svg, encoding="utf-8")
        if "pdf" in self.formats:
            import vl_convert  # in a tenth of the time of another pass of matplotlib

            self._path(stem, "pdf").write_bytes(vl_convert.svg_to_pdf(svg))

    def _save_table(self, table: pd.DataFrame, stem: str) -> None:
        table.to_csv(self._path(stem, "csv"), index=False, lineterminator="\n")

    def _path(self, stem: str, kind: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{stem}.{kind}"


def data_uri(png: bytes) -> str:
    """Inline a PNG image."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"

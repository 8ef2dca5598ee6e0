import base64

import pandas as pd
import pytest
from matplotlib.figure import Figure

from respcam.errors import Refused
from respcam.report.charts import values_of_arms
from respcam.report.saved import FORMATS, FigureFolder, data_uri, file_stem
from respcam.stages.report import ReportSettings

TABLE = pd.DataFrame({"arm": ["all"], "value": [0.8], "low": [0.7], "high": [0.9]})


def test_figures_are_inlined():
    assert data_uri(b"abc") == "data:image/png;base64,YWJj"


def test_a_figure_is_saved_beside_the_page_and_is_the_same_inside_it(tmp_path):
    saved = FigureFolder(tmp_path / "figures").save_figure(Figure(figsize=(1, 1)), "one", "a caption", TABLE)
    assert saved.caption == "a caption"
    assert base64.b64decode(saved.uri.split(",")[1]) == (tmp_path / "figures/one.png").read_bytes()
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"one.png", "one.svg", "one.pdf", "one.csv"}


@pytest.mark.parametrize("formats", [[], ["png"], ["svg"], ["pdf"], list(FORMATS)])
def test_only_the_wanted_formats_are_saved(tmp_path, formats):
    folder = FigureFolder(tmp_path, formats)
    assert folder.save_figure(Figure(figsize=(1, 1)), "figure", "").uri.startswith("data:image/png")
    folder.save_chart(values_of_arms("chart", "", TABLE, "AUROC"))
    expected = {f"{stem}.{kind}" for stem in ("figure", "chart") for kind in formats} | {"chart.csv"}
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_an_unknown_format_is_refused():
    with pytest.raises(Refused, match="report.formats has 'tiff'; expected some of png, svg, pdf"):
        ReportSettings(["tiff"])


def test_dollar_signs_are_text(tmp_path):
    figure = Figure(figsize=(2, 2))
    figure.subplots().set(title="$\\frac{1}$ and $x", xlabel="costs $5 and $6")
    FigureFolder(tmp_path).save_figure(figure, "one", "")  # would fail as a formula
    assert (tmp_path / "one.png").stat().st_size > 1000


@pytest.mark.parametrize("words", ["../../etc/passwd", "a" * 300, "\u202e\u6f22\u5b57", "", ".", "x\0y"])
def test_a_stem_stays_in_its_folder_and_tells_words_apart(tmp_path, words):
    stem = file_stem("roc", words)
    (tmp_path / f"{stem}.png").write_text("here")
    assert [path.name for path in tmp_path.iterdir()] == [f"{stem}.png"]
    assert stem != file_stem("roc", words + "!")

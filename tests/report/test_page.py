import base64

import jinja2
import pytest
from matplotlib.figure import Figure

from respcam.report.page import data_uri, render, save_figure, with_interval


def test_a_value_stands_above_its_interval():
    text = with_interval({"value": -0.0123, "low": -0.05, "high": 0.02})
    assert text == '−0.012<br><span class="small">−0.050 to 0.020</span>'
    assert with_interval({"value": -1e-16, "low": -1e-5, "high": 0.0}).startswith("0.000<br>")
    assert "−0.000" not in with_interval({"value": -1e-16, "low": -1e-5, "high": 0.0})
    assert with_interval({"value": None, "low": None, "high": None}) == "–"


def test_what_the_content_lacks_is_an_error_not_a_blank():
    with pytest.raises(jinja2.UndefinedError, match="title"):
        render("page.html")


def test_text_is_escaped():
    assert "<script>" not in render("page.html", title="<script>alert(1)</script>")


def test_figures_are_inlined():
    assert data_uri(b"abc") == "data:image/png;base64,YWJj"


def test_a_figure_is_saved_beside_the_page_and_is_the_same_inside_it(tmp_path):
    path = tmp_path / "figures" / "one.png"
    saved = save_figure(Figure(figsize=(1, 1)), path, "a caption")
    assert saved.caption == "a caption"
    assert base64.b64decode(saved.uri.split(",")[1]) == path.read_bytes()
    assert path.read_bytes().startswith(b"\x89PNG")

import jinja2
import pytest

from respcam.report.page import data_uri, render, with_interval


def test_a_figure_stands_above_its_interval():
    text = with_interval({"value": -0.0123, "low": -0.05, "high": 0.02})
    assert text == '−0.012<br><span class="small">−0.050 to 0.020</span>'
    assert with_interval({"value": -1e-16, "low": -1e-5, "high": 0.0}).startswith("0.000<br>")
    assert "−0.000" not in with_interval({"value": -1e-16, "low": -1e-5, "high": 0.0})
    assert with_interval({"value": None, "low": None, "high": None}) == "–"


def test_what_is_not_given_is_an_error_not_a_blank():
    with pytest.raises(jinja2.UndefinedError, match="title"):
        render("page.html")


def test_text_is_escaped():
    assert "<script>" not in render("page.html", title="<script>alert(1)</script>")


def test_pictures_are_inlined():
    assert data_uri(b"abc") == "data:image/png;base64,YWJj"

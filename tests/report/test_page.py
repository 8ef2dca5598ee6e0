import re
from importlib.metadata import version

import jinja2
import pytest
import vl_convert

from respcam.report.page import asset, render, with_interval


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


def test_the_chart_library_is_the_one_that_draws_the_files():
    header, _, script = asset("vega.js").partition("*/\n")
    assert "Redistributions" in header
    if tuple(version("vl-convert-python").split(".")[:2]) == re.search(r"vl-convert (\d+)\.(\d+)", header).groups():
        assert script == vl_convert.javascript_bundle()


def test_no_script_ends_its_element():
    for name in ("vega.js", "charts.js", "player.js"):
        assert "</script" not in asset(name)

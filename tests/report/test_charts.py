import json
import re

import made_up_page
import numpy as np
import pandas as pd
import pytest
import vl_convert

from respcam.report import charts
from respcam.report.charts import chart_data
from respcam.report.saved import FigureFolder


def drawn(chart):
    """Text of the chart as it is drawn."""
    return vl_convert.vegalite_to_svg(chart_data(chart)["spec"])


def profile(outcomes):
    rows = made_up_page.heat(made_up_page.tables().bands).band_heat
    rows = rows[rows["scope"] != "above_mark"].rename(
        columns={"target_class": "class", "scope": "kind", "ratio": "value", "ratio_low": "low", "ratio_high": "high"}
    )
    falls = rows[(rows["kind"] == "group") & (rows["class"] == "wheeze")].assign(kind="occlusion")
    return charts.heat_and_occlusion("bands", "a caption", pd.concat([rows, falls]), 1500, outcomes)


def test_the_chosen_epoch_and_both_losses_are_drawn():
    svg = drawn(charts.training("training", "a caption", made_up_page.tables().history))
    for words in ("validation patients", "cross-entropy", "AUROC, validation patients", "epoch"):
        assert words in svg
    assert svg.count('stroke-dasharray="2,3"') == 2


def test_every_class_has_its_heat_and_its_fall_on_one_axis():
    chart = profile({"normal": "not supported", "wheeze": "supported"})
    svg = drawn(chart)
    assert "heat for class normal (not supported)" in svg
    assert "heat for class wheeze (supported)" in svg
    assert svg.count("when replaced") == 1  # only one class was occluded
    assert {tuple(panel["layer"][0]["encoding"]["x"]["scale"]["domain"]) for panel in chart.spec["vconcat"]} == {
        (0, 2000)
    }


def test_heat_that_is_not_supported_is_grey():
    colours = [
        panel["layer"][0]["mark"]["color"] for panel in profile({"normal": "not supported"}).spec["vconcat"][:2]
    ]
    assert colours == [charts.GREY, charts.BLUE]


@pytest.mark.parametrize("kind", ["roc", "precision_recall", "reliability"])
def test_a_curve_is_saved_with_its_data(tmp_path, kind):
    columns = {
        "roc": ("false_positive_rate", "true_positive_rate"),
        "precision_recall": ("recall", "precision"),
        "reliability": ("predicted", "observed"),
    }
    x, y = columns[kind]
    table = pd.DataFrame(
        {"step": [0, 1], "threshold": [np.nan, 0.5], x: [0.0, 1.0], y: [0.5, 1.0], "low": 0.25, "high": 1.0,
         "n_units": 5, "class": 'a "$\\frac{}$" <b>, \u6f22'}
    )  # fmt: skip
    more = [0.4] if kind == "precision_recall" else []
    FigureFolder(tmp_path).save_chart(getattr(charts, kind)("one", "a caption", table, *more))
    assert {path.name for path in tmp_path.iterdir()} == {"one.csv", "one.svg", "one.pdf", "one.png"}
    saved = pd.read_csv(tmp_path / "one.csv")
    pd.testing.assert_frame_equal(saved, table)
    assert "$\\frac{}$" in (tmp_path / "one.svg").read_text()
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")


def test_what_is_not_defined_is_null_in_the_page():
    table = pd.DataFrame({"arm": ["all"], "value": [0.5], "low": [np.nan], "high": [np.nan]})
    data = chart_data(charts.values_of_arms("pooled", "a caption", table, "AUROC"))
    assert json.loads(json.dumps(data, allow_nan=False))["spec"]["data"]["values"][0]["low"] is None


@pytest.mark.parametrize(
    ("kind", "x", "y"),
    [("roc", "false_positive_rate", "true_positive_rate"), ("precision_recall", "recall", "precision")],
)
def test_the_band_is_drawn_behind_the_curve(kind, x, y):
    values = np.linspace(0, 1, 11)
    table = pd.DataFrame(
        {
            "step": range(11),
            "threshold": 1 - values,
            x: values,
            y: values,
            "low": values / 2,
            "high": 1.0,
            "class": "wheeze",
        }
    )
    more = [None] if kind == "precision_recall" else []
    svg = drawn(getattr(charts, kind)("one", "a caption", table, *more))
    area = re.search(r'<path[^>]* d="([^"]*)"[^>]*opacity="0.18"', svg)[1]
    assert area.count("L") > 20  # along the upper end and back along the lower one

import json
import re

import numpy as np
import pandas as pd
import pytest
from browser import address_of, browser, needs_chromium
from made_up_page import EVIL, closeup, content_of_evil, player_axes

from respcam.report.player import PlayerContent, PlayerUnit, View
from respcam.report.run_page import write_run_page


@pytest.fixture
def report(finished):
    """Address of a finished run's report."""
    return address_of(finished[1] / "report.html")


def seconds(page):
    return float(page.locator("#clock").inner_text().removesuffix(" s"))


def place(page, share_x, share_y):
    """A place in the spectrogram of the first view, in pixels of the page."""
    area = page.locator("canvas.picture").first.bounding_box()
    top, bottom = area["y"] + 118, area["y"] + area["height"] - 24
    return area["x"] + 46 + share_x * (area["width"] - 46 - 128), top + share_y * (bottom - top)


@needs_chromium
def test_a_report_is_played_sought_looped_and_filtered(report):
    with browser() as opened:
        page = opened.open(report).page
        opened.drawn()
        page.locator("canvas.picture").first.scroll_into_view_if_needed()
        page.click("#play")
        page.wait_for_timeout(500)
        assert page.locator("#play").inner_text() == "Pause"
        first, left = seconds(page), page.locator(".cursor").first.bounding_box()["x"]
        page.wait_for_timeout(300)
        assert seconds(page) > first > 0
        assert page.locator(".cursor").first.bounding_box()["x"] > left
        page.click("#play")
        page.mouse.click(*place(page, 0.5, 0.5))
        assert seconds(page) == pytest.approx(2, abs=0.1)  # the recordings are 4 s long

        page.mouse.move(*place(page, 0.25, 0.3))
        assert re.fullmatch(r"1\.\d\d s, \d+ Hz", page.locator("#pointer").inner_text())
        page.mouse.down()
        page.mouse.move(*place(page, 0.5, 0.6), steps=4)
        page.mouse.up()
        page.wait_for_timeout(1600)  # longer than the box
        assert page.locator(".box").first.is_visible()
        assert 0.9 <= seconds(page) <= 2.1
        assert page.locator("#play").inner_text() == "Pause"
        page.click("#unloop")
        assert not page.locator(".box").first.is_visible()

        page.select_option("#show", "mistakes")
        n_mistakes = page.locator("#units tbody tr").count()
        assert n_mistakes == page.locator("#units tbody tr.mistake").count()
        page.select_option("#show", "all")
        assert page.locator("#units tbody tr").count() > n_mistakes
        page.click("#units thead th[data-key=p] button")
        sure = [float(re.sub(r"[^0-9.]", "", text)) for text in page.locator("#units td.p").all_inner_texts()]
        assert sure == sorted(sure)
        page.click("#units thead th[data-key=p] button")
        down = [float(re.sub(r"[^0-9.]", "", text)) for text in page.locator("#units td.p").all_inner_texts()]
        assert down == sorted(sure, reverse=True)
        page.fill("#search", "no such recording")
        assert page.locator("#units tbody tr").count() == 0
        assert opened.errors == []
        assert opened.outside() == []


@needs_chromium
def test_strength_class_method_and_sound_change_what_is_shown(report):
    with browser() as opened:
        page = opened.open(report).page
        before = opened.drawn()
        pixels = "document.querySelector('canvas.picture').toDataURL()"
        picture = page.evaluate(pixels)
        page.locator("#strength").fill("0")
        assert opened.drawn() != before
        assert page.evaluate(pixels) != picture
        page.locator("#strength").fill("100")
        page.click("#blink")
        assert opened.drawn().endswith(" 0")
        page.click("#blink")
        page.select_option("#method", "1")
        by_other = opened.drawn()
        assert by_other.startswith("1 ")
        values = page.locator("#class option").evaluate_all("options => options.map((option) => option.value)")
        other = next(value for value in values if value != page.locator("#class").input_value())
        page.select_option("#class", other)
        assert opened.drawn().split()[1] == other
        for radio in page.locator("#sounds input").all():
            radio.check()
            page.click("#play")
            page.wait_for_timeout(250)
            assert seconds(page) > 0
            page.click("#play")
        page.check("#slow")
        page.select_option("#gain", "8")
        page.locator("canvas.picture").first.focus()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("h")
        assert opened.drawn().endswith(" 0")
        assert opened.errors == []
        assert opened.outside() == []


@needs_chromium
def test_charts_are_drawn_and_their_data_can_be_saved(report, finished):
    with browser() as opened:
        page = opened.open(report).page
        names = page.locator("[data-chart]").evaluate_all("places => places.map((place) => place.dataset.chart)")
        assert {"roc_test", "precision_recall_test", "calibration_test", "training", "bands_test"} <= set(names)
        for name in names:
            chart = page.locator(f"[data-chart={name}][data-drawn]")
            chart.wait_for()
            assert chart.locator("svg path").count() > 5, name
        roc = page.locator("figure", has=page.locator("[data-chart=roc_test]"))
        with page.expect_download() as download:
            roc.get_by_role("button", name="Save data (CSV)").click()
        assert download.value.suggested_filename == "roc_test.csv"
        saved, beside = pd.read_csv(download.value.path()), pd.read_csv(finished[1] / "figures" / "roc_test.csv")
        pd.testing.assert_frame_equal(saved, beside, atol=1e-6, check_dtype=False)
        with page.expect_download() as download:
            roc.get_by_role("button", name="Save picture (SVG)").click()
        assert "false alarms" in download.value.path().read_text(encoding="utf-8")
        points = roc.locator("path[transform]")
        points.nth(points.count() // 2).hover(force=True)
        assert "false alarms" in page.locator("#vg-tooltip-element.visible").inner_text()
        assert opened.errors == []
        assert opened.outside() == []


@needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "light"), (1400, "dark"), (400, "dark")])
def test_nothing_bars_anybody(report, width, scheme):
    with browser(width, scheme) as opened:
        page = opened.open(report).page
        opened.drawn()
        assert opened.violations() == ""
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert opened.errors == []


@needs_chromium
def test_labels_and_names_are_text_whatever_they_look_like(tmp_path):
    write_run_page(content_of_evil(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "figures"}
    with browser() as opened:
        page = opened.open(address_of(tmp_path / "report.html")).page
        opened.drawn()
        assert page.evaluate("window.isAttacked") is None
        text = page.locator("body").inner_text()
        for word in EVIL:
            assert " ".join(word.split()) in " ".join(text.split()), word
        assert opened.errors == []
        assert opened.outside() == []


def test_embedded_text_cannot_end_its_element():
    unit = PlayerUnit(
        cells={"id": EVIL[0]}, views=(View(title=EVIL[0], closeup=closeup()),), events=[(0, 1, EVIL[0])]
    )
    text = str(PlayerContent(axes=player_axes(), columns={"id": "recording"}, units=[unit]).embedded)
    assert "<" not in text
    assert json.loads(text)["units"][0]["cells"]["id"] == EVIL[0]


def test_a_missing_cell_is_blank():
    unit = PlayerUnit(cells={"id": "a", "hottest_s": np.nan, "p": np.float64(0.25), "device": pd.NA})
    content = PlayerContent(axes=player_axes(), columns={"id": "recording"}, units=[unit]).plain
    assert content["units"][0]["cells"] == {"id": "a", "hottest_s": "", "p": 0.25, "device": ""}
    assert content["units"][0]["views"] == []


def test_a_recording_without_heat_has_a_picture():
    silent = closeup(heat=0.0)
    content = PlayerContent(
        axes=player_axes(), columns={}, units=[PlayerUnit(cells={}, views=(View(title="", closeup=silent),))]
    ).plain
    heat = content["units"][0]["views"][0]["heat"][0][0]
    assert heat["edge"] == 1.0
    assert sum(heat["share"]) == 0

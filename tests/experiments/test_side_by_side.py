from dataclasses import replace

import pytest
from browser import address_of, browser, needs_chromium
from stages.small_runs import BELOW, settings_in

from respcam.evidence.examination import TrustSettings
from respcam.experiments.compare import Comparison, ComparisonSettings
from respcam.experiments.finished import FinishedRun
from respcam.experiments.side_by_side import side_by_side
from respcam.stages.examples import ExampleSettings
from respcam.stages.run import Run


@pytest.fixture(scope="module")
def pruned(finished):
    """A run like the finished one, below 1500 Hz."""
    settings = settings_in(finished[0], epochs=3, bands=BELOW, trust=TrustSettings(first=8))
    return Run.of(settings).make().parent


def test_models_stand_side_by_side_where_they_differ_first(finished, pruned):
    runs = {"all": FinishedRun(finished[1]), "below": FinishedRun(pruned)}
    content = side_by_side(runs)
    assert len(content["bands_hz"]) == 64
    difference = [unit["cells"]["difference"] for unit in content["units"]]
    assert difference == sorted(difference, reverse=True)
    tables = {title: run.predictions().set_index("unit_id") for title, run in runs.items()}
    for unit in content["units"]:
        for number, table in enumerate(tables.values()):
            row = table.loc[unit["cells"]["id"]]
            assert unit["cells"][f"p{number}"] == pytest.approx(row[f"p_{unit['cells']['true']}"], abs=1e-4)
    opened = [unit for unit in content["units"] if unit["views"]]
    assert 0 < len(opened) <= 12
    for unit in opened:
        assert [view["title"] for view in unit["views"]] == ["all", "below"]
        assert [len(view["bands_hz"]) for view in unit["views"]] == [64, 54]
        assert unit["sound"]


def test_runs_that_cannot_stand_side_by_side_have_no_player(finished, tmp_path):
    run = FinishedRun(finished[1])
    assert side_by_side({"all": run}) is None
    settings = settings_in(finished[0], epochs=1, trust=TrustSettings(first=8))
    without = Run.of(replace(settings, examples=ExampleSettings(number=0))).make().parent
    assert side_by_side({"all": run, "other": FinishedRun(without)}) is None


@needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
def test_the_comparison_opens_and_plays(finished, pruned, tmp_path, width, scheme):
    comparison = Comparison.of(tmp_path, [finished[1], pruned], ComparisonSettings())
    comparison.make()
    with browser(width, scheme) as opened:
        page = opened.open(address_of(comparison.page)).page
        opened.drawn(1)
        assert page.locator("canvas.picture").count() == 2
        first, second = (page.locator("canvas.picture").nth(n).bounding_box() for n in (0, 1))
        assert (first["x"], first["width"], first["height"]) == (second["x"], second["width"], second["height"])
        page.click("#play")
        page.wait_for_timeout(300)
        assert float(page.locator("#clock").inner_text().removesuffix(" s")) > 0
        page.click("#play")
        left = [page.locator(".cursor").nth(n).bounding_box()["x"] for n in (0, 1)]
        assert left[0] == pytest.approx(left[1], abs=1)
        page.select_option("#method", "1")
        assert opened.drawn(1).startswith("1 ")
        differences = [float(text) for text in page.locator("#units td.difference").all_inner_texts()]
        assert differences == sorted(differences, reverse=True)
        assert opened.violations() == ""
        assert opened.errors == []
        assert opened.outside() == []

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from respcam.heat.bands import BandSelection
from respcam.metrics import METRICS
from respcam.report.comparison_page import (
    ComparisonContent,
    ExperimentTables,
    Measure,
    PartTables,
    _cutoff_hz,
    _heat_of_arms,
    metric_title,
    write_comparison_page,
)
from respcam.report.page import asset

ARMS = ["all", "below_1500hz", "below_1000hz", "below_800hz"]


def difference(arm, stratum="all recordings", metric="auroc", **changes):
    row = {
        "arm": arm, "stratum": stratum, "metric": metric, "value": -0.0123, "low": -0.05, "high": 0.02,
        "interval_over": "trainings and patients", "p_corrected": 0.0001, "detectable": 0.04, "n_trainings": 5,
        "n_patients": 12, "verdict": "open",
        "sentence": f"{arm}: no difference seen.",
    }  # fmt: skip
    return {**row, **changes}


def run_row(arm, seed, **changes):
    row = {"run": f"{arm}{seed}", "bands": arm, "n_bands": 54, "n_patients": 12, **dict.fromkeys(METRICS, 0.5)}
    heat = {
        "heat_is_supported": True,
        "heat_class": "wheeze",
        "heat_densest_hz": "275-450",
        "occlusion_most_hz": "450-625",
    }
    return {**row, "auroc": 0.6 + 0.1 * seed, **heat, **changes}


def band_heat():
    return pd.DataFrame(
        [
            {"arm": arm, "part": "test", "target_class": name, "centre_hz": hz, "ratio": 1.0}
            for arm in ARMS
            for name in ("normal", "wheeze")
            for hz in (200.0, 300.0)
        ]
    )


def content(differences=None, **changes):
    differences = [difference(arm) for arm in ARMS[1:]] if differences is None else differences
    columns = list(difference("all"))
    part = PartTables(
        name="test",
        runs=pd.DataFrame([run_row(arm, seed) for arm in ARMS for seed in (0, 1)]),
        differences=pd.DataFrame(differences, columns=columns),
        other_metrics=pd.DataFrame([difference("below_1500hz", metric="macro_f1")]),
        strata=pd.DataFrame([difference("below_1500hz", "device Meditron", n_patients=11)]),
        pooled=pd.DataFrame(
            [
                {"arm": arm, "n_trainings": 2, "n_units": 24, "n_patients": 12, "value": 0.6, "low": 0.5, "high": 0.7}
                for arm in ARMS
            ]
        ),
        pooled_roc=pd.DataFrame(
            [
                {
                    "arm": arm,
                    "step": step,
                    "threshold": 0.5,
                    "false_positive_rate": x,
                    "true_positive_rate": x,
                    "low": 0.0,
                    "high": 1.0,
                }
                for arm in ARMS
                for step, x in enumerate((0.0, 1.0))
            ]
        ),
    )
    keep = {"all": None, "below_1500hz": [[0, 1500]], "below_1000hz": [[0, 1000]], "below_800hz": [[0, 800]]}
    experiment = ExperimentTables(
        name="split official", key="0123abcd", arms=ARMS,
        selections={arm: vars(BandSelection(arm, hz)) for arm, hz in keep.items()},
        n_runs=8, n_seeds=2, n_folds=0, parts=[part], band_heat=band_heat(), mark_hz=1500.0,
    )  # fmt: skip
    measure = Measure(metric="auroc", base="all", margin=0.02, alpha=0.05, power=0.8, fewest_replicates=3)
    links = {"one": "../runs/one/report.html", "two": "../runs/two/report.html"}
    return ComparisonContent(measure=measure, experiments=[replace(experiment, **changes)], notes=[], links=links)


def page_of(content, folder):
    write_comparison_page(content, folder)
    return (folder / "comparison.html").read_text()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    return folder, page_of(content(), folder)


def test_the_page_has_its_words_and_numbers(page):
    for words in (
        "respcam: 2 runs compared",
        "8 runs: 4 arms, 2 seeds.",
        "<li>below_1500hz: no difference seen.</li>",
        "−0.012<br>",
        "&lt; 0.001",
        "a power of 80 %",
        "no worse where the loss stays within 0.02",
        "<td>device Meditron</td>",
        "<td>macro_f1</td>",
        '<td class="n">0.650</td>',
        '<td class="n">2 of 2</td>',
        "275-450 (2)",
        '<a href="../runs/one/report.html">one</a>',
        "(2 trainings, 24 tested, 12 patients in all)",
    ):
        assert words in page[1], words


def test_the_page_stands_alone_and_its_figures_lie_beside_it(page):
    folder, text = page
    assert "://" not in text.replace(asset("vega.js"), "")
    assert {path.name for path in (folder / "figures").glob("*.png")} == {
        "pooled_test_0123abcd.png",
        "pooled_roc_test_0123abcd.png",
        "forest_test_0123abcd.png",
        "cutoffs_test_0123abcd.png",
        "profiles_test_normal_0_0123abcd.png",
        "profiles_test_wheeze_1_0123abcd.png",
    }
    assert text.count("data:image/png;base64,") == 4


def test_folds_and_notes_are_named(tmp_path):
    noted = replace(content(n_folds=5), notes=[("test", "patient p1 also in train")])
    text = page_of(noted, tmp_path)
    assert "2 seeds of 5 folds." in text
    assert "test: patient p1 also in train. These metrics are not patient-independent." in text


def test_an_interval_names_what_it_is_over(tmp_path):
    of_models = [difference(arm, interval_over="patients alone", n_trainings=1) for arm in ARMS[1:]]
    text = page_of(content(differences=of_models), tmp_path)
    caption = "AUROC of each arm minus AUROC of all, with its 95% interval over patients alone."
    assert caption in text
    assert "−0.050 to +0.020<br>over patients alone" in text
    assert "from 3 seeds or 3 folds on" in text


def test_without_a_base_arm_no_difference_is_formed(tmp_path):
    text = page_of(content(differences=[]), tmp_path)
    assert "No difference is computed." in text
    assert not list((tmp_path / "figures").glob("forest*"))


def test_what_is_not_defined_has_no_figure(tmp_path):
    undefined = difference("below_1500hz", value=np.nan, low=np.nan, high=np.nan, detectable=np.nan)
    assert "&ndash;" in page_of(content(differences=[undefined]), tmp_path)
    assert not list((tmp_path / "figures").glob("forest*"))


def test_text_is_escaped(tmp_path):
    assert "<script>alert" not in page_of(content(name="<script>alert(1)</script>"), tmp_path)


def test_supported_heat_is_counted_over_the_trainings_of_an_arm():
    table = pd.DataFrame(
        [("pruned", True, "275-450", "275-450"), ("pruned", False, "1840-2000", "275-450"),
         ("pruned", True, "275-450", "450-625"), ("all", False, "100-275", "275-450"), ("all", None, None, None)],
        columns=["bands", "heat_is_supported", "heat_densest_hz", "occlusion_most_hz"],
    ).assign(heat_class="wheeze")  # fmt: skip
    assert _heat_of_arms(table, ["all", "pruned", "random"]) == [
        {"arm": "all", "n_runs": 1, "n_supported": 0, "class": "wheeze", "heat_densest_hz": ["100-275 (1)"],
         "occlusion_most_hz": ["275-450 (1)"]},
        {"arm": "pruned", "n_runs": 3, "n_supported": 2, "class": "wheeze", "heat_densest_hz": ["275-450 (2)", "1840-2000 (1)"],
         "occlusion_most_hz": ["275-450 (2)", "450-625 (1)"]},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (BandSelection(), None),
        (BandSelection("below", [[0, 1500]]), 1500),
        (BandSelection("above", [[500, 2000]]), None),
        (BandSelection("two", [[0, 500], [900, 1500]]), None),
        (BandSelection("masked", [[0, 1500]], how="mask"), None),
        (BandSelection("random", [[0, 1500]], choose="random"), None),
        (BandSelection("spread", [[0, 1500]], spread_hz=[100, 4000]), None),
    ],
)
def test_only_a_plain_low_pass_has_a_cutoff(selection, expected):
    assert _cutoff_hz(vars(selection)) == expected


def test_metrics_are_written_as_words():
    assert [metric_title(name) for name in ("auroc", "balanced_accuracy")] == ["AUROC", "balanced accuracy"]

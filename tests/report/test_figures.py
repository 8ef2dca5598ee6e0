import made_up_page
import numpy as np
import pandas as pd
import pytest

from respcam.report import figures


def texts_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_confusion_matrix_shows_counts_and_shares():
    axes = figures.confusion(np.array([[2, 0], [1, 3]]), ["normal", "wheeze"], "test").axes[0]
    assert [text.get_text() for text in axes.texts] == ["2\n100%", "0\n0%", "1\n25%", "3\n75%"]


def test_bands_that_were_not_fed_are_grey():
    heat = np.arange(12, dtype=np.float32).reshape(3, 4)
    log_mel = np.zeros((3, 4), dtype=np.float32)
    heat[2] = log_mel[2] = np.nan
    example = figures.Example("u1", log_mel, {"own": heat, "published": 2 * heat})
    edges_hz = np.array([[100, 200, 300], [200, 300, 400], [300, 400, 500]], dtype=float)
    plain, own, published = figures.gallery([example], edges_hz, 0.01).axes
    assert plain.get_xlim() == pytest.approx((0, 0.04))
    assert [len(axes.patches) for axes in (plain, own, published)] == [1, 1, 1]  # one grey band
    tops = [axes.collections[1].get_clim()[1] for axes in (own, published)]
    assert tops[1] == pytest.approx(2 * tops[0])  # a scale of its own


def test_a_picture_without_heat_says_so():
    example = figures.Example("u1", np.zeros((3, 4), dtype=np.float32), {"own": np.zeros((3, 4), dtype=np.float32)})
    edges_hz = np.array([[100, 200, 300], [200, 300, 400], [300, 400, 500]], dtype=float)
    _, own = figures.gallery([example], edges_hz, 0.01).axes
    assert own.texts[0].get_text() == "no heat"


def test_occlusion_has_every_fill_and_both_curves():
    trust = made_up_page.trust()
    profiles, curves = trust.tables["profiles"], trust.tables["occlusion"]
    figure = figures.occlusion(
        profiles[profiles["method"] == "occlusion"],
        {name: profiles[profiles["method"] == name] for name in ("hires_cam", "grad_cam")},
        curves[(curves["of"] == "auroc") & (curves["kind"] != "single")],
        0.05,
        "test",
    )
    above, low_pass, below, high_pass = figure.axes
    assert texts_of(above) == [
        *(f"filled with {words}" for words in figures.FILL_WORDS.values()),
        "median of the fills",
    ]
    assert [bar.get_height() for bar in above.patches] == [0.3, 0.3]
    assert [bar.get_height() for bar in below.patches] == [0.5] * 4
    assert texts_of(below) == ["hires_cam", "grad_cam"]
    assert [label.get_text() for label in below.get_xticklabels()] == made_up_page.HZ
    assert texts_of(low_pass) == [*figures.FILL_WORDS.values(), "margin 0.05"]
    assert high_pass.get_ylabel() == "drop of AUROC"


def test_an_interval_need_not_enclose_its_value():
    profiles = made_up_page.trust().tables["profiles"]
    drops = profiles[profiles["method"] == "occlusion"].assign(drop_low=0.4)
    curves = pd.DataFrame(columns=["fill", "kind", "cutoff_hz", "drop", "drop_low", "drop_high"])
    figures.occlusion(drops, {"heat": profiles[profiles["method"] == "hires_cam"]}, curves, 0.05, "test")


def differences():
    return pd.DataFrame(
        {"arm": ["b", "a"], "value": [0.1, -0.1], "low": [0.0, -0.2], "high": [0.2, 0.0], "verdict": ["better", "odd"],
         "cutoff_hz": [1500.0, 1000.0]}
    )  # fmt: skip


def test_a_forest_names_arm_and_verdict():
    axes = figures.forest(differences(), "AUROC", "all", 0.02).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b: better", "a: odd"]
    assert axes.get_xlabel() == "AUROC minus that of all"


def test_a_cutoff_curve_rises_with_the_cutoff():
    axes = figures.cutoff_curve(differences(), "AUROC", "all", 0.02).axes[0]
    assert axes.lines[0].get_xdata().tolist() == [1000.0, 1500.0]


def test_profiles_of_arms_hide_empty_panels():
    bands = pd.DataFrame({"centre_hz": [200.0, 300.0], "ratio": [1.0, 2.0], "ratio_low": 0.5, "ratio_high": 2.5})
    panels = figures.profiles_of_arms(dict.fromkeys("abcd", bands), 1500, "test").axes
    assert [axes.get_visible() for axes in panels] == [True] * 4 + [False] * 2

import re
from dataclasses import replace

import made_up_page
import numpy as np
import pytest

from respcam.heat.bands import BandSelection
from respcam.report.page import asset
from respcam.report.run_page import write_run_page
from respcam.report.saved import FORMATS


def page_of(content, folder, formats=()):
    write_run_page(content, folder, formats)
    return (folder / "report.html").read_text()


def words_of(page):
    """The text that a reader sees."""
    page = re.sub(r"<(style|script)\b.*?</(style|script)>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    return folder, page_of(made_up_page.content(), folder, FORMATS)


def test_the_page_has_its_words_and_numbers(page):
    words = words_of(page[1])
    for sentence in (
        "respcam: sprsound, adventitious, bands all",
        "Is this recording normal or wheeze? A neural network was trained to answer for sprsound",
        "AUROC 0.81 (0.76 to 0.86) on test: 4 recordings of 2 patients",
        "On test, for class wheeze: 100-1000 Hz. There the heat is densest, and there the score falls most",
        "Recordings: made up",
        "Yes, on test. Supported: HiResCAM agrees with occlusion.",
        "test: metadata alone tells the classes apart",
        "2 recordings have no label",
        "rms to -20 dB (sets how much of a patch lies on the log floor, the value of silence)",
        "band_cnn, scores pooled by logsumexp",
        "2 epochs, seed 7",
        "HiResCAM at blocks.0 + blocks.1, log-odds, for the true class, per recording, the map has 5 rows for 10 bands, raw",
        "not used 1 1 1 0",
        "1 recordings were not used: 1 too long",
        "score: (SE + SP) / 2",
        "(expected calibration error, 10 bins): 0.120 (0.070 to 0.170, over patients",
        "test, class wheeze: densest at 100-1000 Hz, 2.25 times uniform (2.15 to 2.35).",
        "One row of the map covers 2.0 mel bands",
        "test normal 4 1 50.0% 25.0% 2.00 (1.90–2.10)",
        "run abc123 train def456",
    ):
        assert sentence in words, sentence
    assert "part recordings patients normal wheeze" in words  # no column of units where a unit is a recording


def test_the_page_stands_alone_and_its_figures_lie_beside_it(page):
    folder, text = page
    assert "://" not in text.replace(asset("vega.js"), "")
    pictures = {"confusion_validation", "confusion_test", "gallery_test", "occlusion_test"}
    charts = {"training", "bands_test", "bands_test_beside", "roc_test", "precision_recall_test", "calibration_test"}
    for kind in ("png", "svg", "pdf"):
        assert {path.stem for path in (folder / "figures").glob(f"*.{kind}")} == pictures | charts
    assert {path.stem for path in (folder / "figures").glob("*.csv")} == (pictures | charts) - {"gallery_test"}
    assert text.count('src="data:image/png;base64,') == len(pictures)
    assert set(re.findall('<div[^>]* data-chart="(.*?)"', text)) == charts


def test_a_part_with_a_note_carries_it_everywhere(tmp_path):
    words = words_of(page_of(made_up_page.content(note=made_up_page.NOTE), tmp_path))
    assert "test: patient p1 also in train. These metrics are not patient-independent." in words
    assert "on test (patient p1 also in train): 4 recordings of 2 patients" in words


def test_an_undefined_metric_is_a_dash_and_no_sentence(tmp_path):
    words = words_of(page_of(made_up_page.content(auroc=None), tmp_path))
    assert "(0.76 to" not in words
    assert "test 4 2 – 0.500 0.450 to 0.550" in words


def test_weak_filters_are_named(tmp_path):
    words = words_of(page_of(made_up_page.content(n_bins=1), tmp_path))
    assert "1 of 10 mel filters rest on fewer than two FFT bins (up to 445 Hz)" in words


def test_bands_that_were_not_fed_have_no_heat(tmp_path):
    selection = BandSelection("below_1400hz", [[0, 1400]])
    words = words_of(page_of(made_up_page.content(selection=selection), tmp_path))
    assert "test normal 4 1 not fed 0 % –" in words
    assert "below_1400hz: 7 of 10" in words


def test_text_is_escaped(tmp_path):
    content = made_up_page.content()
    tables = replace(content.tables, remarks=["<script>alert(1)</script>"])
    assert "<script>alert" not in page_of(replace(content, tables=tables), tmp_path)


def test_events_are_counted_beside_recordings(tmp_path):
    content = made_up_page.content()
    settings = replace(content.settings, task=replace(content.settings.task, unit="event"))
    words = words_of(page_of(replace(content, settings=settings), tmp_path))
    assert "part events recordings patients normal wheeze" in words
    assert "on test: 4 events of 2 patients" in words


def test_a_fold_is_named(tmp_path):
    content = made_up_page.content()
    split = replace(content.settings.split, name="patient_kfold", fold=2)
    content = replace(
        content, settings=replace(content.settings, split=split), description={**content.description, "fold": 2}
    )
    assert f"patient_kfold, fold 2 of {split.n_folds}" in words_of(page_of(content, tmp_path))


def test_a_class_without_heat_says_so(tmp_path):
    content = made_up_page.content()
    band_heat = content.heat.band_heat.copy()
    is_normal = band_heat["target_class"] == "normal"
    band_heat.loc[is_normal, ["share", "ratio", "ratio_low", "ratio_high"]] = np.nan
    words = words_of(page_of(replace(content, heat=replace(content.heat, band_heat=band_heat)), tmp_path))
    assert "test normal 4 1 no heat 25.0% no heat" in words
    assert "class normal: densest" not in words


def test_events_that_were_learnt_from_are_no_independent_test(tmp_path):
    content, said = made_up_page.content(), "is no independent test of the heat"
    for number, (unit, weight, is_told) in enumerate(
        [("recording", 1, True), ("recording", 0, False), ("event", 1, False)]
    ):
        task = replace(content.settings.task, unit=unit, events={"wheeze": ["wheeze"]})
        training = replace(content.settings.training, event_weight=weight)
        settings = replace(content.settings, task=task, training=training)
        (tmp_path / str(number)).mkdir()
        assert (said in words_of(page_of(replace(content, settings=settings), tmp_path / str(number)))) == is_told

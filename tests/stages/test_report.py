import json
import re

from small_runs import BELOW, settings_in

from respcam.heat.bands import BandSelection
from respcam.report.page import asset
from respcam.stages.run import Run

WHAT_A_RUN_WRITES = {
    "config.yaml", "metrics.json", "predictions.csv", "history.csv", "model.safetensors", "model.json", "scaler.csv", "classes.json",
    "units.csv", "remarks.json", "band_heat.csv", "band_heat_beside.csv", "heat_summary.json", "trust.json", "occlusion.csv", "methods.csv",
    "profiles.csv", "localisation.csv", "metadata.csv", "strata.csv", "blank.csv", "rejected.csv",
    "unit_heat.csv", "examples.csv", "trained_on.json", "report.html", "figures", "provenance.json",
}  # fmt: skip


def test_a_run_folder_holds_everything(finished):
    assert {path.name for path in finished[1].iterdir()} == WHAT_A_RUN_WRITES


def test_the_page_stands_alone(finished):
    page = (finished[1] / "report.html").read_text()
    assert "://" not in page.replace(asset("vega.js"), "")  # characters that no picture in base64 holds by chance
    for words in ("correlation with", "classified by", "on the log floor", "theoretical (bands"):
        assert words in page
    assert page.count('src="data:image/png;base64,') == 4  # two confusion matrices, examples, occlusion
    charts = re.findall('<div[^>]* data-chart="(.*?)"', page)
    assert {f"{name}.csv" for name in charts} <= {path.name for path in (finished[1] / "figures").iterdir()}
    assert f"<code>respcam rerun {finished[1].name}</code>" in page
    for words in (
        "AUROC",
        "uniform share",
        "above 1500 Hz",
        "Content-Security-Policy",
        "rows for 64 bands",
        "gain",
        "Can the heat be trusted?",
    ):
        assert words in page


def test_the_folder_says_what_the_run_is(finished):
    provenance = json.loads((finished[1] / "provenance.json").read_text())
    run = provenance["settings"]["run"]
    assert finished[1].name == f"synthetic-adventitious-official-all-band_cnn-seed2-{provenance['digest'][:8]}"
    assert {run[name] for name in ("dataset", "task", "split", "bands", "model")} == {
        "synthetic", "adventitious", "official", "all", "band_cnn",
    }  # fmt: skip
    assert (run["seed"], run["fold"]) == (2, None)


def test_arms_share_an_experiment_and_seeds_share_a_pair(finished):
    runs = {
        name: Run.of(settings_in(finished[0], bands=bands, seed=seed)).stages["report"].run
        for name, bands, seed in (("all", BandSelection(), 0), ("below", BELOW, 0), ("seed 1", BELOW, 1))
    }
    assert len({run.experiment for run in runs.values()}) == 1
    assert runs["all"].apart_from_bands == runs["below"].apart_from_bands != runs["seed 1"].apart_from_bands


def test_the_configuration_is_kept_and_changes_nothing(finished):
    assert (finished[1] / "config.yaml").read_text() == "seed: 2\n"
    other = Run.of(settings_in(finished[0], config="seed: 2 # a comment\n")).stages["report"]
    assert other.artifact.folder == finished[1]

"""Three data sets whose answer to "does cutting the bands above 1500 Hz matter?" is known."""

from dataclasses import replace

import pytest
from stages.small_runs import BELOW, PLANT, settings_in

from respcam.experiments.differences import Design, Pair, conclusion, differences
from respcam.heat.bands import BandSelection
from respcam.metrics import BootstrapSettings, Predictions, Scoring
from respcam.stages.dataset import DatasetSettings
from respcam.stages.run import Run

SOUNDS = replace(PLANT, n_patients=40)
SHORTCUT = {"shortcut": "hiss", "shortcut_hz": [1850.0, 2400.0], "shortcut_tie_test": 0.0}


def predictions(folder, synthetic, seed, bands):
    """Test predictions of one training, in the order of the units."""
    dataset = DatasetSettings("synthetic", "synthetic", synthetic=synthetic)
    run = Run.of(settings_in(folder, epochs=10, seed=seed, bands=bands, dataset=dataset))
    run.make("train")
    table = run.stages["train"].predictions()
    return table[table["part"] == "test"].sort_values("unit_id")


@pytest.mark.parametrize(
    ("synthetic", "verdicts", "words"),
    [
        (replace(SOUNDS, plant_hz=1750.0), {"worse"}, "harms"),
        (SOUNDS, {"open", "no worse"}, "no difference seen, smaller than 0.0"),
        (replace(SOUNDS, **SHORTCUT), {"better"}, "helps"),
    ],
    ids=["the class is above", "noise is above", "a shortcut that breaks is above"],
)
def test_the_comparison_says_what_is_true(tmp_path, synthetic, verdicts, words):
    pairs = []
    for seed in range(3):
        arm, base = (predictions(tmp_path, synthetic, seed, bands) for bands in (BELOW, BandSelection()))
        both = (Predictions.of(table, ["normal", "adventitious"]) for table in (arm, base))
        pairs.append(Pair(seed, 0, base["patient_id"].to_numpy(), *both))
    design = Design()
    found = differences(pairs, Scoring(0), BootstrapSettings(), design)["auroc"]
    verdict, sentence = conclusion("below_1500hz", "all", "AUROC", found, found.p, 1, design)
    assert verdict in verdicts, sentence
    assert words in sentence

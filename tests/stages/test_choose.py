"""Every arm of a pruning experiment trains, on the bands that it says."""

import pandas as pd
import pytest
from small_runs import settings_in

from respcam.data.splits import VALIDATION
from respcam.errors import Refused
from respcam.evidence.examination import TrustSettings
from respcam.heat.bands import BandSelection, kept_bands
from respcam.stages.run import Run

PRUNED = [[0, 1500]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("arms")


def arm(folder, **selection):
    """The run of an arm."""
    bands = BandSelection(**{"name": "arm", **selection})
    return Run.of(settings_in(folder, epochs=1, bands=bands, trust=TrustSettings(first=8)))


def trained(folder, **selection):
    """The train stage of an arm, finished."""
    run = arm(folder, **selection)
    run.make("train")
    return run.stages["train"]


@pytest.mark.parametrize(
    ("selection", "n_bands", "low_hz", "high_hz"),
    [
        ({}, 64, 100, 2000),
        ({"keep_hz": PRUNED}, 54, 100, 1550),
        ({"keep_hz": [[1500, 8000]]}, 10, 1480, 2000),
        ({"keep_hz": PRUNED, "how": "mask"}, 64, 100, 2000),
        ({"spread_hz": [100, 1500]}, 64, 100, 1500),
        ({"keep_hz": PRUNED, "choose": "random"}, 54, 100, 2000),
        ({"keep_hz": PRUNED, "choose": "random_block", "draw": 1}, 54, 100, 2000),
        ({"keep_hz": PRUNED, "choose": "lowest_heat"}, 54, 100, 2000),
        ({"keep_hz": PRUNED, "choose": "least_drop"}, 54, 100, 2000),
    ],
)
def test_an_arm_trains_on_its_bands(folder, selection, n_bands, low_hz, high_hz):
    bands = trained(folder, **selection).bands()
    assert len(bands) == n_bands
    assert bands["lower_hz"].min() >= low_hz - 1e-6
    assert bands["upper_hz"].max() <= high_hz + 1e-6


def test_masked_bands_say_nothing(folder):
    bands = trained(folder, keep_hz=PRUNED, how="mask").bands()
    is_removed = bands["centre_hz"] > 1500
    assert (bands.loc[is_removed, "std"] < 1e-3).all()
    assert (bands.loc[~is_removed, "std"] > 0.01).all()


def test_the_bands_with_the_lowest_heat_are_removed(folder):
    train = trained(folder, keep_hz=PRUNED, choose="lowest_heat")
    removed = train.selection().removed
    guide = train.chosen.guide
    assert guide.explain.explain.parts == [VALIDATION]
    heat = guide.band_heat()
    assert set(heat["part"]) == {VALIDATION}
    judged = heat[(heat["scope"] == "band") & (heat["target_class"] == "adventitious")].reset_index()
    assert judged.loc[removed, "ratio"].max() <= judged.drop(index=removed)["ratio"].min()
    assert len(removed) == 10


def test_the_bands_with_the_least_drop_are_removed(folder):
    train = trained(folder, keep_hz=PRUNED, choose="least_drop")
    importance = train.chosen.guide.importance()
    removed = train.selection().removed
    assert importance[removed].max() <= pd.Series(importance).drop(index=removed).min()


def test_a_guided_arm_is_named_before_anything_is_computed(tmp_path):
    train = arm(tmp_path, keep_hz=PRUNED, choose="least_drop").stages["train"]
    assert len(train.digest) == 64
    assert not list(tmp_path.glob("store/train/*"))
    other = arm(tmp_path, keep_hz=PRUNED, choose="lowest_heat").stages["train"]
    assert train.digest != other.digest
    with pytest.raises(Refused, match="until=train"):
        train.selection()


def test_a_model_that_was_not_consulted_is_missed(folder):
    edges_hz = trained(folder).features.frames().edges_hz
    with pytest.raises(Refused, match="no model of all bands"):
        kept_bands(edges_hz, BandSelection("x", PRUNED, choose="lowest_heat"))

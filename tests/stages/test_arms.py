"""Every arm of a pruning experiment trains, on the bands that it says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_run import GROUPS, settings_in

from respcam.heat.bands import BandSelection, kept_bands
from respcam.stages.run import Pipeline
from respcam.stages.subject import TrustSettings
from respcam.stages.trust import fall_of_bands
from respcam.store.artifact import Artifact

PRUNED = [[0, 1500]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("arms")


def trained(folder, **selection):
    """The pipeline of an arm after its train stage."""
    bands = BandSelection(**{"name": "arm", **selection})
    pipeline = Pipeline(settings_in(folder, epochs=1, bands=bands, trust=TrustSettings(patches=8)))
    for stage in ("resample", "features", "train"):
        pipeline.run(stage)
    return pipeline


def fed(pipeline):
    return pd.read_csv(pipeline.artifacts["train"].folder / "scaler.csv")


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
        ({"keep_hz": PRUNED, "choose": "coldest_heat"}, 54, 100, 2000),
        ({"keep_hz": PRUNED, "choose": "coldest_occlusion"}, 54, 100, 2000),
    ],
)
def test_an_arm_trains_on_its_bands(folder, selection, n_bands, low_hz, high_hz):
    bands = fed(trained(folder, **selection))
    assert len(bands) == n_bands
    assert bands["lower_hz"].min() >= low_hz - 1e-6
    assert bands["upper_hz"].max() <= high_hz + 1e-6


def test_masked_bands_say_nothing(folder):
    masked = trained(folder, keep_hz=PRUNED, how="mask")
    bands = fed(masked)
    is_gone = bands["centre_hz"] > 1500
    assert (bands.loc[is_gone, "std"] < 1e-3).all()
    assert (bands.loc[~is_gone, "std"] > 0.01).all()


def test_the_coldest_bands_go(folder):
    pipeline = trained(folder, keep_hz=PRUNED, choose="coldest_heat")
    gone = pipeline.settings.trained.bands.gone
    guide = Pipeline(replace(pipeline.base, explain=replace(pipeline.given.explain, sides=["validation"])))
    heat = pd.read_csv(guide.artifacts["bands"].require() / "band_heat.csv")
    assert set(heat["split"]) == {"validation"}
    own = heat[(heat["scope"] == "band") & (heat["target_class"] == "adventitious")].reset_index()
    assert own.loc[gone, "ratio"].max() <= own.drop(index=gone)["ratio"].min()
    assert len(gone) == 10


def test_the_fall_of_a_band_lies_between_those_of_its_groups(tmp_path):
    artifact = Artifact(tmp_path, "trust", 1)
    artifact.folder.mkdir(parents=True)
    (artifact.folder / "provenance.json").write_text("{}")
    rows = [("occlusion", name, float(k)) for k, name in enumerate(GROUPS.names)]
    rows += [("occlusion, mean", name, 99.0) for name in GROUPS.names]
    pd.DataFrame(rows, columns=["name", "hz", "fall"]).to_csv(artifact.folder / "profiles.csv", index=False)
    found = fall_of_bands(artifact, np.array([110.0, 275.0, 362.5, 1990.0]), GROUPS)
    np.testing.assert_allclose(found, [0, 0.5, 1, 10])


def test_a_model_that_was_not_asked_is_missed(folder):
    store = trained(folder).artifacts["features"].folder
    edges_hz = pd.read_csv(store / "bands.csv")[["lower_hz", "centre_hz", "upper_hz"]].to_numpy()
    with pytest.raises(ValueError, match="no model of all bands was asked"):
        kept_bands(edges_hz, BandSelection("x", PRUNED, choose="coldest_heat"))


def test_random_bands_follow_the_draw():
    edges_hz = np.repeat(np.linspace(115, 1960, 64)[:, None], 3, axis=1)
    draws = [kept_bands(edges_hz, BandSelection("x", PRUNED, choose="random", draw=draw)) for draw in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()
    n_gone = (edges_hz[:, 1] > 1500).sum()
    for draw in range(20):
        block = kept_bands(edges_hz, BandSelection("x", PRUNED, choose="random_block", draw=draw))
        gone = np.flatnonzero(~block)
        assert len(gone) == n_gone == np.ptp(gone) + 1

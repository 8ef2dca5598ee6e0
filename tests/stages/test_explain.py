from dataclasses import replace

import numpy as np
import pytest

from respcam.errors import Refused
from respcam.heat import cam
from respcam.heat.cam import Choice
from respcam.stages.explain import BESIDE, Explain, ExplainSettings


def explained(stages, tmp_path, **settings):
    stage = Explain(store=tmp_path, train=stages["train"], explain=ExplainSettings(**settings))
    stage.make()
    return stage


def test_maps_sums_and_index_belong_together(stages):
    explain = stages["explain"]
    index, maps, per_band = explain.index(), explain.maps(), explain.per_band()
    assert len(index) == len(maps) == len(per_band) == len(explain.maps(BESIDE)) == len(explain.per_band(BESIDE))
    assert explain.method() == {
        "level": "recording", "method": "hires_cam", "layers": [f"blocks.{k}" for k in range(4)],
        "score": "log_odds", "n_bands": 64, "n_frames": 96, "hop_frames": 48,
        "beside": {"method": "grad_cam", "layers": ["blocks.3"], "score": "class_score"},
    }  # fmt: skip
    assert set(index["part"]) == {"test"}
    assert index["is_zero"].tolist() == (maps.max(axis=(1, 2)) == 0).tolist()
    spread = maps.shape[1] * maps.shape[2] / (64 * 96)
    of_recording = maps.sum(axis=(1, 2)) * index["weight"]
    np.testing.assert_allclose(per_band.sum(axis=1) * spread, of_recording, rtol=0.05)
    # scores are pooled by their mean and divided by the temperature, so the derivatives of a recording's score add up
    weights = index.groupby("unit_id")["weight"].sum()
    np.testing.assert_allclose(weights, 1 / explain.train.pipeline().readout.temperature, rtol=1e-5)
    np.testing.assert_allclose(index["beside_weight"], index["weight"], rtol=1e-5)


def test_heat_is_that_of_the_trained_network(stages):
    explain = stages["explain"]
    train, index = explain.train, explain.index()
    units = train.units(["test"])
    model = train.model()
    patches = train.data_of(units).grid(0, explain.patches)
    choice = explain.explain.choice(model.blocks)
    heat = model.heat(patches, [len(patches)], units["target"].to_numpy()[:1], [choice])[choice].numpy()
    rows = index[index["unit_id"] == units["unit_id"].iloc[0]]
    weighted = explain.maps()[rows.index] * rows["weight"].to_numpy()[:, None, None]
    np.testing.assert_allclose(weighted, heat, atol=1e-6)


def test_patches_can_be_explained_by_themselves(stages, tmp_path):
    explain = explained(stages, tmp_path, level="patch")
    index, units = explain.index(), explain.units()
    np.testing.assert_allclose(index["weight"], 1 / explain.train.pipeline().readout.temperature, rtol=1e-5)
    assert len(units) == len(index) < len(stages["explain"].index())
    assert units["unit_id"].tolist() == index["unit_id"].tolist()
    assert units["first_frame"].tolist() == index["start_frame"].tolist()
    assert (units["n_frames"] <= 96).all()
    assert explain.method()["hop_frames"] == 96


def test_grad_cam_stands_beside_the_default_and_the_default_beside_grad_cam():
    blocks = ["low", "high"]
    default, published = Choice("hires_cam", ("low", "high")), Choice("grad_cam", ("high",), "class_score")
    assert ExplainSettings().choice(blocks) == default
    assert ExplainSettings().beside(blocks) == published
    asked = ExplainSettings(method="grad_cam", layers=["high"], score="class_score")
    assert asked.choice(blocks) == published
    assert asked.beside(blocks) == default


def test_batch_size_changes_no_identity(stages):
    explain = stages["explain"]
    assert replace(explain, explain=replace(explain.explain, batch_patches=8)).digest == explain.digest
    assert replace(explain, explain=replace(explain.explain, score="class_score")).digest != explain.digest


def test_heat_for_the_predicted_class(stages, tmp_path):
    index = explained(stages, tmp_path, target="predicted", method="grad_cam", layers=["blocks.3"]).index()
    assert (index["target_class"] == index["predicted_class"]).all()


def test_heat_for_a_named_class_and_one_that_is_not_there(stages, tmp_path):
    index = explained(
        stages, tmp_path, target="adventitious", layers=["blocks.2"], level="patch", hop_frames=24
    ).index()
    assert set(index["target_class"]) == {"adventitious"}
    assert len(index) > len(stages["explain"].index())
    with pytest.raises(Refused, match="explain.target is 'crackle'; there are true, predicted, normal, adventitious"):
        explained(stages, tmp_path, target="crackle")


def test_settings_are_refused_before_any_work():
    with pytest.raises(Refused, match=f"explain.method is 'cam'; there are {', '.join(cam.METHODS)}"):
        ExplainSettings(method="cam")
    with pytest.raises(Refused, match="explain.hop_frames is 0"):
        ExplainSettings(level="patch", hop_frames=0)
    with pytest.raises(Refused, match="explain.hop_frames is 48, but a recording is explained at the patches"):
        ExplainSettings(hop_frames=48)
    with pytest.raises(Refused, match="explain.level is 'window'; expected one of recording, patch"):
        ExplainSettings(level="window")


def test_a_full_disk_is_an_error_before_heat_is_written_to_a_map(stages, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        stages["explain"].write(tmp_path)

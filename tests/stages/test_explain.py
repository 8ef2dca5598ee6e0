from dataclasses import replace

import numpy as np
import pytest

from respcam.errors import Refused
from respcam.heat import cam
from respcam.stages.explain import Explain, ExplainSettings


def explained(stages, tmp_path, **settings):
    stage = Explain(store=tmp_path, train=stages["train"], explain=ExplainSettings(**settings))
    stage.make()
    return stage


def test_maps_sums_and_index_belong_together(stages):
    explain = stages["explain"]
    index, maps, per_band = explain.index(), explain.maps(), explain.per_band()
    assert len(index) == len(maps) == len(per_band)
    assert explain.method() == {
        "method": "hires_cam", "layers": [f"blocks.{k}" for k in range(4)], "n_bands": 64, "n_frames": 96,
        "hop_frames": 96,
    }  # fmt: skip
    assert set(index["part"]) == {"test"}
    assert index["is_zero"].tolist() == (maps.max(axis=(1, 2)) == 0).tolist()
    spread = maps.shape[1] * maps.shape[2] / (64 * 96)
    np.testing.assert_allclose(per_band.sum(axis=1) * spread, maps.sum(axis=(1, 2)), rtol=0.05)


def test_heat_is_that_of_the_trained_network(stages):
    explain = stages["explain"]
    train, index = explain.train, explain.index()
    units = train.units(["test"])
    model = train.model()
    patches = train.data_of(units).grid(0, explain.patches)
    choice = explain.explain.choice(model.blocks)
    target = np.zeros(len(patches), dtype=np.int64) + int(units["target"].iloc[0])
    heat = model.heat(patches, target, [choice])[choice].numpy()
    rows = index.index[index["unit_id"] == units["unit_id"].iloc[0]]
    np.testing.assert_allclose(explain.maps()[rows], heat, atol=1e-6)


def test_batch_size_changes_no_identity(stages):
    explain = stages["explain"]
    assert replace(explain, explain=replace(explain.explain, batch_patches=8)).digest == explain.digest
    assert replace(explain, explain=replace(explain.explain, hop_frames=48)).digest != explain.digest


def test_heat_for_the_predicted_class(stages, tmp_path):
    index = explained(stages, tmp_path, target="predicted", method="grad_cam", layers=["blocks.3"]).index()
    assert (index["target_class"] == index["predicted_class"]).all()


def test_heat_for_a_named_class_and_one_that_is_not_there(stages, tmp_path):
    index = explained(stages, tmp_path, target="adventitious", layers=["blocks.2"], hop_frames=48).index()
    assert set(index["target_class"]) == {"adventitious"}
    assert len(index) > len(stages["explain"].index())
    with pytest.raises(Refused, match="explain.target is 'crackle'; there are true, predicted, normal, adventitious"):
        explained(stages, tmp_path, target="crackle")


def test_settings_are_refused_before_any_work():
    with pytest.raises(Refused, match=f"explain.method is 'cam'; there are {', '.join(cam.METHODS)}"):
        ExplainSettings(method="cam")
    with pytest.raises(Refused, match="explain.hop_frames is 0"):
        ExplainSettings(hop_frames=0)

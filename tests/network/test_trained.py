import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from respcam.data.patches import PatchSettings
from respcam.errors import Refused
from respcam.heat import cam
from respcam.heat.cam import Choice
from respcam.network.inputs import Scaler, Units
from respcam.network.machine import make_fabric
from respcam.network.model import BandCNN, ModelSettings
from respcam.network.readout import Readout, pool
from respcam.network.trained import TrainedModel

BANDS = pd.DataFrame({"band": np.arange(8), "lower_hz": 0.0, "centre_hz": 1.0, "upper_hz": 2.0})
SCALER = Scaler(np.full(8, 0.5, np.float32), np.full(8, 2.0, np.float32))
PATCHES = np.random.default_rng(0).standard_normal((7, 8, 12)).astype(np.float32)


class Small(nn.Module):
    def __init__(self, n_classes=3):
        super().__init__()
        self.low, self.high = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.head = nn.Linear(4, n_classes)

    def block_names(self):
        return ["low", "high"]

    def forward(self, patches):
        return self.head(self.high(self.low(patches).relu()).relu().mean(dim=(2, 3)))


@pytest.fixture
def trained():
    torch.manual_seed(0)
    return TrainedModel(Small().eval(), SCALER, ["a", "b", "c"], make_fabric("cpu"), normal="b", batch_patches=3)


def direct(trained, patches):
    with torch.no_grad():
        return trained.network(torch.from_numpy((patches - 0.5) / 2)[:, None].float())


def test_scores_are_those_of_scaled_patches(trained):
    scores = trained.scores(PATCHES)
    assert scores.dtype == torch.float64
    torch.testing.assert_close(scores.float(), direct(trained, PATCHES), atol=1e-6, rtol=1e-5)
    assert trained.judged_classes == [0, 2]
    assert trained.blocks == ["low", "high"]


def test_occlusion_replaces_bands(trained):
    conditions = [np.arange(8) < 3, np.arange(8) == 5]
    scores = trained.scores_without(PATCHES, np.zeros_like(PATCHES), conditions)
    assert scores.shape == (2, 7, 3)
    for found, is_removed in zip(scores, conditions, strict=True):
        expected = trained.scores(np.where(is_removed[:, None], 0, PATCHES).astype(np.float32))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_heat_of_several_choices_is_that_of_each_alone(trained):
    target = np.arange(7) % 3
    choices = [
        Choice(method, layers, "class_score")
        for method, layers in (("hires_cam", ("low", "high")), ("ablation_cam", ("high",)), ("grad_cam", ("low",)))
    ]
    heat = trained.heat(PATCHES, [1] * 7, target, choices)  # each patch is a unit
    assert list(heat) == choices
    for choice in choices:
        maps = cam.heat_maps(
            trained.network, trained.scaled(PATCHES), choice.layers, [choice.method], torch.from_numpy(target)
        )
        torch.testing.assert_close(heat[choice], maps.heat(choice.method, choice.layers), atol=1e-6, rtol=1e-4)
    torch.manual_seed(1)
    fresh = Small().eval()
    other = trained.heat(PATCHES, [1] * 7, target, choices[:1], fresh)[choices[0]]
    assert not torch.equal(other, heat[choices[0]])


class Lighter(nn.Module):
    """The first layer of a network, whose output is the map, and the rest."""

    def __init__(self):
        super().__init__()
        self.high = nn.Conv2d(1, 4, (3, 5), stride=(2, 1), padding=1)
        self.rest = nn.Sequential(nn.Tanh(), nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Linear(8, 3))

    def forward(self, patches):
        return self.rest(self.high(patches))


NETWORKS = {"small": Small, "lighter": Lighter, "band_cnn": lambda: BandCNN(3, width=2)}


@pytest.mark.parametrize("score", ["log_odds", "class_score"])
@pytest.mark.parametrize("pooling", ["mean", "max", "logsumexp"])
@pytest.mark.parametrize("name", NETWORKS)
def test_heat_of_a_recording_is_the_gradient_of_its_own_score(name, pooling, score):
    """The chain rule through the pooling, against automatic differentiation through the whole recording."""
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    layer = "blocks.3" if name == "band_cnn" else "high"
    trained = TrainedModel(
        network, SCALER, ["a", "b", "c"], make_fabric("cpu"), readout=Readout(pooling), batch_patches=3
    )
    choice, counts, target = Choice("hires_cam", (layer,), score), [4, 3], np.array([2, 0])
    heat = trained.heat(PATCHES, counts, target, [choice])[choice]

    kept = []
    module = network.get_submodule(layer)
    handle = module.register_forward_hook(lambda _module, _inputs, output: kept.append(output) or output.clone())
    patches = trained.scaled(PATCHES).requires_grad_()
    pooled = torch.stack([pool(of_unit, pooling) for of_unit in network(patches).double().split(counts)])
    handle.remove()
    if score == "log_odds":
        probability = pooled.softmax(dim=1)
        pooled = probability.log() - (1 - probability).log()
    explained = pooled[0, target[0]] + pooled[1, target[1]]
    (gradient,) = torch.autograd.grad(explained, kept)
    expected = (gradient * kept[0]).sum(dim=1).relu().detach()
    torch.testing.assert_close(heat, expected, atol=1e-5 * float(expected.max()), rtol=1e-5)
    assert heat.max() > 0


def test_predictions_pool_the_patches_of_a_unit(trained):
    frames = [np.concatenate(list(PATCHES[:3].transpose(0, 2, 1))), PATCHES[4].T]
    units = Units(frames, np.array([0, 1]), np.ones(8, bool), PatchSettings(12, 12), -4.6)
    probability = trained.predict(units)
    assert probability.dtype == np.float32
    for row, patches in zip(probability, (PATCHES[:3], PATCHES[4:5]), strict=True):
        expected = pool(direct(trained, patches), "logsumexp").softmax(dim=0)
        np.testing.assert_allclose(row, expected, rtol=1e-4)


NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.body, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, n_classes)

    def forward(self, patches):
        return self.head(self.body(patches).mean(dim=(2, 3)))
"""


def test_a_model_is_read_as_it_was_written(trained, tmp_path, monkeypatch):
    (tmp_path / "net_of_a_test.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    settings = ModelSettings(name="net_of_a_test:Net")
    from respcam.network.model import build

    model = TrainedModel(build(settings, 2).eval(), SCALER, ["a", "b"], make_fabric("cpu"))
    model.save(tmp_path, BANDS)
    assert json.loads((tmp_path / "classes.json").read_text()) == ["a", "b"]
    again = TrainedModel.load(
        tmp_path, settings, make_fabric("cpu"), normal="a", readout=Readout("max"), batch_patches=2
    )
    assert (again.normal, again.readout.pooling, again.batch_patches) == ("a", "max", 2)
    np.testing.assert_array_equal(again.scaler.mean, SCALER.mean)
    torch.testing.assert_close(again.scores(PATCHES), model.scores(PATCHES))
    with pytest.raises(Refused, match="holds the weights of another network than band_cnn"):
        TrainedModel.load(tmp_path, ModelSettings(), make_fabric("cpu"))


def test_scores_of_another_number_of_classes_are_refused(trained):
    wrong = TrainedModel(Small(2).eval(), SCALER, ["a", "b", "c"], make_fabric("cpu"))
    with pytest.raises(
        Refused, match=r"Small returned \(7, 2\) for 7 patches; expected one tensor of scores, \(7, 3\)"
    ):
        wrong.scores(PATCHES)


def test_tied_weights_are_written(trained, tmp_path):
    trained.network.twin = trained.network.head
    trained.save(tmp_path, BANDS)
    assert (tmp_path / "model.safetensors").is_file()

"""A network of the user's own, from its name to training, heat and occlusion."""

import importlib
import sys

import numpy as np
import pytest
import torch
from torch import nn

from respcam.data.patches import PatchSettings
from respcam.errors import Refused
from respcam.heat.cam import heat_maps
from respcam.network.inputs import Scaler, Units
from respcam.network.machine import make_fabric
from respcam.network.model import ModelSettings, blocks_of, build, check_network, network_source
from respcam.network.occluded import Occlusion
from respcam.network.readout import Readout
from respcam.network.training import Training, TrainingData, fit, predict

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, n_classes)

    def block_names(self):
        return ["body"]

    def forward(self, patches):
        return self.head(self.body(patches).mean(dim=(2, 3)))

class Pair(Net):
    def forward(self, patches):
        return super().forward(patches), patches

class Square(Net):
    def forward(self, patches):
        assert patches.shape[2] == patches.shape[3], "square only"
        return super().forward(patches)

class Late(Net):
    def forward(self, patches):
        scores = super().forward(patches)
        return (scores, None) if self.training else scores

def made(n_classes):
    return n_classes

class Other(nn.Module):
    pass

constant = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "my_net.py").write_text(SOURCE)
    (tmp_path / "needs.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("my_net", None)


def units(n=16, seed=0):
    rng = np.random.default_rng(seed)
    frames = [rng.standard_normal((150, 12)).astype(np.float32) for _ in range(n)]
    return Units(frames, np.arange(n) % 2, np.ones(12, bool), PatchSettings(), -4.6)


def train(name, tmp_path, settings=None):
    settings = settings or Training(epochs=1, batch_units=8, patches_per_unit=2, threads=1)
    data = TrainingData(units(), units(8, 1), Scaler.fit(units()), 2)
    network = ModelSettings(name=name)
    return fit(lambda: build(network, 2), data, settings, 0, make_fabric("cpu"), tmp_path / "checkpoint.pt")


def test_a_class_beside_the_user_trains_and_is_explained(folder):
    network, history = train("my_net:Net", folder)
    assert np.isfinite(history["train_loss"]).all()
    assert predict(network, units(8, 1), Scaler.fit(units()), Readout("mean"), make_fabric("cpu")).shape == (8, 2)
    assert blocks_of(network) == ["body"]
    patches = torch.randn(3, 1, 12, 96)
    assert heat_maps(network, patches, ["body"], ["hires_cam"], 1).signed["hires_cam", "body"].shape == (3, 5, 47)
    with torch.no_grad():
        occluded = Occlusion(network, patches, torch.zeros_like(patches)).scores(np.arange(12) < 4)
        torch.testing.assert_close(occluded, network(patches.index_fill(2, torch.arange(4), 0)))


def test_a_name_with_a_colon_is_custom_whatever_the_family():
    assert ModelSettings("timm", "a.b:C") == ModelSettings("custom", "a.b:C")
    for name in ("resnet18", "my_net:", ":Net"):
        with pytest.raises(Refused, match=f"model.name is '{name}'; expected package.module:Class"):
            ModelSettings("custom", name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_net:Net", "there is no module no_such_net in .* or among the installed packages"),
        ("needs:Net", "there is no module no_such_module_anywhere"),
        ("my_net:Absent", r"my_net.py has no class Absent"),
        ("my_net:constant", r"my_net.py has no class constant"),
        ("my_net:Other", r"Other\(n_classes=2\) is not possible: .*n_classes"),
        ("my_net:made", r"which makes a int; expected a torch.nn.Module"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(folder, name, message):
    with pytest.raises(Refused, match=message) as caught:
        build(ModelSettings(name=name), 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_net:Pair", "Pair returned tuple for 2 patches"),
        ("my_net:Late", "Late returned tuple for 16 patches"),
        ("my_net:Square", "Square does not take patches of 12 bands and 96 frames: square only"),
    ],
)
def test_what_is_no_score_is_refused_before_it_trains(folder, name, message):
    with pytest.raises(Refused, match=message):
        train(name, folder)


def test_a_network_of_timm_of_another_size_is_refused():
    import timm

    swin = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=(64, 96), in_chans=1, num_classes=2, depths=(1, 1)
    )
    with pytest.raises(Refused, match="does not take patches of 54 bands and 96 frames"):
        check_network(swin, torch.randn(2, 1, 54, 96), 2)


def test_a_check_leaves_random_numbers_modes_and_statistics_as_they_are():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    expected, _ = torch.get_rng_state(), torch.rand(1)
    torch.set_rng_state(expected)
    check_network(network, torch.ones(2, 1, 8, 8), 2)
    assert torch.equal(torch.get_rng_state(), expected)
    assert network.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    with pytest.raises(Refused, match=r"returned \(2, 2\) for 2 patches; expected one tensor of scores, \(2, 3\)"):
        check_network(network, torch.ones(2, 1, 8, 8), 3)


def test_the_source_of_a_custom_network_has_a_digest(folder):
    """An edit of its file, or of a file beside it that it uses, is another network."""

    def source():
        for name in ("net_with_parts", "parts_of_net"):
            sys.modules.pop(name, None)
        return network_source(ModelSettings(name="net_with_parts:Net"))

    importlib.invalidate_caches()
    (folder / "net_with_parts.py").write_text("from parts_of_net import size\n\nclass Net: width = size()\n")
    (folder / "parts_of_net.py").write_text("def size(): return 1\n")
    before = source()
    assert source() == before
    (folder / "parts_of_net.py").write_text("def size(): return 16\n")
    after = source()
    assert after != before
    (folder / "net_with_parts.py").write_text("from parts_of_net import size\n\nclass Net: width = 2 * size()\n")
    assert source() not in (before, after)
    assert network_source(ModelSettings()) is None
    assert network_source(ModelSettings("timm", "resnet18")) is not None

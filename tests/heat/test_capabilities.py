import pytest
import torch

from respcam.heat.cam import heat_maps
from respcam.heat.capabilities import BlockNames, MeanGradient, PartialScores, shortcut
from respcam.network.model import BandCNN
from respcam.network.occluded import Occlusion


class Halved(BandCNN):
    """Scores half of what its parent scores: the parent's shortcuts are wrong for it."""

    def forward(self, patches):
        return 0.5 * super().forward(patches)


class Restated(BandCNN):
    """The same network, which says so."""

    last_layer, maps, score = BandCNN.last_layer, BandCNN.maps, BandCNN.score
    mean_gradient, occluded = BandCNN.mean_gradient, BandCNN.occluded


def test_band_cnn_offers_all():
    model = BandCNN(2)
    assert isinstance(model, BlockNames)
    assert shortcut(model, MeanGradient) is model
    assert shortcut(model, PartialScores) is model
    assert model.last_layer() == "blocks.3"


def test_a_plain_network_offers_nothing():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3))
    assert not isinstance(model, BlockNames)
    assert shortcut(model, MeanGradient) is None


def hooked(model):
    model.register_forward_pre_hook(lambda _module, inputs: (2 * inputs[0],))
    return model


def patched(model):
    forward = model.forward
    model.forward = lambda patches: 2 * forward(patches)
    return model


CHANGED = {
    "subclass": lambda: Halved(3, width=4),
    "hook": lambda: hooked(BandCNN(3, width=4)),
    "patched": lambda: patched(BandCNN(3, width=4)),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_forward_pass_withdraws_the_shortcuts(name):
    torch.manual_seed(0)
    model, patches = CHANGED[name]().eval(), torch.randn(2, 1, 64, 96)
    assert shortcut(model, MeanGradient) is None
    assert shortcut(model, PartialScores) is None
    general = heat_maps(model, patches, ["blocks.3"], ["grad_cam", "hires_cam"], 1)  # two methods: never a formula
    torch.testing.assert_close(
        heat_maps(model, patches, ["blocks.3"], ["grad_cam"], 1).signed["grad_cam", "blocks.3"],
        general.signed["grad_cam", "blocks.3"],
    )
    is_removed = torch.arange(64) < 9
    with torch.no_grad():
        occluded = Occlusion(model, patches, torch.zeros_like(patches)).scores(is_removed.numpy())
        torch.testing.assert_close(occluded, model(torch.where(is_removed[:, None], 0.0, patches)))


def test_a_subclass_may_state_that_a_shortcut_still_holds():
    assert shortcut(Restated(2), MeanGradient) is not None
    assert shortcut(Restated(2), PartialScores) is not None


@pytest.mark.parametrize("n_bands", [64, 10])
def test_the_formula_equals_the_backward_pass(n_bands):
    torch.manual_seed(0)
    model, patches = BandCNN(3, width=4).eval(), torch.randn(2, 1, n_bands, 96)
    formula = heat_maps(model, patches, ["blocks.3"], ["grad_cam"], 2).signed["grad_cam", "blocks.3"]
    general = heat_maps(model, patches, ["blocks.3"], ["grad_cam", "layer_cam"], 2).signed["grad_cam", "blocks.3"]
    torch.testing.assert_close(formula, general, atol=1e-6, rtol=1e-4)

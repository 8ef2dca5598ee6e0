import numpy as np
import pytest
import torch
from torch import nn

from respcam.errors import Refused
from respcam.heat.cam import heat_maps
from respcam.heat.resize import to_input
from respcam.network.attribution import band_drops, heat_of
from respcam.network.model import BandCNN
from respcam.sound.front_end import FrontEnd, band_edges_hz

PATCHES = np.random.default_rng(0).standard_normal((70, 64, 96)).astype(np.float32)  # more than one batch
BAND = 30


class OneBand(nn.Module):
    """Class 1 is scored by the mean of one band, the others by nothing."""

    def __init__(self, n_classes=2):
        super().__init__()
        self.pass_on = nn.Identity()
        self.n_classes = n_classes

    def forward(self, patches):
        scores = patches.new_zeros(len(patches), self.n_classes)
        scores[:, -1] = self.pass_on(patches)[:, 0, BAND].mean(dim=1)
        return scores


@pytest.fixture
def network():
    torch.manual_seed(0)
    return BandCNN(3, width=4)


@pytest.mark.parametrize(("layers", "method"), [(None, "hires_cam"), (["blocks.3"], "grad_cam")])
@pytest.mark.parametrize("target", [None, 1, "per patch"])
def test_heat_is_that_of_heat_maps_at_the_resolution_of_the_input(network, layers, method, target):
    classes = np.arange(70) % 3 if target == "per patch" else target
    heat = heat_of(network, PATCHES, layers, method, classes)
    named = layers or [f"blocks.{number}" for number in range(4)]
    expected_target = torch.from_numpy(classes) if target == "per patch" else target
    maps = heat_maps(network, torch.from_numpy(PATCHES)[:, None], named, [method], expected_target)
    expected = to_input(maps.heat(method, named), 64, 96)
    assert (heat.dtype, heat.shape) == (np.float32, PATCHES.shape)
    assert heat.max() > 0
    np.testing.assert_allclose(heat, expected.numpy(), rtol=1e-4, atol=1e-7)


def test_heat_is_raw(network):
    """With twice the weights of the last layer the heat is twice as much; scaled heat would stay."""
    heat = heat_of(network, PATCHES[:4], ["blocks.2"], target=0)
    with torch.no_grad():
        network.head.weight *= 2
    np.testing.assert_allclose(heat_of(network, PATCHES[:4], ["blocks.2"], target=0), 2 * heat, rtol=1e-4, atol=1e-7)


def test_heat_lies_on_the_band_that_the_network_uses():
    heat = heat_of(OneBand(), np.abs(PATCHES), ["pass_on"], target=1)
    assert (heat[:, BAND] > 0).all()
    assert not np.delete(heat, BAND, axis=1).any()


def test_the_network_stays_as_it_was(network):
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    heat_of(network, PATCHES[:4])
    band_drops(network, PATCHES[:4])
    assert network.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_the_drop_is_that_of_the_group_of_the_band_that_the_network_uses():
    drops = band_drops(OneBand(), PATCHES + 1, target=1)
    centre_hz = band_edges_hz(FrontEnd())[BAND, 1]
    is_used = (drops["lower_hz"] <= centre_hz) & (centre_hz < drops["upper_hz"])
    assert is_used.sum() == 1
    assert drops["n_bands"].sum() == 64
    assert (drops.loc[~is_used, "drop"] == 0).all()
    # the mean of the band over all patches replaces it, so nothing is lost on average
    np.testing.assert_allclose(drops.loc[is_used, "drop"], 0, atol=1e-6)
    with_fill = band_drops(OneBand(), PATCHES + 1, target=1, fill=0.0)
    # two classes, one with score 0: log-odds are the score itself
    np.testing.assert_allclose(with_fill.loc[is_used, "drop"], (PATCHES + 1)[:, BAND].mean(), rtol=1e-5)
    assert (with_fill.loc[~is_used, "drop"] == 0).all()


def test_log_odds_count_and_not_scores():
    patches = np.full((5, 64, 96), 2, np.float32)
    (drop,) = band_drops(OneBand(3), patches, target=2, fill=0.0)["drop"].nlargest(1)
    assert drop == pytest.approx(2)  # against two classes of score 0: 2 - log 2 without less 0 - log 2
    (rise,) = band_drops(OneBand(3), patches, target=0, fill=0.0)["drop"].nsmallest(1)
    assert rise == pytest.approx(-np.log(1 + np.exp(2)) + np.log(2))


def test_every_form_of_fill_and_target_says_the_same(network):
    mean = PATCHES.mean(axis=(0, 2))
    expected = band_drops(network, PATCHES, target=1)["drop"]
    broadcast = np.broadcast_to(mean[:, None], PATCHES.shape)
    for fill in (mean, broadcast):
        np.testing.assert_array_equal(band_drops(network, PATCHES, target=1, fill=fill)["drop"], expected)
    per_patch = band_drops(network, PATCHES, target=np.ones(70, dtype=int))["drop"]
    np.testing.assert_array_equal(per_patch, expected)
    assert abs(band_drops(network, PATCHES, target=1, fill=-4.6)["drop"] - expected).max() > 0


def test_without_a_target_the_highest_score_of_each_patch_is_examined():
    patches = PATCHES * 50
    highest = (patches[:, BAND].mean(axis=1) > 0).astype(int)
    assert 0 < highest.sum() < 70
    expected = band_drops(OneBand(), patches, target=highest, fill=0.0)
    np.testing.assert_array_equal(band_drops(OneBand(), patches, fill=0.0)["drop"], expected["drop"])


def test_groups_are_those_of_the_front_end():
    front_end = FrontEnd(n_bands=20, f_max_hz=1000)
    drops = band_drops(OneBand(), PATCHES[:, :31], FrontEnd(n_bands=31, f_max_hz=1000), target=1)
    assert drops["upper_hz"].max() <= 1150
    with pytest.raises(Refused, match=r"patches have the shape \(70, 64, 96\); expected .* with 20 bands"):
        band_drops(OneBand(), PATCHES, front_end)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"patches": PATCHES[0]}, r"patches have the shape \(64, 96\); expected \(patch, band, frame\)"),
        ({"patches": PATCHES[:0]}, r"patches have the shape \(0, 64, 96\)"),
        ({"patches": PATCHES * np.nan}, "patches hold NaN or infinite values"),
        ({"target": 2}, "classes 0..1|classes 2 to 2; expected 0 to 1"),
        ({"target": [0, 1]}, r"target is int64 of shape \(2,\); expected a class, or one for each of 70 patches"),
        ({"target": 0.5}, "target is float64"),
    ],
)
def test_what_cannot_be_attributed_is_refused(arguments, words):
    arguments = {"patches": PATCHES, **arguments}
    with pytest.raises(Refused, match=words):
        heat_of(OneBand(), layers=["pass_on"], **arguments)
    with pytest.raises(Refused, match=words):
        band_drops(OneBand(), **arguments)


def test_a_fill_or_a_network_that_does_not_fit_is_refused():
    with pytest.raises(Refused, match=r"fill has the shape \(96,\); expected one value, \(64,\) or \(70, 64, 96\)"):
        band_drops(OneBand(), PATCHES, fill=np.zeros(96))
    with pytest.raises(Refused, match="network OneBand scores 1 class; log-odds need 2 or more"):
        band_drops(OneBand(1), PATCHES)
    with pytest.raises(Refused, match="OneBand names no blocks; name layers .* of pass_on"):
        heat_of(OneBand(), PATCHES)

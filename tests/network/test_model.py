import pytest
import torch

from respcam.network.model import ModelSettings, blocks_of, build


@pytest.mark.parametrize("n_bands", [1, 2, 3, 10, 54, 64, 128])
def test_band_cnn_takes_any_number_of_bands(n_bands):
    model = build(ModelSettings(), 3).eval()
    rows = 0

    def watch(_module, _inputs, output):
        nonlocal rows
        rows = output.shape[2]

    model.blocks.register_forward_hook(watch)
    assert model(torch.randn(2, 1, n_bands, 96)).shape == (2, 3)
    assert rows == (n_bands + 1) // 2  # frequency is halved once


def test_band_cnn_knows_where_in_frequency_it_looks():
    torch.manual_seed(0)
    model = build(ModelSettings(), 2).eval()
    low, high = torch.zeros(2, 1, 1, 64, 96)
    low[:, :, 16], high[:, :, 40] = 3, 3  # the same line, well away from both edges
    assert (model(low) - model(high)).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "convnext_atto"])
def test_networks_of_timm_take_one_channel(name):
    settings = ModelSettings("timm", name)
    model = build(settings, 2).eval()
    assert model(torch.randn(2, 1, 64, 96)).shape == (2, 2)
    assert len(blocks_of(model)) > 2
    assert set(blocks_of(model)) <= set(dict(model.named_modules()))


def test_the_blocks_of_band_cnn_go_up():
    assert blocks_of(build(ModelSettings(), 2)) == ["blocks.0", "blocks.1", "blocks.2", "blocks.3"]


def test_a_network_without_named_blocks_asks_for_layers():
    with pytest.raises(
        ValueError,
        match=r"Sequential names no blocks; name layers whose output is a map: 'explain.layers=.LAYER.' of 0",
    ):
        blocks_of(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1)))


def test_an_unknown_network_is_refused_with_a_hint():
    with pytest.raises(ValueError, match=r"model.name is 'resnet1', which timm .* did you mean"):
        build(ModelSettings("timm", "resnet1"), 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "keras"}, "band_cnn, vggish, cnn14, timm"),
        ({"width": 0}, "at least 1"),
        ({"dropout": 1.0}, "below 1"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        ModelSettings(**change)

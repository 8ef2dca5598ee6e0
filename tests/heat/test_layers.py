import pytest
import timm
import torch
from torch import nn

from respcam.errors import Refused
from respcam.heat.cam import METHODS, heat_maps
from respcam.heat.layers import channel_order, module_of, outputs_of


class Last(nn.Module):
    """Channels last from the first layer on; ``first`` writes the same network channels first."""

    def __init__(self, is_first=False):
        super().__init__()
        torch.manual_seed(0)
        self.is_first = is_first
        self.body = nn.Sequential(nn.Conv2d(1, 5, 3, stride=2), nn.ReLU(), nn.Conv2d(5, 7, 3, stride=2))
        self.block = nn.Identity()
        self.head = nn.Linear(7, 3)

    def forward(self, patches):
        maps = self.body(patches)
        maps = self.block(maps if self.is_first else maps.permute(0, 2, 3, 1))
        if not self.is_first:
            maps = maps.permute(0, 3, 1, 2)
        return self.head(maps.relu().amax(dim=(2, 3)))


PATCHES = torch.randn(2, 1, 32, 48, generator=torch.Generator().manual_seed(1))


def declared(network):
    network.output_fmt = "NHWC"
    return network


@pytest.mark.parametrize("method", METHODS)
def test_heat_of_a_network_with_channels_last_is_that_of_the_same_network_with_channels_first(method):
    first, last = Last(is_first=True).eval(), Last().eval()
    last.block.output_fmt = "NHWC"
    expected = heat_maps(first, PATCHES, ["block"], [method], 1).signed[method, "block"]
    assert expected.shape == (2, 7, 11)
    torch.testing.assert_close(heat_maps(last, PATCHES, ["block"], [method], 1).signed[method, "block"], expected)


def test_the_network_may_declare_the_order_and_convolutions_in_it_are_known():
    network = declared(Last()).eval()
    heat = heat_maps(network, PATCHES, ["body.2", "block"], ["hires_cam"], 1).signed
    torch.testing.assert_close(heat["hires_cam", "body.2"], heat["hires_cam", "block"])


def test_channels_last_without_a_word_are_refused():
    with pytest.raises(Refused, match=r"layer 'block' gives \(2, 7, 11, 7\).*declares output_fmt = 'NHWC'"):
        heat_maps(Last().eval(), PATCHES, ["block"])
    assert heat_maps(Last(is_first=True).eval(), PATCHES, ["block"]).signed["grad_cam", "block"].shape == (2, 7, 11)


def test_a_network_of_one_size_is_refused_where_the_map_is_larger_than_the_input():
    class OneSize(Last):
        def forward(self, patches):
            assert patches.shape[2] == 32
            return super().forward(patches)

    network = OneSize().eval()
    network.body[2] = nn.Conv2d(5, 64, 3, stride=2)
    network.head = nn.Linear(64, 3)
    with pytest.raises(Refused, match="which is not \\(patch, channel, row, column\\)"):
        heat_maps(network, PATCHES, ["block"])


@pytest.fixture(scope="module")
def swin():
    torch.manual_seed(0)
    return timm.create_model(
        "swin_tiny_patch4_window7_224",
        img_size=(64, 96),
        in_chans=1,
        num_classes=2,
        embed_dim=24,
        depths=(1, 1, 1, 1),
    ).eval()


@pytest.mark.parametrize(("layer", "shape"), [("layers.0", (16, 24)), ("layers.1", (8, 12)), ("layers.3", (2, 3))])
def test_maps_of_a_swin_transformer_are_rows_and_columns(swin, layer, shape):
    heat = heat_maps(swin, torch.randn(2, 1, 64, 96), [layer], ["grad_cam", "hires_cam"], 1)
    assert heat.signed["grad_cam", layer].shape == (2, *shape)
    assert heat.signed["hires_cam", layer].shape == (2, *shape)


def test_heat_of_a_swin_transformer_equals_plain_backpropagation(swin):
    patches, outputs = torch.randn(2, 1, 64, 96), []
    handle = swin.layers[1].register_forward_hook(lambda _m, _i, output: outputs.append(output))
    scores = swin(patches)
    handle.remove()
    (gradient,) = torch.autograd.grad(scores[:, 1].sum(), outputs)
    expected = (gradient.mean(dim=(1, 2), keepdim=True) * outputs[0]).sum(dim=3)
    heat = heat_maps(swin, patches, ["layers.1"], ["grad_cam"], 1).signed["grad_cam", "layers.1"]
    torch.testing.assert_close(heat, expected.detach(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("layer", "shape", "order"),
    [
        ("patch_embed", (1, 16, 24, 24), "NHWC"),
        ("patch_embed.proj", (1, 24, 16, 24), "NCHW"),
        ("layers.0.blocks.0", (1, 16, 24, 24), "NHWC"),
    ],
)
def test_the_order_of_a_layer_is_declared_or_follows_from_its_channels(swin, layer, shape, order):
    assert channel_order(swin, layer, module_of(swin, layer), shape) == order


def test_a_network_within_a_network_keeps_its_order(swin):
    wrapper = nn.Sequential(swin)
    assert channel_order(wrapper, "0.layers.1", swin.layers[1], (1, 8, 12, 48)) == "NHWC"
    resnet = nn.Sequential(timm.create_model("resnet18", in_chans=1, num_classes=2))
    assert channel_order(resnet, "0.layer2", resnet[0].layer2, (1, 128, 8, 12)) == "NCHW"
    assert channel_order(nn.Sequential(nn.Identity()), "0", nn.Identity(), (1, 2, 3, 4)) is None


def test_layers_without_a_map_are_refused():
    network = Last(is_first=True)
    with pytest.raises(Refused, match=r"layer 'head' gives \(2, 3\)"):
        heat_maps(network, PATCHES, ["head"])
    with (
        pytest.raises(Refused, match="layer 'nowhere' is not in the model; it has body"),
        outputs_of(network, ["nowhere"], lambda layer, output: output),
    ):
        pass


class Returns(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.body, self.answer = nn.Conv2d(1, 2, 3), answer

    def forward(self, patches):
        return self.answer(self.body(patches))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda maps: (maps.mean((2, 3)), maps), "Returns returned tuple for 2 patches"),
        (lambda maps: {"scores": maps}, "returned dict"),
        (
            lambda maps: maps,
            r"returned \(2, 2, 30, 46\) for 2 patches; expected one tensor of scores, \(2, classes\)",
        ),
        (lambda maps: maps.mean((1, 2, 3)), r"returned \(2,\)"),
        (lambda maps: maps.mean((0, 2, 3))[None], r"returned \(1, 2\)"),
    ],
)
def test_what_is_no_table_of_scores_is_refused(answer, message):
    with pytest.raises(Refused, match=message):
        heat_maps(Returns(answer), PATCHES, ["body"])

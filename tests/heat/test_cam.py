import functools
from types import SimpleNamespace

import captum.attr
import numpy as np
import pytest
import pytorch_grad_cam
import timm
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torch.nn import functional

from respcam.heat.cam import METHODS, fuse, heat_maps, heat_maps_per_class, joined, margins, to_input
from respcam.heat.resize import smoothed
from respcam.network.model import BandCNN


def grad_cam(model, layer, pictures, target=None):
    """Scores, target and heat above zero of plain Grad-CAM."""
    found = heat_maps(model, pictures, [layer], ["grad_cam"], target)
    return SimpleNamespace(scores=found.scores, target=found.target, heat=found.heat("grad_cam", [layer]))


ARCHITECTURES = {
    "band_cnn": (lambda: BandCNN(4), "blocks.2"),
    "band_cnn_last": (lambda: BandCNN(4), "blocks.3"),
    "resnet18": (lambda: timm.create_model("resnet18", in_chans=1, num_classes=4), "layer3"),
    "densenet": (lambda: timm.create_model("densenet121", in_chans=1, num_classes=4), "features.denseblock2"),
    "convnext": (lambda: timm.create_model("convnext_atto", in_chans=1, num_classes=4), "stages.2"),
}


@pytest.fixture(params=ARCHITECTURES)
def case(request):
    torch.manual_seed(0)
    make, layer = ARCHITECTURES[request.param]
    model = make().eval()
    for module in model.modules():  # statistics unlike those of a fresh network
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return model, layer, torch.randn(3, 1, 64, 96), torch.tensor([0, 3, 1])


def relative(found, expected):
    expected = np.asarray(expected)
    return np.abs(found.numpy() - expected).max() / max(np.abs(expected).max(), 1e-12)


def test_heat_equals_captum(case):
    model, layer, pictures, target = case
    found = grad_cam(model, layer, pictures, target)
    oracle = captum.attr.LayerGradCam(model, dict(model.named_modules())[layer])
    expected = oracle.attribute(pictures, target, relu_attributions=True)[:, 0].detach()
    assert expected.max() > 0
    np.testing.assert_allclose(found.heat, expected, atol=1e-5)
    assert relative(found.heat, expected) < 1e-4


ORACLES = {
    "grad_cam": pytorch_grad_cam.GradCAM,
    "grad_cam_pp": pytorch_grad_cam.GradCAMPlusPlus,
    "hires_cam": pytorch_grad_cam.HiResCAM,
    "xgrad_cam": pytorch_grad_cam.XGradCAM,
    "layer_cam": pytorch_grad_cam.LayerCAM,
}


@pytest.mark.parametrize("method", ORACLES)
def test_heat_equals_pytorch_grad_cam_before_it_scales(case, method):
    model, layer, pictures, target = case
    model, pictures = model.double(), pictures.double()  # gradient times map cancels out behind a LayerNorm
    head = [each for each in model.modules() if isinstance(each, nn.Linear)][-1]
    with torch.no_grad():  # gradients well above the small number that the oracle adds to every divisor
        head.weight.mul_(1e4)
    found = heat_maps(model, pictures, [layer], [method], target).signed[method, layer]
    module = dict(model.named_modules())[layer]
    with ORACLES[method](model, [module]) as oracle:
        oracle(pictures, [ClassifierOutputTarget(int(k)) for k in target])
        activations = oracle.activations_and_grads.activations[0].numpy()
        gradients = oracle.activations_and_grads.gradients[0].numpy()
        raw = oracle.get_cam_image(pictures, module, None, activations, gradients, eigen_smooth=False)
    if method == "grad_cam_pp" and activations.min() < 0:
        pytest.skip("with maps below zero the divisor passes through zero, where the oracle's small number decides")
    assert relative(found, raw) < (2e-3 if method == "grad_cam_pp" else 1e-4)


def test_score_cam_equals_pytorch_grad_cam(small, monkeypatch):
    # the oracle resizes with aligned corners; ours resizes the mask as it does the heat
    resize = functools.partial(nn.Upsample, mode="bilinear", align_corners=False)
    monkeypatch.setattr(nn, "UpsamplingBilinear2d", resize)
    model, pictures, target = small
    found = heat_maps(model, pictures, ["blocks.3"], ["score_cam"], target).signed["score_cam", "blocks.3"]
    with pytorch_grad_cam.ScoreCAM(model, [model.blocks[3]]) as oracle:
        oracle.uses_gradients = False
        targets = [ClassifierOutputTarget(int(k)) for k in target]
        oracle(pictures, targets)
        maps = oracle.activations_and_grads.activations[0].numpy()
        weights = oracle.get_cam_weights(pictures, None, targets, maps, None)
    expected = (np.asarray(weights)[:, :, None, None] * maps).sum(axis=1)
    assert relative(found, expected) < 1e-4


def test_ablation_cam_equals_taking_maps_away_by_hand(small):
    model, pictures, target = small
    found = heat_maps(model, pictures, ["blocks.3"], ["ablation_cam"], target).signed["ablation_cam", "blocks.3"]
    score = captum.attr.LayerActivation(model, model.blocks[3]).attribute(pictures)
    maps, expected = score.detach(), 0

    def head(maps):  # the network above the layer, written out
        rows = maps.mean(dim=3)
        return model.head(rows.mean(dim=2) + rows.amax(dim=2) + maps.amax(dim=(2, 3)))

    own = head(maps).gather(1, target[:, None])
    for channel in range(maps.shape[1]):
        without = maps.clone()
        without[:, channel] = 0
        weight = own - head(without).gather(1, target[:, None])
        expected = expected + weight[:, :, None] * maps[:, channel]
    assert relative(found, expected.detach()) < 1e-4


@pytest.fixture
def small():
    torch.manual_seed(0)
    model = BandCNN(3, width=2).eval()
    return model, torch.randn(2, 1, 64, 96), torch.tensor([0, 2])


def test_heat_equals_plain_backpropagation(case):
    model, layer, pictures, target = case
    caught = []
    handle = dict(model.named_modules())[layer].register_forward_hook(lambda m, i, o: caught.append(o))
    scores = model(pictures)
    handle.remove()
    (gradient,) = torch.autograd.grad(scores.gather(1, target[:, None]).sum(), caught)
    expected = functional.relu((gradient.mean((2, 3), keepdim=True) * caught[0]).sum(1))
    found = grad_cam(model, layer, pictures, target)
    np.testing.assert_allclose(found.heat, expected.detach(), atol=1e-5)
    np.testing.assert_allclose(found.scores, scores.detach(), atol=1e-5)


def n_hooks(model):
    return sum(len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_the_model_is_as_before(case):
    model, layer, pictures, target = case
    model.train()
    next(module for module in model.modules() if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm))).eval()
    modes = [module.training for module in model.modules()]
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    grad_cam(model, layer, pictures, target)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert [module.training for module in model.modules()] == modes
    assert n_hooks(model) == 0
    assert torch.is_grad_enabled()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_no_hook_is_left_after_an_exception():
    class Fails(BandCNN):
        def forward(self, patches):
            super().forward(patches)
            raise RuntimeError("late failure")

    model = Fails(2).train()
    with pytest.raises(RuntimeError, match="late failure"):
        grad_cam(model, "blocks.3", torch.randn(1, 1, 64, 96))
    assert n_hooks(model) == 0
    assert model.training
    assert torch.is_grad_enabled()


def test_nothing_below_the_layer_is_recorded():
    class Watch(nn.Module):
        def forward(self, x):
            self.recorded = torch.is_grad_enabled()
            return x

    below, layer, above = Watch(), nn.Conv2d(1, 4, 3), Watch()
    model = nn.Sequential(below, layer, above, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    grad_cam(model, "1", torch.randn(2, 1, 8, 8))
    assert not below.recorded
    assert above.recorded


def test_patches_do_not_influence_each_other(case):
    model, layer, pictures, target = case
    together = grad_cam(model, layer, pictures, target).heat
    alone = [
        grad_cam(model, layer, picture[None], k[None]).heat[0] for picture, k in zip(pictures, target, strict=True)
    ]
    np.testing.assert_allclose(together, torch.stack(alone), atol=1e-5)


def test_heat_grows_with_the_score_and_is_never_rescaled():
    model = BandCNN(2).eval()
    pictures = torch.randn(2, 1, 64, 96)
    before = grad_cam(model, "blocks.3", pictures, 1).heat
    with torch.no_grad():
        model.head.weight.mul_(10)
    after = grad_cam(model, "blocks.3", pictures, 1).heat
    np.testing.assert_allclose(after, 10 * before, rtol=1e-4, atol=1e-6)


def test_the_predicted_class_is_the_default():
    model = BandCNN(3).eval()
    found = grad_cam(model, "blocks.3", torch.randn(5, 1, 64, 96))
    assert torch.equal(found.target, found.scores.argmax(dim=1))


def test_time_reversal_reverses_heat():
    class PerPixel(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = nn.Conv2d(1, 4, 1)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(functional.relu(self.map(x)).mean((2, 3)))

    model, pictures = PerPixel(), torch.randn(2, 1, 8, 12)
    heat = grad_cam(model, "map", pictures, 0).heat
    reversed_ = grad_cam(model, "map", pictures.flip(3), 0).heat
    np.testing.assert_allclose(reversed_, heat.flip(2), atol=1e-6)


def test_an_in_place_layer_above_is_no_obstacle():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    assert grad_cam(model, "0", torch.randn(2, 1, 8, 8)).heat.shape == (2, 6, 6)


@pytest.mark.parametrize(
    ("layer", "target", "message"),
    [
        ("nowhere", None, "layer 'nowhere' is not in the model"),
        ("head", None, r"layer 'head' gives \(2, 3\); expected \(patch, channel, row, column\)"),
        ("unused", None, "ran 0 times"),
        ("blocks.3", 3, "the model has classes 0..2"),
        ("blocks.3", -1, "the model has classes 0..2"),
    ],
)
def test_bad_requests_are_refused(layer, target, message):
    model = BandCNN(3)
    model.unused = nn.Conv2d(1, 1, 1)
    with pytest.raises(ValueError, match=message):
        grad_cam(model, layer, torch.randn(2, 1, 64, 96), target)
    assert n_hooks(model) == 0


def test_a_score_that_does_not_depend_on_the_layer_is_refused():
    class Ignores(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = nn.Conv2d(1, 2, 1)
            self.bias = nn.Parameter(torch.zeros(2))

        def forward(self, x):
            self.map(x)
            return self.bias.expand(len(x), 2)

    with pytest.raises(ValueError, match="the class score does not depend on it"):
        grad_cam(Ignores(), "map", torch.randn(2, 1, 8, 8), 0)


def test_heat_is_resized_like_the_picture():
    heat = torch.zeros(1, 4, 6)
    heat[0, 2, 3] = 1
    large = to_input(heat, 64, 96)
    assert large.shape == (1, 64, 96)
    row, column = divmod(int(large[0].argmax()), 96)
    assert 32 <= row < 48
    assert 48 <= column < 64
    assert torch.equal(to_input(heat, 4, 6), heat)


def test_heat_of_band_cnn_is_its_class_activation_map():
    model = BandCNN(3).eval()
    model.norm.running_mean.uniform_(-1, 1)
    model.norm.running_var.uniform_(0.25, 4)
    caught = []
    model.blocks.register_forward_hook(lambda m, i, o: caught.append(o))
    heat = grad_cam(model, "blocks.3", torch.randn(4, 1, 64, 96), 2).heat
    maps = caught[0].detach()
    weight = model.head.weight[2] / (model.norm.running_var + model.norm.eps).sqrt()
    expected = functional.relu(torch.einsum("k,pkrc->prc", weight, maps))
    np.testing.assert_allclose(heat, expected.detach() * 3 / maps[0, 0].numel(), atol=1e-6)


@pytest.mark.parametrize("layer", ["blocks.2", "blocks.3"])
def test_heat_may_take_part_in_a_loss(layer):
    maps = heat_maps(BandCNN(3).eval(), torch.randn(2, 1, 64, 96), [layer])
    weight = torch.ones(2, requires_grad=True)
    loss = (weight * maps.heat("grad_cam", [layer]).mean(dim=(1, 2))).sum() + (weight[:, None] * maps.scores).sum()
    (loss + (weight * maps.target).sum()).backward()
    expected = maps.heat("grad_cam", [layer]).mean(dim=(1, 2)) + maps.scores.sum(dim=1) + maps.target
    torch.testing.assert_close(weight.grad, expected)


STAGES = [f"blocks.{number}" for number in range(4)]


def test_several_layers_at_once_are_as_each_alone():
    model, pictures = BandCNN(3).eval(), torch.randn(3, 1, 64, 96)
    together = heat_maps(model, pictures, STAGES, list(METHODS)[:5], 1)
    assert len(together.signed) == 20
    for (method, layer), maps in together.signed.items():
        alone = heat_maps(model, pictures, [layer], [method], 1).signed[method, layer]
        np.testing.assert_allclose(maps, alone, atol=1e-6)
    assert n_hooks(model) == 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_gradient_times_map_adds_up_to_the_score_at_every_layer_without_biases():
    torch.manual_seed(0)
    model = BandCNN(2).eval()
    with torch.no_grad():
        model.head.bias.zero_()
    found = heat_maps(model, torch.randn(2, 1, 64, 96), STAGES, ["hires_cam"], 1)
    for layer in STAGES:
        total = found.signed["hires_cam", layer].sum(dim=(1, 2))
        np.testing.assert_allclose(total, found.scores[:, 1], rtol=0.05)  # fresh batch normalisation has no bias


def test_signs_are_kept_where_a_method_has_them():
    model, pictures = BandCNN(2).eval(), torch.randn(4, 1, 64, 96)
    found = heat_maps(model, pictures, ["blocks.2"], list(METHODS)[:5], 0)
    for method, description in list(METHODS.items())[:5]:
        maps = found.signed[method, "blocks.2"]
        assert (maps.min() < 0) == description.is_signed, method
        assert found.heat(method, ["blocks.2"]).min() >= 0


def test_fusion_keeps_sums_and_takes_the_finest_shape():
    fine, coarse = torch.rand(2, 64, 48), torch.rand(2, 32, 6)
    fused = fuse([fine, coarse])
    assert fused.shape == fine.shape
    np.testing.assert_allclose(fused.sum((1, 2)), (fine.sum((1, 2)) + coarse.sum((1, 2))) / 2, rtol=1e-5)
    assert torch.equal(fuse([fine]), fine)


@pytest.mark.parametrize(("stride", "n_rows"), [(2, 64), (2, 55), (3, 27)])
def test_fused_heat_has_no_zigzag_of_the_stride(stride, n_rows):
    """Heat that alternates with the stride of the next layer, on an input that is the same everywhere."""
    torch.manual_seed(0)
    below, above = (
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.Conv2d(4, 4, 2 * stride - 1, stride=(stride, 1), bias=False),
    )
    for layer in (below, above):
        nn.init.uniform_(layer.weight, 0.1, 1)
    network = nn.Sequential(below, above, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1, bias=False)).eval()
    nn.init.ones_(network[4].weight)
    maps = heat_maps(network, torch.ones(1, 1, n_rows, 12), ["0", "1"], ["hires_cam"], target=0)
    zigzag = maps.heat("hires_cam", ["0"]).sum(dim=2)[0, 6:-6]
    fused = maps.heat("hires_cam", ["0", "1"]).sum(dim=2)[0, 6:-6]
    assert zigzag.max() / zigzag.min() > 1.2
    assert fused.max() / fused.min() < 1.01


def test_smoothing_keeps_the_sum():
    heat = torch.rand(2, 9, 5)
    for stride in (2, 3, 4):
        torch.testing.assert_close(smoothed(heat, stride).sum(dim=(1, 2)), heat.sum(dim=(1, 2)))


def test_margins_are_the_sums_of_the_resized_heat():
    heat = torch.rand(3, 32, 6)
    large = to_input(heat, 54, 96)
    per_band, per_frame = margins(heat, 54, 96)
    np.testing.assert_allclose(per_band, large.sum(dim=2), rtol=1e-4)
    np.testing.assert_allclose(per_frame, large.sum(dim=1), rtol=1e-4)


def test_overlapping_patches_are_added_or_averaged():
    heat = np.ones((3, 1, 4), dtype=np.float32) * np.array([1, 3, 8])[:, None, None]
    starts = np.array([0, 2, 6])
    np.testing.assert_allclose(joined(heat, starts, 9)[0], [1, 1, 4, 4, 3, 3, 8, 8, 8])
    np.testing.assert_allclose(joined(heat, starts, 9, is_mean=True)[0], [1, 1, 2, 2, 3, 3, 8, 8, 8])


def test_unknown_methods_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="expected some of grad_cam, grad_cam_pp, hires_cam"):
        heat_maps(BandCNN(2), torch.randn(1, 1, 64, 96), ["blocks.3"], ["gradcam"])


def test_every_class_at_once_is_as_each_alone():
    model, pictures = BandCNN(3).eval(), torch.randn(3, 1, 64, 96)
    together = heat_maps_per_class(
        model, pictures, ["blocks.1", "blocks.3"], ["grad_cam", "layer_cam", "ablation_cam"]
    )
    assert len(together) == 3
    for k, found in enumerate(together):
        alone = heat_maps(model, pictures, ["blocks.1", "blocks.3"], ["grad_cam", "layer_cam", "ablation_cam"], k)
        assert (found.target == k).all()
        for key, maps in alone.signed.items():
            np.testing.assert_allclose(found.signed[key], maps, atol=1e-6)
    assert n_hooks(model) == 0


def test_heat_of_a_weighted_sum_of_scores_is_the_weighted_sum_of_their_heat():
    model, pictures = BandCNN(3).eval(), torch.randn(2, 1, 64, 96)
    signed = [
        heat_maps(model, pictures, ["blocks.3"], ["grad_cam"], k).signed["grad_cam", "blocks.3"] for k in (0, 2)
    ]
    direction = torch.tensor([[1.0, 0.0, -2.0]]).expand(2, 3)
    found = heat_maps(model, pictures, ["blocks.3"], ["grad_cam"], 0, direction).signed["grad_cam", "blocks.3"]
    np.testing.assert_allclose(found, signed[0] - 2 * signed[1], atol=1e-5)


@pytest.mark.parametrize(("layers", "methods"), [([], ["grad_cam"]), (["blocks.3"], [])])
def test_heat_of_no_layer_or_no_method_is_refused(layers, methods):
    with pytest.raises(ValueError, match="cam: methods"):
        heat_maps(BandCNN(2), torch.randn(1, 1, 64, 96), layers, methods)

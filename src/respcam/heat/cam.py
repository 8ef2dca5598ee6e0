"""Heat of a patch: where in the picture a class score comes from. Raw and signed, never rescaled."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from respcam.network.model import BandCNN, stages


@dataclass(frozen=True)
class Method:
    """A way to turn the maps of a layer into heat.

    Attributes
    ----------
    title : str
    source : str
        Where it was published.
    equation : str
        With A_k the map of channel k, G_k the gradient of the class score (before softmax) with
        respect to it, and S the class score.
    is_signed : bool
        Whether heat below zero (against the class) has a meaning.
    needs_gradient : bool
        False where the method takes a forward pass per channel instead.
    """

    title: str
    source: str
    equation: str
    is_signed: bool
    needs_gradient: bool = True


METHODS = {
    "grad_cam": Method(
        "Grad-CAM", "Selvaraju et al. 2017, arXiv 1610.02391, eq. 1 and 2", "sum_k mean(G_k) A_k", is_signed=True
    ),
    "grad_cam_pp": Method(
        "Grad-CAM++",
        "Chattopadhay et al. 2018, arXiv 1710.11063, eq. 5, 10 and 19",
        "sum_k sum(G_k^2 / (2 G_k^2 + sum(A_k) G_k^3) ReLU(G_k)) A_k",
        is_signed=False,
    ),
    "hires_cam": Method(
        "HiResCAM", "Draelos and Carin 2020, arXiv 2011.08891, eq. 5", "sum_k G_k A_k", is_signed=True
    ),
    "xgrad_cam": Method(
        "XGrad-CAM", "Fu et al. 2020, arXiv 2008.02312, eq. 8", "sum_k sum(G_k A_k) / sum(A_k) A_k", is_signed=True
    ),
    "layer_cam": Method(
        "LayerCAM", "Jiang et al. 2021, IEEE TIP 30, eq. 6 and 7", "sum_k ReLU(G_k) A_k", is_signed=False
    ),
    "score_cam": Method(
        "Score-CAM",
        "Wang et al. 2020, arXiv 1910.01279, eq. 3 to 6",
        "sum_k softmax_k(S(picture * minmax(resized A_k))) A_k",
        is_signed=False,
        needs_gradient=False,
    ),
    "ablation_cam": Method(
        "Ablation-CAM",
        "Desai and Ramaswamy 2020, WACV, eq. 1 and 2, without the division by S, which may be of either sign",
        "sum_k (S - S with A_k at zero) A_k",
        is_signed=True,
        needs_gradient=False,
    ),
}
GRADIENT_FREE = ("score_cam", "ablation_cam")


@dataclass(frozen=True)
class Choice:
    """Where heat comes from.

    Attributes
    ----------
    method : str
        Key of `METHODS`.
    layers : tuple of str
        Dotted names of modules; several are fused.
    """

    method: str
    layers: tuple[str, ...]

    @property
    def place(self) -> str:
        """The layers as one text, for a table: ``blocks.2+blocks.3``."""
        return "+".join(self.layers)


@dataclass(frozen=True)
class HeatMaps:
    """Heat of a batch by several methods at several layers.

    Attributes
    ----------
    scores : float32 [shape=(patch, class)]
        Before softmax.
    target : int64 [shape=(patch,)]
        The class that the heat speaks for.
    signed : dict of (method, layer) to float32 [shape=(patch, row, column)]
        At the resolution of the layer's map; above zero speaks for the class, below against it.
        Comparable between patches.
    """

    scores: torch.Tensor
    target: torch.Tensor
    signed: dict[tuple[str, str], torch.Tensor]

    def heat(self, method: str, layers: Sequence[str]) -> torch.Tensor:
        """Heat for the class: what is above zero of one layer's map, or of several fused.

        Returns
        -------
        float32 [shape=(patch, row, column)]
            Not below zero; at the resolution of the layer, or of the finest of them.
        """
        return functional.relu(fuse([self.signed[method, layer] for layer in layers]))


def heat_maps(
    model: nn.Module,
    pictures: torch.Tensor,
    layers: Sequence[str],
    methods: Sequence[str] = ("grad_cam",),
    target: torch.Tensor | int | None = None,
) -> HeatMaps:
    """Compute the heat of patches.

    Methods that use gradients share one forward and one backward pass, which goes no deeper than
    the lowest layer asked for; the network below it runs without gradients. Score-CAM and
    Ablation-CAM take one forward pass per channel. The model is as before afterwards: no hook, no
    parameter gradient, same mode.

    Parameters
    ----------
    model : nn.Module
        Maps pictures to scores [shape=(patch, class)].
    pictures : float32 [shape=(patch, channel, band, frame)]
    layers : sequence of str
        Dotted names of modules whose output is [shape=(patch, channel, row, column)].
    methods : sequence of str
        Keys of `METHODS`, where each has its paper and equation.
    target : int64 [shape=(patch,)] or int, optional
        Class per patch, or one for all; None takes the class with the highest score.

    Returns
    -------
    HeatMaps

    Raises
    ------
    ValueError
        If a layer is not in the model, is not passed exactly once, gives no map, or the score does
        not depend on it; if a target is not a class; or if a method is not known.
    """
    return _heat(model, pictures, layers, methods, lambda scores: [_class_of(scores, target)])[0]


def heat_maps_per_class(
    model: nn.Module, pictures: torch.Tensor, layers: Sequence[str], methods: Sequence[str] = ("grad_cam",)
) -> list[HeatMaps]:
    """Compute the heat of patches for every class, from one forward pass.

    Parameters, errors and the state of the model afterwards are those of `heat_maps`.

    Returns
    -------
    list of HeatMaps
        In the order of the model's classes.
    """
    return _heat(
        model, pictures, layers, methods, lambda scores: [_class_of(scores, k) for k in range(scores.shape[1])]
    )


def _heat(
    model: nn.Module,
    pictures: torch.Tensor,
    layers: Sequence[str],
    methods: Sequence[str],
    targets_of: Callable[[torch.Tensor], list[torch.Tensor]],
) -> list[HeatMaps]:
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods or not layers:
        raise ValueError(
            f"cam: methods {list(methods)}, layers {list(layers)}; expected some of {', '.join(METHODS)}"
        )
    if type(model) is BandCNN and list(methods) == ["grad_cam"] and list(layers) == stages(model)[-1:]:
        return _known_heat(model, pictures, layers[0], targets_of)
    found = []
    with _in_evaluation(model, is_frozen=True), torch.no_grad():
        scores, maps = _forward(model, pictures, list(layers))
        targets = targets_of(scores)
        for target in targets:
            is_last = target is targets[-1]
            gradients = _gradients(scores, target, dict(zip(layers, maps, strict=True)), not is_last)
            signed = {}
            for layer, own, gradient in zip(layers, maps, gradients, strict=True):
                own = own.detach()
                for method in methods:
                    if method == "score_cam":
                        weights = _score_weights(model, pictures, own, target)
                    elif method == "ablation_cam":
                        weights = _ablation_weights(model, pictures, layer, scores, target, own.shape[1])
                    else:
                        weights = _gradient_weights(method, own, gradient)
                    signed[method, layer] = _weighted_sum(weights, own)
            found.append(HeatMaps(scores.detach(), target, signed))
    return found


def _known_heat(
    model: BandCNN,
    pictures: torch.Tensor,
    layer: str,
    targets_of: Callable[[torch.Tensor], list[torch.Tensor]],
) -> list[HeatMaps]:
    """Grad-CAM on the last map of a network whose mean gradient is known: no backward pass."""
    with _in_evaluation(model, is_frozen=False), torch.inference_mode():
        maps = model.maps(pictures)
        scores = model.score(maps)
        n_cells = maps.shape[2] * maps.shape[3]
        found = [(target, _weighted_sum(model.mean_gradient(target, n_cells), maps)) for target in targets_of(scores)]
    # copies, because what is made in inference mode may not take part in a backward pass
    return [HeatMaps(scores.clone(), target.clone(), {("grad_cam", layer): heat.clone()}) for target, heat in found]


def _forward(model: nn.Module, pictures: torch.Tensor, layers: list[str]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Scores and maps, tied together by a graph that begins at the lowest of the layers."""
    caught: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}

    def catch(layer: str, output: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():  # the lowest layer: gradients stop here, and are wanted from here up
            output = output.detach().requires_grad_()
            torch.set_grad_enabled(True)
        caught[layer].append(output)
        return output.clone()  # what follows may work in place, which a leaf does not allow

    with outputs_of(model, layers, catch):
        scores = model(pictures)
    torch.set_grad_enabled(False)
    for layer, maps in caught.items():
        if len(maps) != 1:
            raise ValueError(f"layer {layer!r} was passed {len(maps)} times; expected once per forward pass")
    return scores, [caught[layer][0] for layer in layers]


def _gradients(
    scores: torch.Tensor, target: torch.Tensor, maps: dict[str, torch.Tensor], is_graph_kept: bool
) -> Sequence[torch.Tensor]:
    with torch.enable_grad():
        own = scores.gather(1, target[:, None]).sum()
        try:
            return torch.autograd.grad(own, list(maps.values()), retain_graph=is_graph_kept)
        except RuntimeError as error:
            raise ValueError(f"layer {', '.join(maps)}: the class score does not depend on it ({error})") from error


def _weighted_sum(weights: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Sum of maps over channels: float32 [shape=(patch, row, column)]."""
    if weights.shape[2:] == (1, 1):  # writes no weighted copy of the maps
        return (maps.permute(0, 2, 3, 1).flatten(1, 2) @ weights[..., 0]).view(len(maps), *maps.shape[2:])
    return (weights * maps).sum(dim=1)


def _gradient_weights(method: str, maps: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Weight of each map, or of each of its cells: broadcasts to [shape=(patch, channel, row, column)]."""
    place = (2, 3)
    if method == "grad_cam":
        return gradient.mean(dim=place, keepdim=True)
    if method == "hires_cam":
        return gradient
    if method == "layer_cam":
        return functional.relu(gradient)
    total = maps.sum(dim=place, keepdim=True)
    if method == "xgrad_cam":
        return _quotient((gradient * maps).sum(dim=place, keepdim=True), total)
    # the class score's exponential, as in the paper, would cancel in the quotient and scale each patch by itself
    share = _quotient(gradient.square(), 2 * gradient.square() + total * gradient.pow(3))
    return (share * functional.relu(gradient)).sum(dim=place, keepdim=True)


def _quotient(upper: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
    """Divide; zero where the divisor is zero."""
    return torch.where(lower == 0, 0.0, upper / lower)


def _score_weights(
    model: nn.Module, pictures: torch.Tensor, maps: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    own_scores = []
    for channel in maps.unbind(dim=1):
        mask = to_input(channel, *pictures.shape[2:])
        low, high = mask.amin(dim=(1, 2), keepdim=True), mask.amax(dim=(1, 2), keepdim=True)
        mask = _quotient(mask - low, high - low)
        own_scores.append(model(pictures * mask[:, None]).gather(1, target[:, None]))
    return torch.cat(own_scores, dim=1).softmax(dim=1)[:, :, None, None]


def _ablation_weights(
    model: nn.Module,
    pictures: torch.Tensor,
    layer: str,
    scores: torch.Tensor,
    target: torch.Tensor,
    n_channels: int,
) -> torch.Tensor:
    own = scores.gather(1, target[:, None])
    drops = []
    for channel in range(n_channels):

        def without(_layer: str, output: torch.Tensor, channel: int = channel) -> torch.Tensor:
            return output.index_fill(1, torch.tensor([channel], device=output.device), 0.0)

        with outputs_of(model, [layer], without):
            drops.append(own - model(pictures).gather(1, target[:, None]))
    return torch.cat(drops, dim=1)[:, :, None, None]


def _class_of(scores: torch.Tensor, target: torch.Tensor | int | None) -> torch.Tensor:
    if target is None:
        return scores.argmax(dim=1)
    target = torch.as_tensor(target, device=scores.device).expand(len(scores))
    lowest, highest = map(int, target.aminmax())
    if lowest < 0 or highest >= scores.shape[1]:
        raise ValueError(f"target class {lowest}..{highest}; the model has classes 0..{scores.shape[1] - 1}")
    return target


@contextmanager
def _in_evaluation(model: nn.Module, is_frozen: bool) -> Iterator[None]:
    """Put the model in evaluation mode, its weights frozen if asked, and leave everything as it was."""
    in_training = [module for module in model.modules() if module.training]
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad] if is_frozen else []
    for module in in_training:
        module.training = False
    for parameter in learning:
        parameter.requires_grad_(False)  # nothing is kept for gradients of weights that nobody asks for
    try:
        yield
    finally:
        for module in in_training:
            module.training = True
        for parameter in learning:
            parameter.requires_grad_(True)


@contextmanager
def outputs_of(
    model: nn.Module, layers: Sequence[str], change: Callable[[str, torch.Tensor], torch.Tensor]
) -> Iterator[None]:
    """Hand the output of each layer to a function and go on with what that returns; no hook stays.

    Parameters
    ----------
    model : nn.Module
    layers : sequence of str
        Dotted names of modules whose output is [shape=(patch, channel, row, column)].
    change : callable
        Is given the layer's name and its output.

    Raises
    ------
    ValueError
        If a layer is not in the model or gives no map.
    """
    modules = {layer: _module(model, layer) for layer in layers}

    def hook_of(layer: str) -> Callable[[nn.Module, Any, Any], torch.Tensor]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> torch.Tensor:
            if not isinstance(output, torch.Tensor) or output.ndim != 4:
                shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
                raise ValueError(f"layer {layer!r} gives {shape}; expected (patch, channel, row, column)")
            return change(layer, output)

        return hook

    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(modules[layer].register_forward_hook(hook_of(layer)).remove)
        yield


def _module(model: nn.Module, layer: str) -> nn.Module:
    try:
        if layer:
            return model.get_submodule(layer)
    except AttributeError:
        pass
    names = [name for name, _ in model.named_modules()]
    raise ValueError(f"layer {layer!r} is not in the model; it has {', '.join(names[1:20])}, ...")


def fuse(signed: Sequence[torch.Tensor]) -> torch.Tensor:
    """Join the heat of several layers at the resolution of the finest.

    Each map is spread over the finer one so that its sum stays: gradient times map adds up to the
    class score at every layer of a network without biases, so the sums are on one scale and need no
    scaling per patch. The mean over layers is returned; one map comes back as it is.

    Parameters
    ----------
    signed : sequence of float32 [shape=(patch, row, column)]

    Returns
    -------
    float32 [shape=(patch, row, column)]
    """
    n_rows, n_columns = (max(own.shape[axis] for own in signed) for axis in (1, 2))
    spread = [
        to_input(own, n_rows, n_columns) * (own[0].numel() / (n_rows * n_columns))
        if own.shape[1:] != (n_rows, n_columns)
        else own
        for own in signed
    ]
    return torch.stack(spread).mean(dim=0)


def to_input(heat: torch.Tensor, n_bands: int, n_frames: int) -> torch.Tensor:
    """Resize heat to the picture it belongs to (bilinear, corners not aligned).

    Parameters
    ----------
    heat : float32 [shape=(patch, row, column)]
    n_bands, n_frames : int

    Returns
    -------
    float32 [shape=(patch, band, frame)]
    """
    size = (n_bands, n_frames)
    return functional.interpolate(heat[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def margins(heat: torch.Tensor, n_bands: int, n_frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums over time and over frequency of the heat resized to the picture, without making that picture.

    Parameters
    ----------
    heat : float32 [shape=(patch, row, column)]
    n_bands, n_frames : int

    Returns
    -------
    per_band : float32 [shape=(patch, band)]
        As ``to_input(heat, n_bands, n_frames).sum(dim=2)``.
    per_frame : float32 [shape=(patch, frame)]
        As ``to_input(heat, n_bands, n_frames).sum(dim=1)``.
    """
    to_bands, to_frames = (
        functional.interpolate(torch.eye(n_cells)[None], size=size, mode="linear")[0].to(heat)
        for n_cells, size in ((heat.shape[1], n_bands), (heat.shape[2], n_frames))
    )
    per_band = (heat @ to_frames.sum(dim=1)) @ to_bands
    per_frame = (to_bands.sum(dim=1) @ heat) @ to_frames
    return per_band, per_frame


def joined(heat: np.ndarray, starts: np.ndarray, n_frames: int) -> np.ndarray:
    """Mean heat of overlapping patches along a unit.

    Parameters
    ----------
    heat : float32 [shape=(patch, band, frame)]
    starts : int [shape=(patch,)]
        First frame of each patch, counted from the unit's first.
    n_frames : int
        Of the unit, or of its beginning; what patches hold beyond is left out.

    Returns
    -------
    float32 [shape=(band, n_frames)]
        Zero where no patch lies.
    """
    total, count = np.zeros((heat.shape[1], n_frames)), np.zeros(n_frames)
    for own, start in zip(heat, starts, strict=True):
        width = max(0, min(heat.shape[2], n_frames - start))
        total[:, start : start + width] += own[:, :width]
        count[start : start + width] += 1
    return (total / np.maximum(count, 1)).astype(np.float32)

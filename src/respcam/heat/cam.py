"""Class activation maps (heat): where in the input a class score comes from, raw and never rescaled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from respcam.errors import Refused
from respcam.heat.capabilities import MeanGradient, shortcut
from respcam.heat.layers import check_order, checked_scores, in_evaluation, outputs_of
from respcam.heat.methods import METHODS, Method
from respcam.heat.resize import fuse, joined, margins, to_input

__all__ = [
    "METHODS",
    "SCORES",
    "Choice",
    "HeatMaps",
    "Method",
    "fuse",
    "heat_maps",
    "heat_maps_per_class",
    "joined",
    "margins",
    "outputs_of",
    "to_input",
]


SCORES = ("log_odds", "class_score")


@dataclass(frozen=True)
class Choice:
    """Method and layers of heat, and the score that it explains.

    Attributes
    ----------
    method : str
        Key of `METHODS`.
    layers : tuple of str
        Dotted names of modules; the maps of several are fused (`respcam.heat.resize.fuse`).
    score : str
        Score that the heat explains: log_odds (of the class against all others) or class_score (before softmax, as
        the papers do).
    """

    method: str
    layers: tuple[str, ...]
    score: str = "log_odds"

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
        Scores before softmax.
    target : int64 [shape=(patch,)]
        Class whose score the heat explains.
    signed : dict of (method, layer) to float32 [shape=(patch, row, column)]
        Heat at the resolution of the layer's map. Positive cells raise the class score, negative cells lower it.
        Values are comparable between patches.
    """

    scores: torch.Tensor
    target: torch.Tensor
    signed: dict[tuple[str, str], torch.Tensor]

    def heat(self, method: str, layers: Sequence[str]) -> torch.Tensor:
        """Heat for the class: the positive part of the map of one layer, or of several layers fused.

        Returns
        -------
        float32 [shape=(patch, row, column)]
            Not negative; at the resolution of the layer, or of the finest layer.
        """
        return functional.relu(fuse([self.signed[method, layer] for layer in layers]))


def heat_maps(
    model: nn.Module,
    patches: torch.Tensor,
    layers: Sequence[str],
    methods: Sequence[str] = ("grad_cam",),
    target: torch.Tensor | int | None = None,
    direction: torch.Tensor | None = None,
) -> HeatMaps:
    """Compute the heat of patches.

    Methods that use gradients share one forward and one backward pass. The backward pass ends at the lowest
    of the layers; the network below runs without gradients. Score-CAM and Ablation-CAM take one forward pass
    per channel. The model is not changed: no hook, no parameter gradient, same mode.

    Parameters
    ----------
    model : nn.Module
        Maps patches to scores [shape=(patch, class)].
    patches : float32 [shape=(patch, channel, band, frame)]
    layers : sequence of str
        Dotted names of modules whose output is [shape=(patch, channel, row, column)].
    methods : sequence of str
        Keys of `METHODS`, which has the paper and equation of each.
    target : int64 [shape=(patch,)] or int, optional
        Class per patch, or one for all patches; None takes the class with the highest score.
    direction : float32 [shape=(patch, class)], optional
        Explained score as a weighted sum of the class scores; None gives the target the weight 1. Methods without
        gradients explain the target alone, with its weight.

    Returns
    -------
    HeatMaps

    Raises
    ------
    Refused
        If a layer is not in the model, does not run exactly once, or gives no map; if the score does not depend
        on it; if the network returns anything but scores; if a target is not a class; or if a method is not in
        `METHODS`.
    """
    return _heat(model, patches, layers, methods, lambda scores: [_class_of(scores, target)], direction)[0]


def heat_maps_per_class(
    model: nn.Module, patches: torch.Tensor, layers: Sequence[str], methods: Sequence[str] = ("grad_cam",)
) -> list[HeatMaps]:
    """Compute the heat of patches for every class, from one forward pass.

    Parameters and errors are those of `heat_maps`; the model is not changed.

    Returns
    -------
    list of HeatMaps
        In the order of the model's classes.
    """
    return _heat(
        model, patches, layers, methods, lambda scores: [_class_of(scores, k) for k in range(scores.shape[1])]
    )


def _heat(
    model: nn.Module,
    patches: torch.Tensor,
    layers: Sequence[str],
    methods: Sequence[str],
    targets_of: Callable[[torch.Tensor], list[torch.Tensor]],
    direction: torch.Tensor | None = None,
) -> list[HeatMaps]:
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods or not layers:
        raise Refused(f"cam: methods {list(methods)}, layers {list(layers)}; expected some of {', '.join(METHODS)}")
    last = shortcut(model, MeanGradient)  # type: ignore[type-abstract]
    is_last = last is not None and list(methods) == ["grad_cam"] and list(layers) == [last.last_layer()]
    if last is not None and is_last and direction is None:
        return _heat_without_gradients(model, last, patches, targets_of)
    heat = []
    with in_evaluation(model, is_frozen=True), torch.no_grad():
        scores, maps = _forward(model, patches, list(layers))
        targets = targets_of(scores)
        for target in targets:
            weighted = functional.one_hot(target, scores.shape[1]) if direction is None else direction
            gradients = _gradients(scores, weighted, maps, is_graph_kept=target is not targets[-1])
            signed = {}
            for (layer, layer_maps), gradient in zip(maps.items(), gradients, strict=True):
                layer_maps = layer_maps.detach()
                for name in methods:
                    method = METHODS[name]
                    if method.needs_gradient:
                        weights = method.weights(layer_maps, gradient)
                    else:
                        of_target = weighted.gather(1, target[:, None])[..., None, None]
                        weights = of_target * method.weights(model, patches, layer, layer_maps, scores, target)
                    signed[name, layer] = _weighted_sum(weights, layer_maps)
            heat.append(HeatMaps(scores.detach(), target, signed))
    return heat


def _heat_without_gradients(
    model: nn.Module,
    last: MeanGradient,
    patches: torch.Tensor,
    targets_of: Callable[[torch.Tensor], list[torch.Tensor]],
) -> list[HeatMaps]:
    """Grad-CAM at the last map without a backward pass, for a network whose mean gradient has a formula."""
    with in_evaluation(model, is_frozen=False), torch.inference_mode():
        maps = last.maps(patches)
        scores = checked_scores(last.score(maps), len(patches), model)
        n_cells = maps.shape[2] * maps.shape[3]
        heat = [(target, _weighted_sum(last.mean_gradient(target, n_cells), maps)) for target in targets_of(scores)]
    # copies, because tensors from inference mode cannot take part in a backward pass
    key = ("grad_cam", last.last_layer())
    return [HeatMaps(scores.clone(), target.clone(), {key: signed.clone()}) for target, signed in heat]


def _forward(
    model: nn.Module, patches: torch.Tensor, layers: list[str]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Scores and maps by layer, with an autograd graph that begins at the lowest of the layers."""
    outputs: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}

    def keep(layer: str, output: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():  # the lowest layer: the graph begins here
            output = output.detach().requires_grad_()
            torch.set_grad_enabled(True)
        outputs[layer].append(output)
        return output.clone()  # the next layer may work in place, which is not allowed on a leaf

    with outputs_of(model, layers, keep) as unordered:
        scores = model(patches)
    torch.set_grad_enabled(False)
    checked_scores(scores, len(patches), model)
    check_order(model, patches, {layer: outputs[layer][0] for layer in unordered})
    for layer, maps in outputs.items():
        if len(maps) != 1:
            raise Refused(f"layer {layer!r} ran {len(maps)} times; expected once per forward pass")
    return scores, {layer: maps[0] for layer, maps in outputs.items()}


def _gradients(
    scores: torch.Tensor, direction: torch.Tensor, maps: dict[str, torch.Tensor], is_graph_kept: bool
) -> Sequence[torch.Tensor]:
    with torch.enable_grad():
        explained = (scores * direction).sum()
        try:
            return torch.autograd.grad(explained, list(maps.values()), retain_graph=is_graph_kept)
        except RuntimeError as error:
            raise Refused(f"layer {', '.join(maps)}: the class score does not depend on it ({error})") from error


def _weighted_sum(weights: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Sum of maps over channels: float32 [shape=(patch, row, column)]."""
    if weights.shape[2:] == (1, 1):  # faster: makes no weighted copy of the maps
        return (maps.permute(0, 2, 3, 1).flatten(1, 2) @ weights[..., 0]).view(len(maps), *maps.shape[2:])
    return (weights * maps).sum(dim=1)


def _class_of(scores: torch.Tensor, target: torch.Tensor | int | None) -> torch.Tensor:
    if target is None:
        return scores.argmax(dim=1)
    target = torch.as_tensor(target, device=scores.device).expand(len(scores))
    lowest, highest = map(int, target.aminmax())
    if lowest < 0 or highest >= scores.shape[1]:
        raise Refused(f"target class {lowest}..{highest}; the model has classes 0..{scores.shape[1] - 1}")
    return target

"""Layers of a network: their output maps as (patch, channel, row, column), for any axis order of the network.

The order is taken from the first of these that states it: the layer (``output_fmt``, NCHW or NHWC), the kind of
layer, the number of channels in timm's ``feature_info``, the network. Else the maps are read as
(patch, channel, row, column), and `check_order` refuses maps of another order.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from respcam.errors import Refused

CHANNELS_FIRST, CHANNELS_LAST = "NCHW", "NHWC"
CHANNEL_AXIS = {CHANNELS_FIRST: 1, CHANNELS_LAST: 3}
ORDER_OF_KIND = {
    nn.Conv2d: CHANNELS_FIRST,
    nn.BatchNorm2d: CHANNELS_FIRST,
    nn.GroupNorm: CHANNELS_FIRST,
    nn.Linear: CHANNELS_LAST,
}


@contextmanager
def outputs_of(
    network: nn.Module, layers: Sequence[str], change: Callable[[str, torch.Tensor], torch.Tensor]
) -> Iterator[set[str]]:
    """Replace the maps of each layer by the result of a function; all hooks are removed afterwards.

    Parameters
    ----------
    network : nn.Module
    layers : sequence of str
        Dotted names of modules whose output is a map.
    change : callable
        Takes the name of the layer and its maps; returns maps of the same shape. The shape is
        [shape=(patch, channel, row, column)], also for networks with the channels last.

    Yields
    ------
    set of str
        Layers in the forward pass whose axis order is unknown: see `check_order`.

    Raises
    ------
    Refused
        If a layer is not in the network or gives no map.
    """
    modules = {layer: module_of(network, layer) for layer in layers}
    unordered: set[str] = set()

    def hook_of(layer: str) -> Callable[[nn.Module, Any, Any], torch.Tensor]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> torch.Tensor:
            if not isinstance(output, torch.Tensor) or output.ndim != 4:
                raise Refused(f"layer {layer!r} gives {shown(output)}; expected (patch, channel, row, column)")
            order = channel_order(network, layer, module, output.shape)
            if order is None:
                unordered.add(layer)
            if order != CHANNELS_LAST:
                return change(layer, output)
            return change(layer, output.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

        return hook

    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(modules[layer].register_forward_hook(hook_of(layer)).remove)
        yield unordered


def module_of(network: nn.Module, layer: str) -> nn.Module:
    """Find a layer by its dotted name.

    Raises
    ------
    Refused
        If it is not in the network.
    """
    try:
        if layer:
            return network.get_submodule(layer)
    except AttributeError:
        pass
    names = [name for name, _ in network.named_modules()]
    raise Refused(f"layer {layer!r} is not in the model; it has {', '.join(names[1:20])}, ...")


def channel_order(network: nn.Module, layer: str, module: nn.Module, shape: Sequence[int]) -> str | None:
    """Order of the axes of a layer's output.

    Parameters
    ----------
    network : nn.Module
    layer : str
        Dotted name of ``module`` in the network.
    module : nn.Module
    shape : sequence of 4 int
        Shape of the output.

    Returns
    -------
    str or None
        NCHW or NHWC; None if the order is unknown.
    """
    if declared := _declared_order(module):
        return declared
    for kind, order in ORDER_OF_KIND.items():
        if isinstance(module, kind):
            return order
    if type(module) is nn.LayerNorm:  # subclasses often normalise the second axis
        return CHANNELS_LAST
    parents = list(_parents(network, layer))
    infos = [(name, _attribute(parent, "feature_info")) for name, parent in parents]
    n_channels = [block.get("num_chs") for name, info in infos for block in info or () if block["module"] == name]
    fitting = [order for order, axis in CHANNEL_AXIS.items() if shape[axis] in n_channels[:1]]
    if len(fitting) == 1:
        return fitting[0]
    for (_, parent), (_, info) in zip(parents, infos, strict=True):
        if declared := _declared_order(parent):
            return declared
        if info:  # networks of timm declare every other order
            return CHANNELS_FIRST
    return None


def _declared_order(module: nn.Module) -> str | None:
    declared = _attribute(module, "output_fmt")  # text, or an enumeration of texts as in timm
    if declared is None:
        return None
    return next((order for order in CHANNEL_AXIS if order == declared), None)


def _attribute(module: nn.Module, name: str) -> Any:
    """Read an attribute, or None; `getattr` of a missing attribute is slow on a module."""
    return getattr(module, name) if name in module.__dict__ or hasattr(type(module), name) else None


def _parents(network: nn.Module, layer: str) -> Iterator[tuple[str, nn.Module]]:
    """Modules that contain a layer, from the nearest up to the network, with the name of the layer in each."""
    names = layer.split(".")
    for depth in range(len(names) - 1, -1, -1):
        yield ".".join(names[depth:]), network.get_submodule(".".join(names[:depth]))


def check_order(network: nn.Module, patches: torch.Tensor, maps: dict[str, torch.Tensor]) -> None:
    """Refuse maps that are not (patch, channel, row, column), for layers of unknown axis order.

    With half the bands, a map must have the same number of channels. If the network accepts only one input size, a
    map must not have more rows than the input has bands, or more columns than it has frames.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    patches : float32 [shape=(patch, 1, band, frame)]
    maps : dict of layer to float32 [shape=(patch, channel, row, column)]
        Maps of these patches, for the layers of unknown order that `outputs_of` returned.

    Raises
    ------
    Refused
    """
    if not maps:
        return
    shapes = {layer: tuple(output.shape) for layer, output in maps.items()}
    n_bands, n_frames = patches.shape[2:]
    halved = _shapes(network, patches[:1, :, : n_bands // 2], list(shapes)) if n_bands > 1 else {}
    for layer, shape in shapes.items():
        is_too_large = shape[2] > n_bands or shape[3] > n_frames
        if halved[layer][1] != shape[1] if layer in halved else is_too_large:
            raise Refused(
                f"layer {layer!r} gives {shape} for patches of {n_bands} bands and {n_frames} frames, which is not "
                "(patch, channel, row, column); a network whose channels come last declares output_fmt = 'NHWC'"
            )


def _shapes(network: nn.Module, patches: torch.Tensor, layers: list[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of the maps of some layers; empty if the network does not accept these patches."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(layer: str, output: torch.Tensor) -> torch.Tensor:
        shapes[layer] = tuple(output.shape)
        return output

    try:
        with torch.no_grad(), outputs_of(network, layers, note):
            network(patches)
    except Exception:  # a network may raise any error for an input size that it does not support
        return {}
    return shapes


def shown(output: object) -> str:
    """Shape or type of an output, for a message."""
    return str(tuple(output.shape)) if isinstance(output, torch.Tensor) else type(output).__name__


def checked_scores(scores: object, n_patches: int, network: nn.Module, n_classes: int | None = None) -> torch.Tensor:
    """Check that the output of a network is scores.

    Parameters
    ----------
    scores : object
        Output of the network.
    n_patches : int
        Number of patches that the network was fed.
    network : nn.Module
        Network, for the message.
    n_classes : int, optional
        Number of classes; None accepts any number.

    Returns
    -------
    float32 [shape=(patch, class)]
        The same object.

    Raises
    ------
    Refused
        If it is not one score for every patch and class.
    """
    is_table = isinstance(scores, torch.Tensor) and scores.ndim == 2 and len(scores) == n_patches
    if is_table and n_classes in (None, scores.shape[1]):  # type: ignore[attr-defined]
        return scores  # type: ignore[return-value]
    raise Refused(
        f"network {type(network).__name__} returned {shown(scores)} for {n_patches} patches; expected one tensor of "
        f"scores, ({n_patches}, {'classes' if n_classes is None else n_classes})"
    )


@contextmanager
def in_evaluation(network: nn.Module, is_frozen: bool) -> Iterator[None]:
    """Switch a network to evaluation mode, optionally with frozen weights; restore its state at the end."""
    in_training = [module for module in network.modules() if module.training]
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad] if is_frozen else []
    for module in in_training:
        module.training = False
    for parameter in learning:
        parameter.requires_grad_(False)  # saves the memory for gradients of weights
    try:
        yield
    finally:
        for module in in_training:
            module.training = True
        for parameter in learning:
            parameter.requires_grad_(True)

"""Heat of a patch: where in the picture a class score comes from. Raw, never rescaled."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Heat:
    """Grad-CAM of a batch.

    Attributes
    ----------
    heat : float32 [shape=(patch, row, column)]
        At the resolution of the layer's map; not below zero, comparable between patches.
    scores : float32 [shape=(patch, class)]
        Before softmax.
    target : int64 [shape=(patch,)]
        The class that the heat speaks for.
    """

    heat: torch.Tensor
    scores: torch.Tensor
    target: torch.Tensor


def grad_cam(model: nn.Module, layer: str, pictures: torch.Tensor, target: torch.Tensor | int | None = None) -> Heat:
    """Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2).

    ``heat = ReLU(sum_k a_k A_k)`` with ``a_k`` the mean over the map of the gradient of the class
    score (before softmax) with respect to map ``A_k``. The network below the layer runs without
    gradients. The model is as before afterwards: no hook, no parameter gradient, same mode.

    Parameters
    ----------
    model : nn.Module
        Maps pictures to scores [shape=(patch, class)].
    layer : str
        Dotted name of a module whose output is [shape=(patch, channel, row, column)].
    pictures : float32 [shape=(patch, channel, band, frame)]
    target : int64 [shape=(patch,)] or int, optional
        Class per patch, or one for all; None takes the class with the highest score.

    Returns
    -------
    Heat

    Raises
    ------
    ValueError
        If the layer is not in the model, is not passed exactly once, gives no map, or the score
        does not depend on it; or if a target is not a class.
    """
    with _in_evaluation(model), _maps_of(model, layer) as maps, torch.no_grad():
        scores = model(pictures)
        if len(maps) != 1:
            raise ValueError(f"layer {layer!r} was passed {len(maps)} times; expected once per forward pass")
        target = _class_of(scores, target)
        with torch.enable_grad():
            own = scores.gather(1, target[:, None]).sum()
            try:
                (gradient,) = torch.autograd.grad(own, maps)
            except RuntimeError as error:
                raise ValueError(f"layer {layer!r}: the class score does not depend on it ({error})") from error
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        heat = functional.relu((weights * maps[0]).sum(dim=1))
    return Heat(heat.detach(), scores.detach(), target)


def _class_of(scores: torch.Tensor, target: torch.Tensor | int | None) -> torch.Tensor:
    if target is None:
        return scores.argmax(dim=1)
    target = torch.as_tensor(target, device=scores.device).expand(len(scores))
    if target.min() < 0 or target.max() >= scores.shape[1]:
        raise ValueError(
            f"target class {int(target.min())}..{int(target.max())}; the model has classes 0..{scores.shape[1] - 1}"
        )
    return target


@contextmanager
def _in_evaluation(model: nn.Module) -> Iterator[None]:
    """Put the model in evaluation mode and give every module its own mode back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _maps_of(model: nn.Module, layer: str) -> Iterator[list[torch.Tensor]]:
    """Catch the output of a layer as the leaf that gradients stop at."""
    modules = dict(model.named_modules())
    if layer not in modules or not layer:
        raise ValueError(f"layer {layer!r} is not in the model; it has {', '.join(list(modules)[1:20])}, ...")
    maps: list[torch.Tensor] = []

    def catch(_module: nn.Module, _inputs: Any, output: Any) -> torch.Tensor:
        if not isinstance(output, torch.Tensor) or output.ndim != 4:
            shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            raise ValueError(f"layer {layer!r} gives {shape}; expected (patch, channel, row, column)")
        leaf = output.detach().requires_grad_()
        maps.append(leaf)
        # the caller runs without gradients; from this layer up they are wanted
        torch.set_grad_enabled(True)
        return leaf.clone()  # what follows may work in place, which a leaf does not allow

    handle = modules[layer].register_forward_hook(catch)
    try:
        yield maps
    finally:
        handle.remove()


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

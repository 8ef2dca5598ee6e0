"""Capabilities: what a network may offer beyond scoring patches.

Any `torch.nn.Module` that maps float32 [shape=(patch, 1, band, frame)] to scores [shape=(patch, class)] can be
trained and explained. A network that has the methods of one of these protocols is asked for them, which is faster
or saves the user a setting; a network that has none is treated in the general way.

A network whose maps have the channels last, [shape=(patch, row, column, channel)], says so by an attribute
``output_fmt = "NHWC"``, as those of timm do; the attribute may stand on the network or on one of its modules.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import nn

Capability = TypeVar("Capability")


@runtime_checkable
class BlockNames(Protocol):
    """A network that names its blocks: where heat is taken unless layers are set."""

    def block_names(self) -> list[str]:
        """Dotted names in ``named_modules()``, from the input up."""
        ...


@runtime_checkable
class MeanGradient(Protocol):
    """A network whose gradient on its last map is known without a backward pass.

    Grad-CAM on that map then costs no more than scoring.
    """

    def last_layer(self) -> str:
        """Dotted name of the module whose output is the last map."""
        ...

    def maps(self, patches: torch.Tensor, /) -> torch.Tensor:
        """Last map of float32 [shape=(patch, 1, band, frame)]: float32 [shape=(patch, channel, row, column)]."""
        ...

    def score(self, maps: torch.Tensor, /) -> torch.Tensor:
        """Scores from the last map: float32 [shape=(patch, class)]."""
        ...

    def mean_gradient(self, target: torch.Tensor, n_cells: int, /) -> torch.Tensor:
        """Gradient of the score of class ``target`` int64 [shape=(patch,)], averaged over a map of ``n_cells`` cells.

        Returns float32 [shape=(patch, channel, 1, 1)], as in evaluation mode.
        """
        ...


@runtime_checkable
class PartialScores(Protocol):
    """A network that scores patches without some bands by recomputing only what these bands reach."""

    def occluded(self, patches: torch.Tensor, fill: torch.Tensor, /) -> Callable[[np.ndarray], torch.Tensor]:
        """Prepare patches for occlusion.

        Parameters
        ----------
        patches, fill : float32 [shape=(patch, 1, band, frame)]
            The fill is what replaces a removed band.

        Returns
        -------
        callable
            Takes bool [shape=(band,)], true for a removed band; returns float32 [shape=(patch, class)], as
            ``network(where(is_removed, fill, patches))`` up to rounding.
        """
        ...


def shortcut(network: nn.Module, protocol: type[Capability]) -> Capability | None:
    """Ask a network for a shortcut: a second way to compute what its forward pass computes.

    A subclass that changes the forward pass inherits a shortcut that no longer fits, and nothing would show it. So
    a shortcut counts only where the very class of the network defines all its methods; a subclass for which it still
    holds writes ``mean_gradient = Base.mean_gradient``, and so on. Nor does it count where hooks or attributes of
    the object change the forward pass.

    Parameters
    ----------
    network : nn.Module
    protocol : type
        `MeanGradient` or `PartialScores`.

    Returns
    -------
    The network, or None where it must be computed in the general way.
    """
    methods = [name for name in vars(protocol) if not name.startswith("_")]
    is_stated = all(name in vars(type(network)) for name in methods)
    is_patched = any(name in vars(network) for name in ["forward", *methods])
    has_hooks = bool(network._forward_hooks or network._forward_pre_hooks)
    is_sound = is_stated and not is_patched and not has_hooks
    return network if is_sound and isinstance(network, protocol) else None

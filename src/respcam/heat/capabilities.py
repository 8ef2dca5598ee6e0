"""Capabilities: optional methods of a network.

Any `torch.nn.Module` that maps float32 [shape=(patch, 1, band, frame)] to scores [shape=(patch, class)] can be
trained and explained. If a network has the methods of one of these protocols, they are used. This is faster or saves
a setting. Every other network is computed in the general way.

A network whose maps have the channels last, [shape=(patch, row, column, channel)], declares it by an attribute
``output_fmt = "NHWC"``, like the networks of timm. The attribute may stand on the network or on one of its modules.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import nn

Capability = TypeVar("Capability")


@runtime_checkable
class BlockNames(Protocol):
    """Network that names its blocks, the default layers of heat."""

    def block_names(self) -> list[str]:
        """Names of the blocks, dotted as in ``named_modules()``, from the input up."""
        ...


@runtime_checkable
class MeanGradient(Protocol):
    """Network with a formula for the gradient at its last map, instead of a backward pass.

    Grad-CAM at that map then takes no longer than scoring.
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

        Returns float32 [shape=(patch, channel, 1, 1)], for evaluation mode.
        """
        ...


@runtime_checkable
class PartialScores(Protocol):
    """Network that scores occluded patches by computing again only the rows that the removed bands change."""

    def occluded(self, patches: torch.Tensor, fill: torch.Tensor, /) -> Callable[[np.ndarray], torch.Tensor]:
        """Prepare patches for occlusion.

        Parameters
        ----------
        patches, fill : float32 [shape=(patch, 1, band, frame)]
            Patches, and the values that replace removed bands.

        Returns
        -------
        callable
            Takes bool [shape=(band,)], true for a removed band. Returns float32 [shape=(patch, class)], equal to
            ``network(where(is_removed, fill, patches))`` up to rounding.
        """
        ...


def shortcut(network: nn.Module, protocol: type[Capability]) -> Capability | None:
    """Return a network if it has a shortcut: a faster way to compute a result of its forward pass.

    A subclass that changes the forward pass inherits a shortcut that gives wrong results, without an error. So a
    shortcut is used only if the class of the network itself defines all its methods. A subclass for which the
    shortcut is still correct writes ``mean_gradient = Base.mean_gradient``, and so on. A shortcut is not used if
    hooks or attributes of the object change the forward pass.

    Parameters
    ----------
    network : nn.Module
    protocol : type
        `MeanGradient` or `PartialScores`.

    Returns
    -------
    The network, or None if it must be computed in the general way.
    """
    methods = [name for name in vars(protocol) if not name.startswith("_")]
    is_stated = all(name in vars(type(network)) for name in methods)
    is_patched = any(name in vars(network) for name in ["forward", *methods])
    has_hooks = bool(network._forward_hooks or network._forward_pre_hooks)
    is_sound = is_stated and not is_patched and not has_hooks
    return network if is_sound and isinstance(network, protocol) else None

"""Receptive fields: the part of the input that can change one cell of a layer's map, in theory and measured."""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from respcam.heat.layers import outputs_of
from respcam.network.trained import TrainedModel

FIELD_PATCHES = 16


@dataclass(frozen=True)
class Field:
    """Receptive field of the cell in the middle of a map.

    Attributes
    ----------
    rows, columns : int
        Size of the map: the number of places that heat can tell apart in frequency and in time.
    reach_bands, reach_frames : int
        Theoretical size: all bands and frames that can change the cell.
    seen_bands, seen_frames : int
        Size measured on patches: the 5 to 95 % range of the energy of the gradient. It is much smaller than
        the theoretical size (Luo et al. 2016, arXiv 1701.04128).
    first_band, last_band : int
        First and last band of the measured range.
    """

    rows: int
    columns: int
    reach_bands: int
    reach_frames: int
    seen_bands: int
    seen_frames: int
    first_band: int
    last_band: int


def receptive_field(model: nn.Module, layer: str, patches: torch.Tensor) -> Field:
    """Measure the receptive field of a layer.

    The theoretical size is the extent of the gradient of the middle cell in a copy of the network. In the copy
    all weights are positive and the normalisations are left out, so that no path is blocked.

    Parameters
    ----------
    model : nn.Module
    layer : str
        Dotted name of a module whose output is [shape=(patch, channel, row, column)].
    patches : float32 [shape=(patch, channel, band, frame)]
        Scaled patches, as the model is fed them.

    Returns
    -------
    Field
    """
    energy, shape = _gradient_energy(model, layer, patches)
    reach, _ = _gradient_energy(_all_paths_open(model), layer, torch.ones_like(patches[:1]))
    bands, frames = energy.sum(axis=1), energy.sum(axis=0)
    first, last = _middle_range(bands)
    first_frame, last_frame = _middle_range(frames)
    return Field(
        rows=shape[0],
        columns=shape[1],
        reach_bands=_extent(reach.sum(axis=1)),
        reach_frames=_extent(reach.sum(axis=0)),
        seen_bands=last - first + 1,
        seen_frames=last_frame - first_frame + 1,
        first_band=first,
        last_band=last,
    )


def fields(model: TrainedModel, patches: np.ndarray, layers: Sequence[str]) -> list[dict[str, Any]]:
    """Measure the receptive field of every block of a network, and of further layers.

    Parameters
    ----------
    model : TrainedModel
    patches : float32 [shape=(patch, band, frame)]
        Patches before scaling; the first few are used.
    layers : sequence of str

    Returns
    -------
    list of dict
        ``layer`` and the attributes of `Field`.
    """
    scaled = next(iter(model.batches(patches[:FIELD_PATCHES])))
    names = dict.fromkeys([*model.blocks, *layers])
    return [{"layer": name, **asdict(receptive_field(model.network, name, scaled))} for name in names]


def _gradient_energy(model: nn.Module, layer: str, patches: torch.Tensor) -> tuple[np.ndarray, tuple[int, int]]:
    """Squared gradient of the middle cell of a map, over all channels: float64 [shape=(band, frame)]; map shape."""
    caught = []

    def catch(_layer: str, output: torch.Tensor) -> torch.Tensor:
        caught.append(output)
        return output

    model.eval()
    leaf = patches.detach().clone().requires_grad_()
    with outputs_of(model, [layer], catch), torch.enable_grad():
        model(leaf)
        cell = caught[0][:, :, caught[0].shape[2] // 2, caught[0].shape[3] // 2]
        (gradient,) = torch.autograd.grad(cell.sum(), leaf)
    energy = gradient.double().square().sum(dim=(0, 1)).cpu().numpy()
    return energy, (caught[0].shape[2], caught[0].shape[3])


def _all_paths_open(model: nn.Module) -> nn.Module:
    """Copy a network with positive weights, without biases and normalisation (which reaches no other cell)."""
    model = copy.deepcopy(model)
    normalisations = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, normalisations):
                setattr(parent, name, nn.Identity())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_weight = parameter.ndim > 1
            parameter.fill_(parameter.shape[0] / parameter.numel() if is_weight else float(not name.endswith("bias")))
    return model


def _extent(profile: np.ndarray) -> int:
    touched = np.flatnonzero(profile)
    return int(touched[-1] - touched[0] + 1) if len(touched) else 0


def _middle_range(profile: np.ndarray) -> tuple[int, int]:
    """First and last index of the 5 to 95 % range of a profile's sum."""
    total = profile.sum()
    if total == 0:
        return 0, len(profile) - 1
    share = np.cumsum(profile) / total
    first, last = np.searchsorted(share, [0.05, 0.95])
    return int(first), int(min(last, len(profile) - 1))

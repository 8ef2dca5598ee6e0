"""Resizing of heat to the input: fusion of layers, sums over time or frequency, joining of patches."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional


def fuse(signed: Sequence[torch.Tensor]) -> torch.Tensor:
    """Fuse the heat of several layers: their mean at the resolution of the finest layer.

    Each map is resized so that its sum stays the same. In a network without biases, gradient times map sums to
    the class score at every layer. So the sums have one scale and need no scaling per patch. A single map is
    returned unchanged.

    Parameters
    ----------
    signed : sequence of float32 [shape=(patch, row, column)]

    Returns
    -------
    float32 [shape=(patch, row, column)]
    """
    n_rows, n_columns = (max(heat.shape[axis] for heat in signed) for axis in (1, 2))
    spread = [
        to_input(heat, n_rows, n_columns) * (heat[0].numel() / (n_rows * n_columns))
        if heat.shape[1:] != (n_rows, n_columns)
        else heat
        for heat in signed
    ]
    return torch.stack(spread).mean(dim=0)


def to_input(heat: torch.Tensor, n_bands: int, n_frames: int) -> torch.Tensor:
    """Resize heat to the size of the input (bilinear, corners not aligned).

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
    """Compute the sums over time and over frequency of `to_input`, without resizing.

    Parameters
    ----------
    heat : float32 [shape=(patch, row, column)]
    n_bands, n_frames : int

    Returns
    -------
    per_band : float32 [shape=(patch, band)]
        Equal to ``to_input(heat, n_bands, n_frames).sum(dim=2)``.
    per_frame : float32 [shape=(patch, frame)]
        Equal to ``to_input(heat, n_bands, n_frames).sum(dim=1)``.
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
        First frame of each patch, counted from the start of the unit.
    n_frames : int
        Number of frames from the start of the unit; later frames of the patches are left out.

    Returns
    -------
    float32 [shape=(band, n_frames)]
        Zero in frames without a patch.
    """
    total, count = np.zeros((heat.shape[1], n_frames)), np.zeros(n_frames)
    for patch_heat, start in zip(heat, starts, strict=True):
        width = max(0, min(heat.shape[2], n_frames - start))
        total[:, start : start + width] += patch_heat[:, :width]
        count[start : start + width] += 1
    return (total / np.maximum(count, 1)).astype(np.float32)

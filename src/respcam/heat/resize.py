"""Resizing of heat to the input: fusion of layers, sums over time or frequency, joining of patches."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional


def fuse(signed: Sequence[torch.Tensor]) -> torch.Tensor:
    """Fuse the heat of several layers: their mean at the resolution of the finest layer.

    Each map is resized so that its sum stays the same. In a network without biases, gradient times map sums to
    the class score at every layer. So the sums have one scale and need no scaling per patch. A single map is
    returned unchanged.

    Below a convolution with a stride, the gradient alternates from row to row: some rows lie under the centre of its
    kernel, others only under its edges (Odena et al. 2016, doi 10.23915/distill.00003). So a map with finer rows than
    the next map is smoothed over that stride (`smoothed`).

    Parameters
    ----------
    signed : sequence of float32 [shape=(patch, row, column)]

    Returns
    -------
    float32 [shape=(patch, row, column)]
    """
    n_rows, n_columns = (max(heat.shape[axis] for heat in signed) for axis in (1, 2))
    rows = sorted({heat.shape[1] for heat in signed})
    stride = {fine: round(fine / coarse) for coarse, fine in pairwise(rows)}
    signed = [smoothed(heat, stride.get(heat.shape[1], 1)) for heat in signed]
    spread = [
        to_input(heat, n_rows, n_columns) * (heat[0].numel() / (n_rows * n_columns))
        if heat.shape[1:] != (n_rows, n_columns)
        else heat
        for heat in signed
    ]
    return torch.stack(spread).mean(dim=0)


def smoothed(heat: torch.Tensor, stride: int) -> torch.Tensor:
    """Smooth heat over the rows of one stride; an alternation with that period vanishes, and the sum stays the same.

    Parameters
    ----------
    heat : float32 [shape=(patch, row, column)]
    stride : int
        Number of rows that a coarser layer joins to one.

    Returns
    -------
    float32 [shape=(patch, row, column)]
        Weighted with a triangle of ``2 stride - 1`` rows. At a border, the part of the triangle beyond it falls back
        on the rows inside.
    """
    if stride == 1:
        return heat
    n_rows = heat.shape[1]
    row = torch.arange(n_rows, device=heat.device)
    triangle = torch.zeros(n_rows, n_rows, dtype=heat.dtype, device=heat.device)
    for offset in range(1 - stride, stride):
        target = row + offset
        target = torch.where(target < 0, -1 - target, target)
        mirrored = torch.where(target >= n_rows, 2 * n_rows - 1 - target, target)
        weight = torch.full_like(heat[0, :, 0], (stride - abs(offset)) / stride**2)
        triangle.index_put_((mirrored, row), weight, accumulate=True)
    return triangle @ heat


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


def joined(heat: np.ndarray, starts: np.ndarray, n_frames: int, is_mean: bool = False) -> np.ndarray:
    """Lay the heat of patches along a unit, where they overlap.

    Parameters
    ----------
    heat : float32 [shape=(patch, band, frame)]
    starts : int [shape=(patch,)]
        First frame of each patch, counted from the start of the unit.
    n_frames : int
        Number of frames from the start of the unit; later frames of the patches are left out.
    is_mean : bool
        Whether overlapping patches are averaged. Their sum is the heat of the unit, if each patch has its weight in
        the score of the unit.

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
    return (total / np.maximum(count, 1) if is_mean else total).astype(np.float32)

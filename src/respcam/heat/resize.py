"""Heat at the resolution of the input: resizing, fusion of layers, sums over time or frequency, whole units."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional


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
    n_rows, n_columns = (max(heat.shape[axis] for heat in signed) for axis in (1, 2))
    spread = [
        to_input(heat, n_rows, n_columns) * (heat[0].numel() / (n_rows * n_columns))
        if heat.shape[1:] != (n_rows, n_columns)
        else heat
        for heat in signed
    ]
    return torch.stack(spread).mean(dim=0)


def to_input(heat: torch.Tensor, n_bands: int, n_frames: int) -> torch.Tensor:
    """Resize heat to the input that it belongs to (bilinear, corners not aligned).

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
    """Sums over time and over frequency of the heat resized to the input, without resizing it.

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
    for patch_heat, start in zip(heat, starts, strict=True):
        width = max(0, min(heat.shape[2], n_frames - start))
        total[:, start : start + width] += patch_heat[:, :width]
        count[start : start + width] += 1
    return (total / np.maximum(count, 1)).astype(np.float32)

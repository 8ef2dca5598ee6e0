"""Scores of a network without some bands of its input."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from respcam.network.model import BandCNN


class Occlusion:
    """Scores of a batch of pictures with bands taken away, as often as asked.

    Bands that are taken away change only the rows near them. For `BandCNN` the maps of the whole pictures
    are kept and those rows alone are computed anew; any other network sees the whole picture again.

    Parameters
    ----------
    model : nn.Module
        In evaluation mode.
    pictures, fill : float32 [shape=(patch, 1, band, frame)]
        Scaled, on the model's device; the fill is what replaces a band.
    """

    def __init__(self, model: nn.Module, pictures: torch.Tensor, fill: torch.Tensor):
        self.model, self.pictures, self.fill = model, pictures, fill
        if isinstance(model, BandCNN):
            maps = model.with_place(pictures).contiguous(memory_format=torch.channels_last)
            self.levels = [maps]
            for block in model.blocks:
                maps = block(maps)
                self.levels.append(maps)
            self.row_sums = model.row_sums(maps)

    def scores(self, is_gone: np.ndarray) -> torch.Tensor:
        """Score the pictures without some bands.

        Parameters
        ----------
        is_gone : bool [shape=(band,)]

        Returns
        -------
        float32 [shape=(patch, class)]
            Before softmax; as ``model(where(is_gone, fill, pictures))`` up to rounding.
        """
        gone = torch.from_numpy(is_gone).to(self.pictures.device)[:, None]
        bands = np.flatnonzero(is_gone)
        if not isinstance(self.model, BandCNN) or not len(bands):
            return self.model(torch.where(gone, self.fill, self.pictures))
        first, end = int(bands[0]), int(bands[-1]) + 1
        own = slice(first, end)
        changed = self.levels[0][:, :, own].clone()
        changed[:, :1] = torch.where(gone[own], self.fill[:, :, own], self.pictures[:, :, own])
        for block, below, above in zip(self.model.blocks, self.levels, self.levels[1:], strict=False):
            assert isinstance(block, nn.Sequential)
            changed, first, end = _changed_rows(block, below, changed, first, end, above.shape[2])
        mean, peak = (whole.clone() for whole in self.row_sums)
        mean[:, :, first:end], peak[:, :, first:end] = self.model.row_sums(changed)
        return self.model.classify(mean, peak)


def _changed_rows(
    block: nn.Sequential, below: torch.Tensor, changed: torch.Tensor, first: int, end: int, n_rows: int
) -> tuple[torch.Tensor, int, int]:
    """Rows of a block's output that rows ``first`` to ``end`` of its input reach, and where they lie."""
    convolution, *rest = block
    assert isinstance(convolution, nn.Conv2d)
    kernel, stride, padding = convolution.kernel_size[0], convolution.stride[0], int(convolution.padding[0])
    first_out = max(0, -(-(first + padding - kernel + 1) // stride))
    end_out = min(n_rows, (end - 1 + padding) // stride + 1)
    low, high = first_out * stride - padding, (end_out - 1) * stride - padding + kernel
    seen = torch.cat([below[:, :, max(0, low) : first], changed, below[:, :, end : max(end, high)]], dim=2)
    seen = functional.pad(seen, (0, 0, max(0, -low), max(0, high - below.shape[2])))[:, :, : high - low]
    beside = (0, int(convolution.padding[1]))
    maps = functional.conv2d(seen, convolution.weight, None, convolution.stride, beside)
    for layer in rest:
        maps = layer(maps)
    return maps, first_out, end_out


def log_odds(scores: torch.Tensor) -> torch.Tensor:
    """Log-odds of each class against all others together, from scores before softmax.

    Parameters
    ----------
    scores : float32 [shape=(..., class)]
        At least two classes.

    Returns
    -------
    float32 [shape=(..., class)]
    """
    n_classes = scores.shape[-1]
    is_other = ~torch.eye(n_classes, dtype=torch.bool, device=scores.device)
    others = scores[..., None, :].expand(*scores.shape, n_classes).masked_fill(~is_other, -torch.inf)
    return scores - others.logsumexp(dim=-1)

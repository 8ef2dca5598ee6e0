"""Band occlusion: what the score becomes when groups of bands are replaced."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from respcam.network.model import BandCNN

FILLS = ("mean", "floor", "other")
KINDS = ("single", "low_pass", "high_pass")


@dataclass(frozen=True)
class Condition:
    """Groups of bands that are taken away together.

    Attributes
    ----------
    kind : str
        single, low_pass (a group and all above it are gone) or high_pass (a group and all below it).
    group : int
    gone : set of int
    """

    kind: str
    group: int
    gone: frozenset[int]


def sweep(n_groups: int, kinds: Sequence[str] = KINDS) -> list[Condition]:
    """List every condition of some kinds; a curve does not end before everything is gone.

    Parameters
    ----------
    n_groups : int
    kinds : sequence of str

    Returns
    -------
    list of Condition
        ``n_groups`` of each kind, from the lowest group up.
    """
    gone = {
        "single": lambda group: [group],
        "low_pass": lambda group: range(group, n_groups),
        "high_pass": lambda group: range(group + 1),
    }
    return [Condition(kind, group, frozenset(gone[kind](group))) for kind in kinds for group in range(n_groups)]


def fill_of(
    rule: str, pictures: np.ndarray, mean: np.ndarray, floor: float, target: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Make what replaces an occluded band.

    Parameters
    ----------
    rule : str
        mean (of the band over the training units), floor (log-mel of silence) or other (the same
        band of a patch of another class: one of the same class may hold the same sign).
    pictures : float32 [shape=(patch, band, frame)]
    mean : float32 [shape=(band,)]
    floor : float
    target : int64 [shape=(patch,)]
        Class of each patch.
    rng : np.random.Generator
        Draws the other patch.

    Returns
    -------
    float32 [shape=(patch, band, frame)]
        May be a broadcast view.

    Raises
    ------
    ValueError
        If the rule is not known, or asks for another class where there is one only.
    """
    if rule == "mean":
        return np.broadcast_to(mean[None, :, None], pictures.shape)
    if rule == "floor":
        return np.broadcast_to(np.float32(floor), pictures.shape)
    if rule != "other":
        raise ValueError(f"occlusion fill is {rule!r}; expected one of {', '.join(FILLS)}")
    if len(np.unique(target)) < 2:
        raise ValueError("occlusion fill 'other' needs patches of two classes or more; there is one class")
    donors = [rng.choice(np.flatnonzero(target != own)) for own in target]
    return pictures[donors]


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


def lowest_cutoff(cutoff_hz: Sequence[float], loss_high: Sequence[float], margin: float) -> float | None:
    """Lowest cut-off of a low-pass curve whose loss stays within a margin there and at every higher one.

    Parameters
    ----------
    cutoff_hz : sequence of float
    loss_high : sequence of float
        Upper end of the interval of the loss at each cut-off.
    margin : float
        Largest loss that is taken.

    Returns
    -------
    float or None
        None where even the highest cut-off costs more.
    """
    lowest = None
    for cutoff, loss in sorted(zip(cutoff_hz, loss_high, strict=True), reverse=True):
        if not loss <= margin:
            break
        lowest = cutoff
    return lowest

"""BandCNN: a compact CNN with a high frequency resolution."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from respcam.heat.layers import CHANNELS_FIRST


class BandCNN(nn.Module):
    """Compact CNN that halves the frequency axis once: 64 bands give 32 rows in the last map.

    A convolution responds equally to a pattern at any frequency. So a second input channel holds the position of
    each row (-1 at the lowest band, 1 at the highest; Liu et al. 2018, arXiv 1807.03247). Without it, a tone without
    meaning gets as much heat as a tone with meaning.

    Each channel of the last map is reduced to the sum of its mean (constant sound), its loudest row (a wheeze is
    long and narrow) and its peak (a crackle is short). These sums are never negative, and large compared with their
    changes. So they are normalised (Ioffe and Szegedy 2015, arXiv 1502.03167) before the linear layer.

    For all three terms, the mean gradient over the map is the same multiple of the weight of the linear layer,
    divided by the standard deviation of the channel. So Grad-CAM at the last map equals the class activation map
    (Zhou et al. 2016, arXiv 1512.04150).

    Parameters
    ----------
    n_classes : int
    width : int
        Number of channels of the first block.
    dropout : float
    """

    output_fmt = CHANNELS_FIRST

    def __init__(self, n_classes: int, width: int = 16, dropout: float = 0.2):
        super().__init__()
        self.blocks = nn.Sequential(
            _block(2, width, kernel=5, stride=(1, 2)),
            _block(width, 2 * width, kernel=3, stride=(2, 2)),
            _block(2 * width, 4 * width, kernel=3, stride=(1, 2)),
            _block(4 * width, 8 * width, kernel=3, stride=(1, 2)),
        )
        self.norm = nn.BatchNorm1d(8 * width, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8 * width, n_classes)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Score patches.

        Parameters
        ----------
        patches : float32 [shape=(patch, 1, band, frame)]

        Returns
        -------
        float32 [shape=(patch, class)]
            Scores before softmax.
        """
        return self.score(self.maps(patches))

    def maps(self, patches: torch.Tensor) -> torch.Tensor:
        """Last map: float32 [shape=(patch, channel, row, column)]."""
        return self.blocks(self.with_place(patches))

    def score(self, maps: torch.Tensor) -> torch.Tensor:
        """Scores from the last map: float32 [shape=(patch, class)]."""
        return self.classify(*self.row_sums(maps))

    def block_names(self) -> list[str]:
        """Names of the four blocks."""
        return [f"blocks.{number}" for number in range(len(self.blocks))]

    def last_layer(self) -> str:
        """Name of the last block."""
        return self.block_names()[-1]

    def occluded(self, patches: torch.Tensor, fill: torch.Tensor) -> Callable[[np.ndarray], torch.Tensor]:
        """Prepare to score patches without some bands; only the rows near these bands are computed again.

        Parameters
        ----------
        patches, fill : float32 [shape=(patch, 1, band, frame)]

        Returns
        -------
        callable
            As `respcam.heat.capabilities.PartialScores`.
        """
        return _RowsAnew(self, patches, fill).scores

    def with_place(self, patches: torch.Tensor) -> torch.Tensor:
        """Add the channel with the position of each row: float32 [shape=(patch, 2, band, frame)]."""
        place = torch.linspace(-1, 1, patches.shape[2], dtype=patches.dtype, device=patches.device)
        return torch.cat([patches, place[:, None].expand_as(patches)], dim=1)

    def row_sums(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and peak of each row of the last map, over time: float32 [shape=(patch, channel, row)]."""
        # along the memory of channels_last, where channels lie together; max() and not amax(), because the backward
        # pass of amax() searches the whole map for equal values
        by_cell = maps.permute(0, 2, 3, 1)
        return by_cell.mean(dim=2).transpose(1, 2), by_cell.max(dim=2).values.transpose(1, 2)

    def classify(self, mean: torch.Tensor, peak: torch.Tensor) -> torch.Tensor:
        """Scores from the mean and the peak of each row: float32 [shape=(patch, class)]."""
        pooled = mean.mean(dim=2) + mean.max(dim=2).values + peak.max(dim=2).values
        return self.head(self.dropout(self.norm(pooled)))

    def mean_gradient(self, target: torch.Tensor, n_cells: int) -> torch.Tensor:
        """Gradient of the class score of each patch, averaged over a last map of ``n_cells`` cells.

        Mean, loudest row and peak each have the same total gradient in a channel, whichever cells they select.

        Parameters
        ----------
        target : int64 [shape=(patch,)]
            Class per patch.
        n_cells : int

        Returns
        -------
        float32 [shape=(patch, channel, 1, 1)]
            In evaluation mode.
        """
        variance: torch.Tensor = self.norm.running_var  # type: ignore[assignment]
        scale = (variance + self.norm.eps).rsqrt_().mul_(3 / n_cells)
        return (self.head.weight.index_select(0, target) * scale)[..., None, None]


class _RowsAnew:
    """Maps of intact patches; the rows near removed bands are computed again."""

    def __init__(self, network: BandCNN, patches: torch.Tensor, fill: torch.Tensor):
        self.network, self.patches, self.fill = network, patches, fill
        maps = network.with_place(patches).contiguous(memory_format=torch.channels_last)
        self.levels = [maps]
        for block in network.blocks:
            maps = block(maps)
            self.levels.append(maps)
        self.row_sums = network.row_sums(maps)

    def scores(self, is_removed: np.ndarray) -> torch.Tensor:
        """Score the patches without some bands, bool [shape=(band,)]: float32 [shape=(patch, class)]."""
        removed = torch.from_numpy(is_removed).to(self.patches.device)[:, None]
        bands = np.flatnonzero(is_removed)
        if not len(bands):
            return self.network.classify(*self.row_sums)
        first, end = int(bands[0]), int(bands[-1]) + 1
        stretch = slice(first, end)
        changed = self.levels[0][:, :, stretch].clone()
        changed[:, :1] = torch.where(removed[stretch], self.fill[:, :, stretch], self.patches[:, :, stretch])
        for block, below, above in zip(self.network.blocks, self.levels, self.levels[1:], strict=False):
            assert isinstance(block, nn.Sequential)
            changed, first, end = _changed_rows(block, below, changed, first, end, above.shape[2])
        mean, peak = (sums.clone() for sums in self.row_sums)
        mean[:, :, first:end], peak[:, :, first:end] = self.network.row_sums(changed)
        return self.network.classify(mean, peak)


def _changed_rows(
    block: nn.Sequential, below: torch.Tensor, changed: torch.Tensor, first: int, end: int, n_rows: int
) -> tuple[torch.Tensor, int, int]:
    """Compute the output rows of a block that depend on input rows ``first`` to ``end``, and their position."""
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


def _block(n_in: int, n_out: int, kernel: int, stride: tuple[int, int]) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))

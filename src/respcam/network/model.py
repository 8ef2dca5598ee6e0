"""Classifiers of log-mel patches, and the layers that heat is taken from."""

from dataclasses import dataclass

import torch
from torch import nn

FAMILIES = ("band_cnn", "timm")


@dataclass(frozen=True)
class ModelSettings:
    """Which network.

    Parameters
    ----------
    family : str
        band_cnn (ours) or timm.
    name : str
        band_cnn, or any CNN of timm such as resnet18.
    width : int
        Channels of the first block of band_cnn; doubled three times.
    dropout : float
        Before the last linear layer.
    """

    family: str = "band_cnn"
    name: str = "band_cnn"
    width: int = 16
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"model.family is {self.family!r}; expected one of {', '.join(FAMILIES)}")
        if self.width < 1:
            raise ValueError(f"model.width is {self.width}; expected at least 1 channel")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"model.dropout is {self.dropout}; expected 0 or more and below 1")


class BandCNN(nn.Module):
    """Compact CNN that halves frequency once, so that 64 bands keep 32 rows in the last map.

    Convolutions answer a pattern alike at any frequency, so a second input channel holds each row's
    place (-1 at the lowest band, 1 at the highest; Liu et al. 2018, arXiv 1807.03247). Without it a
    tone that means nothing draws as much heat as one that does.

    Each channel of the last map is summed up by its mean (what goes on all the time), its loudest
    row (a wheeze: long and narrow) and its peak (a crackle: short), which one linear layer weighs.
    The sums are never below zero and large beside what a sound changes about them, so they are
    normalised first (Ioffe and Szegedy 2015, arXiv 1502.03167).
    The gradient's mean over the map is the same multiple of that layer's weight, over the channel's
    standard deviation, in all three parts, so Grad-CAM on the last map is the class activation map
    (Zhou et al. 2016, arXiv 1512.04150).

    Parameters
    ----------
    n_classes : int
    width : int
        Channels of the first block.
    dropout : float
    """

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

    def with_place(self, patches: torch.Tensor) -> torch.Tensor:
        """Add the channel that holds each row's place: float32 [shape=(patch, 2, band, frame)]."""
        place = torch.linspace(-1, 1, patches.shape[2], dtype=patches.dtype, device=patches.device)
        return torch.cat([patches, place[:, None].expand_as(patches)], dim=1)

    def row_sums(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and peak of each row of the last map, over time: float32 [shape=(patch, channel, row)]."""
        # max() and not amax(), whose backward pass looks through the whole map for ties
        return maps.mean(dim=3), maps.max(dim=3).values

    def classify(self, mean: torch.Tensor, peak: torch.Tensor) -> torch.Tensor:
        """Scores from the mean and the peak of each row: float32 [shape=(patch, class)]."""
        pooled = mean.mean(dim=2) + mean.max(dim=2).values + peak.max(dim=2).values
        return self.head(self.dropout(self.norm(pooled)))

    def mean_gradient(self, target: torch.Tensor, n_cells: int) -> torch.Tensor:
        """Gradient of each patch's class score, averaged over a last map of so many cells.

        Mean, loudest row and peak each hand a channel's gradient on whole, whichever cells they take.

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


def _block(n_in: int, n_out: int, kernel: int, stride: tuple[int, int]) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))


def build(settings: ModelSettings, n_classes: int) -> nn.Module:
    """Make a network with fresh weights; seed torch before.

    Parameters
    ----------
    settings : ModelSettings
    n_classes : int

    Returns
    -------
    nn.Module
        Maps float32 [shape=(patch, 1, band, frame)] to scores [shape=(patch, class)].

    Raises
    ------
    ValueError
        If timm has no such network or it takes no single-channel picture.
    """
    if settings.family == "band_cnn":
        return BandCNN(n_classes, settings.width, settings.dropout)
    import timm  # takes seconds to import, and most runs do without it

    if not timm.is_model(settings.name):
        close = timm.list_models(f"*{settings.name}*")[:5]
        hint = f"; did you mean {', '.join(close)}" if close else ""
        raise ValueError(f"model.name is {settings.name!r}, which timm {timm.__version__} does not have{hint}")
    return timm.create_model(
        settings.name, pretrained=False, in_chans=1, num_classes=n_classes, drop_rate=settings.dropout
    )


def stages(model: nn.Module) -> list[str]:
    """Name the stages of a network, from the input up: where heat is taken unless other layers are named.

    Parameters
    ----------
    model : nn.Module
        As made by `build`.

    Returns
    -------
    list of str
        Dotted names in ``model.named_modules()``.

    Raises
    ------
    ValueError
        If none are known for this network.
    """
    if isinstance(model, BandCNN):
        return [f"blocks.{number}" for number in range(len(model.blocks))]
    known = [stage["module"] for stage in getattr(model, "feature_info", None) or []]
    names = [name for name in dict.fromkeys(known) if name in dict(model.named_modules())]
    if not names:
        children = ", ".join(child for child, _ in model.named_children())
        raise ValueError(f"explain.layers is null and {type(model).__name__} names no stages; it has {children}, ...")
    return names

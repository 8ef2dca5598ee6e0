"""Networks of published audio models, and weights that were trained elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from respcam.errors import Refused

MOST_NAMED = 3  # differences that a message names


class Published(nn.Module):
    """Network whose published weights were made for patches with time before frequency.

    Attributes
    ----------
    head : nn.Linear
        New for every task.
    unused : tuple of str
        Beginnings of the names of published weights that are not used here.
    """

    unused: ClassVar[tuple[str, ...]] = ()

    def adapted(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Turn published weights to bands before frames, and leave out the unused ones."""
        kept = {name: values for name, values in weights.items() if not name.startswith(self.unused)}
        return {name: values.transpose(2, 3) if values.ndim == 4 else values for name, values in kept.items()}


class Vggish(Published):
    """Convolutions of VGGish (Hershey et al. 2017, arXiv 1609.09430); the last map is averaged.

    The names of its weights are those of torchvggish; ``embeddings`` is not used, because it mixes all places.

    Parameters
    ----------
    n_classes : int
    dropout : float
    """

    unused = ("embeddings.", "pproc.")

    def __init__(self, n_classes: int, dropout: float = 0.2):
        super().__init__()
        layers: list[nn.Module] = []
        n_in = 1
        for width in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0):  # 0 is a pooling
            if not width:
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(n_in, width, 3, padding=1), nn.ReLU()]
            n_in = width
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_in, n_classes)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Score patches: float32 [shape=(patch, 1, band, frame)] to [shape=(patch, class)]."""
        return self.head(self.dropout(self.features(patches).mean(dim=(2, 3))))

    def block_names(self) -> list[str]:
        """Names of the poolings, from the input up."""
        return [f"features.{k}" for k, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]


class _ConvBlock(nn.Module):
    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(n, n_out, 3, padding=1, bias=False) for n in (n_in, n_out))
        self.bn1, self.bn2 = nn.BatchNorm2d(n_out), nn.BatchNorm2d(n_out)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(maps))))))


class Cnn14(Published):
    """CNN14 of PANNs (Kong et al. 2020, arXiv 1912.10211), without its front end and its scaling of bands (``bn0``).

    Parameters
    ----------
    n_classes : int
    dropout : float
    """

    unused = ("spectrogram_extractor.", "logmel_extractor.", "bn0.", "fc_audioset.")
    WIDTHS: ClassVar[tuple[int, ...]] = (64, 128, 256, 512, 1024, 2048)

    def __init__(self, n_classes: int, dropout: float = 0.2):
        super().__init__()
        for number, (n_in, n_out) in enumerate(zip((1, *self.WIDTHS[:-1]), self.WIDTHS, strict=True), start=1):
            self.add_module(f"conv_block{number}", _ConvBlock(n_in, n_out))
        self.fc1 = nn.Linear(self.WIDTHS[-1], self.WIDTHS[-1])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.WIDTHS[-1], n_classes)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Score patches: float32 [shape=(patch, 1, band, frame)] to [shape=(patch, class)]."""
        maps = patches
        for name in self.block_names():
            maps = self.get_submodule(name)(maps)
            if name != self.block_names()[-1]:
                maps = functional.avg_pool2d(maps, 2)
        over_time = maps.mean(dim=2)
        pooled = over_time.amax(dim=2) + over_time.mean(dim=2)
        return self.head(self.dropout(functional.relu(self.fc1(pooled))))

    def block_names(self) -> list[str]:
        """Names of the blocks, from the input up."""
        return [f"conv_block{number}" for number in range(1, len(self.WIDTHS) + 1)]


def load_weights(network: nn.Module, path: Path, n_classes: int) -> None:
    """Load a state dict into a network, apart from its last layer.

    Tensors fit by name and shape. A tensor whose first dimension is the number of classes may be absent or of another
    shape: the last layer is new. Where the network has one input channel and the file three, they are added up.

    Parameters
    ----------
    network : nn.Module
    path : Path
        A safetensors file, or one of torch with tensors alone; no code in it is run.
    n_classes : int

    Raises
    ------
    Refused
        If the file cannot be read, or a tensor is missing, left over or of another shape.
    """
    weights = _read(path)
    if isinstance(network, Published):
        weights = network.adapted(weights)
    there = network.state_dict()
    fitting, wrong = {}, []
    for name, values in there.items():
        loaded = weights.pop(name, None)
        if loaded is not None and values.ndim == loaded.ndim == 4 and (values.shape[1], loaded.shape[1]) == (1, 3):
            loaded = loaded.sum(dim=1, keepdim=True)
        is_last = values.ndim > 0 and values.shape[0] == n_classes
        if loaded is not None and loaded.shape == values.shape:
            fitting[name] = loaded
        elif not is_last and loaded is None and not name.endswith("num_batches_tracked"):
            wrong.append(f"{name} is missing")
        elif not is_last and loaded is not None:
            wrong.append(f"{name} is {tuple(loaded.shape)}, expected {tuple(values.shape)}")
    wrong += [f"{name} is left over" for name in weights]
    if wrong:
        more = f" and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
        raise Refused(
            f"model.weights is {path}, which does not fit {type(network).__name__} ({len(fitting)} of {len(there)} "
            f"tensors fit): {'; '.join(wrong[:MOST_NAMED])}{more}"
        )
    network.load_state_dict(fitting, strict=False)


def _read(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a file by name; training frameworks may wrap them in a dict of their own."""
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except FileNotFoundError:
        raise Refused(f"model.weights is {path}; no such file") from None
    except (OSError, EOFError, RuntimeError, ValueError, SafetensorError) as error:
        raise Refused(f"model.weights is {path}, which is no state dict ({str(error).splitlines()[0]})") from error
    except Exception as error:  # pickle.UnpicklingError and what a damaged file raises in its place
        raise Refused(
            f"model.weights is {path}, which holds more than tensors; save network.state_dict() anew"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(values, torch.Tensor) for values in content.values()):
        raise Refused(f"model.weights is {path}, which is no state dict; expected names and tensors")
    return dict(content)

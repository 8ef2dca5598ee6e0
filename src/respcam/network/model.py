"""Networks for log-mel patches: BandCNN, the networks of timm, or a class of the user."""

import importlib
import inspect
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from respcam.errors import Refused
from respcam.heat.capabilities import BlockNames
from respcam.heat.layers import checked_scores, in_evaluation
from respcam.network.band_cnn import BandCNN
from respcam.network.pretrained import Cnn14, Vggish, load_weights
from respcam.store.artifact import digest_of, file_sha256, incidental

__all__ = ["BandCNN", "ModelSettings", "blocks_of", "build", "check_network", "network_source"]

FAMILIES = ("band_cnn", "vggish", "cnn14", "timm", "custom")


@dataclass(frozen=True)
class ModelSettings:
    """Settings of the network.

    Parameters
    ----------
    family : str
        Family of the network: band_cnn, vggish, cnn14, timm or custom. A name with a colon sets custom.
    name : str
        Name of the network: band_cnn; any CNN of timm such as resnet18; or ``package.module:Class``, a class of the
        user in a package or in a file of the working folder. ``Class(n_classes=2)`` must make a `torch.nn.Module`
        that maps float32 [shape=(patch, 1, band, frame)] to scores before softmax, float32 [shape=(patch, class)].
        It may have the methods of `respcam.heat.capabilities`.
    width : int
        Number of channels of the first block of band_cnn; each later block doubles it.
    dropout : float
        Dropout rate before the last linear layer; not used by a custom network.
    weights : str
        File with weights to start from (`respcam.network.pretrained.load_weights`); blank starts from random ones.
        The content of the file is part of the identity of a training, its place is not.
    """

    family: str = "band_cnn"
    name: str = "band_cnn"
    width: int = 16
    dropout: float = 0.2
    weights: str = incidental("")

    def __post_init__(self) -> None:
        if ":" in self.name:
            object.__setattr__(self, "family", "custom")  # so that the same network has the same digest
        if self.family not in FAMILIES:
            raise Refused(f"model.family is {self.family!r}; expected one of {', '.join(FAMILIES)}")
        if self.family == "custom" and not all(self.name.partition(":")):
            raise Refused(f"model.name is {self.name!r}; expected package.module:Class")
        if self.width < 1:
            raise Refused(f"model.width is {self.width}; expected at least 1 channel")
        if not 0 <= self.dropout < 1:
            raise Refused(f"model.dropout is {self.dropout}; expected 0 or more and below 1")


PUBLISHED = {"vggish": Vggish, "cnn14": Cnn14}


def start(settings: ModelSettings, n_classes: int) -> nn.Module:
    """Make a network to be trained: `build`, then the weights of ``settings.weights``.

    Raises
    ------
    Refused
        As `build`, or if the weights do not fit.
    """
    network = build(settings, n_classes)
    if settings.weights:
        load_weights(network, Path(os.path.expanduser(settings.weights)), n_classes)
    return network


def build(settings: ModelSettings, n_classes: int) -> nn.Module:
    """Make a network with random weights; seed torch before.

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
    Refused
        If timm has no such network, or the user's class cannot be made.
    """
    if settings.family == "band_cnn":
        return BandCNN(n_classes, settings.width, settings.dropout)
    if settings.family in PUBLISHED:
        return PUBLISHED[settings.family](n_classes, settings.dropout)
    if settings.family == "custom":
        return _custom(settings.name, n_classes)
    import timm  # takes seconds to import, and most runs do not need it

    if not timm.is_model(settings.name):
        close = timm.list_models(f"*{settings.name}*")[:5]
        hint = f"; did you mean {', '.join(close)}" if close else ""
        raise Refused(f"model.name is {settings.name!r}, which timm {timm.__version__} does not have{hint}")
    return timm.create_model(
        settings.name, pretrained=False, in_chans=1, num_classes=n_classes, drop_rate=settings.dropout
    )


def _custom(name: str, n_classes: int) -> nn.Module:
    """Make a network of the user's class, ``package.module:Class``."""
    make = _class(name)
    try:
        if getattr(make, "__init__", None) is nn.Module.__init__:  # its signature accepts any argument
            raise TypeError("it has no parameter n_classes")
        inspect.signature(make).bind(n_classes=n_classes)
    except TypeError as error:
        call = f"{name.partition(':')[2]}(n_classes={n_classes})"
        raise Refused(f"model.name is {name!r}; {call} is not possible: {error}") from None
    network = make(n_classes=n_classes)
    if not isinstance(network, nn.Module):
        raise Refused(f"model.name is {name!r}, which makes a {type(network).__name__}; expected a torch.nn.Module")
    return network


def _class(name: str) -> Any:
    """Import the class of ``package.module:Class``, from the working folder or an installed package."""
    module_name, _, class_name = name.partition(":")
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise Refused(
            f"model.name is {name!r}; there is no module {error.name} in {folder} or among the installed packages"
        ) from None
    except SyntaxError as error:
        place = f"{error.filename} line {error.lineno}"
        raise Refused(f"model.name is {name!r}; {place} is not Python: {error.msg}") from None
    finally:
        sys.path.remove(folder)
    make = getattr(module, class_name, None)
    if not callable(make):
        raise Refused(f"model.name is {name!r}; {module.__file__ or module_name} has no class {class_name}")
    return make


def network_source(settings: ModelSettings) -> str | None:
    """Compute the digest of the source code of a network: a changed source is another model.

    For a class of the user, it covers the files of its module and of all modules in the same folder that it uses.
    For timm, it covers the version of timm.

    Returns
    -------
    str or None
        64 hex digits; None for the network of this package, because every result contains its version.
    """
    if settings.family in ("band_cnn", *PUBLISHED):
        return None
    if settings.family == "timm":
        return digest_of({"timm": version("timm")})
    module = sys.modules[_class(settings.name).__module__]
    return digest_of({name: file_sha256(path) for name, path in _local_sources(module).items()})


def weights_digest(settings: ModelSettings) -> str | None:
    """Digest of the file of weights to start from; None without one.

    Raises
    ------
    Refused
        If there is no such file.
    """
    if not settings.weights:
        return None
    path = Path(os.path.expanduser(settings.weights))
    if not path.is_file():
        raise Refused(f"model.weights is {settings.weights}; no such file")
    return file_sha256(path)


def _local_sources(module: ModuleType) -> dict[str, Path]:
    """Files of a module and of all modules under the same folder that it uses, directly or not."""
    top = Path(sys.modules[module.__name__.partition(".")[0]].__file__ or "").parent
    sources: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        used = waiting.pop()
        path = Path(used.__file__ or "") if getattr(used, "__file__", None) else Path()
        is_beside = path.is_relative_to(top) and "site-packages" not in path.relative_to(top).parts
        if used.__name__ in sources or not is_beside:
            continue
        sources[used.__name__] = path
        for value in list(vars(used).values()):
            name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(name, str) and name in sys.modules:
                waiting.append(sys.modules[name])
    return sources


def check_network(network: nn.Module, patches: torch.Tensor, n_classes: int) -> None:
    """Refuse a network that does not score patches; network and random generators are not changed.

    Parameters
    ----------
    network : nn.Module
        Network on the CPU.
    patches : float32 [shape=(patch, 1, band, frame)]
        A few patches.
    n_classes : int

    Raises
    ------
    Refused
        If it fails on patches of this size, or returns anything but finite scores [shape=(patch, class)].
    """
    with in_evaluation(network, is_frozen=False), torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            scores = network(patches)
        except (AssertionError, RuntimeError, ValueError) as error:
            n_bands, n_frames = patches.shape[2:]
            first_line = str(error).partition("\n")[0]
            raise Refused(
                f"network {type(network).__name__} does not take patches of {n_bands} bands and {n_frames} frames: "
                f"{first_line}"
            ) from error
    if not torch.isfinite(checked_scores(scores, len(patches), network, n_classes)).all():
        raise Refused(
            f"network {type(network).__name__} returned scores that are NaN or infinite; expected finite ones"
        )


def blocks_of(network: nn.Module, otherwise: Sequence[str] = ()) -> list[str]:
    """Name the blocks of a network, from the input up: the default layers of heat.

    Parameters
    ----------
    network : nn.Module
        Network from `build`.
    otherwise : sequence of str
        Layers that stand for its blocks where it names none.

    Returns
    -------
    list of str
        Dotted names in ``network.named_modules()``.

    Raises
    ------
    Refused
        If the network names no block.
    """
    if isinstance(network, BlockNames):
        names = network.block_names()
    else:
        names = [block["module"] for block in getattr(network, "feature_info", None) or []]
    names = [name for name in dict.fromkeys(names) if name in dict(network.named_modules())] or list(otherwise)
    if not names:
        children = ", ".join(child for child, _ in network.named_children())
        raise Refused(
            f"{type(network).__name__} names no blocks; name layers whose output is a map: 'explain.layers=[LAYER]' "
            f"of {children}, ..."
        )
    return names

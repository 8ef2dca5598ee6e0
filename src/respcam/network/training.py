"""Training of a network on units (recordings or events), each made of patches."""

import errno
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import torchaudio
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn
from torch.utils.data import DataLoader, WeightedRandomSampler
from tqdm import tqdm

from respcam.data.heard import UNKNOWN
from respcam.errors import Refused
from respcam.heat.layers import checked_scores
from respcam.metrics import auroc
from respcam.network.inputs import Heard, RandomPatches, Scaler, Units
from respcam.network.model import check_network
from respcam.network.readout import POOLINGS, Readout
from respcam.network.scoring import in_precision_of, predict
from respcam.store.artifact import incidental

if TYPE_CHECKING:  # takes seconds to import
    from lightning_fabric import Fabric

log = logging.getLogger(__name__)

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true")
OPTIMIZERS = ("muon", "adamw")
BALANCES = ("weights", "sampler", "none")
NORM_SHARE, NORM_UNITS = 1 / 8, 64  # share and least number of units for the statistics of the averaged network
Tensors = list[torch.Tensor] | tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Training:
    """Settings of the training loop.

    Parameters
    ----------
    epochs : int
        Largest number of epochs; `patience` may end training sooner.
    batch_units : int
        Number of recordings (or events) per step.
    patches_per_unit : int
        Number of patches at random places of each unit per step.
    optimizer : str
        Optimiser: muon (the update of each layer has nearly equal singular values; Jordan 2024, in the size of Liu et
        al. 2025, arXiv 2502.16982) or adamw (Loshchilov and Hutter 2019, arXiv 1711.05101). Biases and normalisation
        always follow adamw.
    learning_rate, weight_decay : float
        Settings of the optimiser. The updates of both have the same size, so one learning rate suits both; muon is
        used with a weight decay of 1.
    warmup_epochs : float
        Epochs of linear rise of the learning rate, followed by a cosine to zero.
    pooling : str
        Pooling of patch scores into the score of the unit, per class: mean, max or logsumexp.
    balance : str
        Compensation of unequal classes: sampler (rare classes are drawn more often), weights (in the loss) or none.
    balance_power : float
        A class is drawn or weighted by its frequency to the power of minus this: 1 makes classes equal, 0 leaves them
        as they are.
    label_smoothing : float
    average_decay : float
        Decay per step of the running average of the weights. This average is validated and kept; 0 keeps the
        last weights.
    event_weight : float
        Weight of the loss of patches whose class follows from annotated events (``task.events``), beside that of the
        units; 0 learns from the labels of the units alone.
    event_share : float
        Share of the patches that are drawn on annotated events, in units that have some.
    time_mask_frames, band_mask : int
        Largest width of the masks of SpecAugment (Park et al. 2019, arXiv 1904.08779); 0 is off.
    patience : int
        Number of epochs without a lower validation loss after which training ends.
    precision : str
        Precision of training, of the validation that chooses the epoch, and of scores under occlusion. auto is
        bf16-mixed if the device supports it natively, else 32-true; any name of Lightning Fabric is possible.
        Predictions and heat always have single precision.
    threads : int
        Number of torch threads on a CPU.
    """

    epochs: int = 30
    batch_units: int = 16
    patches_per_unit: int = 6
    optimizer: str = "adamw"
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    warmup_epochs: float = 1.0
    pooling: str = "logsumexp"
    balance: str = "sampler"
    balance_power: float = 0.7
    label_smoothing: float = 0.0
    average_decay: float = 0.99
    event_weight: float = 1.0
    event_share: float = 0.5
    time_mask_frames: int = 0
    band_mask: int = 8
    patience: int = 12
    precision: str = "auto"
    threads: int = incidental(2)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_units", "patches_per_unit", "patience", "threads"):
            if getattr(self, name) < 1:
                raise Refused(f"training.{name} is {getattr(self, name)}; expected at least 1")
        if self.batch_units * self.patches_per_unit < 2:
            raise Refused("training.batch_units times patches_per_unit is 1; batch normalisation needs 2 patches")
        if self.learning_rate <= 0:
            raise Refused(f"training.learning_rate is {self.learning_rate}; expected above 0")
        if not 0 <= self.average_decay < 1:
            raise Refused(f"training.average_decay is {self.average_decay}; expected 0 or more and below 1")
        if self.event_weight < 0:
            raise Refused(f"training.event_weight is {self.event_weight}; expected 0 or more")
        if not 0 <= self.balance_power <= 1:
            raise Refused(f"training.balance_power is {self.balance_power}; expected 0 to 1")
        if not 0 <= self.event_share <= 1:
            raise Refused(f"training.event_share is {self.event_share}; expected 0 to 1")
        if self.pooling not in POOLINGS:
            raise Refused(f"training.pooling is {self.pooling!r}; expected one of {', '.join(POOLINGS)}")
        if self.precision not in PRECISIONS:
            raise Refused(f"training.precision is {self.precision!r}; expected {', '.join(PRECISIONS)}")
        if self.optimizer not in OPTIMIZERS:
            raise Refused(f"training.optimizer is {self.optimizer!r}; expected one of {', '.join(OPTIMIZERS)}")
        if self.balance not in BALANCES:
            raise Refused(f"training.balance is {self.balance!r}; expected one of {', '.join(BALANCES)}")


@dataclass(frozen=True)
class TrainingData:
    """Units for training and for the choice of the epoch.

    Attributes
    ----------
    train, validation : Units
    scaler : Scaler
        Scaler of the training units.
    n_classes : int
    heard : sequence of HeardEvents or None, optional
        Annotated events of each training unit; None where they are not learnt from.
    """

    train: Units
    validation: Units
    scaler: Scaler
    n_classes: int
    heard: Heard | None = None

    @property
    def example(self) -> torch.Tensor:
        """Two blank inputs of the size that the network is fed: float32 [shape=(2, 1, band, frame)]."""
        return torch.zeros(2, 1, self.train.n_bands, self.train.settings.length_frames)

    @property
    def class_frequency(self) -> np.ndarray:
        """Share of each class among the training units: float64 [shape=(class,)]."""
        return np.bincount(self.train.target, minlength=self.n_classes) / len(self.train)


def fit(
    build: Callable[[], nn.Module],
    data: TrainingData,
    settings: Training,
    seed: int,
    fabric: "Fabric",
    checkpoint: Path,
) -> tuple[nn.Module, pd.DataFrame]:
    """Train a network and return it as of the epoch with the lowest validation loss.

    The random numbers of an epoch depend on seed and epoch, and ``checkpoint`` holds the state after each epoch. So
    an interrupted run continues after its last complete epoch, with the same result.

    Parameters
    ----------
    build : callable
        Makes the network; called after seeding.
    data : TrainingData
    settings : Training
    seed : int
    fabric : Fabric
    checkpoint : Path
        File that is written after every epoch, and read at the start if it exists.

    Returns
    -------
    model : nn.Module
        In evaluation mode, on the fabric's device.
    history : DataFrame
        ``epoch, train_loss, validation_loss, validation_auroc, learning_rate, is_best``.
    """
    torch.manual_seed(seed)
    trainer = Trainer(build, data, settings, seed, fabric)
    if checkpoint.is_file():
        try:
            trainer.restore(torch.load(checkpoint, map_location=fabric.device, weights_only=True))
            log.info("train: continues after epoch %d", trainer.n_epochs)
        except Exception as error:  # of every kind, from zip and pickle to torch
            if _is_of_the_machine(error):  # the epochs shall not be given up
                raise
            log.warning("train: %s cannot be used (%s); starts anew", checkpoint, str(error).partition("\n")[0])
            torch.manual_seed(seed)
            trainer = Trainer(build, data, settings, seed, fabric)
    bar = tqdm(total=settings.epochs, initial=trainer.n_epochs, desc="train", unit="epoch")
    while trainer.n_epochs < settings.epochs and not _is_stale(trainer.history, settings.patience):
        row = trainer.run_epoch()
        bar.update()
        bar.set_postfix(auroc=f"{row['validation_auroc']:.3f}", loss=f"{row['train_loss']:.3f}")
        _save(checkpoint, trainer.state())
    bar.close()
    history = pd.DataFrame(trainer.history)
    history["is_best"] = np.arange(len(history)) == _best(trainer.history)
    return trainer.best_network().float().eval(), history


class Trainer:
    """Training state: network, optimiser, running average of the weights, and history.

    Parameters
    ----------
    build : callable
        Makes the network; seed torch before.
    data : TrainingData
    settings : Training
    seed : int
    fabric : Fabric

    Raises
    ------
    Refused
        If the network does not score inputs of this size.
    """

    def __init__(
        self,
        build: Callable[[], nn.Module],
        data: TrainingData,
        settings: Training,
        seed: int,
        fabric: "Fabric",
    ):
        self.data, self.settings, self.seed, self.fabric = data, settings, seed, fabric
        network = build()
        check_network(network, data.example, data.n_classes)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network, self.optimizer = fabric.setup(network, _optimizer(network, settings))
        average = _running_average(settings.average_decay)
        self.averaged = AveragedModel(self.network.module, multi_avg_fn=average)
        self.history: list[dict[str, float]] = []
        self.best: dict[str, torch.Tensor] | None = None
        self.class_weight = np.ones(data.n_classes)  # in the validation loss, which shall favour what training does
        if settings.balance != "none":
            self.class_weight /= np.maximum(data.n_classes * data.class_frequency, 1e-9) ** settings.balance_power
        weight = (
            torch.from_numpy(self.class_weight).float().to(fabric.device) if settings.balance == "weights" else None
        )
        self.criterion = nn.CrossEntropyLoss(weight=weight, label_smoothing=settings.label_smoothing)

    @property
    def n_epochs(self) -> int:
        """Number of completed epochs."""
        return len(self.history)

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a state from `state`."""
        self.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.averaged.load_state_dict(state["averaged"])
        self.history, self.best = state["history"], state["best"]

    def state(self) -> dict[str, Any]:
        """State for continuing after the last epoch."""
        return {
            "history": self.history,
            "best": self.best,
            "model": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": self.averaged.state_dict(),
        }

    def best_network(self) -> nn.Module:
        """The network with the averaged weights of the best epoch."""
        assert self.best is not None
        self.averaged.module.load_state_dict(self.best)
        return self.averaged.module

    def run_epoch(self) -> dict[str, float]:
        """Train for one epoch and validate; return its row of the history."""
        epoch, data, settings, fabric = self.n_epochs, self.data, self.settings, self.fabric
        torch.manual_seed(self.seed * 100_003 + epoch + 1)
        loader = loader_of(data, settings, self.seed, epoch, fabric)
        train_loss = self.run_steps(loader, epoch)
        n_norm_batches = math.ceil(max(len(data.train) * NORM_SHARE, NORM_UNITS) / settings.batch_units)
        with fabric.autocast():
            # averaged weights need new statistics of batch normalisation; averaged statistics would not fit
            inputs = _inputs(islice(loader, n_norm_batches), data.scaler)
            update_bn((in_precision_of(self.averaged.module, of) for of in inputs), self.averaged.module)
            probability = predict(
                self.averaged.module, data.validation, data.scaler, Readout(settings.pooling), fabric
            )
        row = {
            "epoch": epoch + 1,
            "train_loss": train_loss,
            "validation_loss": _log_loss(probability, data.validation.target, self.class_weight),
            "validation_auroc": float(auroc(data.validation.target, probability)),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
        }
        self.history.append(row)
        if _best(self.history) == epoch:
            self.best = {name: tensor.clone() for name, tensor in self.averaged.module.state_dict().items()}
        return row

    def run_steps(self, loader: DataLoader, epoch: int) -> float:
        """Train for one pass over the training units; return the mean loss."""
        settings, optimizer, readout = self.settings, self.optimizer, Readout(self.settings.pooling)
        self.network.train()
        augment = nn.Sequential(
            torchaudio.transforms.TimeMasking(settings.time_mask_frames, iid_masks=True),
            torchaudio.transforms.FrequencyMasking(settings.band_mask, iid_masks=True),
        )
        losses = torch.empty(len(loader), device=self.fabric.device)
        for step, (patches, target, patch_target) in enumerate(loader):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * _schedule(epoch + (step + 1) / len(loader), settings)
            n_units, n_patches = patches.shape[:2]
            scaled = augment(self.data.scaler(patches.flatten(0, 1))).contiguous(memory_format=torch.channels_last)
            scores = checked_scores(self.network(scaled), len(scaled), self.network.module, self.data.n_classes)
            of_units = readout(scores.unflatten(0, (n_units, n_patches)))
            loss = self.criterion(of_units, target)
            is_heard = patch_target.flatten() != UNKNOWN
            if settings.event_weight and is_heard.any():
                loss = loss + settings.event_weight * self.criterion(
                    scores[is_heard], patch_target.flatten()[is_heard]
                )
            optimizer.zero_grad()
            self.fabric.backward(loss)
            optimizer.step()
            self.averaged.update_parameters(self.network.module)  # type: ignore[arg-type]
            losses[step] = loss.detach()  # reading the number here would make a GPU wait
        return float(losses.mean())


def _optimizer(network: nn.Module, settings: Training) -> torch.optim.Optimizer:
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
    from timm.optim import create_optimizer_v2  # takes seconds to import; Muon of torch refuses convolutions

    return create_optimizer_v2(network, opt="muon", lr=settings.learning_rate, weight_decay=settings.weight_decay)


def _running_average(decay: float) -> Callable[[Tensors, Tensors, torch.Tensor | int], None]:
    """Exponential average of the weights, with a smaller decay in the first steps, for short runs."""

    @torch.no_grad()
    def average(so_far: Tensors, now: Tensors, n_steps: torch.Tensor | int) -> None:
        torch._foreach_lerp_(so_far, now, 1 - min(decay, (1 + int(n_steps)) / (10 + int(n_steps))))

    return average


def _inputs(batches: Iterable[Tensors], scaler: Scaler) -> Iterator[torch.Tensor]:
    """Inputs of the network from batches: float32 [shape=(patch, 1, band, frame)]."""
    for patches, *_ in batches:
        yield scaler(patches.flatten(0, 1)).contiguous(memory_format=torch.channels_last)


def _is_of_the_machine(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno != errno.EINVAL  # that of seeking in a file that was cut
    return isinstance(error, MemoryError | torch.OutOfMemoryError)


def _save(path: Path, state: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:  # torch alone would lose the reason of an error
        torch.save(state, file)
    partial.replace(path)


def _best(history: list[dict[str, float]]) -> int:
    """Index of the epoch with the lowest validation loss; AUROC is too coarse on a few patients."""
    return min(range(len(history)), key=lambda i: history[i]["validation_loss"])


def _is_stale(history: list[dict[str, float]], patience: int) -> bool:
    return bool(history) and len(history) - 1 - _best(history) >= patience


def _log_loss(probability: np.ndarray, target: np.ndarray, class_weight: np.ndarray) -> float:
    of_class = np.maximum(probability[np.arange(len(target)), target], 1e-12)
    return float(np.average(-np.log(of_class), weights=class_weight[target]))


def loader_of(data: TrainingData, settings: Training, seed: int, epoch: int, fabric: "Fabric") -> DataLoader:
    """Batches of one epoch: those of `respcam.network.inputs.RandomPatches`."""
    train = data.train
    order = torch.Generator().manual_seed(seed * 100_003 + epoch + 1)
    sampler = None
    if settings.balance == "sampler":
        rarity = np.bincount(train.target)[train.target] ** -settings.balance_power
        sampler = WeightedRandomSampler(rarity.tolist(), len(train), generator=order)
    loader: DataLoader = DataLoader(
        RandomPatches(train, settings.patches_per_unit, seed, epoch, data.heard, settings.event_share),
        batch_size=min(settings.batch_units, len(train)),
        shuffle=sampler is None,
        sampler=sampler,
        generator=order,
        drop_last=True,
        collate_fn=_as_it_is,
        pin_memory=fabric.device.type == "cuda",
    )
    return fabric.setup_dataloaders(loader)  # type: ignore[return-value]


def _as_it_is(batch: Any) -> Any:
    return batch


def _schedule(epochs_done: float, settings: Training) -> float:
    """Factor on the learning rate: linear warm-up, then a cosine to zero."""
    if epochs_done < settings.warmup_epochs:
        return epochs_done / settings.warmup_epochs
    rest = (epochs_done - settings.warmup_epochs) / max(settings.epochs - settings.warmup_epochs, 1e-9)
    return 0.5 * (1 + float(np.cos(np.pi * min(rest, 1.0))))

"""Training on units made of patches, and scoring them."""

import ctypes
import logging
import math
import sys
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
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler
from tqdm import tqdm

from respcam.data.patches import PatchSettings, cut, padded, patch_starts
from respcam.metrics import auroc

if TYPE_CHECKING:  # takes seconds to import
    from lightning_fabric import Fabric

log = logging.getLogger(__name__)

POOLINGS = ("mean", "max", "logsumexp")
BALANCES = ("weights", "sampler", "none")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
NORM_SHARE, NORM_UNITS = 1 / 8, 64  # of the units, and at least: for the averaged network's statistics
Tensors = list[torch.Tensor] | tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Training:
    """Settings of the training loop.

    Parameters
    ----------
    epochs : int
        At most; `patience` may end it sooner.
    batch_units : int
        Recordings (or events) per step.
    patches_per_unit : int
        Patches drawn at random places of each unit per step.
    learning_rate, weight_decay : float
        AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).
    warmup_epochs : float
        Linear rise of the learning rate, followed by a cosine to zero.
    pooling : str
        How patch scores become the unit's: mean, max or logsumexp over patches, per class.
    balance : str
        Against unequal classes: weights (in the loss), sampler (in the draw) or none.
    label_smoothing : float
    average_decay : float
        Per step, of the running average of the weights that is validated and kept; 0 keeps the
        last weights themselves.
    time_mask_frames, band_mask : int
        Widest mask of SpecAugment (Park et al. 2019, arXiv 1904.08779); 0 is off.
    patience : int
        Epochs without a lower validation loss after which training ends.
    precision : str
        Of training, of the validation that chooses the epoch, and of scores under occlusion; predictions
        and heat are always computed in single precision. auto takes bf16-mixed where the device computes in
        it natively, else 32-true; or Lightning Fabric's name.
    threads : int
        torch threads on a CPU.
    """

    epochs: int = 20
    batch_units: int = 32
    patches_per_unit: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup_epochs: float = 1.0
    pooling: str = "logsumexp"
    balance: str = "weights"
    label_smoothing: float = 0.0
    average_decay: float = 0.99
    time_mask_frames: int = 0
    band_mask: int = 8
    patience: int = 10
    precision: str = "auto"
    threads: int = 2

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_units", "patches_per_unit", "patience", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"training.{name} is {getattr(self, name)}; expected at least 1")
        if self.batch_units * self.patches_per_unit < 2:
            raise ValueError("training.batch_units times patches_per_unit is 1; batch normalisation needs 2 patches")
        if self.learning_rate <= 0:
            raise ValueError(f"training.learning_rate is {self.learning_rate}; expected above 0")
        if not 0 <= self.average_decay < 1:
            raise ValueError(f"training.average_decay is {self.average_decay}; expected 0 or more and below 1")
        if self.pooling not in POOLINGS:
            raise ValueError(f"training.pooling is {self.pooling!r}; expected one of {', '.join(POOLINGS)}")
        if self.balance not in BALANCES:
            raise ValueError(f"training.balance is {self.balance!r}; expected one of {', '.join(BALANCES)}")


class Units(Dataset):
    """Recordings or events as stretches of one frame array, cut into patches on demand.

    Parameters
    ----------
    frames : list of float32 [shape=(frame, all bands)]
        Per unit: a view of the frame array, at least one frame.
    target : int64 [shape=(unit,)]
    kept : bool [shape=(all bands,)]
        Bands that the model is fed.
    masked : bool [shape=(all bands,)]
        Of these, the ones that are blank: at the floor in every frame.
    settings : PatchSettings
    floor : float
        Log-mel of silence, for padding.
    """

    def __init__(
        self,
        frames: list[np.ndarray],
        target: np.ndarray,
        kept: np.ndarray,
        settings: PatchSettings,
        floor: float,
        masked: np.ndarray | None = None,
    ):
        self.frames, self.target, self.settings, self.floor = frames, target, settings, floor
        bands = np.flatnonzero(kept)
        is_one_stretch = np.ptp(bands) + 1 == len(bands)
        self.kept = slice(bands[0], bands[-1] + 1) if is_one_stretch else bands  # a slice copies nothing
        self.masked = None if masked is None or not masked.any() else masked[bands]

    def __len__(self) -> int:
        return len(self.frames)

    def of(self, unit: int) -> np.ndarray:
        """Frames of a unit, short ones padded: float32 [shape=(frame, kept band)]."""
        frames = np.asarray(self.frames[unit][:, self.kept])
        if self.masked is not None:
            frames = np.where(self.masked, np.float32(self.floor), frames)
        return padded(frames, self.settings, self.floor)

    def grid(self, unit: int, settings: PatchSettings | None = None) -> np.ndarray:
        """Patches of a unit at the evaluation hop, or another: float32 [shape=(patch, band, frame)]."""
        starts = patch_starts(len(self.frames[unit]), settings or self.settings)
        return cut(self.of(unit), starts, self.settings.length_frames)

    def __getitem__(self, unit: int) -> tuple[np.ndarray, int]:
        return self.grid(unit), int(self.target[unit])


class RandomPatches(Dataset):
    """A fixed number of patches of each unit at places drawn for one epoch.

    The places depend on seed, epoch and unit alone, so they are the same after an interruption and
    for any number of loader processes.
    """

    def __init__(self, units: Units, n_patches: int, seed: int, epoch: int):
        self.units, self.n_patches, self.seed, self.epoch = units, n_patches, seed, epoch

    def __len__(self) -> int:
        return len(self.units)

    def __getitems__(self, chosen: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Gather a batch.

        Returns
        -------
        patches : float32 [shape=(unit, patch, band, frame)]
            A view of [shape=(unit, patch, frame, band)], the order in which frames are stored.
        target : int64 [shape=(unit,)]
        """
        length = self.units.settings.length_frames
        stretches = []
        for unit in chosen:
            frames = self.units.of(unit)
            rng = np.random.default_rng([self.seed, self.epoch, unit])
            starts = rng.integers(0, len(frames) - length + 1, self.n_patches)
            stretches += [frames[start : start + length] for start in starts]
        patches = torch.from_numpy(np.stack(stretches)).unflatten(0, (len(chosen), -1))
        return patches.transpose(2, 3), torch.from_numpy(self.units.target[chosen])


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of each band over the training units.

    Attributes
    ----------
    mean, std : float32 [shape=(band,)]
    """

    mean: np.ndarray
    std: np.ndarray

    @staticmethod
    def fit(units: Units) -> "Scaler":
        """Compute the scaler over all frames of the units; call it with training units only."""
        n = 0
        total = squares = np.zeros(units.of(0).shape[1])
        for unit in range(len(units)):
            frames = units.of(unit).astype(np.float64)
            n, total, squares = (
                n + len(frames),
                total + frames.sum(axis=0),
                squares + np.square(frames).sum(axis=0),
            )
        mean = total / n
        std = np.sqrt(np.maximum(squares / n - np.square(mean), 1e-8))
        return Scaler(mean.astype(np.float32), std.astype(np.float32))

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        """Scale patches and give them the channel axis that a model expects.

        Parameters
        ----------
        patches : float32 [shape=(patch, band, frame)]

        Returns
        -------
        float32 [shape=(patch, 1, band, frame)]
        """
        mean, rate = (torch.from_numpy(v).to(patches.device)[:, None] for v in (self.mean, 1 / self.std))
        return ((patches - mean) * rate)[:, None]


def pool(scores: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool patch scores to the score of their unit.

    Parameters
    ----------
    scores : float32 [shape=(..., patch, class)]
    pooling : str
        mean, max, or logsumexp (a smooth maximum, minus the log of the number of patches).

    Returns
    -------
    float32 [shape=(..., class)]
    """
    if pooling == "mean":
        return scores.mean(dim=-2)
    if pooling == "max":
        return scores.amax(dim=-2)
    return scores.logsumexp(dim=-2) - float(np.log(scores.shape[-2]))


def log_part(scores: np.ndarray, unit: np.ndarray, pooling: str) -> np.ndarray:
    """Part of each patch in the score of its unit: the gradient of the pooling.

    Parameters
    ----------
    scores : float64 [shape=(patch,)]
        Of the class in question.
    unit : int [shape=(patch,)]
        Which unit each patch belongs to.
    pooling : str
        mean, max or logsumexp.

    Returns
    -------
    float64 [shape=(patch,)]
        Natural logarithm, up to a constant per unit; minus infinity for a patch that has no part.
    """
    if pooling == "mean":
        return np.zeros(len(scores))
    if pooling == "max":
        highest = np.full(unit.max() + 1, -np.inf)
        np.maximum.at(highest, unit, scores)
        return np.where(scores == highest[unit], 0.0, -np.inf)
    return scores


def make_fabric(device: str, precision: str = "32-true", threads: int = 1) -> "Fabric":
    """Choose the device (auto, cpu, cuda, ...) and precision, and make torch repeatable on it.

    Threads, determinism and what the C library does with freed memory are set for the whole process.

    Raises
    ------
    ValueError
        If the device is not there.
    """
    from lightning_fabric import Fabric

    torch.set_num_threads(threads)
    _keep_freed_memory()
    torch.use_deterministic_algorithms(True, warn_only=True)
    # a tenth of the time, and no result needs it
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if precision == "auto":
        on_gpu = device != "cpu" and torch.cuda.is_available()
        is_native = torch.cuda.is_bf16_supported() if on_gpu else torch.cpu._is_avx512_bf16_supported()
        precision = "bf16-mixed" if is_native else "32-true"
    try:
        return Fabric(accelerator=device, devices=1, precision=precision)  # type: ignore[arg-type]
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"device is {device!r}, which is not usable here: {error}") from error


def _keep_freed_memory() -> None:
    """Have the GNU C library keep what a batch frees for the next one, which else faults every page in again."""
    libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_TRIM_THRESHOLD, 2**29)
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)  # the most that it takes


@torch.inference_mode()
def predict(
    model: nn.Module, units: Units, scaler: Scaler, pooling: str, fabric: "Fabric", progress: str = ""
) -> np.ndarray:
    """Score every unit from all its patches.

    Parameters
    ----------
    model : nn.Module
        On the fabric's device; left in evaluation mode.
    units : Units
    scaler : Scaler
    pooling : str
    fabric : Fabric
    progress : str
        Title of the progress bar; blank shows none.

    Returns
    -------
    float32 [shape=(unit, class)]
        Probabilities (softmax of the pooled scores).
    """
    model.eval()
    counts = [len(patch_starts(len(frames), units.settings)) for frames in units.frames]
    bar = tqdm(total=sum(counts), desc=progress, unit="patch", disable=not progress, leave=False)
    scores, done = torch.empty(0), 0
    for patches in patch_batches(units, 32):
        own = model(scaler(fabric.to_device(torch.from_numpy(patches)))).float()
        if not done:  # one array: many small results kept between large ones would hold the memory of all
            scores = own.new_empty(sum(counts), own.shape[1])
        scores[done : done + len(own)] = own
        done += len(own)
        bar.update(len(own))
    bar.close()
    pooled = [pool(own, pooling) for own in scores.split(counts)]
    return torch.stack(pooled).softmax(dim=1).cpu().numpy()


def patch_batches(units: Units, n_patches: int, settings: PatchSettings | None = None) -> Iterator[np.ndarray]:
    """Cut the patches of units, in order, into batches of one size: a network runs each other size anew.

    Parameters
    ----------
    units : Units
    n_patches : int
        Of every batch but the last.
    settings : PatchSettings, optional
        Where patches are cut; the units' own unless given.

    Returns
    -------
    iterator of float32 [shape=(patch, band, frame)]
    """
    waiting: list[np.ndarray] = []
    total = 0
    for unit in range(len(units)):
        waiting.append(units.grid(unit, settings))
        total += len(waiting[-1])
        if total >= n_patches:
            joined = np.concatenate(waiting)
            whole = total - total % n_patches
            yield from np.split(joined[:whole], whole // n_patches)
            waiting, total = [joined[whole:]], total - whole
    if total:
        yield np.concatenate(waiting)


def unit_batches(units: Units, n_patches: int = 32) -> Iterator[list[int]]:
    """Gather units, in order, until a batch holds about a number of patches."""
    batch: list[int] = []
    total = 0
    for unit, frames in enumerate(units.frames):
        batch.append(unit)
        total += len(patch_starts(len(frames), units.settings))
        if total >= n_patches:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def fit(
    build: Callable[[], nn.Module],
    train: Units,
    validation: Units,
    scaler: Scaler,
    n_classes: int,
    settings: Training,
    seed: int,
    fabric: "Fabric",
    checkpoint: Path,
) -> tuple[nn.Module, pd.DataFrame]:
    """Train a network; the epoch with the lowest validation loss is the one returned.

    Each epoch's random numbers follow from seed and epoch, and the state after each epoch lies in
    ``checkpoint``: a run that was killed goes on after its last whole epoch and ends the same.

    Parameters
    ----------
    build : callable
        Makes the network; called after seeding.
    train, validation : Units
    scaler : Scaler
    n_classes : int
    settings : Training
    seed : int
    fabric : Fabric
    checkpoint : Path
        File that is written after every epoch, and read first where it exists.

    Returns
    -------
    model : nn.Module
        In evaluation mode, on the fabric's device.
    history : DataFrame
        ``epoch, train_loss, validation_loss, validation_auroc, learning_rate, is_best``.
    """
    torch.manual_seed(seed)
    model, optimizer, averaged = prepare(build, settings, fabric)
    state: dict[str, Any] = {"epoch": 0, "history": [], "best": None}
    if checkpoint.is_file():
        saved = torch.load(checkpoint, map_location=fabric.device, weights_only=True)
        model.load_state_dict(saved.pop("model"))
        optimizer.load_state_dict(saved.pop("optimizer"))
        averaged.load_state_dict(saved.pop("averaged"))
        state = saved
        log.info("train: going on after epoch %d", state["epoch"])
    frequency = np.bincount(train.target, minlength=n_classes) / len(train)
    class_weight = torch.ones(n_classes)
    if settings.balance == "weights":
        class_weight = torch.from_numpy(1 / (n_classes * np.maximum(frequency, 1e-9))).float()
    criterion = nn.CrossEntropyLoss(weight=class_weight.to(fabric.device), label_smoothing=settings.label_smoothing)
    n_norm_batches = math.ceil(max(len(train) * NORM_SHARE, NORM_UNITS) / settings.batch_units)
    bar = tqdm(total=settings.epochs, initial=state["epoch"], desc="train", unit="epoch")
    while state["epoch"] < settings.epochs and not _is_stale(state["history"], settings.patience):
        epoch = state["epoch"]
        torch.manual_seed(seed * 100_003 + epoch + 1)
        loader = loader_of(train, settings, seed, epoch, fabric)
        train_loss = run_epoch(model, averaged, optimizer, criterion, loader, scaler, settings, epoch, fabric)
        with fabric.autocast():
            # averaged weights have statistics of their own, which no average of those along the way is
            update_bn(_pictures(islice(loader, n_norm_batches), scaler), averaged.module)
            probability = predict(averaged.module, validation, scaler, settings.pooling, fabric)
        row = {
            "epoch": epoch + 1,
            "train_loss": train_loss,
            "validation_loss": _log_loss(probability, validation.target, class_weight.numpy()),
            "validation_auroc": float(auroc(validation.target, probability)),
            "learning_rate": optimizer.param_groups[0]["lr"],
        }
        state["history"].append(row)
        state["epoch"] = epoch + 1
        if _best(state["history"]) == epoch:
            state["best"] = {name: tensor.clone() for name, tensor in averaged.module.state_dict().items()}
        bar.update()
        bar.set_postfix(auroc=f"{row['validation_auroc']:.3f}", loss=f"{train_loss:.3f}")
        live: dict[str, Any] = {"model": model, "optimizer": optimizer, "averaged": averaged}
        _save(checkpoint, {**state, **{name: each.state_dict() for name, each in live.items()}})
    bar.close()
    kept = averaged.module
    kept.load_state_dict(state["best"])
    history = pd.DataFrame(state["history"])
    history["is_best"] = np.arange(len(history)) == _best(state["history"])
    return kept.eval(), history


def prepare(
    build: Callable[[], nn.Module], settings: Training, fabric: "Fabric"
) -> tuple[nn.Module, torch.optim.Optimizer, AveragedModel]:
    """Make the network, its optimiser and the running average of its weights, on the fabric's device."""
    model = build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    model, optimizer = fabric.setup(model, optimizer)
    averaged = AveragedModel(model.module, multi_avg_fn=_running_average(settings.average_decay))
    return model, optimizer, averaged


def _running_average(decay: float) -> Callable[[Tensors, Tensors, torch.Tensor | int], None]:
    """Exponential average of the weights; the first steps weigh more, so that a short run is no worse."""

    @torch.no_grad()
    def average(so_far: Tensors, now: Tensors, n_steps: torch.Tensor | int) -> None:
        torch._foreach_lerp_(so_far, now, 1 - min(decay, (1 + int(n_steps)) / (10 + int(n_steps))))

    return average


def _pictures(batches: Iterable[Tensors], scaler: Scaler) -> Iterator[torch.Tensor]:
    """What the network is shown of batches: float32 [shape=(patch, 1, band, frame)]."""
    for patches, _ in batches:
        yield scaler(patches.flatten(0, 1)).contiguous(memory_format=torch.channels_last)


def _save(path: Path, state: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    torch.save(state, partial)
    partial.replace(path)


def _best(history: list[dict[str, float]]) -> int:
    """Index of the epoch with the lowest validation loss: AUROC is too coarse on a few patients."""
    return min(range(len(history)), key=lambda i: history[i]["validation_loss"])


def _is_stale(history: list[dict[str, float]], patience: int) -> bool:
    return bool(history) and len(history) - 1 - _best(history) >= patience


def _log_loss(probability: np.ndarray, target: np.ndarray, class_weight: np.ndarray) -> float:
    own = np.maximum(probability[np.arange(len(target)), target], 1e-12)
    return float(np.average(-np.log(own), weights=class_weight[target]))


def loader_of(train: Units, settings: Training, seed: int, epoch: int, fabric: "Fabric") -> DataLoader:
    """Batches of one epoch: ``patches`` [shape=(unit, patch, band, frame)] and ``target`` [shape=(unit,)]."""
    order = torch.Generator().manual_seed(seed * 100_003 + epoch + 1)
    sampler = None
    if settings.balance == "sampler":
        rarity = 1 / np.bincount(train.target)[train.target]
        sampler = WeightedRandomSampler(rarity.tolist(), len(train), generator=order)
    loader: DataLoader = DataLoader(
        RandomPatches(train, settings.patches_per_unit, seed, epoch),
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


def run_epoch(
    model: nn.Module,
    averaged: AveragedModel,
    optimizer: torch.optim.Optimizer,
    criterion: nn.Module,
    loader: DataLoader,
    scaler: Scaler,
    settings: Training,
    epoch: int,
    fabric: "Fabric",
) -> float:
    """One pass over the training units; returns the mean loss."""
    model.train()
    augment = nn.Sequential(
        torchaudio.transforms.TimeMasking(settings.time_mask_frames, iid_masks=True),
        torchaudio.transforms.FrequencyMasking(settings.band_mask, iid_masks=True),
    )
    losses = torch.empty(len(loader), device=fabric.device)
    for step, (patches, target) in enumerate(loader):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _schedule(epoch + (step + 1) / len(loader), settings)
        n_units, n_patches = patches.shape[:2]
        pictures = augment(scaler(patches.flatten(0, 1))).contiguous(memory_format=torch.channels_last)
        scores = model(pictures).unflatten(0, (n_units, n_patches))
        loss = criterion(pool(scores, settings.pooling), target)
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()
        averaged.update_parameters(model.module)  # type: ignore[arg-type]
        losses[step] = loss.detach()  # asking for the number here would make a GPU wait
    return float(losses.mean())


def _schedule(epochs_done: float, settings: Training) -> float:
    """Factor on the learning rate: linear warm-up, then a cosine to zero."""
    if epochs_done < settings.warmup_epochs:
        return epochs_done / settings.warmup_epochs
    rest = (epochs_done - settings.warmup_epochs) / max(settings.epochs - settings.warmup_epochs, 1e-9)
    return 0.5 * (1 + float(np.cos(np.pi * min(rest, 1.0))))

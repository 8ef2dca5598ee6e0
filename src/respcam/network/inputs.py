"""Inputs of a network: frames of units cut into patches, and scaling."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from respcam.data.heard import UNKNOWN, HeardEvents
from respcam.data.patches import PatchSettings, cut, padded, patch_starts

Heard = Sequence[HeardEvents | None]


class Units(Dataset):
    """Units (recordings or events) as views of one frame array, cut into patches when needed.

    Parameters
    ----------
    frames : list of float32 [shape=(frame, all bands)]
        View of the frame array for each unit, with at least one frame.
    target : int64 [shape=(unit,)]
        Class of each unit.
    fed : bool [shape=(all bands,)]
        Marks the bands that the model is fed.
    settings : PatchSettings
    floor : float
        Log-mel of silence, for padding.
    masked : bool [shape=(all bands,)], optional
        Marks the fed bands that are blank: at the floor in every frame.
    """

    def __init__(
        self,
        frames: list[np.ndarray],
        target: np.ndarray,
        fed: np.ndarray,
        settings: PatchSettings,
        floor: float,
        masked: np.ndarray | None = None,
    ):
        self.frames, self.target, self.settings, self.floor = frames, target, settings, floor
        bands = np.flatnonzero(fed)
        is_one_stretch = np.ptp(bands) + 1 == len(bands)
        self.fed = slice(bands[0], bands[-1] + 1) if is_one_stretch else bands  # a slice copies nothing
        self.masked = None if masked is None or not masked.any() else masked[bands]

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def n_bands(self) -> int:
        """Number of bands that the model is fed."""
        return self.of(0).shape[1]

    def of(self, unit: int) -> np.ndarray:
        """Frames of a unit, padded if it is short: float32 [shape=(frame, fed band)]."""
        frames = np.asarray(self.frames[unit][:, self.fed])
        if self.masked is not None:
            frames = np.where(self.masked, np.float32(self.floor), frames)
        return padded(frames, self.settings, self.floor)

    def grid(self, unit: int, settings: PatchSettings | None = None) -> np.ndarray:
        """Patches of a unit at the evaluation hop or another hop: float32 [shape=(patch, band, frame)]."""
        starts = patch_starts(len(self.frames[unit]), settings or self.settings)
        return cut(self.of(unit), starts, self.settings.length_frames)

    def __getitem__(self, unit: int) -> tuple[np.ndarray, int]:
        return self.grid(unit), int(self.target[unit])


class RandomPatches(Dataset):
    """A fixed number of patches of each unit, at random places for one epoch.

    The places depend only on seed, epoch and unit. So they are the same after an interruption and for any number
    of loader processes.

    Parameters
    ----------
    units : Units
    n_patches : int
        Number of patches of each unit.
    seed, epoch : int
    heard : sequence of HeardEvents or None, optional
        Annotated events of each unit; None for a unit without annotations.
    event_share : float
        Share of the patches that lie on annotated events, in units that have some.
    """

    def __init__(
        self,
        units: Units,
        n_patches: int,
        seed: int,
        epoch: int,
        heard: Heard | None = None,
        event_share: float = 0.0,
    ):
        self.units, self.n_patches, self.seed, self.epoch = units, n_patches, seed, epoch
        self.heard, self.n_on_events = heard, round(event_share * n_patches)

    def __len__(self) -> int:
        return len(self.units)

    def __getitems__(self, chosen: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Make a batch.

        Returns
        -------
        patches : float32 [shape=(unit, patch, band, frame)]
            A view of [shape=(unit, patch, frame, band)], the order in which frames are stored.
        target : int64 [shape=(unit,)]
        patch_target : int64 [shape=(unit, patch)]
            Class of each patch from annotated events, or `respcam.data.heard.UNKNOWN`.
        """
        length = self.units.settings.length_frames
        stretches, classes = [], np.full((len(chosen), self.n_patches), UNKNOWN)
        for row, unit in enumerate(chosen):
            frames = self.units.of(unit)
            heard = None if self.heard is None else self.heard[unit]
            starts = self._starts(unit, len(frames) - length, heard)
            stretches += [frames[start : start + length] for start in starts]
            if heard is not None:
                classes[row] = [heard.class_of(start, length) for start in starts]
        patches = torch.from_numpy(np.stack(stretches)).unflatten(0, (len(chosen), -1))
        return patches.transpose(2, 3), torch.from_numpy(self.units.target[chosen]), torch.from_numpy(classes)

    def _starts(self, unit: int, last: int, heard: HeardEvents | None) -> np.ndarray:
        rng = np.random.default_rng([self.seed, self.epoch, unit])
        starts = rng.integers(0, last + 1, self.n_patches)
        if heard is not None and len(heard.start):
            length = self.units.settings.length_frames
            starts[: self.n_on_events] = heard.starts_on(self.n_on_events, length, last, rng)
        return starts


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


def patch_batches(units: Units, n_patches: int, settings: PatchSettings | None = None) -> Iterator[np.ndarray]:
    """Cut units, in order, into batches of patches of equal size, because a network is slower on changing sizes.

    Parameters
    ----------
    units : Units
    n_patches : int
        Size of every batch but the last.
    settings : PatchSettings, optional
        Length and hop of the patches; None takes the settings of the units.

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
            n_full = total - total % n_patches
            yield from np.split(joined[:n_full], n_full // n_patches)
            waiting, total = [joined[n_full:]], total - n_full
    if total:
        yield np.concatenate(waiting)

"""What is observed on each recording: its heat, and its log-odds without each group of bands."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from respcam.evidence.occlusion import Condition, fill_of
from respcam.heat import resize
from respcam.heat.bands import GroupedBands
from respcam.heat.cam import Choice
from respcam.network.inputs import Units
from respcam.network.occluded import log_odds
from respcam.network.trained import TrainedModel

SAVE_EVERY_S = 10
BATCHES_AT_A_TIME = 2  # recordings are looked at together until they fill that many batches of patches
INTACT, LOUDNESS = "intact", "loudness"


class ArrayStore(Protocol):
    """Storage of named arrays, for continuing interrupted work, such as `respcam.store.arrays.ArrayFile`."""

    def load(self) -> dict[str, np.ndarray]:
        """Read all saved arrays by name."""

    def save(self, arrays: Mapping[str, np.ndarray], /) -> None:
        """Replace the saved arrays."""


@dataclass(frozen=True)
class Question:
    """What is observed with one network.

    Attributes
    ----------
    network : nn.Module or None
        None stands for the trained network.
    choices : tuple of Choice
        Heat that is computed.
    conditions : mapping of fill to sequence of Condition
        Groups that are removed, by fill.
    has_loudness : bool
        Whether the loudness of each band is noted, a baseline of heat without a model.
    """

    network: nn.Module | None
    choices: tuple[Choice, ...]
    conditions: Mapping[str, Sequence[Condition]]
    has_loudness: bool = False


@dataclass
class Observer:
    """Observes recordings in a given order; what was observed is stored and never observed again.

    Attributes
    ----------
    model : TrainedModel
    bands : GroupedBands
    data : Units
    explained : int64 [shape=(unit,)]
        Class of each unit whose score heat explains.
    order : int64 [shape=(unit,)]
        Positions of the units in the order in which they are observed.
    question : Question
    seed : int
        Seed of the recordings that fill others (`respcam.evidence.occlusion.fill_of`).
    store : ArrayStore
    observed : dict of str to array [shape=(observed unit, ...)]
        ``intact`` float64 [shape=(unit, class)]: log-odds. Log-odds without each condition by ``fill_<fill>``,
        [shape=(unit, condition, class)]. Heat by ``heat_<number of the choice>`` and ``loudness``,
        [shape=(unit, band)].
    """

    model: TrainedModel
    bands: GroupedBands
    data: Units
    explained: np.ndarray
    order: np.ndarray
    question: Question
    seed: int
    store: ArrayStore
    observed: dict[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        self.observed = self.store.load()

    def __len__(self) -> int:
        return len(self.observed[INTACT]) if self.observed else 0

    def heat(self, choice: Choice) -> np.ndarray:
        """Heat of the observed units: float64 [shape=(unit, band)]."""
        return self.observed[f"heat_{self.question.choices.index(choice)}"]

    def log_odds(self, fill: str) -> np.ndarray:
        """Log-odds without each condition: float64 [shape=(unit, condition, class)]."""
        return self.observed[f"fill_{fill}"]

    def drop(self, fill: str) -> np.ndarray:
        """Fall of the log-odds under each condition: float64 [shape=(unit, condition, class)]."""
        return self.observed[INTACT][:, None] - self.log_odds(fill)

    def look(self, n_units: int, progress: str) -> None:
        """Observe further units, until there are ``n_units``."""
        todo = self.order[len(self) : n_units]
        saved_s = time.monotonic()
        bar = tqdm(total=len(todo), desc=progress, unit="rec", leave=False)
        new: list[dict[str, np.ndarray]] = []
        for batch in self._batches(todo):
            new.append(self._look(batch))
            bar.update(len(batch))
            if time.monotonic() - saved_s > SAVE_EVERY_S:
                new = self._keep(new)
                saved_s = time.monotonic()
        bar.close()
        self._keep(new)

    def _keep(self, new: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        if new:
            before = [self.observed] if self.observed else []
            joined = {name: np.concatenate([part[name] for part in before + new]) for name in new[0]}
            # in the order of a file, because the order of a sum changes its last digit
            self.observed = {name: np.ascontiguousarray(values) for name, values in joined.items()}
            self.store.save(self.observed)
        return []

    def _batches(self, units: np.ndarray) -> list[list[int]]:
        batches: list[list[int]] = []
        n_patches = 0
        for unit in units.tolist():
            if not batches or n_patches >= BATCHES_AT_A_TIME * self.model.batch_patches:
                batches.append([])
                n_patches = 0
            batches[-1].append(unit)
            n_patches += len(self.data.grid(unit))
        return batches

    def _look(self, units: list[int]) -> dict[str, np.ndarray]:
        grids = [self.data.grid(unit) for unit in units]
        patches, counts = np.concatenate(grids), [len(grid) for grid in grids]
        ends = np.cumsum(counts)[:-1]
        question, model = self.question, self.model
        nothing = np.zeros(patches.shape[1], dtype=bool)
        arrays: dict[str, np.ndarray] = {}
        for fill, conditions in question.conditions.items():
            values = [fill_of(fill, unit, self.data, model.scaler.mean, self.seed) for unit in units]
            removed = [nothing, *(condition.bands(self.bands) for condition in conditions)]
            log_odds_of = self._log_odds(patches, np.concatenate(values), counts, removed)
            arrays |= {INTACT: log_odds_of[:, 0], f"fill_{fill}": log_odds_of[:, 1:]}
        heat = model.heat(patches, counts, self.explained[units], question.choices, question.network)
        for number, choice in enumerate(question.choices):
            per_band = resize.margins(heat[choice], *patches.shape[1:])[0].double().numpy()
            arrays[f"heat_{number}"] = np.stack([of_unit.sum(axis=0) for of_unit in np.split(per_band, ends)])
        if question.has_loudness:
            power = np.exp(patches.astype(np.float64)).mean(axis=2)
            arrays[LOUDNESS] = np.stack([of_unit.mean(axis=0) for of_unit in np.split(power, ends)])
        return arrays

    def _log_odds(
        self, patches: np.ndarray, fill: np.ndarray, counts: list[int], removed: list[np.ndarray]
    ) -> np.ndarray:
        """Log-odds of units under some conditions: float64 [shape=(unit, condition, class)]."""
        scores = self.model.scores_without(patches, fill, removed, self.question.network)
        pooled: torch.Tensor = self.model.readout.of_units(scores, counts)
        return log_odds(pooled).transpose(0, 1).cpu().numpy()

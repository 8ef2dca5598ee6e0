"""Band occlusion: scores when groups of bands are removed."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd
from tqdm import tqdm

from respcam.errors import Refused
from respcam.evidence.faithfulness import interval_columns, resampled_mean, with_spread
from respcam.evidence.sample import PatchSample
from respcam.heat.bands import GroupedBands
from respcam.metrics import auroc
from respcam.network.trained import TrainedModel

log = logging.getLogger(__name__)

FILLS = ("mean", "floor", "other")
KINDS = ("single", "low_pass", "high_pass")
SAVE_EVERY_S = 10


@dataclass(frozen=True)
class Condition:
    """Groups of bands that are removed together.

    Attributes
    ----------
    kind : str
        single, low_pass (a group and all above it are removed) or high_pass (a group and all below it).
    group : int
    removed : set of int
    """

    kind: str
    group: int
    removed: frozenset[int]


def sweep(n_groups: int, kinds: Sequence[str] = KINDS) -> list[Condition]:
    """List all conditions of the given kinds; at the end of a curve all groups are removed.

    Parameters
    ----------
    n_groups : int
    kinds : sequence of str

    Returns
    -------
    list of Condition
        ``n_groups`` conditions of each kind, from the lowest group up.
    """
    removed: dict[str, Callable[[int], Iterable[int]]] = {
        "single": lambda group: [group],
        "low_pass": lambda group: range(group, n_groups),
        "high_pass": lambda group: range(group + 1),
    }
    return [Condition(kind, group, frozenset(removed[kind](group))) for kind in kinds for group in range(n_groups)]


def fill_of(
    rule: str, patches: np.ndarray, mean: np.ndarray, floor: float, target: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Make the fill, which replaces a removed band.

    Parameters
    ----------
    rule : str
        mean (of the band over the training units), floor (log-mel of silence) or other (the same band of a patch
        of another class, because a patch of the same class may contain the same sign).
    patches : float32 [shape=(patch, band, frame)]
    mean : float32 [shape=(band,)]
    floor : float
        Log-mel of silence.
    target : int64 [shape=(patch,)]
        Class of each patch.
    rng : np.random.Generator
        Generator that chooses the patch of another class.

    Returns
    -------
    float32 [shape=(patch, band, frame)]
        May be a broadcast view.

    Raises
    ------
    Refused
        If there is no such rule, or the rule is other and there is only one class.
    """
    if rule == "mean":
        return np.broadcast_to(mean[None, :, None], patches.shape)
    if rule == "floor":
        return np.broadcast_to(np.float32(floor), patches.shape)
    if rule != "other":
        raise Refused(f"occlusion fill is {rule!r}; expected one of {', '.join(FILLS)}")
    if len(np.unique(target)) < 2:
        raise Refused("occlusion fill 'other' needs patches of two classes or more; there is one class")
    donors = [rng.choice(np.flatnonzero(target != patch_target)) for patch_target in target]
    return patches[donors]


def lowest_cutoff(cutoff_hz: Sequence[float], loss_high: Sequence[float], margin: float) -> float | None:
    """Find the lowest cut-off of a low-pass curve at and above which the loss stays within a margin.

    Parameters
    ----------
    cutoff_hz : sequence of float
    loss_high : sequence of float
        Upper end of the interval of the loss at each cut-off.
    margin : float
        Largest accepted loss.

    Returns
    -------
    float or None
        None if the loss at the highest cut-off exceeds the margin.
    """
    lowest = None
    for cutoff, loss in sorted(zip(cutoff_hz, loss_high, strict=True), reverse=True):
        if not loss <= margin:
            break
        lowest = cutoff
    return lowest


class ScoreStore(Protocol):
    """Storage of scores, for continuing interrupted work, such as `respcam.store.arrays.ArrayFile`."""

    def load(self) -> dict[str, np.ndarray]:
        """Read all saved arrays by name."""

    def save(self, arrays: Mapping[str, np.ndarray], /) -> None:
        """Replace the saved arrays."""


@dataclass
class OcclusionScores:
    """Log-odds of patches with groups of bands removed; each condition is scored once and stored.

    Attributes
    ----------
    model : TrainedModel
    bands : GroupedBands
        Conditions number the groups by position in ``bands.present``.
    patches, fill : float32 [shape=(patch, band, frame)]
        Patches, and the values that replace their removed bands.
    intact : float64 [shape=(patch, class)]
        Log-odds of the intact patches.
    store : ScoreStore
        Storage of scores; stored conditions are not scored again.
    log_odds : dict of set of removed groups to float64 [shape=(patch, class)]
        NaN for patches that were not scored.
    """

    model: TrainedModel
    bands: GroupedBands
    patches: np.ndarray
    fill: np.ndarray
    intact: np.ndarray
    store: ScoreStore
    log_odds: dict[frozenset[int], np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        self.log_odds = {_removed_of(key): values for key, values in self.store.load().items()}

    def score(self, conditions: Iterable[frozenset[int]], rows: np.ndarray, progress: str) -> None:
        """Score conditions for some patches, unless they were scored before.

        Parameters
        ----------
        conditions : iterable of set of removed groups
        rows : int64 [shape=(row,)]
            Indices of the patches.
        progress : str
            Title of the progress bar.
        """
        todo = []
        for removed in dict.fromkeys(conditions):
            values = self.log_odds.setdefault(removed, np.full_like(self.intact, np.nan))
            if np.isnan(values[rows]).any():
                todo.append(removed)
        saved_s = time.monotonic()
        bar = tqdm(total=len(todo) * len(rows), desc=progress, unit="patch", leave=False)
        for batch in np.array_split(rows, -(-len(rows) // self.model.batch_patches)) if todo else ():
            occlusion = self.model.occlusion(self.patches[batch], self.fill[batch])
            for removed in todo:
                if np.isnan(self.log_odds[removed][batch]).any():
                    self.log_odds[removed][batch] = self.model.log_odds_without(occlusion, self._is_removed(removed))
                bar.update(len(batch))
                if time.monotonic() - saved_s > SAVE_EVERY_S:
                    self._save()
                    saved_s = time.monotonic()
        bar.close()
        if todo:
            self._save()

    def _is_removed(self, removed: frozenset[int]) -> np.ndarray:
        return np.isin(self.bands.group, np.array(self.bands.present)[sorted(removed)])

    def _save(self) -> None:
        """Save all scores; conditions that are not scored yet hold NaN."""
        self.store.save({_key_of(removed): values for removed, values in self.log_odds.items()})

    def drop(self, removed: frozenset[int]) -> np.ndarray:
        """Drop of the log-odds of every class: float64 [shape=(patch, class)]."""
        return self.intact - self.log_odds[removed]


def _key_of(removed: frozenset[int]) -> str:
    """Name of a condition in a file of arrays: ``_0_3`` for groups 0 and 3."""
    return "_" + "_".join(map(str, sorted(removed)))


def _removed_of(key: str) -> frozenset[int]:
    """Condition of a name from `_key_of`."""
    return frozenset(int(group) for group in key.split("_") if group)


def occlusion_scores(
    model: TrainedModel,
    bands: GroupedBands,
    sample: PatchSample,
    fills: Sequence[str],
    floor: float,
    seed: int,
    stores: Callable[[str], ScoreStore],
) -> dict[str, OcclusionScores]:
    """Prepare the occlusion of a sample with every fill that is possible for it.

    Parameters
    ----------
    model : TrainedModel
    bands : GroupedBands
    sample : PatchSample
    fills : sequence of str
        Some of `FILLS`; ``other`` is left out if the sample has only one class.
    floor : float
        Log-mel of silence.
    seed : int
        Seed of the choice of patches for the fill ``other``.
    stores : callable
        Takes a fill; returns the store of its scores.

    Returns
    -------
    dict of fill to OcclusionScores

    Raises
    ------
    Refused
        If none of the fills is possible.
    """
    rng = np.random.default_rng(seed)
    intact = model.log_odds(sample.patches)
    scores = {}
    for rule in fills:
        if rule == "other" and len(np.unique(sample.target)) < 2:
            log.warning("trust: %s has only one class; the fill 'other' is left out", sample.part)
            continue
        fill = fill_of(rule, sample.patches, model.scaler.mean, floor, sample.target, rng)
        scores[rule] = OcclusionScores(model, bands, sample.patches, fill, intact, stores(rule))
    if not scores:
        raise Refused(f"trust.fills is {list(fills)}, but {sample.part} has only one class; add mean or floor")
    return scores


def drops_of_target(scores: OcclusionScores, sample: PatchSample) -> np.ndarray:
    """Drop of the log-odds of each patch's class, for each group removed alone: [shape=(patch, present group)]."""
    rows = np.arange(len(sample))
    singles = sweep(len(scores.bands.present), ["single"])
    return np.stack([scores.drop(condition.removed)[rows, sample.target] for condition in singles], axis=1)


def occlusion_table(
    sample: PatchSample, scores: Mapping[str, OcclusionScores], conditions: Sequence[Condition]
) -> pd.DataFrame:
    """Tabulate the drop of class scores and of AUROC for every fill and condition.

    Parameters
    ----------
    sample : PatchSample
    scores : mapping of fill to OcclusionScores
        Scores of all patches under all conditions.
    conditions : sequence of Condition

    Returns
    -------
    DataFrame
        ``fill, kind, hz`` (the group), ``cutoff_hz`` (for curves), ``of`` (auroc, or a class: the log-odds of
        that class over its patches), ``drop`` and its interval over patients.
    """
    rows = []
    for fill, of_fill in scores.items():
        groups, present = of_fill.bands.groups, of_fill.bands.present
        intact = auroc(sample.target, of_fill.intact, sample.weights)
        for condition in conditions:
            group = present[condition.group]
            low_hz, high_hz = groups.edges_hz[group], groups.edges_hz[group + 1]
            base = {
                "fill": fill,
                "kind": condition.kind,
                "hz": groups.names[group],
                "cutoff_hz": {"single": np.nan, "low_pass": low_hz, "high_pass": high_hz}[condition.kind],
            }
            loss = intact - auroc(sample.target, of_fill.log_odds[condition.removed], sample.weights)
            rows.append({**base, "of": "auroc", **interval_columns("drop", with_spread(loss))})
            for target in sorted(set(sample.target)):
                is_class = sample.target == target
                drop = of_fill.drop(condition.removed)[is_class, target]
                spread = resampled_mean(drop, sample.weights[:, is_class])
                name = of_fill.model.class_names[target]
                rows.append({**base, "of": name, **interval_columns("drop", with_spread(spread))})
    return pd.DataFrame(rows)

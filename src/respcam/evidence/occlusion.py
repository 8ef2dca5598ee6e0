"""Band occlusion: scores of whole recordings when groups of bands are removed from all their patches."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from respcam.data.patches import cut, patch_starts
from respcam.errors import Refused
from respcam.evidence.faithfulness import interval_columns, resampled_mean, with_spread
from respcam.heat.bands import GroupedBands
from respcam.metrics import auroc
from respcam.network.inputs import Units

FILLS = ("other", "mean", "floor")
SINGLE, LOW_PASS, HIGH_PASS = "single", "low_pass", "high_pass"
KINDS = (SINGLE, LOW_PASS, HIGH_PASS)


@dataclass(frozen=True)
class Condition:
    """Groups of bands that are removed together.

    Attributes
    ----------
    kind : str
        single, low_pass (a group and all above it are removed) or high_pass (a group and all below it).
    group : int
        Position of the group among those present.
    removed : set of int
    """

    kind: str
    group: int
    removed: frozenset[int]

    def bands(self, bands: GroupedBands) -> np.ndarray:
        """Mark the removed bands: bool [shape=(fed band,)]."""
        return np.isin(bands.group, np.array(bands.present)[sorted(self.removed)])


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
        SINGLE: lambda group: [group],
        LOW_PASS: lambda group: range(group, n_groups),
        HIGH_PASS: lambda group: range(group + 1),
    }
    return [Condition(kind, group, frozenset(removed[kind](group))) for kind in kinds for group in range(n_groups)]


def check_fill(rule: str, n_classes: int) -> None:
    """Refuse a fill that does not exist, or that needs a second class where there is one.

    Raises
    ------
    Refused
    """
    if rule not in FILLS:
        raise Refused(f"occlusion fill is {rule!r}; expected one of {', '.join(FILLS)}")
    if rule == "other" and n_classes < 2:
        raise Refused("occlusion fill 'other' needs recordings of two classes or more; there is one class")


def fill_of(rule: str, unit: int, data: Units, mean: np.ndarray, seed: int) -> np.ndarray:
    """Make the fill of a unit, which replaces a removed band in all its patches.

    Parameters
    ----------
    rule : str
        other: the same bands of a recording of another class, so that every band sounds natural and a group that only
        stands in for another one is seen as well (see ``README.md``). mean: mean of the band over the training
        units. floor: log-mel of silence.
    unit : int
        Position of the unit in ``data``.
    data : Units
        Units of a part. Their classes decide which recording is another class's.
    mean : float32 [shape=(band,)]
    seed : int
        Seed of the choice of the other recording. The choice depends on it and the unit alone.

    Returns
    -------
    float32 [shape=(patch, band, frame)]
        May be a broadcast view. A shorter recording is repeated; of a longer one a stretch is taken.

    Raises
    ------
    Refused
        For the reasons of `check_fill`.
    """
    check_fill(rule, len(np.unique(data.target)))
    starts, length = patch_starts(len(data.frames[unit]), data.settings), data.settings.length_frames
    if rule == "mean":
        return np.broadcast_to(mean[None, :, None], (len(starts), len(mean), length))
    if rule == "floor":
        return np.broadcast_to(np.float32(data.floor), (len(starts), len(mean), length))
    rng = np.random.default_rng([seed, unit])
    donor = data.of(int(rng.choice(np.flatnonzero(data.target != data.target[unit]))))
    n_frames = len(data.of(unit))
    first = int(rng.integers(0, max(1, len(donor) - n_frames + 1)))
    frames = np.take(donor, np.arange(first, first + n_frames), axis=0, mode="wrap")
    return cut(frames, starts, length)


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


def class_effect(drop: np.ndarray, target: np.ndarray, k: int, weights: np.ndarray) -> np.ndarray:
    """What the groups contribute to telling a class from the others.

    It is the mean of two means: the fall of the log-odds of the class over its own units, and their rise over all
    other units. An unnatural input pushes all units towards one class, and this cancels out.

    Parameters
    ----------
    drop : float64 [shape=(unit, group, class)]
        Fall of the log-odds of each class when a group is removed.
    target : int64 [shape=(unit,)]
    k : int
        The class.
    weights : [shape=(1 + resample, unit)]
        Count of each unit.

    Returns
    -------
    float64 [shape=(1 + resample, group)]
        NaN where a resample lacks the units of one side; only one side if the units have no other.
    """
    is_own = target == k
    signed = np.where(is_own[:, None], drop[..., k], -drop[..., k])
    return resampled_mean(signed, weights, is_own)


def occlusion_table(
    log_odds: Mapping[str, np.ndarray],
    intact: np.ndarray,
    conditions: Sequence[Condition],
    target: np.ndarray,
    weights: np.ndarray,
    bands: GroupedBands,
    class_names: Sequence[str],
) -> pd.DataFrame:
    """Tabulate the drop of class scores and of AUROC for every fill and condition.

    Parameters
    ----------
    log_odds : mapping of fill to float64 [shape=(unit, condition, class)]
        Log-odds of the units under each condition.
    intact : float64 [shape=(unit, class)]
        Log-odds of the intact units.
    conditions : sequence of Condition
    target : int64 [shape=(unit,)]
    weights : [shape=(1 + resample, unit)]
    bands : GroupedBands
    class_names : sequence of str

    Returns
    -------
    DataFrame
        ``fill, kind, hz`` (the group), ``cutoff_hz`` (for curves), ``of`` (auroc, or a class: the log-odds of
        that class over its units), ``drop`` and its interval over patients.
    """
    rows = []
    edges_hz, names = bands.groups.edges_hz, bands.groups.names
    area = auroc(target, intact, weights)
    for fill, of_fill in log_odds.items():
        for place, condition in enumerate(conditions):
            group = bands.present[condition.group]
            cutoff = {SINGLE: np.nan, LOW_PASS: edges_hz[group], HIGH_PASS: edges_hz[group + 1]}[condition.kind]
            base = {"fill": fill, "kind": condition.kind, "hz": names[group], "cutoff_hz": cutoff}
            loss = area - auroc(target, of_fill[:, place], weights)
            rows.append({**base, "of": "auroc", **interval_columns("drop", with_spread(loss))})
            for k in sorted(set(target.tolist())):
                is_class = target == k
                drop = (intact - of_fill[:, place])[is_class, k]
                spread = resampled_mean(drop, weights[:, is_class])
                rows.append({**base, "of": class_names[k], **interval_columns("drop", with_spread(spread))})
    return pd.DataFrame(rows)

"""Mel bands: the selection that a model is fed, and groups of Hz for reporting."""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np

from respcam.errors import Refused
from respcam.sound.front_end import FrontEnd


class Guide(StrEnum):
    """Measure of the importance of a band, taken from a model of all bands."""

    HEAT = "heat"
    OCCLUSION = "occlusion"


EDGE_RULES = ("lower", "centre", "upper")
GUIDES = {"lowest_heat": Guide.HEAT, "least_drop": Guide.OCCLUSION}
CHOICES = {  # setting: removed bands, in words
    "ranges": "those outside",
    "random": "others at random",
    "random_block": "a random block of neighbours",
    "lowest_heat": "those with the lowest heat",
    "least_drop": "those whose occlusion costs least",
}
HOWS = ("crop", "mask")

RESOLUTION_HZ = 160  # main lobe of a 25 ms Hann window
#: eleven groups up to 2000 Hz, with an edge at 1500 Hz; above, sixths of an octave (preferred frequencies of ISO 266)
STANDARD_EDGES_HZ = (
    *(100, 275, 450, 625, 800, 975, 1150, 1325, 1500, 1670, 1840, 2000),
    *(2240, 2500, 2800, 3150, 3550, 4000, 4500, 5000, 5600, 6300, 7100, 8000),
    *(9000, 10_000, 11_200, 12_500, 14_000, 16_000, 18_000, 20_000),
)


@dataclass(frozen=True)
class BandSelection:
    """Selection of the bands that a model is fed.

    Parameters
    ----------
    name : str
        Name of the arm in an experiment, for file names and tables.
    keep_hz : list of [low, high], optional
        Kept ranges in Hz, both ends included; None keeps every band.
    rule : str
        Frequency of a triangular band that must lie in a range: lower, centre or upper. Of 64 bands
        (100-2000 Hz), 9, 10 or 11 lie above 1500 Hz by these rules.
    choose : str
        Removed bands. ranges removes the bands outside ``keep_hz``; the other choices remove the same number:
        random at random places, random_block neighbours, lowest_heat those with the lowest heat, least_drop
        those with the least drop under occlusion. For the last two, a model of all bands with the same
        settings decides, on its validation patients.
    draw : int
        Seed of the random choices.
    removed : list of int, optional
        Numbers of the removed bands, from 0 at the lowest, instead of any other choice. The result of
        lowest_heat and least_drop stands here.
    how : str
        crop removes the bands from the input; mask keeps the input size and makes the bands blank.
    spread_hz : [low, high], optional
        Range over which all bands of the front end are spread again, before any choice.
    """

    name: str = "all"
    keep_hz: list[Any] | None = None
    rule: str = "centre"
    choose: str = "ranges"
    draw: int = 0
    removed: list[int] | None = None
    how: str = "crop"
    spread_hz: list[float] | None = None

    def __post_init__(self) -> None:
        for name, legal in (("rule", EDGE_RULES), ("choose", CHOICES), ("how", HOWS)):
            if getattr(self, name) not in legal:
                raise Refused(f"bands.{name} is {getattr(self, name)!r}; expected one of {', '.join(legal)}")
        if self.choose != "ranges" and self.keep_hz is None:
            raise Refused(f"bands.choose is {self.choose}; expected bands.keep_hz, which sets how many bands go")
        if self.spread_hz is not None and not (
            len(self.spread_hz) == 2 and 0 <= self.spread_hz[0] < self.spread_hz[1]
        ):
            raise Refused(f"bands.spread_hz is {self.spread_hz}; expected [low, high] in Hz with 0 <= low < high")
        if self.keep_hz is not None:
            # 1500 and 1500.0 must have the same digest
            object.__setattr__(self, "keep_hz", [_checked_span(span) for span in self.keep_hz])
            if not self.keep_hz:
                raise Refused("bands.keep_hz is []; expected at least one [low, high], or null for all bands")
        self._check_name()

    def _check_name(self) -> None:
        """Refuse a name that contradicts the selection, because every result shows the name."""
        changes = {name: getattr(self, name) for name in ("keep_hz", "removed", "spread_hz") if getattr(self, name)}
        if self.name == "all" and changes:
            name, value = next(iter(changes.items()))
            raise Refused(
                f"bands.{name} is {value} in bands=all, which feeds all bands; use bands=ranges or bands=below, or "
                "give the arm a name: bands.name=NAME"
            )
        is_below = self.keep_hz is None or [low for low, _ in self.keep_hz] == [0]
        if re.match(r"below_\d+hz", self.name) and not is_below:
            raise Refused(
                f"bands.name is {self.name}, but bands.keep_hz is {self.keep_hz}; expected [[0, HZ]], or bands=ranges"
            )
        edges_hz = set(np.ravel([*(self.keep_hz or []), *([self.spread_hz] if self.spread_hz else [])]).tolist())
        wrong = [hz for hz in re.findall(r"(\d+)hz", self.name) if float(hz) not in edges_hz]
        if wrong:
            raise Refused(
                f"bands.name is {self.name}, but bands.keep_hz {self.keep_hz} has no edge at {wrong[0]} Hz; "
                "use bands=ranges or bands=below, or give the arm a name: bands.name=NAME"
            )

    @property
    def guide(self) -> Guide | None:
        """Measure that a model of all bands must still give; None if the bands are decided."""
        return GUIDES.get(self.choose) if self.removed is None else None

    @property
    def words(self) -> str:
        """Kept bands, in words."""
        spans = " and ".join(f"{low:g} to {high:g} Hz" for low, high in self.keep_hz or [])
        ranges = f"{spans}, by the {self.rule} of the band" if spans else "all"
        is_ranges = self.choose == "ranges"
        kept = ranges if is_ranges else f"as many as {ranges}; removed are {CHOICES[self.choose]}"
        if self.removed is not None:
            kept = f"all but bands {', '.join(map(str, self.removed))}" + (
                "" if is_ranges else f", {CHOICES[self.choose]}"
            )
        return kept + (", the others blank" if self.how == "mask" else "")

    def front_end(self, front_end: FrontEnd) -> FrontEnd:
        """Set the range of a front end to ``spread_hz``, if there is one."""
        if self.spread_hz is None:
            return front_end
        return replace(front_end, f_min_hz=self.spread_hz[0], f_max_hz=self.spread_hz[1])


def _checked_span(span: Any) -> list[float]:
    is_pair = isinstance(span, list | tuple) and len(span) == 2 and all(isinstance(hz, int | float) for hz in span)
    if not is_pair or not 0 <= span[0] < span[1]:
        raise Refused(f"bands.keep_hz has {span}; expected [low, high] in Hz with 0 <= low < high: [[0,1000]]")
    return [float(hz) for hz in span]


@dataclass(frozen=True)
class HzGroups:
    """Groups of neighbouring bands, in Hz, for reports.

    The 25 ms Hann window resolves 160 Hz (main lobe), so no group may be narrower.

    Parameters
    ----------
    edges_hz : list of float
        Rising edges of the groups; a band belongs to the group that contains its centre. If empty, the edges follow
        the range of the front end (`over`).
    mark_hz : float
        Frequency above which heat is also summed, in addition to the groups.

    Examples
    --------
    >>> HzGroups([100, 500, 1000]).centres_hz
    [300.0, 750.0]
    """

    edges_hz: list[float] = field(default_factory=list)
    mark_hz: float = 1500.0

    def __post_init__(self) -> None:
        if len(self.edges_hz) == 1 or np.any(np.diff(self.edges_hz) < RESOLUTION_HZ):
            raise Refused(
                f"hz_groups.edges_hz is {self.edges_hz}; expected rising edges at least {RESOLUTION_HZ} Hz apart: "
                "the 25 ms Hann window resolves no finer"
            )

    def over(self, front_end: FrontEnd) -> "HzGroups":
        """Set empty edges to `STANDARD_EDGES_HZ` within the range of the front end; other edges stay.

        Examples
        --------
        >>> HzGroups().over(FrontEnd(f_min_hz=50, f_max_hz=1000)).names
        ['50-275', '275-450', '450-625', '625-800', '800-1000']
        """
        if self.edges_hz:
            return self
        low, high = front_end.f_min_hz, front_end.f_max_hz
        edges = [low]
        for edge in STANDARD_EDGES_HZ:
            if edge - edges[-1] >= RESOLUTION_HZ and high - edge >= RESOLUTION_HZ:
                edges.append(edge)
        if high - low < RESOLUTION_HZ:
            raise Refused(
                f"front_end.f_min_hz, f_max_hz are {low:g}, {high:g}; expected at least {RESOLUTION_HZ} Hz between "
                "them, the resolution of the 25 ms Hann window"
            )
        return replace(self, edges_hz=[*edges, high])

    def __len__(self) -> int:
        return len(self.edges_hz) - 1

    @property
    def centres_hz(self) -> list[float]:
        """Middle of each group."""
        return [(low + high) / 2 for low, high in zip(self.edges_hz[:-1], self.edges_hz[1:], strict=True)]

    @property
    def names(self) -> list[str]:
        """Name of each group: ``low-high`` in Hz."""
        return list(self.spans)

    @property
    def spans(self) -> dict[str, tuple[float, float]]:
        """Lower and upper edge of each group, by its name."""
        return {
            f"{low:g}-{high:g}": (low, high) for low, high in zip(self.edges_hz[:-1], self.edges_hz[1:], strict=True)
        }


def kept_bands(edges_hz: np.ndarray, selection: BandSelection) -> np.ndarray:
    """Mark the bands that a selection keeps.

    A triangular band overlaps its neighbours, so "below 1500 Hz" needs a definition. By default the centre of the
    band decides, not its edges.

    Parameters
    ----------
    edges_hz : float64 [shape=(band, 3)]
        Lower edge, centre and upper edge of each band in Hz, rising.
    selection : BandSelection

    Returns
    -------
    bool [shape=(band,)]

    Raises
    ------
    Refused
        If no band is kept, or the bands are not decided yet (`BandSelection.guide`).
    """
    is_kept = np.ones(len(edges_hz), dtype=bool)
    if selection.removed is not None:
        if not set(selection.removed) < set(range(len(edges_hz))):
            raise Refused(
                f"bands.removed is {selection.removed}; expected some, not all, of 0 to {len(edges_hz) - 1}"
            )
        is_kept[selection.removed] = False
        return is_kept
    if selection.guide:
        raise Refused(f"bands.choose is {selection.choose}, but no model of all bands has decided which to remove")
    if selection.keep_hz is None:
        return is_kept
    position_hz = edges_hz[:, EDGE_RULES.index(selection.rule)]
    is_kept[:] = False
    for low, high in selection.keep_hz:
        is_kept |= (position_hz >= low) & (position_hz <= high)
    if not is_kept.any():
        raise Refused(
            f"bands.keep_hz {selection.keep_hz} keeps no band by the {selection.rule} rule; "
            f"the bands lie between {edges_hz[0, 0]:g} and {edges_hz[-1, 2]:g} Hz"
        )
    n_removed = int((~is_kept).sum())
    rng = np.random.default_rng(selection.draw)
    if selection.choose == "random":
        is_kept = rng.permutation(len(edges_hz)) >= n_removed
    elif selection.choose == "random_block":
        place = np.arange(len(edges_hz)) - rng.integers(0, len(edges_hz) - n_removed + 1)
        is_kept = (place < 0) | (place >= n_removed)
    return is_kept


def fed_bands(edges_hz: np.ndarray, selection: BandSelection) -> np.ndarray:
    """Mark the bands that a model is fed: all bands if the removed ones are masked.

    Parameters, returns and errors are those of `kept_bands`.
    """
    is_kept = kept_bands(edges_hz, selection)
    return is_kept if selection.how == "crop" else np.ones_like(is_kept)


def least_important(importance: np.ndarray, edges_hz: np.ndarray, selection: BandSelection) -> BandSelection:
    """Remove the least important bands, as many as the ranges of a selection would remove.

    Parameters
    ----------
    importance : float64 [shape=(band,)]
        Importance of each band, such as heat or the drop of the score under occlusion.
    edges_hz : float64 [shape=(band, 3)]
    selection : BandSelection

    Returns
    -------
    BandSelection
        Selection with its bands decided (`removed`).
    """
    n_removed = int((~kept_bands(edges_hz, replace(selection, choose="ranges"))).sum())
    return replace(selection, removed=sorted(np.argsort(importance, kind="stable")[:n_removed].tolist()))


def group_of_band(centre_hz: np.ndarray, groups: HzGroups) -> np.ndarray:
    """Find the group of Hz that contains the centre of each band.

    Parameters
    ----------
    centre_hz : float64 [shape=(band,)]
    groups : HzGroups

    Returns
    -------
    int64 [shape=(band,)]
        Index of the group; -1 if the centre lies outside all groups.
    """
    index = np.searchsorted(groups.edges_hz, centre_hz, side="right") - 1
    return np.where((index < 0) | (index >= len(groups)), -1, index)


@dataclass(frozen=True)
class GroupedBands:
    """Groups of Hz of the bands that a model is fed.

    Attributes
    ----------
    groups : HzGroups
    edges_hz : float64 [shape=(band, 3)]
        Lower edge, centre and upper edge of every band of the front end.
    is_fed : bool [shape=(band,)]
        Marks the bands that the model is fed.
    group : int64 [shape=(fed band,)]
        Group of each fed band; -1 for none.
    """

    groups: HzGroups
    edges_hz: np.ndarray
    is_fed: np.ndarray
    group: np.ndarray

    @staticmethod
    def of(edges_hz: np.ndarray, is_fed: np.ndarray, groups: HzGroups) -> "GroupedBands":
        """Find the group of each fed band.

        Raises
        ------
        Refused
            If a fed band lies in no group: its heat would not be counted, and it would never be occluded.
        """
        centre_hz = edges_hz[is_fed, 1]
        group = group_of_band(centre_hz, groups)
        if (group < 0).any():
            outside = centre_hz[group < 0]
            raise Refused(
                f"hz_groups.edges_hz is {groups.edges_hz}; {len(outside)} of the {len(centre_hz)} bands that the "
                f"model is fed lie outside ({outside.min():.0f} to {outside.max():.0f} Hz); expected edges "
                "around all of them, or [] to follow front_end"
            )
        return GroupedBands(groups, edges_hz, is_fed, group)

    @property
    def present(self) -> list[int]:
        """Groups with at least one fed band."""
        return sorted(set(self.group.tolist()) - {-1})

    @property
    def names(self) -> list[str]:
        """Names of the present groups."""
        return [self.groups.names[group] for group in self.present]

    @property
    def centre_hz(self) -> np.ndarray:
        """Centres of the fed bands."""
        return self.edges_hz[self.is_fed, 1]

    @property
    def bands_per_group(self) -> np.ndarray:
        """Number of fed bands of each present group."""
        return self.per_group(np.ones(len(self.group)))

    def per_group(self, per_band: np.ndarray) -> np.ndarray:
        """Sum the bands of each group: float64 [shape=(..., fed band)] to [shape=(..., present group)]."""
        return per_band @ (self.group[:, None] == np.array(self.present)).astype(float)

    def densest(self, per_group: np.ndarray) -> str:
        """Name the group with the most heat per band, from heat [shape=(present group,)]."""
        return self.names[int((per_group / self.bands_per_group).argmax())]

"""Which mel bands are kept, which lie in which group of Hz, and what "above 1500 Hz" means."""

from dataclasses import dataclass
from typing import Any

import numpy as np

EDGE_RULES = ("lower", "centre", "upper")


@dataclass(frozen=True)
class BandSelection:
    """The bands that a model is fed.

    Parameters
    ----------
    name : str
        Stands in file names and tables.
    keep_hz : list of [low, high], optional
        Ranges in Hz, both ends included; None keeps every band.
    rule : str
        Which of a triangle's three frequencies must lie in a range: lower, centre or upper.
        Above 1500 Hz lie 9, 10 or 11 of 64 bands (100-2000 Hz), in this order.
    """

    name: str = "all"
    keep_hz: list[Any] | None = None
    rule: str = "centre"

    def __post_init__(self) -> None:
        if self.rule not in EDGE_RULES:
            raise ValueError(f"bands.rule is {self.rule!r}; expected one of {', '.join(EDGE_RULES)}")
        if self.keep_hz is None:
            return
        if not self.keep_hz:
            raise ValueError("bands.keep_hz is []; expected at least one [low, high], or null for all bands")
        for span in self.keep_hz:
            if np.shape(span) != (2,) or not 0 <= span[0] < span[1]:
                raise ValueError(f"bands.keep_hz has {span}; expected [low, high] in Hz with 0 <= low < high")
        # 1500 and 1500.0 are one setting with one digest
        object.__setattr__(self, "keep_hz", [[float(low), float(high)] for low, high in self.keep_hz])


@dataclass(frozen=True)
class HzGroups:
    """Groups of neighbouring bands, in Hz, for reporting.

    The 25 ms Hann window resolves 160 Hz (main lobe), so no group should be narrower than that.

    Parameters
    ----------
    edges_hz : list of float
        Rising; a band belongs to the group that its centre lies in.
    mark_hz : float
        The frequency whose upper side is summed up beside the groups.
    """

    edges_hz: list[float]
    mark_hz: float = 1500.0

    def __post_init__(self) -> None:
        if len(self.edges_hz) < 2 or np.any(np.diff(self.edges_hz) < 160):
            raise ValueError(
                f"edges_hz is {self.edges_hz}; expected rising edges at least 160 Hz apart: "
                "the 25 ms Hann window resolves no finer"
            )

    def __len__(self) -> int:
        return len(self.edges_hz) - 1

    @property
    def names(self) -> list[str]:
        """``low-high`` in Hz, one per group."""
        return [f"{low:g}-{high:g}" for low, high in zip(self.edges_hz[:-1], self.edges_hz[1:], strict=True)]


def kept_bands(edges_hz: np.ndarray, selection: BandSelection) -> np.ndarray:
    """Mark the bands that a selection keeps.

    A triangular band straddles its neighbours, so "below 1500 Hz" needs one definition: by
    default the centre decides, the edges do not.

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
    ValueError
        If no band stays.
    """
    if selection.keep_hz is None:
        return np.ones(len(edges_hz), dtype=bool)
    position_hz = edges_hz[:, EDGE_RULES.index(selection.rule)]
    is_kept = np.zeros(len(edges_hz), dtype=bool)
    for low, high in selection.keep_hz:
        is_kept |= (position_hz >= low) & (position_hz <= high)
    if not is_kept.any():
        raise ValueError(
            f"bands.keep_hz {selection.keep_hz} keeps no band by the {selection.rule} rule; "
            f"the bands lie between {edges_hz[0, 0]:g} and {edges_hz[-1, 2]:g} Hz"
        )
    return is_kept


def group_of_band(centre_hz: np.ndarray, groups: HzGroups) -> np.ndarray:
    """Find the Hz group that each band's centre lies in.

    Parameters
    ----------
    centre_hz : float64 [shape=(band,)]
    groups : HzGroups

    Returns
    -------
    int64 [shape=(band,)]
        Index of the group; -1 where the centre lies outside all of them.
    """
    index = np.searchsorted(groups.edges_hz, centre_hz, side="right") - 1
    return np.where((index < 0) | (index >= len(groups)), -1, index)

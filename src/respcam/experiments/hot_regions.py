"""Hot regions of a recording as boxes of seconds and Hz, and as tracks for Audacity and Raven."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from respcam.heat.hottest import hot_cells

SMALLEST_SHARE = 0.02  # share of the heat that a region must hold


@dataclass(frozen=True)
class HotRegion:
    """A connected region of the cells that hold 90 % of the heat.

    Attributes
    ----------
    start_s, end_s, low_hz, high_hz : float
    share : float
        Share of the heat of the recording, 0 to 1.
    """

    start_s: float
    end_s: float
    low_hz: float
    high_hz: float
    share: float


def hot_regions(heat: np.ndarray, bands: pd.DataFrame, frame_rate_hz: float) -> list[HotRegion]:
    """Find the hot regions of a recording.

    Parameters
    ----------
    heat : float32 [shape=(band, frame)]
    bands : DataFrame
        The bands of the heat: ``lower_hz, upper_hz``.
    frame_rate_hz : float

    Returns
    -------
    list of HotRegion
        In order of time; regions with less than 2 % of the heat are left out.

    Examples
    --------
    >>> heat = np.zeros((2, 100), np.float32)
    >>> heat[1, 20:30] = 1
    >>> bands = pd.DataFrame({"lower_hz": [100.0, 200.0], "upper_hz": [300.0, 400.0]})
    >>> hot_regions(heat, bands, 100)[0].low_hz
    200.0
    """
    total = float(heat.sum(dtype=np.float64))
    low_hz, high_hz = bands["lower_hz"].to_numpy(), bands["upper_hz"].to_numpy()
    regions = []
    for rows, columns in connected(hot_cells(heat)):
        share = float(heat[rows, columns].sum(dtype=np.float64)) / total
        if share >= SMALLEST_SHARE:
            start_s, end_s = int(columns.min()) / frame_rate_hz, (int(columns.max()) + 1) / frame_rate_hz
            band_hz = float(low_hz[rows.min()]), float(high_hz[rows.max()])
            regions.append(HotRegion(start_s, end_s, *band_hz, share))
    return sorted(regions, key=lambda region: (region.start_s, region.low_hz))


def connected(is_marked: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Group marked cells that touch one another at a side or a corner.

    As ``scipy.ndimage.label``, whose import takes a tenth of a second: too long for a prediction without torch.

    Parameters
    ----------
    is_marked : bool [shape=(row, column)]

    Returns
    -------
    list of (rows, columns)
        Places of the cells of each group, int64 [shape=(cell,)].

    Examples
    --------
    >>> [rows.tolist() for rows, columns in connected(np.eye(3, dtype=bool))]
    [[0, 1, 2]]
    """
    padded = np.pad(is_marked, ((0, 0), (1, 1))).astype(np.int8)
    row, edge = np.nonzero(np.diff(padded, axis=1))
    runs = list(zip(row[::2].tolist(), edge[::2].tolist(), edge[1::2].tolist(), strict=True))  # row, start, end
    leader = list(range(len(runs)))

    def first_of(run: int) -> int:
        while leader[run] != run:
            leader[run] = run = leader[leader[run]]
        return run

    before = 0  # first run of the row above that may still touch
    for number, (of_row, start, end) in enumerate(runs):
        while runs[before][0] < of_row - 1 or (runs[before][0] == of_row - 1 and runs[before][2] < start):
            before += 1
        above = before
        while runs[above][0] == of_row - 1 and runs[above][1] <= end:
            leader[first_of(above)] = first_of(number)
            above += 1
    groups: dict[int, list[tuple[int, int, int]]] = {}
    for number, run in enumerate(runs):
        groups.setdefault(first_of(number), []).append(run)
    return [
        (
            np.concatenate([np.full(end - start, of_row) for of_row, start, end in members]),
            np.concatenate([np.arange(start, end) for _, start, end in members]),
        )
        for members in groups.values()
    ]


def audacity_labels(regions: Sequence[HotRegion], label: str) -> str:
    """Write regions as a label track of Audacity, with frequencies (File > Import > Labels)."""
    name = " ".join(label.split())
    lines = [
        f"{region.start_s:.3f}\t{region.end_s:.3f}\t{name} {region.share:.0%}\n"
        f"\\\t{region.low_hz:.1f}\t{region.high_hz:.1f}\n"
        for region in regions
    ]
    return "".join(lines)


def raven_selections(regions: Sequence[HotRegion], label: str) -> str:
    """Write regions as a selection table of Raven (File > Open Sound Selection Table)."""
    columns = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"]
    lines = ["\t".join([*columns, "Class", "Share of heat"])]
    name = " ".join(label.split())
    for number, region in enumerate(regions, start=1):
        times = f"{region.start_s:.3f}\t{region.end_s:.3f}\t{region.low_hz:.1f}\t{region.high_hz:.1f}"
        lines.append(f"{number}\tSpectrogram 1\t1\t{times}\t{name}\t{region.share:.4f}")
    return "\n".join(lines) + "\n"

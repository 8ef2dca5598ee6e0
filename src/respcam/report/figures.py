"""Figures of a report: plots of results that other modules computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from respcam.data.run_folder import MEDIAN
from respcam.heat.hottest import hot_cells

if TYPE_CHECKING:  # takes a second to import, and most commands draw nothing
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2b6ca3", "#d9822b", "#8a8a8a"
VERDICT_COLOURS = {"better": BLUE, "worse": ORANGE, "no worse": "#4c8c4a", "open": GREY}
FILL_COLOURS = (ORANGE, "#3c8d40", "#7a4fa3")
HEAT_COLOURS = ("#a33c3c", "#b9a06a")
FILL_WORDS = {"mean": "the training mean", "floor": "the log floor", "other": "another class's recording"}


def _figure(width_in: float, height_in: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def confusion(matrix: np.ndarray, class_names: Sequence[str], title: str) -> "Figure":
    """Plot a confusion matrix: counts, coloured by the share of each true class.

    Parameters
    ----------
    matrix : int [shape=(true class, predicted class)]
    class_names : sequence of str
    title : str
    """
    n = len(class_names)
    figure = _figure(2.2 + 0.9 * n, 1.6 + 0.8 * n)
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        colour = "white" if share[row, column] > 0.6 else "black"
        text = f"{count}\n{share[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(n), class_names, rotation=30, ha="right")
    axes.set_yticks(range(n), class_names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return figure


@dataclass(frozen=True)
class Example:
    """One unit for the gallery.

    Attributes
    ----------
    title : str
    log_mel : float32 [shape=(all bands, frame)]
        NaN in bands that the model is not fed.
    heat : mapping of title to float32 [shape=(all bands, frame)]
        Raw heat; NaN in bands that the model is not fed.
    """

    title: str
    log_mel: np.ndarray
    heat: Mapping[str, np.ndarray]


def gallery(examples: Sequence[Example], edges_hz: np.ndarray, hop_s: float) -> "Figure":
    """Plot spectrograms, each beside itself with heat over it; every picture has a scale of its own.

    A line surrounds the cells that hold 90 % of the heat, so the hot region shows in grey print too.

    Parameters
    ----------
    examples : sequence of Example
        With the same number of heat maps.
    edges_hz : float64 [shape=(band, 3)]
        Lower edge, centre, upper edge of each band.
    hop_s : float
    """
    n_heat = len(examples[0].heat)
    figure = _figure(4.5 + 4.5 * n_heat, 2.6 * len(examples))
    panels = figure.subplots(len(examples), 1 + n_heat, squeeze=False)
    border_hz = np.concatenate([[edges_hz[0, 0]], (edges_hz[:-1, 1] + edges_hz[1:, 1]) / 2, [edges_hz[-1, 2]]])
    for row, example in zip(panels, examples, strict=True):
        time_s = hop_s * np.arange(example.log_mel.shape[1] + 1)
        for axes in row:
            axes.pcolormesh(time_s, border_hz, example.log_mel, cmap="gray_r", rasterized=True)
            axes.set(xlabel="time (s)", ylabel="frequency (Hz)")
            for band in np.flatnonzero(np.isnan(example.log_mel).all(axis=1)):
                axes.axhspan(border_hz[band], border_hz[band + 1], color="#dddddd", zorder=3)
        row[0].set_title(example.title, fontsize=8, loc="left")
        for axes, (title, heat) in zip(row[1:], example.heat.items(), strict=True):
            _draw_heat(axes, heat, time_s, border_hz)
            axes.set_title(title, fontsize=8)
    return figure


def _draw_heat(axes: "Axes", heat: np.ndarray, time_s: np.ndarray, border_hz: np.ndarray) -> None:
    is_fed = ~np.isnan(heat)
    values = np.where(is_fed, heat, 0)
    if not values.any():
        axes.text(0.5, 0.5, "no heat", transform=axes.transAxes, ha="center")
        return
    top = float(np.quantile(values[values > 0], 0.995))
    axes.pcolormesh(time_s, border_hz, heat, cmap=_heat_colours(), vmin=0, vmax=top, rasterized=True)
    edge = values[hot_cells(values)].min()
    centres = (time_s[:-1] + time_s[1:]) / 2, (border_hz[:-1] + border_hz[1:]) / 2
    if values.min() < edge:
        axes.contour(*centres, values, levels=[edge], colors="white", linewidths=2)
        axes.contour(*centres, values, levels=[edge], colors="black", linewidths=0.8)


def _heat_colours() -> "ListedColormap":
    """Colour map from transparent (no heat) over orange to red (most heat)."""
    from matplotlib.colors import ListedColormap

    steps = np.linspace(0, 1, 256)
    colours = np.stack([0.91 + 0.09 * steps, 0.59 - 0.4 * steps, 0.08 + 0 * steps, 0.85 * steps**0.6], axis=1)
    return ListedColormap(colours)


def forest(table: pd.DataFrame, metric: str, base: str, margin: float) -> "Figure":
    """Plot the difference of each arm from the base arm, with its interval and the equivalence margin.

    Parameters
    ----------
    table : DataFrame
        ``arm, value, low, high, verdict``.
    metric, base : str
    margin : float
    """
    figure = _figure(8, 1.3 + 0.34 * len(table))
    axes = figure.subplots()
    for place, row in enumerate(table.itertuples()):
        colour = VERDICT_COLOURS.get(row.verdict, GREY)
        ends = [[row.value - row.low], [row.high - row.value]]
        axes.errorbar(row.value, place, xerr=ends, fmt="o", color=colour, capsize=3)
    axes.axvline(0, color="black", linewidth=1)
    axes.axvline(-margin, color=GREY, linestyle="--", label=f"margin of {margin:g}")
    axes.set_yticks(range(len(table)), [f"{row.arm}: {row.verdict}" for row in table.itertuples()], fontsize=8)
    axes.set(xlabel=f"{metric} minus that of {base}", ylim=(len(table) - 0.5, -0.5))
    axes.grid(axis="x", color="#dddddd")
    axes.legend(fontsize=8, loc="best")
    return figure


def cutoff_curve(table: pd.DataFrame, metric: str, base: str, margin: float) -> "Figure":
    """Plot the difference from the base arm over the cut-off frequency; bands above it were removed.

    Parameters
    ----------
    table : DataFrame
        ``cutoff_hz, value, low, high``.
    metric, base : str
    margin : float
    """
    curve = table.sort_values("cutoff_hz")
    figure = _figure(8, 3.2)
    axes = figure.subplots()
    axes.fill_between(curve["cutoff_hz"], curve["low"], curve["high"], color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(curve["cutoff_hz"], curve["value"], "o-", color=BLUE)
    axes.axhline(0, color="black", linewidth=1)
    axes.axhline(-margin, color=GREY, linestyle="--", label=f"margin of {margin:g}")
    axes.set(xlabel="bands kept below (Hz)", ylabel=f"{metric} minus that of {base}")
    axes.legend(fontsize=8)
    return figure


def profiles_of_arms(profiles: dict[str, pd.DataFrame], mark_hz: float, title: str) -> "Figure":
    """Plot the heat per band of each arm, with that of the first arm in grey.

    Parameters
    ----------
    profiles : dict of arm to DataFrame
        One row per band: ``centre_hz, ratio, ratio_low, ratio_high``.
    mark_hz : float
    title : str
    """
    n_columns = min(3, len(profiles))
    n_rows = -(-len(profiles) // n_columns)
    figure = _figure(3.2 * n_columns + 0.6, 2.2 * n_rows + 0.6)
    panels = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    first = next(iter(profiles.values()))
    for axes, (name, bands) in zip(panels, profiles.items(), strict=False):
        axes.plot(first["centre_hz"], first["ratio"], color=GREY, linewidth=1)
        axes.plot(bands["centre_hz"], bands["ratio"], color=BLUE)
        low, high = bands["ratio_low"].astype(float), bands["ratio_high"].astype(float)
        axes.fill_between(bands["centre_hz"], low, high, color=BLUE, alpha=0.2, linewidth=0)
        axes.axhline(1, color=GREY, linestyle="--", linewidth=1)
        axes.axvline(mark_hz, color="black", linestyle=":", linewidth=1)
        axes.set_title(name, fontsize=9)
    for axes in panels[len(profiles) :]:
        axes.set_visible(False)
    figure.suptitle(title, fontsize=10)
    figure.supxlabel("frequency (Hz)", fontsize=9)
    figure.supylabel("heat / uniform", fontsize=9)
    return figure


def occlusion(
    by_group: pd.DataFrame, heat: Mapping[str, pd.DataFrame], curves: pd.DataFrame, margin: float, title: str
) -> "Figure":
    """Plot the drop under occlusion and the heat per group, and the low-pass and high-pass curves.

    Parameters
    ----------
    by_group : DataFrame
        Drop of the class score per group of Hz: ``fill`` (a key of `FILL_WORDS`, or `MEDIAN`), ``hz, drop, drop_low,
        drop_high``.
    heat : mapping of title to DataFrame
        Share of the heat per group, of each method: ``hz, share``.
    curves : DataFrame
        Drop of AUROC: ``fill, kind, cutoff_hz, drop, drop_low, drop_high``.
    margin : float
        Drop of AUROC at a horizontal line in the curves.
    title : str
    """
    figure = _figure(11, 6.4)
    (above, low_pass), (below, high_pass) = figure.subplots(2, 2, width_ratios=[1.2, 1])
    fills = dict.fromkeys(fill for fill in by_group["fill"] if fill != MEDIAN)
    colours = {fill: FILL_COLOURS[number % len(FILL_COLOURS)] for number, fill in enumerate(fills)}
    median = by_group[by_group["fill"] == MEDIAN]
    _draw_drops(above, median, by_group, colours)
    places = np.arange(len(median))
    width = 0.8 / len(heat)
    for number, ((words, shares), colour) in enumerate(zip(heat.items(), HEAT_COLOURS, strict=False)):
        below.bar(places + (number - (len(heat) - 1) / 2) * width, shares["share"], width, color=colour, label=words)
    below.legend(fontsize=7)
    below.set(title="Heat: share of each group", ylabel="share", xlabel="group (Hz)")
    for axes in (above, below):
        axes.set_xticks(places, median["hz"], rotation=35, ha="right", fontsize=7)
    for axes, kind, words in (
        (low_pass, "low_pass", "Low-pass: bands above the cut-off replaced"),
        (high_pass, "high_pass", "High-pass: bands below the cut-off replaced"),
    ):
        _draw_curves(axes, curves[curves["kind"] == kind], colours)
        axes.axhline(margin, color=GREY, linestyle="--", label=f"margin {margin:g}")
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.set(title=words, ylabel="drop of AUROC", xlabel="cut-off (Hz)")
    low_pass.legend(fontsize=7)
    figure.suptitle(title, fontsize=11)
    return figure


def _draw_drops(axes: "Axes", median: pd.DataFrame, by_group: pd.DataFrame, colours: dict[str, str]) -> None:
    """Draw the drop of the class score per group: the median of the fills as bars, each fill as points."""
    places = np.arange(len(median))
    # the percentiles of the resamples may not enclose the value
    low, high = (
        (sign * (median["drop"] - median[end])).clip(lower=0) for sign, end in ((1, "drop_low"), (-1, "drop_high"))
    )
    axes.bar(places, median["drop"], yerr=[low, high], color=BLUE, alpha=0.45, capsize=3, label="median of the fills")
    for fill, colour in colours.items():
        drop = by_group.loc[by_group["fill"] == fill, "drop"]
        axes.plot(places, drop, "o", markersize=4, color=colour, label=f"filled with {FILL_WORDS[fill]}")
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set(title="Occlusion: drop of the class score when a group is replaced", ylabel="drop (log-odds)")
    axes.legend(fontsize=7)


def _draw_curves(axes: "Axes", curves: pd.DataFrame, colours: dict[str, str]) -> None:
    """Draw the drop of AUROC over the cut-off: a curve with its interval for each fill."""
    for fill, curve in curves.groupby("fill", sort=False):
        colour = colours.get(fill, BLUE)
        axes.plot(curve["cutoff_hz"], curve["drop"], marker=".", color=colour, label=FILL_WORDS[fill])
        ends = (curve["drop_low"].astype(float), curve["drop_high"].astype(float))
        axes.fill_between(curve["cutoff_hz"], *ends, color=colour, alpha=0.15, linewidth=0)

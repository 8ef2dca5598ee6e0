"""Player of a page: recordings to filter, look at and listen to, as plain data for ``assets/player.js``."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import soundfile as sf
from markupsafe import Markup
from PIL import Image

from respcam.heat.hottest import hot_cells
from respcam.network.closeup import Closeup, shown_classes
from respcam.report.page import embedded
from respcam.sound.front_end import FrontEnd

BRIGHT = (0.02, 0.998)  # quantiles of the log-mel that become white and black
HOTTEST = 0.97  # quantile of the heat that becomes the full colour


@dataclass(frozen=True, kw_only=True)
class PlayerAxes:
    """What all recordings of a page have in common.

    Attributes
    ----------
    class_names : list of str
    methods : list of str
        Titles of the heat of a close-up, the main one first.
    bands : DataFrame
        The bands that the model is fed: ``lower_hz, centre_hz, upper_hz``.
    frame_rate_hz, sample_rate_hz : float
    window_s : float
        Length of a window of the front end.
    patch_s : float
        Length of a patch.
    """

    class_names: list[str]
    methods: list[str]
    bands: pd.DataFrame
    frame_rate_hz: float
    sample_rate_hz: float
    window_s: float
    patch_s: float

    @staticmethod
    def of(
        class_names: list[str], methods: list[str], bands: pd.DataFrame, front_end: FrontEnd, length_frames: int
    ) -> "PlayerAxes":
        """Axes of a front end, and of patches of some frames."""
        return PlayerAxes(
            class_names=class_names,
            methods=methods,
            bands=bands,
            frame_rate_hz=front_end.frame_rate_hz,
            sample_rate_hz=front_end.sample_rate_hz,
            window_s=front_end.window_samples / front_end.sample_rate_hz,
            patch_s=length_frames / front_end.frame_rate_hz,
        )

    @property
    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "classes": self.class_names,
            "methods": self.methods,
            "bands_hz": self.bands[["lower_hz", "centre_hz", "upper_hz"]].round(1).to_numpy().tolist(),
            "frame_rate_hz": self.frame_rate_hz,
            "sample_rate_hz": self.sample_rate_hz,
            "window_s": self.window_s,
            "patch_s": self.patch_s,
        }


@dataclass(frozen=True, kw_only=True)
class View:
    """One model's view of a recording.

    Attributes
    ----------
    title : str
        Name of the model; blank where the page has one.
    closeup : Closeup
    first_classes : tuple of int
        Classes whose heat is always in the page, the first of them shown at first.
    """

    title: str
    closeup: Closeup
    first_classes: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlayerUnit:
    """One recording or event of a page.

    Attributes
    ----------
    cells : mapping of str to plain data
        Row of the table: ``id``, ``true``, ``predicted``, ``p`` (probability of the predicted class), ``patient``,
        ``device``, ``hottest_hz``, ``hottest_s``, ...
    is_mistake : bool or None
        None if the true class is unknown.
    reason : str
        Why it was chosen as an example; blank if it was not.
    views : tuple of View
        Empty for a recording without a close-up.
    events : sequence of (start_s, end_s, label)
        Annotated events, from the start of the unit.
    cautions : sequence of str
    """

    cells: Mapping[str, Any]
    is_mistake: bool | None = None
    reason: str = ""
    views: tuple[View, ...] = ()
    events: Sequence[tuple[float, float, str]] = ()
    cautions: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class PlayerContent:
    """Content of the player of a page.

    Attributes
    ----------
    axes : PlayerAxes
    columns : mapping of str to str
        Columns of the table: key of the cells and title.
    units : sequence of PlayerUnit
    has_sound : bool
    """

    axes: PlayerAxes
    columns: Mapping[str, str]
    units: Sequence[PlayerUnit] = field(default_factory=list)
    has_sound: bool = True

    @property
    def plain(self) -> dict[str, Any]:
        """As plain data, pictures as PNG and sounds as FLAC in base64."""
        return {
            **self.axes.plain,
            "columns": list(self.columns.items()),
            "has_sound": self.has_sound,
            "units": [unit_data(unit, self.axes, self.has_sound) for unit in self.units],
        }

    @property
    def embedded(self) -> Markup:
        """As JSON that can stand inside a ``script`` element: no character of it can end the element."""
        return embedded(self.plain)


def unit_data(unit: PlayerUnit, axes: PlayerAxes, has_sound: bool) -> dict[str, Any]:
    """Turn a recording into plain data."""
    views = [_view(view, axes, has_sound) for view in unit.views]
    sound = unit.views[0].closeup.waveform if unit.views and has_sound else None
    return {
        "cells": {name: _cell(value) for name, value in unit.cells.items()},
        "mistake": unit.is_mistake,
        "reason": unit.reason,
        "events": [[round(start, 3), round(end, 3), label] for start, end, label in unit.events],
        "cautions": list(unit.cautions),
        "sound": None if sound is None else _flac(sound, axes.sample_rate_hz),
        "duration_s": len(unit.views[0].closeup.waveform) / axes.sample_rate_hz if unit.views else None,
        "views": views,
    }


def _cell(value: Any) -> Any:
    """A cell of the table as plain data; a missing value is blank."""
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return ""
    return value.item() if isinstance(value, np.generic) else value


def _view(view: View, axes: PlayerAxes, has_sound: bool) -> dict[str, Any]:
    closeup = view.closeup
    predicted = closeup.predicted
    classes = shown_classes(closeup.probability, [*view.first_classes, predicted])
    # frames that only fill up a short recording are not shown
    n_frames = min(closeup.log_mel.shape[1], _n_frames(closeup, axes))
    low, high = np.quantile(closeup.log_mel, BRIGHT)
    parts = {
        name: {
            "p": _probability(part.probability),
            "sound": _flac(part.waveform, axes.sample_rate_hz) if has_sound else None,
        }
        for name, part in (("hot", closeup.hot), ("rest", closeup.rest))
    }
    return {
        "title": view.title,
        "p": _probability(closeup.probability),
        "predicted": predicted,
        "classes": classes,
        "n_frames": n_frames,
        "log_mel": _png(closeup.log_mel[:, :n_frames], low, high),
        "heat": [[_heat(of_class[:, :n_frames]) for of_class in of_method[classes]] for of_method in closeup.heat],
        "start_s": (closeup.start_frame / axes.frame_rate_hz).round(3).tolist(),
        "log_odds": closeup.log_odds.round(2).tolist(),
        "parts": parts,
    }


def _n_frames(closeup: Closeup, axes: PlayerAxes) -> int:
    duration_s = len(closeup.waveform) / axes.sample_rate_hz
    return max(1, 1 + int((duration_s - axes.window_s) * axes.frame_rate_hz + 1e-6))


def _probability(probability: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in probability]


def _heat(heat: np.ndarray) -> dict[str, Any]:
    """Picture of the heat, its share per band, and the level of the picture that outlines the hot cells."""
    total = float(heat.sum(dtype=np.float64))
    hottest = float(np.quantile(heat[heat > 0], HOTTEST)) if total > 0 else 1.0
    is_hot = hot_cells(heat)
    edge = float(heat[is_hot].min()) / hottest if total > 0 else 1.0
    share = heat.sum(axis=1, dtype=np.float64) / total if total > 0 else np.zeros(len(heat))
    return {
        "png": _png(heat, 0.0, hottest),
        "edge": round(min(edge, 1.0), 4),
        "share": share.round(5).tolist(),
        "top": hottest / total if total > 0 else 0.0,  # share of the heat in a cell of full colour
    }


def _png(values: np.ndarray, low: float, high: float) -> str:
    """Grey picture with the highest band on top; white is ``high``."""
    scaled = np.clip((values[::-1] - low) / max(high - low, 1e-12), 0, 1)
    memory = io.BytesIO()
    grey = np.ascontiguousarray(np.round(255 * scaled).astype(np.uint8))
    Image.fromarray(grey).save(memory, "PNG", compress_level=4)
    return base64.b64encode(memory.getvalue()).decode("ascii")


def _flac(waveform: np.ndarray, sample_rate_hz: float) -> str:
    memory = io.BytesIO()
    sf.write(memory, np.clip(waveform, -1, 1), int(sample_rate_hz), format="FLAC", subtype="PCM_16")
    return base64.b64encode(memory.getvalue()).decode("ascii")

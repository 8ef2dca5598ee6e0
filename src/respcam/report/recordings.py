"""Recordings of a run report: rows and close-ups for the player, and pictures of examples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from respcam.network.closeup import Closeup
from respcam.report.figures import Example
from respcam.report.player import PlayerAxes, PlayerContent, PlayerUnit, View

PICTURE_SECONDS = 10
STRATA = {"device": "device", "source_rate_hz": "source rate"}
COLUMNS = {
    "id": "{unit}",
    "part": "part",
    "true": "true class",
    "predicted": "predicted",
    "p": "probability",
    "patient": "patient",
    **STRATA,
    "hottest_hz": "hottest Hz",
    "hottest_s": "hottest at (s)",
}


class ExampleKind(StrEnum):
    """Why a recording was chosen as an example."""

    SUREST_HIT = "surest_hit"
    SUREST_MISS = "surest_miss"
    MOST_UNCERTAIN = "most_uncertain"
    AT_RANDOM = "at_random"


SUREST = (ExampleKind.SUREST_HIT, ExampleKind.SUREST_MISS)


@dataclass(frozen=True, kw_only=True)
class ExampleCloseup:
    """A test unit that the page opens.

    Attributes
    ----------
    unit_id : str
    kind : ExampleKind
    class_name : str
        Class that it is an example of.
    closeup : Closeup
    """

    unit_id: str
    kind: ExampleKind
    class_name: str
    closeup: Closeup

    @property
    def reason(self) -> str:
        """The kind in words: surest hit of wheeze."""
        return f"{self.kind.replace('_', ' ')} of {self.class_name}"


@dataclass(frozen=True, kw_only=True)
class RecordingTables:
    """Tested units of a run, and those that can be opened.

    Attributes
    ----------
    predictions : DataFrame
        Tested units: ``part, unit_id, recording_id, patient_id, true_class, predicted_class, p_<class>``, strata.
    unit_heat : DataFrame
        ``part, unit_id, hottest_hz, hottest_s``.
    units : DataFrame
        ``unit_id, recording_id, first_frame``.
    events : DataFrame or None
        Annotated events: ``recording_id, start_s, end_s, label``.
    examples : sequence of ExampleCloseup
    axes : PlayerAxes
    unit : str
        recording or event.
    has_sound : bool
    """

    predictions: pd.DataFrame
    unit_heat: pd.DataFrame
    units: pd.DataFrame
    events: pd.DataFrame | None
    examples: Sequence[ExampleCloseup]
    axes: PlayerAxes
    unit: str
    has_sound: bool

    def player(self) -> PlayerContent:
        """Content of the player: every tested unit, those with a close-up can be opened."""
        rows = self.predictions.merge(
            self.unit_heat[["unit_id", "hottest_hz", "hottest_s"]], how="left", on="unit_id"
        )
        columns = {key: title.format(unit=self.unit) for key, title in COLUMNS.items() if self._has(key)}
        example_of = {example.unit_id: example for example in self.examples}
        units = [self._unit(row, example_of.get(row["unit_id"]), columns) for row in rows.to_dict("records")]
        return PlayerContent(axes=self.axes, columns=columns, units=units, has_sound=self.has_sound)

    def _has(self, key: str) -> bool:
        if key == "part":
            return self.predictions["part"].nunique() > 1
        if key in STRATA:
            return key in self.predictions and self.predictions[key].nunique() > 1
        return True

    def _unit(self, row: dict, example: ExampleCloseup | None, columns: dict[str, str]) -> PlayerUnit:
        cells = {
            **row,
            "id": row["unit_id"],
            "true": row["true_class"],
            "predicted": row["predicted_class"],
            "p": row[f"p_{row['predicted_class']}"],
            "patient": row["patient_id"],
        }
        is_mistake = row["true_class"] != row["predicted_class"]
        shown = {key: cells[key] for key in columns}
        if example is None:
            return PlayerUnit(cells=shown, is_mistake=is_mistake)
        true_class = self.axes.class_names.index(row["true_class"])
        return PlayerUnit(
            cells=shown,
            is_mistake=is_mistake,
            reason=example.reason,
            views=(View(title="", closeup=example.closeup, first_classes=(true_class,)),),
            events=list(self._events_of(row["unit_id"], example.closeup)),
        )

    def _events_of(self, unit_id: str, closeup: Closeup) -> Iterator[tuple[float, float, str]]:
        """Annotated events in a unit, in seconds from its start."""
        if self.events is None:
            return
        unit = self.units.set_index("unit_id").loc[unit_id]
        offset_s = unit["first_frame"] / self.axes.frame_rate_hz
        duration_s = len(closeup.waveform) / self.axes.sample_rate_hz
        events = self.events[self.events["recording_id"] == unit["recording_id"]]
        for start_s, end_s, label in events[["start_s", "end_s", "label"]].itertuples(index=False):
            start_s, end_s = float(start_s) - offset_s, float(end_s) - offset_s
            if end_s > 0 and start_s < duration_s:
                yield max(start_s, 0.0), min(end_s, duration_s), str(label)

    def pictures(self, is_fed: np.ndarray) -> dict[str, list[Example]]:
        """Surest hit and surest miss of every class, by part: heat for the true and for the predicted class.

        Parameters
        ----------
        is_fed : bool [shape=(band,)]
        """
        rows = self.predictions.set_index("unit_id")
        pictures: dict[str, list[Example]] = {}
        seen = set()
        for example in self.examples:
            row = rows.loc[example.unit_id]
            first = (row["part"], example.kind, example.class_name)
            if first in seen or example.kind not in SUREST:
                continue
            seen.add(first)
            pictures.setdefault(row["part"], []).append(self._picture(example, row, is_fed))
        return pictures

    def _picture(self, example: ExampleCloseup, row: pd.Series, is_fed: np.ndarray) -> Example:
        closeup, names = example.closeup, self.axes.class_names
        n_frames = min(closeup.log_mel.shape[1], int(PICTURE_SECONDS * self.axes.frame_rate_hz))

        def on_all_bands(values: np.ndarray) -> np.ndarray:
            spread = np.full((len(is_fed), n_frames), np.nan, dtype=np.float32)
            spread[is_fed] = values[:, :n_frames]
            return spread

        true_class, predicted = row["true_class"], row["predicted_class"]
        heat = {f"heat for {true_class} (true class)": closeup.heat[0, names.index(true_class)]}
        if predicted != true_class:
            heat[f"heat for {predicted} (predicted)"] = closeup.heat[0, names.index(predicted)]
        else:
            heat[f"heat for {true_class}, {self.axes.methods[1]}"] = closeup.heat[1, names.index(true_class)]
        sure = row[f"p_{predicted}"]
        title = f"{example.reason}: {example.unit_id}\npredicted {predicted}, P({predicted}) = {sure:.2f}"
        return Example(title, on_all_bands(closeup.log_mel), {words: on_all_bands(of) for words, of in heat.items()})

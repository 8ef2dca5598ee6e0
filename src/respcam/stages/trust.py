"""Trust: the evidence about a model's heat, and the verdict, on every explained part."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from torch import nn

from respcam.data import run_folder
from respcam.data.labels import Labels
from respcam.data.patches import patch_table
from respcam.data.splits import TRAIN, VALIDATION
from respcam.evidence.confounds import Caution, EvaluatedPart, heat_per_unit, look, unit_levels
from respcam.evidence.examination import Examination, ExaminedPart, Stores, TrustSettings, examine, suggested_cutoff
from respcam.evidence.localisation import AnnotatedUnits, annotated_events, event_units, localisation_table
from respcam.evidence.metadata import metadata_of
from respcam.evidence.receptive import fields
from respcam.heat.bands import HzGroups
from respcam.metrics import BootstrapSettings, Interval
from respcam.stages.explain import Explain
from respcam.stages.train import Train
from respcam.store.arrays import ArrayFile
from respcam.store.stage import Stage

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trust(Stage):
    """Evidence for or against the heat of a model: tables, a verdict, warnings.

    Attributes
    ----------
    explain : Explain
        The heat that the verdict is about.
    labels : Labels
    trust : TrustSettings
    hz_groups : HzGroups
    bootstrap : BootstrapSettings
    control : Train, optional
        The same training on permuted labels.
    """

    name: ClassVar[str] = "trust"
    schema: ClassVar[int] = 5

    explain: Explain
    labels: Labels
    trust: TrustSettings
    hz_groups: HzGroups
    bootstrap: BootstrapSettings
    control: Train | None = None

    def write(self, folder: Path) -> None:
        """Write ``trust.json``, a table per kind of evidence, and what was observed on each recording.

        ``observed-*.npz`` hold the arrays of `respcam.evidence.observation.Observer`.
        """
        examination = self._examination()
        control = None if self.control is None else self.control.model().network
        units = self.explain.units()
        units["explained"] = self._explained(units, examination.model.class_names)
        tables: dict[str, list[pd.DataFrame]] = {name: [] for name in run_folder.EVIDENCE}
        parts, receptive = {}, None
        for part, rows in units.groupby("part"):
            of_part = _Part(self, examination, str(part), rows.reset_index(drop=True))
            part_tables, parts[str(part)] = of_part.evidence(_stores(folder, f"observed-{part}"), control)
            for name, table in part_tables.items():
                tables[name].append(_with_part(table, str(part)))
            receptive = receptive or of_part.fields()
        for name, of_parts in tables.items():
            run_folder.EVIDENCE[name].write(pd.concat(of_parts, ignore_index=True), folder)
        summary = {
            "method": examination.explained.method,
            "layers": list(examination.explained.layers),
            "score": examination.explained.score,
            "beside": {**asdict(examination.beside), "layers": list(examination.beside.layers)},
            "is_supported": all(verdict["is_supported"] for verdict in parts.values()),
            "parts": parts,
            "cutoff": self._cutoff(examination, _stores(folder, "observed-validation")),
            "fields": receptive,
            "settings": asdict(self.trust),
        }
        run_folder.TRUST.write(summary, folder)
        for part, verdict in parts.items():
            log.info("trust: %s: %s", part, verdict["words"])
            for warning in verdict["warnings"]:
                log.warning("trust: %s: %s", part, warning)

    def _examination(self) -> Examination:
        train, settings = self.explain.train, self.explain.explain
        bands = train.grouped_bands(self.hz_groups)
        model = settings.prepared(train.model(train.recipe.training.precision))
        floor = train.features.front_end.floor
        explained, beside = settings.choice(model.blocks), settings.beside(model.blocks)
        return Examination(model, bands, explained, beside, self.trust, self.bootstrap, floor)

    def _explained(self, units: pd.DataFrame, class_names: list[str]) -> np.ndarray:
        """Class of each unit whose score heat explains, as the explain stage chose it: int64 [shape=(unit,)]."""
        n_patches = patch_table(units, self.explain.patches).groupby("unit").size().to_numpy()
        first = np.cumsum(n_patches) - n_patches
        names = self.explain.index()["target_class"].to_numpy()[first]
        return pd.Index(class_names).get_indexer(names)

    def _cutoff(self, examination: Examination, stores: Stores) -> dict[str, Any]:
        """The validation patients decide: nothing is chosen on a test part."""
        train = self.explain.train
        units = self.explain.units([VALIDATION])
        auroc = Interval(**train.metrics()[VALIDATION]["auroc"])
        part = ExaminedPart(VALIDATION, units, train.data_of(units), units["target"].to_numpy(), auroc)
        return suggested_cutoff(examination, part, stores)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Evidence by kind, a row per part and ...: see `respcam.evidence`."""
        return {name: file.read(self.folder) for name, file in run_folder.EVIDENCE.items()}

    def summary(self) -> dict[str, Any]:
        """Verdict and warnings of each part, suggested cut-off, receptive fields, settings."""
        return run_folder.TRUST.read(self.folder)

    def importance(self) -> np.ndarray:
        """Drop of the score under occlusion of each band of the front end: float64 [shape=(band,)].

        Mean over the classes; between the centres of groups by interpolation.
        """
        profiles = run_folder.EVIDENCE["profiles"].read(self.folder)
        is_median = (profiles["method"] == "occlusion") & (profiles["fill"] == run_folder.MEDIAN)
        drop = profiles[is_median].groupby("hz")["drop"].mean()
        drop = drop[[name for name in self.hz_groups.names if name in drop.index]]
        centre_of = dict(zip(self.hz_groups.names, self.hz_groups.centres_hz, strict=True))
        edges_hz = self.explain.train.features.frames().edges_hz
        return np.interp(edges_hz[:, 1], [centre_of[name] for name in drop.index], drop)


def _with_part(table: pd.DataFrame, part: str) -> pd.DataFrame:
    table = table.copy()
    table.insert(0, "part", part)
    return table


def _stores(folder: Path, stem: str) -> Stores:
    """Files that keep what was observed over an interruption."""
    return lambda name: ArrayFile(folder / f"{stem}-{name}.npz")


class _Part:
    """One part of the stage: its units, its sample and the evidence about it."""

    def __init__(self, stage: Trust, examination: Examination, name: str, units: pd.DataFrame):
        self.stage, self.examination, self.name, self.units = stage, examination, name, units
        self.train: Train = stage.explain.train
        auroc = Interval(**self.train.metrics()[name]["auroc"])
        explained = units["explained"].to_numpy()
        self.examined = ExaminedPart(name, units, self.train.data_of(units), explained, auroc)

    def evidence(self, stores: Stores, control: nn.Module | None) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
        """Tables and the verdict with its warnings."""
        auroc = self.examined.auroc
        tables, verdict = examine(self.examination, self.examined, stores, control)
        tables["localisation"] = self._localisation()
        confounds, cautions = self._confounds(auroc, verdict["top"])
        return {**tables, **confounds}, {**verdict, "warnings": [caution.sentence for caution in cautions]}

    def fields(self) -> list[dict[str, Any]]:
        """Rows of the map and receptive field of every block and of the explained layers."""
        return fields(self.examination.model, self.examined.data.grid(0), self.examination.explained.layers)

    def _localisation(self) -> pd.DataFrame:
        """Heat of recordings beside their annotated events, where the data have such and the task allows it."""
        task, settings, stage = self.train.recipe.task, self.stage.trust, self.stage
        events: dict[str, list[tuple[float, float]]] = {}
        if stage.labels.events is not None and task.unit == "recording" and task.normal is not None:
            normal = (task.classes or {}).get(task.normal, [task.normal])
            events = annotated_events(stage.labels.events, normal)
        recordings = self.train.units([self.name])
        judged = recordings[recordings["target"].isin(self.examination.model.judged_classes)]
        units = event_units(judged, events, settings.event_recordings, settings.seed)
        frame_rate_hz = self.train.features.front_end.frame_rate_hz
        is_pooled = stage.explain.explain.level == "recording"
        annotated = AnnotatedUnits(
            units, self.train.data_of(units), events, stage.explain.patches, frame_rate_hz, is_pooled
        )
        examination = self.examination
        return localisation_table(examination.model, examination.choices, annotated, stage.bootstrap, settings.seed)

    def _confounds(self, auroc: Interval, top: dict[str, str]) -> tuple[dict[str, pd.DataFrame], list[Caution]]:
        train, bands = self.train, self.examination.bands
        resampled = train.features.resample.recordings()
        explain = self.stage.explain
        units = train.units([self.name])
        level, blank = unit_levels(self._frames(units), bands, self.examination.floor)
        part = EvaluatedPart(
            units=units,
            train=train.units([TRAIN]),
            metadata=metadata_of(self.stage.labels.recordings, resampled),
            source_rate_hz=resampled.set_index("recording_id")["source_rate_hz"],
            predictions=train.predictions(),
            heat=heat_per_unit(explain.per_band(), explain.index()["unit_id"].to_numpy(), bands),
            level=level,
            blank=blank,
            auroc=auroc,
            top=top,
            unit=train.recipe.task.unit,
        )
        return look(part, self.examination.model, bands, self.stage.trust.limits, self.stage.bootstrap)

    def _frames(self, units: pd.DataFrame) -> list[np.ndarray]:
        frames = self.train.features.frames()
        columns = ["recording_id", "first_frame", "n_frames"]
        return [frames.frames(*span) for span in units[columns].itertuples(index=False)]

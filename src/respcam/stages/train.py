"""Training: frames and labels to a trained model, its predictions and its metrics."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import nn

from respcam import metrics
from respcam.data import run_folder
from respcam.data.heard import HeardEvents, heard_in
from respcam.data.labels import Labels
from respcam.data.manifest import RECORDING_STRATA
from respcam.data.patches import PatchSettings
from respcam.data.splits import TRAIN, UNUSED, VALIDATION, SplitSettings, test_parts
from respcam.data.tasks import Task
from respcam.data.units import ExpectedUnits, PreparedUnits, UnitRules, expected_units, prepare_units
from respcam.errors import Refused, there_are
from respcam.heat.bands import BandSelection, GroupedBands, HzGroups, fed_bands, kept_bands
from respcam.metrics import BootstrapSettings
from respcam.network import training
from respcam.network.inputs import Scaler, Units
from respcam.network.machine import make_fabric
from respcam.network.model import ModelSettings, check_network, network_source, start, weights_digest
from respcam.network.pipeline import Pipeline
from respcam.network.readout import Readout
from respcam.network.scoring import patch_scores
from respcam.network.trained import TrainedModel
from respcam.network.training import Training
from respcam.sound.front_end import band_edges_hz
from respcam.stages.features import Features
from respcam.store.artifact import incidental
from respcam.store.stage import Stage

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Recipe:
    """How a model is made from frames and labels.

    ``permute_labels`` deals the classes of each part out anew, evenly within every true class, so that the new
    ones say nothing about the sound: a control, which no heat should survive.
    """

    task: Task
    split: SplitSettings
    patches: PatchSettings
    bands: BandSelection
    model: ModelSettings
    training: Training
    bootstrap: BootstrapSettings
    permute_labels: bool = False

    @property
    def unit_rules(self) -> UnitRules:
        """What becomes a unit, of which class, and in which part."""
        return UnitRules(self.task, self.split, self.patches, self.permute_labels)


def training_seed(seed: int, split: SplitSettings) -> int:
    """Seed of weights and training order; every fold of a cross-validation has another one.

    With one seed for all folds, its effect would be common to them, and their mean would not reduce it.

    Parameters
    ----------
    seed : int
        Seed of the run, 0 to 2**32 - 1.
    split : SplitSettings

    Returns
    -------
    int
        The seed of the run where the split has no folds.

    Examples
    --------
    >>> training_seed(1, SplitSettings("official"))
    1
    >>> len({training_seed(seed, SplitSettings("patient_kfold", fold=fold)) for seed in (0, 1) for fold in range(5)})
    10
    """
    if not split.has_folds:
        return seed
    return int(np.random.SeedSequence([seed, split.fold]).generate_state(1)[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class BandChoice(Stage):
    """A stage that finds out which bands a model is fed."""

    def selection(self) -> BandSelection:
        """Read the selection, with the bands that are removed named."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, eq=False)
class Train(Stage):
    """A model that was trained on train, chosen on validation patients, and tested once.

    Attributes
    ----------
    features : Features
    labels : Labels
    recipe : Recipe
    seed : int
        Seed of weights and training order, see `training_seed`.
    chosen : BandChoice, optional
        Chooses the bands where ``recipe.bands`` leaves them to another model.
    network_source : str, optional
        Digest of the files that a user's own network is written in, or of the version of timm.
    weights : str, optional
        Digest of the file of weights that the network starts from.
    device : str
        auto, cpu, cuda, ...
    """

    name: ClassVar[str] = "train"
    computed_with: ClassVar[tuple[str, ...]] = ("torch",)
    schema: ClassVar[int] = 8

    features: Features
    labels: Labels
    recipe: Recipe
    seed: int
    chosen: BandChoice | None = None
    network_source: str | None = None
    weights: str | None = None
    device: str = incidental("auto")

    @classmethod
    def of(cls, features: Features, labels: Labels, recipe: Recipe, **options: Any) -> "Train":
        """A training, named after the source of the user's own network too, so that an edit is another model."""
        source, weights = network_source(recipe.model), weights_digest(recipe.model)
        return cls(features=features, labels=labels, recipe=recipe, network_source=source, weights=weights, **options)

    def with_bands(self, selection: BandSelection, chosen: BandChoice | None = None) -> "Train":
        """The same training on other bands: an arm of an experiment."""
        front_end = selection.front_end(self.features.front_end)
        features = replace(self.features, front_end=front_end)
        return replace(self, features=features, recipe=replace(self.recipe, bands=selection), chosen=chosen)

    def on_permuted_labels(self) -> "Train":
        """The same training on labels that say nothing: a control."""
        return replace(self, recipe=replace(self.recipe, permute_labels=True))

    @property
    def experiment(self) -> str:
        """Digest that trainings share which differ in seed and fold alone."""
        recipe = replace(self.recipe, split=replace(self.recipe.split, fold=0))
        return replace(self, recipe=recipe, seed=0).digest

    def check(self) -> None:
        """Refuse labels, patients or parts that do not allow the task, and a network or device that does not work.

        Raises
        ------
        Refused
        """
        make_fabric(self.device, self.recipe.training.precision, self.recipe.training.threads)
        check_network(*self.trial, len(self.expected.class_names))

    @cached_property
    def expected(self) -> ExpectedUnits:
        """What units there will be, as far as the tables say.

        Raises
        ------
        Refused
            If they do not allow the task or the split.
        """
        labels = self.labels
        return expected_units(
            self.recipe.unit_rules, labels.recordings, labels.events, labels.same_patient_parts, labels.content
        )

    @cached_property
    def trial(self) -> tuple[nn.Module, torch.Tensor]:
        """An untrained network, and two blank patches as it will be fed: float32 [shape=(2, 1, band, frame)]."""
        recipe = self.recipe
        bands = recipe.bands if recipe.bands.guide is None else replace(recipe.bands, choose="ranges")
        n_bands = int(fed_bands(band_edges_hz(self.features.front_end), bands).sum())
        with torch.random.fork_rng(devices=[]):
            network = start(recipe.model, len(self.expected.class_names))
        return network, torch.zeros(2, 1, n_bands, recipe.patches.length_frames)

    def write(self, folder: Path) -> None:
        """Train, choose the epoch on validation patients, then touch the test parts once.

        Writes ``model.safetensors, model.json, classes.json, scaler.csv, history.csv, units.csv, predictions.csv,
        metrics.json, remarks.json``.

        Raises
        ------
        Refused
            If a class has no usable unit in train, or the split cannot be made.
        """
        prepared = self.prepare()
        run_folder.UNITS.write(prepared.units, folder)
        _announce(prepared, self.recipe.task.unit)
        model, history = self._fit(prepared, folder / CHECKPOINT)
        model = self._calibrated(model, prepared)
        predictions, evaluation = self._evaluate(model, prepared)
        frames = self.features.frames()
        model.save(folder, frames.bands[fed_bands(frames.edges_hz, self.selection())])
        self._pipeline(model).write(folder)
        run_folder.HISTORY.write(history, folder)
        run_folder.PREDICTIONS.write(predictions, folder)
        run_folder.METRICS.write(evaluation, folder)
        run_folder.REMARKS.write(prepared.remarks, folder)
        (folder / CHECKPOINT).unlink()

    def prepare(self) -> PreparedUnits:
        """List the units that have frames, with their class and their part.

        Raises
        ------
        Refused
            If no unit is usable, or the units cannot be divided.
        """
        return prepare_units(self.recipe.unit_rules, self.labels, self.features.frames().span)

    def _fit(self, prepared: PreparedUnits, checkpoint: Path) -> tuple[TrainedModel, pd.DataFrame]:
        recipe, n_classes = self.recipe, len(prepared.class_names)
        train, validation = (self.data_of(prepared.of(part)) for part in (TRAIN, VALIDATION))
        scaler = Scaler.fit(train)
        fabric = make_fabric(self.device, recipe.training.precision, recipe.training.threads)
        data = training.TrainingData(train, validation, scaler, n_classes, self._heard(prepared))
        network, history = training.fit(
            lambda: start(recipe.model, n_classes), data, recipe.training, self.seed, fabric, checkpoint
        )
        readout = Readout(recipe.training.pooling)
        return TrainedModel(network, scaler, prepared.class_names, fabric, readout=readout), history

    def _calibrated(self, model: TrainedModel, prepared: PreparedUnits) -> TrainedModel:
        """Choose temperature, offsets and decision on validation patients."""
        units = prepared.of(VALIDATION)
        scores, counts = patch_scores(model.network, self.data_of(units), model.scaler, model.fabric)
        pooled = model.readout.of_units(scores, counts)
        readout = model.readout.with_calibration(pooled, units["target"].to_numpy())
        probability = readout.calibrated(pooled).softmax(dim=1).double().cpu().numpy()
        return replace(model, readout=readout.with_decision(probability, self.recipe.task.scoring(model.class_names)))

    def _heard(self, prepared: PreparedUnits) -> list[HeardEvents | None] | None:
        """Annotated events of the training units; None where they are not learnt from."""
        recipe = self.recipe
        if not recipe.training.event_weight or recipe.permute_labels:  # events would tell a control the true labels
            return None
        rate_hz = self.features.front_end.frame_rate_hz
        heard = heard_in(prepared.of(TRAIN), self.labels.events, recipe.task, prepared.class_names, rate_hz)
        annotated = [events for events in heard if events is not None]
        if annotated:
            n_events = sum(len(events.start) for events in annotated)
            log.info("train: learns from %d annotated events of %d recordings too", n_events, len(annotated))
        return heard

    def _evaluate(self, model: TrainedModel, prepared: PreparedUnits) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Predictions and metrics of validation and of every test part."""
        tables, evaluation = [], {}
        for part in [VALIDATION, *prepared.test_parts]:
            units = prepared.of(part)
            probability = model.predict(self.data_of(units), f"predict {part}")
            predicted = model.readout.decide(probability)
            of_part = metrics.Predictions(units["target"].to_numpy(), probability, predicted)
            tables.append(_predictions(units, of_part, prepared.class_names, self.labels.recordings))
            evaluation[part] = self._metrics(units, of_part, part, prepared)
        return pd.concat(tables), evaluation

    def _metrics(
        self, units: pd.DataFrame, predictions: metrics.Predictions, part: str, prepared: PreparedUnits
    ) -> dict[str, Any]:
        class_names, patients = prepared.class_names, units["patient_id"].to_numpy()
        bootstrap, scoring = self.recipe.bootstrap, self.recipe.task.scoring(class_names)
        weights = metrics.weights_and_resamples(patients, bootstrap)
        errors = metrics.calibration_error(predictions.target, predictions.probability, weights)
        confusion, intervals = metrics.evaluate(predictions, patients, scoring, bootstrap)
        return {
            "note": prepared.notes.get(part),
            "n_recordings": int(units["recording_id"].nunique()),
            "n_units": len(units),
            "n_patients": int(units["patient_id"].nunique()),
            "confusion": {"classes": class_names, "true_by_predicted": confusion.tolist()},
            **{name: asdict(interval) for name, interval in intervals.items()},
            "calibration_error": asdict(metrics.interval(float(errors[0]), errors[1:])),
        }

    def pipeline(self) -> Pipeline:
        """Settings that turn a new recording into a score of this model."""
        return Pipeline.read(self.folder)

    def _pipeline(self, model: TrainedModel) -> Pipeline:
        recipe, features, selection = self.recipe, self.features, self.selection()
        edges_hz = features.frames().edges_hz
        return Pipeline(
            audio=features.resample.audio,
            front_end=features.front_end,
            patches=recipe.patches,
            bands=selection,
            fed_bands=np.flatnonzero(fed_bands(edges_hz, selection)).tolist(),
            kept_bands=np.flatnonzero(kept_bands(edges_hz, selection)).tolist(),
            model=recipe.model,
            readout=model.readout,
            class_names=model.class_names,
            normal=recipe.task.normal,
            unit=recipe.task.unit,
            network_source=self.network_source,
        )

    def selection(self) -> BandSelection:
        """The bands that the model is fed, decided."""
        return self.recipe.bands if self.chosen is None else self.chosen.selection()

    def bands(self) -> pd.DataFrame:
        """The bands that the model is fed: columns of `Features.bands`, and ``mean, std`` of the scaler."""
        return run_folder.SCALER.read(self.folder)

    def grouped_bands(self, groups: HzGroups) -> GroupedBands:
        """Which of the bands that the model is fed lie in which group of Hz."""
        edges_hz = self.features.frames().edges_hz
        return GroupedBands.of(edges_hz, fed_bands(edges_hz, self.selection()), groups)

    def data_of(self, units: pd.DataFrame) -> Units:
        """Point at the frames of units as the model is fed them; nothing is read or copied yet."""
        frames, selection = self.features.frames(), self.selection()
        rows = units[["recording_id", "first_frame", "n_frames"]].itertuples(index=False)
        kept, fed = (choose(frames.edges_hz, selection) for choose in (kept_bands, fed_bands))
        return Units(
            [frames.frames(*row) for row in rows],
            units["target"].to_numpy(),
            fed,
            self.recipe.patches,
            frames.settings.floor,
            masked=fed & ~kept,
        )

    def units(self, parts: Sequence[str] | None = None) -> pd.DataFrame:
        """Units with frames: ``unit_id, recording_id, patient_id, part, target, first_frame, n_frames, ...``.

        Parameters
        ----------
        parts : sequence of str, optional
            Only these; ``test`` stands for every test part. None gives all, unused ones included.

        Raises
        ------
        Refused
            If the split has none of the parts.
        """
        units = run_folder.UNITS.read(self.folder)
        if parts is None:
            return units
        return units[units["part"].isin(parts_named(parts, set(units["part"])))].reset_index(drop=True)

    def model(self, precision: str = "32-true") -> TrainedModel:
        """The trained model, on the device.

        Parameters
        ----------
        precision : str
            Of what the model computes, as in `respcam.network.training.Training`.
        """
        recipe = self.recipe
        fabric = make_fabric(self.device, precision, recipe.training.threads)
        return TrainedModel.load(
            self.folder, recipe.model, fabric, normal=recipe.task.normal, readout=self.pipeline().readout
        )

    def class_names(self) -> list[str]:
        """Names of the classes, in the order of their numbers."""
        return run_folder.CLASSES.read(self.folder)

    def predictions(self) -> pd.DataFrame:
        """Every unit of validation and of the test parts: part, true and predicted class, ``p_<class>``, strata."""
        return run_folder.PREDICTIONS.read(self.folder)

    def history(self) -> pd.DataFrame:
        """A row per epoch: losses, AUROC on validation patients, learning rate, whether it was chosen."""
        return run_folder.HISTORY.read(self.folder)

    def metrics(self) -> dict[str, Any]:
        """By part: confusion matrix and every metric with its interval."""
        return run_folder.METRICS.read(self.folder)

    def remarks(self) -> list[str]:
        """What was left out, and why."""
        return run_folder.REMARKS.read(self.folder)


def parts_named(wanted: Sequence[str], parts: Collection[str]) -> set[str]:
    """Resolve names of parts; ``test`` stands for every test part.

    Raises
    ------
    Refused
        If the split does not have one of them.

    Examples
    --------
    >>> sorted(parts_named(["test"], ["train", "validation", "inter", "intra"]))
    ['inter', 'intra']
    """
    tested, names = test_parts(parts), set(wanted)
    if "test" in names and "test" not in tested:
        names = names - {"test"} | set(tested)
    absent = sorted(names - set(parts))
    if absent:
        raise Refused(
            f"explain.parts is {list(wanted)}; {there_are(sorted({*parts, 'test'} - {UNUSED, TRAIN}), absent[0])}"
        )
    return names


def _announce(prepared: PreparedUnits, unit: str) -> None:
    for remark in prepared.remarks:
        log.warning("train: %s", remark)
    for part, units in prepared.units.groupby("part"):
        if part != UNUSED:
            log.info("train: %s has %d %ss of %d patients", part, len(units), unit, units["patient_id"].nunique())


def _predictions(
    units: pd.DataFrame, predictions: metrics.Predictions, class_names: list[str], recordings: pd.DataFrame
) -> pd.DataFrame:
    names = np.array(class_names)
    table = units[["part", "unit_id", "recording_id", "patient_id", "start_s", "end_s", "label"]].copy()
    table["true_class"] = names[units["target"]]
    table["predicted_class"] = names[predictions.predicted]
    for index, name in enumerate(class_names):
        table[f"p_{name}"] = predictions.probability[:, index].round(6)
    strata = recordings.set_index("recording_id")
    return table.join(strata[[name for name in RECORDING_STRATA if name in strata]], on="recording_id")

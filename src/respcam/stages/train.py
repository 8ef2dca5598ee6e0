"""Training: frames and labels to a trained model, its predictions and its metrics."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from respcam import metrics
from respcam.data import run_folder
from respcam.data.labels import Labels
from respcam.data.manifest import RECORDING_STRATA, named
from respcam.data.patches import PatchSettings
from respcam.data.splits import TRAIN, UNUSED, VALIDATION, SplitSettings, test_parts
from respcam.data.tasks import Task
from respcam.data.units import PreparedUnits, UnitRules, prepare_units
from respcam.errors import Refused
from respcam.heat.bands import BandSelection, GroupedBands, HzGroups, fed_bands, kept_bands
from respcam.metrics import BootstrapSettings
from respcam.network import training
from respcam.network.inputs import Scaler, Units
from respcam.network.machine import make_fabric
from respcam.network.model import ModelSettings, build, custom_source_sha256
from respcam.network.pipeline import Pipeline
from respcam.network.trained import TrainedModel
from respcam.network.training import Training
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
        Of weights and training order.
    chosen : BandChoice, optional
        Chooses the bands where ``recipe.bands`` leaves them to another model.
    network_source : str, optional
        SHA-256 of the file that a user's own network is written in.
    device : str
        auto, cpu, cuda, ...
    """

    name: ClassVar[str] = "train"
    schema: ClassVar[int] = 5

    features: Features
    labels: Labels
    recipe: Recipe
    seed: int
    chosen: BandChoice | None = None
    network_source: str | None = None
    device: str = incidental("auto")

    @classmethod
    def of(cls, features: Features, labels: Labels, recipe: Recipe, **options: Any) -> "Train":
        """A training, named after the source of the user's own network too, so that an edit is another model."""
        source = custom_source_sha256(recipe.model)
        return cls(features=features, labels=labels, recipe=recipe, network_source=source, **options)

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
        _check_classes(prepared)
        model, history = self._fit(prepared, folder / CHECKPOINT)
        predictions, evaluation = self._evaluate(model, prepared)
        frames = self.features.frames()
        model.save(folder, frames.bands[fed_bands(frames.edges_hz, self.selection())])
        self._pipeline(prepared.class_names).write(folder)
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
        recipe = self.recipe
        rules = UnitRules(recipe.task, recipe.split, recipe.patches, recipe.permute_labels)
        return prepare_units(rules, self.labels, self.features.frames().span)

    def _fit(self, prepared: PreparedUnits, checkpoint: Path) -> tuple[TrainedModel, pd.DataFrame]:
        recipe, n_classes = self.recipe, len(prepared.class_names)
        train, validation = (self.data_of(prepared.of(part)) for part in (TRAIN, VALIDATION))
        scaler = Scaler.fit(train)
        fabric = make_fabric(self.device, recipe.training.precision, recipe.training.threads)
        data = training.TrainingData(train, validation, scaler, n_classes)
        network, history = training.fit(
            lambda: build(recipe.model, n_classes), data, recipe.training, self.seed, fabric, checkpoint
        )
        model = TrainedModel(network, scaler, prepared.class_names, fabric, pooling=recipe.training.pooling)
        return model, history

    def _evaluate(self, model: TrainedModel, prepared: PreparedUnits) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Predictions and metrics of validation and of every test part."""
        predictions, evaluation = [], {}
        for part in [VALIDATION, *prepared.test_parts]:
            units = prepared.of(part)
            probability = model.predict(self.data_of(units), f"predict {part}")
            predictions.append(_predictions(units, probability, prepared.class_names, self.labels.recordings))
            evaluation[part] = _metrics(units, probability, prepared, part, self.recipe)
        return pd.concat(predictions), evaluation

    def _pipeline(self, class_names: list[str]) -> Pipeline:
        """What turns a new recording into a score of this model."""
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
            pooling=recipe.training.pooling,
            class_names=class_names,
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
        names, wanted = set(units["part"]), set(parts)
        tested = test_parts(names)
        if "test" in wanted and "test" not in tested:
            wanted = wanted - {"test"} | set(tested)
        chosen = units[units["part"].isin(wanted)]
        if chosen.empty:
            raise Refused(f"explain.parts is {list(parts)}; the split has {', '.join(sorted(names))}")
        return chosen.reset_index(drop=True)

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
            self.folder, recipe.model, fabric, normal=recipe.task.normal, pooling=recipe.training.pooling
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


def _check_classes(prepared: PreparedUnits) -> None:
    counts = np.bincount(prepared.of(TRAIN)["target"], minlength=len(prepared.class_names))
    bare = [name for name, count in zip(prepared.class_names, counts, strict=True) if count == 0]
    if bare:
        raise Refused(
            f"train: no usable recording of class {named(bare)} in train; "
            "see rejected.csv of the resample stage, or choose another task or split"
        )


def _announce(prepared: PreparedUnits, unit: str) -> None:
    for remark in prepared.remarks:
        log.warning("train: %s", remark)
    for part, units in prepared.units.groupby("part"):
        if part != UNUSED:
            log.info("train: %s has %d %ss of %d patients", part, len(units), unit, units["patient_id"].nunique())


def _predictions(
    units: pd.DataFrame, probability: np.ndarray, class_names: list[str], recordings: pd.DataFrame
) -> pd.DataFrame:
    names = np.array(class_names)
    table = units[["part", "unit_id", "recording_id", "patient_id", "start_s", "end_s", "label"]].copy()
    table["true_class"] = names[units["target"]]
    table["predicted_class"] = names[probability.argmax(axis=1)]
    for index, name in enumerate(class_names):
        table[f"p_{name}"] = probability[:, index].round(6)
    strata = recordings.set_index("recording_id")
    return table.join(strata[[name for name in RECORDING_STRATA if name in strata]], on="recording_id")


def _metrics(
    units: pd.DataFrame, probability: np.ndarray, prepared: PreparedUnits, part: str, recipe: Recipe
) -> dict[str, Any]:
    task, class_names = recipe.task, prepared.class_names
    confusion, intervals = metrics.evaluate(
        units["target"].to_numpy(),
        probability,
        units["patient_id"].to_numpy(),
        class_names.index(task.normal) if task.normal in class_names else None,
        task.score,
        recipe.bootstrap,
    )
    return {
        "note": prepared.notes.get(part),
        "n_recordings": int(units["recording_id"].nunique()),
        "n_units": len(units),
        "n_patients": int(units["patient_id"].nunique()),
        "confusion": {"classes": class_names, "true_by_predicted": confusion.tolist()},
        **{name: asdict(interval) for name, interval in intervals.items()},
    }

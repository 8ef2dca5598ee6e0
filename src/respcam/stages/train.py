"""Frames and labels to a trained model, its predictions and its figures."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from respcam import metrics
from respcam.data.manifest import STRATA, named
from respcam.data.patches import PatchSettings, patch_starts
from respcam.data.splits import TRAIN, UNUSED, VALIDATION, SplitSettings, divide
from respcam.data.tasks import Task, units_of
from respcam.heat.bands import BandSelection, fed_bands, kept_bands
from respcam.metrics import BootstrapSettings
from respcam.network import training
from respcam.network.model import ModelSettings, build
from respcam.network.training import Scaler, Training, Units
from respcam.sound.front_end import FrontEnd
from respcam.stages.dataset import Source
from respcam.stages.features import FrameStore
from respcam.store.artifact import Artifact, write_atomically
from respcam.store.tables import write_table

log = logging.getLogger(__name__)

SCHEMA = 3


@dataclass(frozen=True)
class TrainSettings:
    """Everything that a trained model depends on beside its data.

    ``permute_labels`` deals the classes of each part out anew, evenly within every true class, so
    that the new ones say nothing about the sound: a control, which no heat should survive.
    """

    task: Task
    split: SplitSettings
    patches: PatchSettings
    bands: BandSelection
    model: ModelSettings
    training: Training
    bootstrap: BootstrapSettings
    permute_labels: bool = False


def plan(store: Path, features: Artifact, source: Source, settings: TrainSettings, seed: int) -> Artifact:
    """Name the output before any work is done."""
    inputs = {"features": features.digest, "labels": source.label_digest}
    plain = asdict(settings)
    plain["training"].pop("threads")
    if not settings.permute_labels:  # a model of true labels keeps the name it had before there was a control
        plain.pop("permute_labels")
    return Artifact(store, "train", SCHEMA, plain, inputs, seed)


def run(
    artifact: Artifact,
    features: Artifact,
    source: Source,
    front_end: FrontEnd,
    settings: TrainSettings,
    device: str,
) -> Path:
    """Train, choose the epoch on validation patients, then touch the test parts once.

    Parameters
    ----------
    artifact : Artifact
        From `plan`.
    features : Artifact
    source : Source
    front_end : FrontEnd
    settings : TrainSettings
    device : str

    Returns
    -------
    Path
        Folder with ``model.safetensors, classes.json, scaler.csv, history.csv, units.csv,
        predictions.csv, metrics.json, remarks.json``.

    Raises
    ------
    ValueError
        If a class has no usable unit in train, or the split cannot be made.
    """
    with artifact.building() as partial:
        if partial is None:
            return artifact.folder
        store = FrameStore.open(features.require(), front_end)
        units, class_names, notes, remarks = prepare_units(source, store, settings)
        write_table(units, partial / "units.csv")
        is_side = {side: units["side"] == side for side in sorted(set(units["side"]) - {UNUSED})}
        _check_classes(units[is_side[TRAIN]], class_names)
        data = {side: load_units(store, units[rows], settings) for side, rows in is_side.items()}
        for side, rows in is_side.items():
            log.info(
                "train: %s has %d %ss of %d patients",
                side, rows.sum(), settings.task.unit, units["patient_id"][rows].nunique(),
            )  # fmt: skip
        fabric = training.make_fabric(device, settings.training.precision, settings.training.threads)
        scaler = Scaler.fit(data[TRAIN])
        model, history = training.fit(
            lambda: build(settings.model, len(class_names)),
            data[TRAIN],
            data[VALIDATION],
            scaler,
            len(class_names),
            settings.training,
            artifact.seed or 0,
            fabric,
            partial / "checkpoint.pt",
        )
        predictions, figures = [], {}
        for side in [VALIDATION, *sorted(set(is_side) - {TRAIN, VALIDATION})]:
            probability = training.predict(
                model, data[side], scaler, settings.training.pooling, fabric, f"predict {side}"
            )
            rows = units[is_side[side]]
            predictions.append(_predictions(rows, probability, class_names, source.recordings))
            figures[side] = _figures(rows, probability, class_names, notes.get(side), settings)
        _save_model(model, scaler, store.bands[fed_bands(store.edges_hz, settings.bands)], class_names, partial)
        write_table(history, partial / "history.csv")
        write_table(pd.concat(predictions), partial / "predictions.csv")
        write_atomically(partial / "metrics.json", json.dumps(figures, indent=2) + "\n")
        write_atomically(partial / "remarks.json", json.dumps(remarks, indent=2) + "\n")
        (partial / "checkpoint.pt").unlink()
    return artifact.folder


def prepare_units(
    source: Source, store: FrameStore, settings: TrainSettings
) -> tuple[pd.DataFrame, list[str], dict[str, str], list[str]]:
    """List the units with frames, their class and their side.

    Returns
    -------
    units : DataFrame
        As `respcam.data.tasks.units_of`, with ``side, first_frame, n_frames`` (within the recording).
    class_names : list of str
    notes : dict of str to str
        What must stand beside the figures of a part.
    remarks : list of str
        What was left out, and why.

    Raises
    ------
    ValueError
        If the units cannot be divided.
    """
    units, class_names = units_of(settings.task, source.recordings, source.events)
    spans = [store.span(*row) for row in units[["recording_id", "start_s", "end_s"]].itertuples(index=False)]
    units[["first_frame", "n_frames"]] = np.array(spans, dtype=int).reshape(-1, 2)
    has_patch = np.array([len(patch_starts(n, settings.patches)) > 0 for n in units["n_frames"]], dtype=bool)
    usable = units[has_patch].reset_index(drop=True)
    if usable.empty:
        raise ValueError(
            f"task {settings.task.name}: no usable {settings.task.unit} among {len(units)}; "
            "see rejected.csv of the resample stage, or the task's labels"
        )
    sha256 = source.found[~source.found.isin(["missing", "unreadable"])]
    division = divide(usable, settings.split, sha256, source.same_patient_parts)
    remarks = list(division.remarks)
    if settings.task.unit == "event":
        n_bare = (~source.recordings["recording_id"].isin(units["recording_id"])).sum()
        if n_bare:
            remarks.append(f"{n_bare} recordings have no event that the task is about")
    if len(units) > len(usable):
        gone = units[~has_patch]
        remarks.append(
            f"{len(gone)} of {len(units)} {settings.task.unit}s left out, because their recording is missing, "
            f"rejected or too short: {named(list(gone['unit_id']))}"
        )
    if settings.permute_labels:
        remarks.append("the labels were permuted: a control, whose figures say nothing about any sound")
        usable = usable.assign(target=permuted(usable["target"].to_numpy(), division.side.to_numpy()))
    for remark in remarks:
        log.warning("train: %s", remark)
    return usable.assign(side=division.side), class_names, division.notes, remarks


def permuted(target: np.ndarray, side: np.ndarray, seed: int = 0) -> np.ndarray:
    """Deal classes out anew within each side, so that new and true classes are independent.

    Parameters
    ----------
    target : int64 [shape=(unit,)]
    side : str [shape=(unit,)]
    seed : int

    Returns
    -------
    int64 [shape=(unit,)]
        Each true class of a side gets the side's classes in their proportion, up to rounding.
    """
    rng = np.random.default_rng(seed)
    dealt = target.copy()
    for own_side in np.unique(side):
        rows = np.flatnonzero(side == own_side)
        order = rows[np.lexsort([rng.random(len(rows)), target[rows]])]  # shuffled within each true class
        share = np.cumsum(np.bincount(target[rows])) / len(rows)
        # steps of the golden ratio fall evenly on every stretch of the order, hence on every true class
        place = np.arange(1, len(rows) + 1) * ((np.sqrt(5) - 1) / 2) % 1
        dealt[order] = np.searchsorted(share, place, side="right")
    return dealt


def load_units(store: FrameStore, units: pd.DataFrame, settings: TrainSettings) -> Units:
    """Point at the frames of units; nothing is read or copied yet."""
    rows = units[["recording_id", "first_frame", "n_frames"]].itertuples(index=False)
    frames = [store.frames(*row) for row in rows]
    target = units["target"].to_numpy()
    kept, fed = (choose(store.edges_hz, settings.bands) for choose in (kept_bands, fed_bands))
    return Units(frames, target, fed, settings.patches, store.settings.floor, masked=fed & ~kept)


def _check_classes(train: pd.DataFrame, class_names: list[str]) -> None:
    counts = np.bincount(train["target"], minlength=len(class_names))
    bare = [name for name, count in zip(class_names, counts, strict=True) if count == 0]
    if bare:
        raise ValueError(
            f"train: no usable recording of class {named(bare)} in train; "
            "see rejected.csv of the resample stage, or choose another task or split"
        )


def _predictions(
    units: pd.DataFrame, probability: np.ndarray, class_names: list[str], recordings: pd.DataFrame
) -> pd.DataFrame:
    names = np.array(class_names)
    columns = ["side", "unit_id", "recording_id", "patient_id", "start_s", "end_s", "label"]
    table = units[columns].rename(columns={"side": "split"})
    table["true_class"] = names[units["target"]]
    table["predicted_class"] = names[probability.argmax(axis=1)]
    for index, name in enumerate(class_names):
        table[f"p_{name}"] = probability[:, index].round(6)
    known = recordings.set_index("recording_id")
    return table.join(known[[name for name in STRATA if name in known]], on="recording_id")


def _figures(
    units: pd.DataFrame,
    probability: np.ndarray,
    class_names: list[str],
    note: str | None,
    settings: TrainSettings,
) -> dict[str, Any]:
    task = settings.task
    confusion, figures = metrics.evaluate(
        units["target"].to_numpy(),
        probability,
        units["patient_id"].to_numpy(),
        class_names.index(task.normal) if task.normal in class_names else None,
        task.score,
        settings.bootstrap,
    )
    return {
        "note": note,
        "n_recordings": int(units["recording_id"].nunique()),
        "n_units": len(units),
        "n_patients": int(units["patient_id"].nunique()),
        "confusion": {"classes": class_names, "true_by_predicted": confusion.tolist()},
        **{name: asdict(interval) for name, interval in figures.items()},
    }


def _save_model(model: nn.Module, scaler: Scaler, bands: pd.DataFrame, class_names: list[str], folder: Path) -> None:
    weights = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    write_table(bands.assign(mean=scaler.mean, std=scaler.std), folder / "scaler.csv")
    write_atomically(folder / "classes.json", json.dumps(class_names) + "\n")


def load_model(folder: Path, settings: ModelSettings) -> tuple[nn.Module, Scaler, list[str]]:
    """Read a trained model, its scaler and its class names from the train stage's folder."""
    class_names = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    model = build(settings, len(class_names)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.load_state_dict(load_file(folder / "model.safetensors"))
    bands = pd.read_csv(folder / "scaler.csv")
    scaler = Scaler(*(bands[name].to_numpy(np.float32) for name in ("mean", "std")))
    return model.eval(), scaler, class_names

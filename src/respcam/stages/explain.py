"""A trained model and its test recordings to heat maps."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.lib.format import open_memmap
from tqdm import tqdm

from respcam import cam, training
from respcam.artifact import Artifact, write_atomically
from respcam.front_end import FrontEnd
from respcam.manifest import write_table
from respcam.model import target_layer
from respcam.patches import patch_starts
from respcam.splits import TRAIN, UNUSED, VALIDATION
from respcam.stages.features import FrameStore
from respcam.stages.train import TrainSettings, load_model, load_units

log = logging.getLogger(__name__)

SCHEMA = 1


@dataclass(frozen=True)
class ExplainSettings:
    """What is explained.

    Parameters
    ----------
    target : str
        The class that heat speaks for: true (the unit's own), predicted (the patch's highest
        score) or the name of a class.
    sides : list of str
        Parts to explain; ``test`` stands for all test parts.
    batch_patches : int
    """

    target: str = "true"
    sides: list[str] | None = None
    batch_patches: int = 256

    def __post_init__(self) -> None:
        if self.batch_patches < 1:
            raise ValueError(f"explain.batch_patches is {self.batch_patches}; expected at least 1")


def plan(store: Path, train: Artifact, settings: ExplainSettings, layer: str | None) -> Artifact:
    """Name the output before any work is done."""
    plain = {"target": settings.target, "sides": settings.sides, "layer": layer}
    return Artifact(store, "explain", SCHEMA, plain, {"train": train.digest})


def run(
    artifact: Artifact,
    train: Artifact,
    features: Artifact,
    front_end: FrontEnd,
    trained: TrainSettings,
    settings: ExplainSettings,
    device: str,
) -> Path:
    """Compute Grad-CAM for every patch of the parts to explain.

    Parameters
    ----------
    artifact : Artifact
        From `plan`.
    train, features : Artifact
    front_end : FrontEnd
    trained : TrainSettings
        What the model was trained with.
    settings : ExplainSettings
    device : str

    Returns
    -------
    Path
        Folder with ``heat-map.npy`` (float32 [shape=(patch, row, column)], raw, at the resolution of
        the layer), ``heat-input.npy`` (float32 [shape=(patch, band, frame)], the same resized to the
        picture), ``layer.json`` (the layer's name) and ``index.csv``: patch, split, unit_id,
        recording_id, patient_id, start_frame, target_class, predicted_class, score, is_zero.
    """
    with artifact.building() as partial:
        if partial is None:
            return artifact.folder
        store = FrameStore.open(features.require(), front_end)
        model, scaler, class_names = load_model(train.require(), trained.model)
        layer = target_layer(model, trained.model)
        fabric = training.make_fabric(device, threads=trained.training.threads)
        model = fabric.to_device(model)
        units = _chosen(pd.read_csv(train.folder / "units.csv", dtype=str, keep_default_na=False), settings)
        data = load_units(store, units, trained)
        index = _index(units, trained)
        wanted = _targets(index["target"].to_numpy(), class_names, settings.target)
        patches_of_unit = index.groupby("unit", sort=False).indices
        maps = inputs = None
        parts, done = [], 0
        bar = tqdm(total=len(index), desc="explain", unit="patch")
        for batch in training.unit_batches(data, settings.batch_patches):
            rows = np.concatenate([patches_of_unit[unit] for unit in batch])
            pictures = np.concatenate([data.grid(unit) for unit in batch])
            target = None if wanted is None else fabric.to_device(torch.from_numpy(wanted[rows]))
            found = cam.grad_cam(model, layer, scaler(fabric.to_device(torch.from_numpy(pictures))), target)
            heat = cam.to_input(found.heat, *pictures.shape[1:]).cpu().numpy()
            if maps is None or inputs is None:
                shape = (len(index), *found.heat.shape[1:])
                maps = open_memmap(partial / "heat-map.npy", mode="w+", dtype=np.float32, shape=shape)
                shape = (len(index), *pictures.shape[1:])
                inputs = open_memmap(partial / "heat-input.npy", mode="w+", dtype=np.float32, shape=shape)
            maps[done : done + len(rows)], inputs[done : done + len(rows)] = found.heat.cpu().numpy(), heat
            done += len(rows)
            parts.append(_outcome(found, class_names))
            bar.update(len(rows))
        bar.close()
        table = pd.concat([index.drop(columns=["unit", "target"]), pd.concat(parts, ignore_index=True)], axis=1)
        write_table(table, partial / "index.csv")
        write_atomically(partial / "layer.json", json.dumps(layer) + "\n")
        log.info("explain: layer %s, %d patches, %d all-zero maps", layer, len(table), int(table["is_zero"].sum()))
    return artifact.folder


def _chosen(units: pd.DataFrame, settings: ExplainSettings) -> pd.DataFrame:
    sides = set(settings.sides or ["test"])
    tested = set(units["side"]) - {TRAIN, VALIDATION, UNUSED}
    if "test" in sides and "test" not in tested:
        sides = sides - {"test"} | tested
    chosen = units[units["side"].isin(sides)]
    if chosen.empty:
        raise ValueError(f"explain.sides is {settings.sides}; the split has {', '.join(sorted(set(units['side'])))}")
    types = {"start_s": float, "end_s": float, "first_frame": int, "n_frames": int, "target": int}
    return chosen.replace({"start_s": {"": "nan"}, "end_s": {"": "nan"}}).astype(types).reset_index(drop=True)


def _index(units: pd.DataFrame, trained: TrainSettings) -> pd.DataFrame:
    """One row per patch, in the order of the units."""
    starts = [patch_starts(n, trained.patches) for n in units["n_frames"]]
    unit = np.repeat(np.arange(len(units)), [len(own) for own in starts])
    rows = units.iloc[unit].reset_index(drop=True)
    return pd.DataFrame(
        {
            "patch": np.arange(len(rows)),
            "split": rows["side"],
            "unit_id": rows["unit_id"],
            "recording_id": rows["recording_id"],
            "patient_id": rows["patient_id"],
            "start_frame": rows["first_frame"] + np.concatenate(starts),
            "unit": unit,
            "target": rows["target"],
        }
    )


def _targets(own: np.ndarray, class_names: list[str], target: str) -> np.ndarray | None:
    if target == "true":
        return own
    if target == "predicted":
        return None
    if target not in class_names:
        raise ValueError(f"explain.target is {target!r}; expected true, predicted or {', '.join(class_names)}")
    return np.full_like(own, class_names.index(target))


def _outcome(found: cam.Heat, class_names: list[str]) -> pd.DataFrame:
    names = np.array(class_names)
    return pd.DataFrame(
        {
            "target_class": names[found.target.cpu().numpy()],
            "predicted_class": names[found.scores.argmax(dim=1).cpu().numpy()],
            "score": found.scores.gather(1, found.target[:, None])[:, 0].cpu().numpy(),
            "is_zero": (found.heat.amax(dim=(1, 2)) == 0).cpu().numpy(),
        }
    )

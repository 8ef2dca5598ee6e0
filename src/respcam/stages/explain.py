"""A trained model and its test recordings to heat maps."""

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.lib.format import open_memmap
from tqdm import tqdm

from respcam.data.patches import PatchSettings, patch_starts
from respcam.data.splits import TRAIN, UNUSED, VALIDATION
from respcam.heat import cam
from respcam.network import training
from respcam.network.model import stages
from respcam.sound.front_end import FrontEnd
from respcam.stages.features import FrameStore
from respcam.stages.train import TrainSettings, load_model, load_units
from respcam.store.artifact import Artifact, write_atomically
from respcam.store.tables import write_table

log = logging.getLogger(__name__)

SCHEMA = 2


@dataclass(frozen=True)
class ExplainSettings:
    """What is explained, and how.

    Parameters
    ----------
    method : str
        Key of `respcam.heat.cam.METHODS`.
    layers : list of str, optional
        Dotted names of modules whose output heat is taken from; several are fused. None fuses
        every stage of the model (`respcam.network.model.stages`).
    target : str
        The class that heat speaks for: true (the unit's own), predicted (the patch's highest
        score) or the name of a class.
    sides : list of str
        Parts to explain; ``test`` stands for all test parts.
    hop_frames : int, optional
        Between the starts of explained patches; None takes the length of a patch, so that every
        frame is explained once. What is scored has its own hop (patches.hop_frames).
    batch_patches : int
    """

    method: str = "hires_cam"
    layers: list[str] | None = None
    target: str = "true"
    sides: list[str] | None = None
    hop_frames: int | None = None
    batch_patches: int = 64

    def __post_init__(self) -> None:
        if self.method not in cam.METHODS:
            raise ValueError(f"explain.method is {self.method!r}; expected one of {', '.join(cam.METHODS)}")
        if self.batch_patches < 1:
            raise ValueError(f"explain.batch_patches is {self.batch_patches}; expected at least 1")
        if self.hop_frames is not None and self.hop_frames < 1:
            raise ValueError(f"explain.hop_frames is {self.hop_frames}; expected at least 1")

    def patches_of(self, patches: PatchSettings) -> PatchSettings:
        """Where patches are cut for heat."""
        return replace(patches, hop_frames=self.hop_frames or patches.length_frames)


def plan(store: Path, train: Artifact, settings: ExplainSettings) -> Artifact:
    """Name the output before any work is done."""
    plain = {name: value for name, value in vars(settings).items() if name != "batch_patches"}
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
    """Compute the heat of every patch of the parts to explain.

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
        the finest layer), ``heat-band.npy`` (float32 [shape=(patch, band)], resized to the picture
        and added up over time), ``method.json`` (method, layers, n_bands, n_frames) and
        ``index.csv``: patch, split, unit_id, recording_id, patient_id, start_frame, target_class, predicted_class,
        score, is_zero.
    """
    with artifact.building() as partial:
        if partial is None:
            return artifact.folder
        store = FrameStore.open(features.require(), front_end)
        model, scaler, class_names = load_model(train.require(), trained.model)
        layers = settings.layers or stages(model)
        fabric = training.make_fabric(device, threads=trained.training.threads)
        model = fabric.to_device(model)
        units = chosen_units(train.folder, settings.sides)
        data = load_units(store, units, trained)
        patches = settings.patches_of(trained.patches)
        index = patch_table(units, patches)
        wanted = _targets(index["target"].to_numpy(), class_names, settings.target)
        n, n_bands, n_frames = len(index), data.of(0).shape[1], trained.patches.length_frames
        # filled in place: many small results kept between large ones would hold the memory of all
        per_band = open_memmap(partial / "heat-band.npy", mode="w+", dtype=np.float32, shape=(n, n_bands))
        scores = np.empty((n, len(class_names)), dtype=np.float32)
        outcome = {"target": np.empty(n, dtype=np.int64), "is_zero": np.empty(n, dtype=bool)}
        maps, done = None, 0
        bar = tqdm(total=n, desc="explain", unit="patch")
        for pictures in training.patch_batches(data, settings.batch_patches, patches):
            rows = slice(done, done + len(pictures))
            target = None if wanted is None else fabric.to_device(torch.tensor(wanted[rows]))
            scaled = scaler(fabric.to_device(torch.from_numpy(pictures)))
            found = cam.heat_maps(model, scaled, layers, [settings.method], target)
            heat = found.heat(settings.method, layers)
            if maps is None:
                shape = (n, *heat.shape[1:])
                maps = open_memmap(partial / "heat-map.npy", mode="w+", dtype=np.float32, shape=shape)
            maps[rows] = heat.cpu().numpy()
            per_band[rows] = cam.margins(heat, n_bands, n_frames)[0].cpu().numpy()
            scores[rows] = found.scores.cpu().numpy()
            outcome["target"][rows] = found.target.cpu().numpy()
            outcome["is_zero"][rows] = (heat.amax(dim=(1, 2)) == 0).cpu().numpy()
            done += len(pictures)
            bar.update(len(pictures))
        bar.close()
        table = pd.concat([index.drop(columns=["unit", "target"]), _outcome(scores, class_names, **outcome)], axis=1)
        write_table(table, partial / "index.csv")
        method = {"method": settings.method, "layers": layers, "n_bands": n_bands, "n_frames": n_frames}
        write_atomically(partial / "method.json", json.dumps(method) + "\n")
        log.info(
            "explain: %s at %s, %d patches, %d all-zero maps",
            cam.METHODS[settings.method].title, ", ".join(layers), len(table), int(table["is_zero"].sum()),
        )  # fmt: skip
    return artifact.folder


def chosen_units(train: Path, sides: list[str] | None) -> pd.DataFrame:
    """Read the units of some parts from the train stage's folder.

    Parameters
    ----------
    train : Path
    sides : list of str, optional
        ``test`` (the default) stands for every test part.

    Raises
    ------
    ValueError
        If the split has none of them.
    """
    units = pd.read_csv(train / "units.csv", dtype=str, keep_default_na=False)
    wanted = set(sides or ["test"])
    tested = set(units["side"]) - {TRAIN, VALIDATION, UNUSED}
    if "test" in wanted and "test" not in tested:
        wanted = wanted - {"test"} | tested
    chosen = units[units["side"].isin(wanted)]
    if chosen.empty:
        raise ValueError(f"explain.sides is {sides}; the split has {', '.join(sorted(set(units['side'])))}")
    types = {"start_s": float, "end_s": float, "first_frame": int, "n_frames": int, "target": int}
    return chosen.replace({"start_s": {"": "nan"}, "end_s": {"": "nan"}}).astype(types).reset_index(drop=True)


def patch_table(units: pd.DataFrame, settings: PatchSettings) -> pd.DataFrame:
    """List the patches of units, in their order.

    Returns
    -------
    DataFrame
        ``patch, split, unit_id, recording_id, patient_id, start_frame`` (in the recording), ``unit``
        (row of the unit), ``target``.
    """
    starts = [patch_starts(n, settings) for n in units["n_frames"]]
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


def _outcome(scores: np.ndarray, class_names: list[str], target: np.ndarray, is_zero: np.ndarray) -> pd.DataFrame:
    """Classes and scores of all patches, from scores [shape=(patch, class)], targets and all-zero marks."""
    names = np.array(class_names)
    return pd.DataFrame(
        {
            "target_class": names[target],
            "predicted_class": names[scores.argmax(axis=1)],
            "score": scores[np.arange(len(scores)), target],
            "is_zero": is_zero,
        }
    )

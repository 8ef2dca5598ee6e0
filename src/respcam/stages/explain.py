"""Heat maps of a trained model on the parts to explain."""

import logging
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.lib.format import open_memmap
from tqdm import tqdm

from respcam.data import run_folder
from respcam.data.patches import PatchSettings, patch_table, patch_units
from respcam.errors import Refused, there_are
from respcam.heat import cam
from respcam.heat.cam import SCORES, Choice
from respcam.network.inputs import Units, patch_batches
from respcam.network.model import blocks_of
from respcam.network.scoring import patch_scores
from respcam.network.trained import TrainedModel
from respcam.stages.train import Train, parts_named
from respcam.store.artifact import incidental
from respcam.store.integrity import verified
from respcam.store.stage import Stage
from respcam.store.tables import Document, Table

log = logging.getLogger(__name__)

MAPS, PER_BAND = "heat-map.npy", "heat-band.npy"
BESIDE = "beside-"  # before the names of the files of the method that stands beside the chosen one
LEVELS = ("recording", "patch")


@dataclass(frozen=True)
class ExplainSettings:
    """What is explained, and how.

    Parameters
    ----------
    level : str
        Unit whose score heat explains: recording (or event; its score is pooled over its patches) or patch (each by
        itself).
    score : str
        Explained score: log_odds (of the class against all others) or class_score (before softmax). A common part
        of all class scores changes no probability, and the log-odds do not contain it.
    method : str
        Key of `respcam.heat.cam.METHODS`.
    layers : list of str, optional
        Dotted names of modules whose output heat is taken from; several are fused. None fuses
        every block of the network.
    target : str
        The class whose score heat explains: true (the unit's own), predicted (the unit's highest
        score) or the name of a class.
    parts : list of str
        Parts to explain; ``test`` stands for all test parts.
    hop_frames : int, optional
        Number of frames between the starts of patches, for level patch; None takes the length of a patch, so that
        every frame is explained once. Recordings are explained at the patches that are scored (patches.hop_frames).
    batch_patches : int
        Patches that the network is fed at a time.
    """

    level: str = "recording"
    score: str = "log_odds"
    method: str = "hires_cam"
    layers: list[str] | None = None
    target: str = "true"
    parts: list[str] = field(default_factory=lambda: ["test"])
    hop_frames: int | None = None
    batch_patches: int = incidental(64)

    def __post_init__(self) -> None:
        for name, legal in (("level", LEVELS), ("score", SCORES)):
            if getattr(self, name) not in legal:
                raise Refused(f"explain.{name} is {getattr(self, name)!r}; expected one of {', '.join(legal)}")
        if self.level == "recording" and self.hop_frames is not None:
            raise Refused(
                f"explain.hop_frames is {self.hop_frames}, but a recording is explained at the patches that are "
                "scored; set patches.hop_frames, or explain.level=patch"
            )
        if self.method not in cam.METHODS:
            raise Refused(f"explain.method is {self.method!r}; {there_are(cam.METHODS, self.method)}")
        if self.batch_patches < 1:
            raise Refused(f"explain.batch_patches is {self.batch_patches}; expected at least 1")
        if self.target == "True":  # what YAML makes of true
            object.__setattr__(self, "target", "true")
        if not self.parts:
            raise Refused("explain.parts is []; expected at least one part, such as [test]")
        if "train" in self.parts:
            raise Refused(f"explain.parts is {self.parts}; expected parts with metrics: validation or test parts")
        if self.hop_frames is not None and self.hop_frames < 1:
            raise Refused(f"explain.hop_frames is {self.hop_frames}; expected at least 1")

    def patches_of(self, patches: PatchSettings) -> PatchSettings:
        """Length and hop of the patches for heat."""
        if self.level == "recording":
            return patches
        return replace(patches, hop_frames=self.hop_frames or patches.length_frames)

    def prepared(self, model: TrainedModel) -> TrainedModel:
        """The model as it is explained: patches at a time, and layers for a network that names no blocks."""
        return replace(model, batch_patches=self.batch_patches, layers=tuple(self.layers or ()))

    def choice(self, blocks: list[str]) -> Choice:
        """Method, layers and score of the heat, for a network with these blocks."""
        return Choice(self.method, tuple(self.layers or blocks), self.score)

    def beside(self, blocks: list[str]) -> Choice:
        """Heat that stands beside it: Grad-CAM as published, or the default method beside that."""
        published = Choice("grad_cam", tuple(blocks[-1:]), "class_score")
        default = ExplainSettings()
        return Choice(default.method, tuple(blocks), default.score) if self.choice(blocks) == published else published


@dataclass(frozen=True, kw_only=True, eq=False)
class Explain(Stage):
    """Heat of every patch of the parts to explain, and its weight in the heat of its recording.

    Attributes
    ----------
    train : Train
    explain : ExplainSettings
    """

    name: ClassVar[str] = "explain"
    schema: ClassVar[int] = 5
    INDEX: ClassVar[Table] = Table("index.csv", run_folder.IDS)
    METHOD: ClassVar[Document] = Document("method.json")

    train: Train
    explain: ExplainSettings

    def check(self) -> None:
        """Refuse a part, a class or layers that this training will not have.

        Raises
        ------
        Refused
        """
        expected = self.train.expected
        parts_named(self.explain.parts, expected.parts)
        nobody = np.zeros(0, dtype=np.int64)
        self._target(nobody, nobody, expected.class_names)
        network, patches = self.train.trial
        layers = self.explain.layers or blocks_of(network)
        cam.heat_maps(network, patches, layers, ["grad_cam"], target=0)

    def write(self, folder: Path) -> None:
        """Write maps, their sums over time, the index of patches and the method.

        ``heat-map.npy`` is float32 [shape=(patch, row, column)] at the resolution of the finest layer;
        ``heat-band.npy`` float32 [shape=(patch, band)], resized to the input and summed over time. Both are raw. The
        heat of a recording is their sum with the weights in the index. ``beside-heat-map.npy`` and
        ``beside-heat-band.npy`` are those of the method that stands beside (`ExplainSettings.beside`).
        """
        model = self.explain.prepared(self.train.model())
        units = self.units()
        data, table = self.train.data_of(units), patch_table(units, self.patches)
        scores, counts = patch_scores(model.network, data, model.scaler, model.fabric, "score patches", self.patches)
        scores = scores.double()
        of_units = model.readout.of_units(scores, counts)
        predicted = model.readout.decide(of_units.softmax(dim=1).cpu().numpy())
        target = self._target(predicted, units["target"].to_numpy(), model.class_names)
        names = np.array(model.class_names)
        index = table.drop(columns=["unit", "target"])
        index["target_class"] = np.repeat(names[target], counts)
        index["predicted_class"] = np.repeat(names[predicted], counts)
        of_patches = model.readout(scores[:, None]).cpu().numpy()
        index["score"] = of_patches[np.arange(len(table)), np.repeat(target, counts)]
        choices = {"": self.explain.choice(model.blocks), BESIDE: self.explain.beside(model.blocks)}
        for before, choice in choices.items():
            writer = _HeatWriter(folder, before, model, choice, self.patches)
            weight, is_zero = writer.draw(data, scores, counts, target)
            column = before.replace("-", "_")
            index[f"{column}weight"], index[f"{column}is_zero"] = weight, is_zero
            title, place = cam.METHODS[choice.method].title, ", ".join(choice.layers)
            log.info("explain: %s at %s, %d patches, %d all-zero maps", title, place, len(index), int(is_zero.sum()))
        self.INDEX.write(index, folder)
        method = {
            "level": self.explain.level,
            **_plain(choices[""]),
            "beside": _plain(choices[BESIDE]),
            "n_bands": data.n_bands,
            "n_frames": self.patches.length_frames,
            "hop_frames": self.patches.hop_frames,
        }
        self.METHOD.write(method, folder)

    @property
    def patches(self) -> PatchSettings:
        """Length and hop of the patches for heat."""
        return self.explain.patches_of(self.train.recipe.patches)

    def units(self, parts: list[str] | None = None) -> pd.DataFrame:
        """Units whose score is explained: recordings, events, or single patches as units of their own.

        Parameters
        ----------
        parts : list of str, optional
            None takes the parts to explain.
        """
        units = self.train.units(parts or self.explain.parts)
        return units if self.explain.level == "recording" else patch_units(units, self.patches)

    def _target(self, predicted: np.ndarray, true_class: np.ndarray, class_names: list[str]) -> np.ndarray:
        """Class of each unit whose score heat explains: int64 [shape=(unit,)]."""
        target = self.explain.target
        if target == "true":
            return true_class
        if target == "predicted":
            return predicted
        if target not in class_names:
            raise Refused(f"explain.target is {target!r}; {there_are(['true', 'predicted', *class_names], target)}")
        return np.full_like(true_class, class_names.index(target))

    def index(self) -> pd.DataFrame:
        """A row per patch: place, patient, part, classes, score, weight and whether its heat is zero everywhere.

        ``beside_weight, beside_is_zero`` are those of the method that stands beside.
        """
        return self.INDEX.read(self.folder)

    def maps(self, before: str = "") -> np.ndarray:
        """Heat, memory-mapped: float32 [shape=(patch, row, column)]; `BESIDE` for the method beside."""
        return np.load(verified(self.folder / f"{before}{MAPS}"), mmap_mode="r")

    def per_band(self, before: str = "") -> np.ndarray:
        """What each patch adds to the heat of its unit, per band: float64 [shape=(patch, band)]."""
        weight = self.index()[f"{before.replace('-', '_')}weight"].to_numpy()
        return np.load(verified(self.folder / f"{before}{PER_BAND}")).astype(np.float64) * weight[:, None]

    def method(self) -> dict[str, Any]:
        """Where heat comes from: ``level, method, layers, score, beside, n_bands, n_frames, hop_frames``."""
        return self.METHOD.read(self.folder)


def _plain(choice: Choice) -> dict[str, Any]:
    return {**asdict(choice), "layers": list(choice.layers)}


@dataclass(frozen=True)
class _HeatWriter:
    """Fills the arrays of heat in place: small results between large ones would hold the memory of all."""

    folder: Path
    before: str
    model: TrainedModel
    choice: Choice
    patches: PatchSettings

    def draw(
        self, data: Units, scores: torch.Tensor, counts: list[int], target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Write the heat of all patches; returns weights and all-zero marks, [shape=(patch,)]."""
        model, n = self.model, len(scores)
        rule = model.chain_rule(scores, counts, target, self.choice.score)
        per_band = self._array(PER_BAND, (n, data.n_bands))
        is_zero = np.empty(n, dtype=bool)
        maps, done = None, 0
        bar = tqdm(total=n, desc=f"explain, {cam.METHODS[self.choice.method].title}", unit="patch")
        for batch in patch_batches(data, model.batch_patches, self.patches):
            rows = slice(done, done + len(batch))
            heat = model.heat_along(rule.of(rows), model.scaled(batch), [self.choice])[self.choice]
            if maps is None:
                maps = self._array(MAPS, (n, *heat.shape[1:]))
            maps[rows] = heat.cpu().numpy()
            per_band[rows] = cam.margins(heat, data.n_bands, self.patches.length_frames)[0].cpu().numpy()
            is_zero[rows] = (heat.amax(dim=(1, 2)) == 0).cpu().numpy()
            done += len(batch)
            bar.update(len(batch))
        bar.close()
        return rule.weight.cpu().numpy(), is_zero

    def _array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        path = self.folder / f"{self.before}{name}"
        array = open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        if hasattr(os, "posix_fallocate"):  # a full disk is an error here, but ends the process on a write to the map
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, max(1, path.stat().st_size))
        return array

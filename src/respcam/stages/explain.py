"""Heat maps of a trained model on the parts to explain."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.lib.format import open_memmap
from tqdm import tqdm

from respcam.data import run_folder
from respcam.data.patches import PatchSettings, patch_table
from respcam.errors import Refused, there_are
from respcam.heat import cam
from respcam.heat.cam import Choice
from respcam.network.inputs import Units, patch_batches
from respcam.network.model import blocks_of
from respcam.network.trained import TrainedModel
from respcam.stages.train import Train, parts_named
from respcam.store.artifact import incidental
from respcam.store.stage import Stage
from respcam.store.tables import Document, Table

log = logging.getLogger(__name__)

MAPS, PER_BAND = "heat-map.npy", "heat-band.npy"


@dataclass(frozen=True)
class ExplainSettings:
    """What is explained, and how.

    Parameters
    ----------
    method : str
        Key of `respcam.heat.cam.METHODS`.
    layers : list of str, optional
        Dotted names of modules whose output heat is taken from; several are fused. None fuses
        every block of the network.
    target : str
        The class whose score heat explains: true (the unit's own), predicted (the patch's highest
        score) or the name of a class.
    parts : list of str
        Parts to explain; ``test`` stands for all test parts.
    hop_frames : int, optional
        Between the starts of explained patches; None takes the length of a patch, so that every
        frame is explained once. What is scored has its own hop (patches.hop_frames).
    batch_patches : int
        Patches that the network is fed at a time.
    """

    method: str = "hires_cam"
    layers: list[str] | None = None
    target: str = "true"
    parts: list[str] = field(default_factory=lambda: ["test"])
    hop_frames: int | None = None
    batch_patches: int = incidental(64)

    def __post_init__(self) -> None:
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
        """Where patches are cut for heat."""
        return replace(patches, hop_frames=self.hop_frames or patches.length_frames)

    def prepared(self, model: TrainedModel) -> TrainedModel:
        """The model as it is explained: patches at a time, and layers for a network that names no blocks."""
        return replace(model, batch_patches=self.batch_patches, layers=tuple(self.layers or ()))

    def choice(self, blocks: list[str]) -> Choice:
        """Method and layers of the heat, for a network with these blocks."""
        return Choice(self.method, tuple(self.layers or blocks))


@dataclass(frozen=True, kw_only=True, eq=False)
class Explain(Stage):
    """Heat of every patch of the parts to explain: raw, never rescaled.

    Attributes
    ----------
    train : Train
    explain : ExplainSettings
    """

    name: ClassVar[str] = "explain"
    schema: ClassVar[int] = 4
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
        self._target(np.zeros(0, dtype=np.int64), expected.class_names)
        network, patches = self.train.trial
        layers = self.explain.layers or blocks_of(network)
        cam.heat_maps(network, patches, layers, ["grad_cam"], target=0)

    def write(self, folder: Path) -> None:
        """Write maps, their sums over time, the index of patches and the method.

        ``heat-map.npy`` is float32 [shape=(patch, row, column)] at the resolution of the finest layer;
        ``heat-band.npy`` float32 [shape=(patch, band)], resized to the input and added up over time.
        """
        model = self.explain.prepared(self.train.model())
        choice = self.explain.choice(model.blocks)
        units = self.train.units(self.explain.parts)
        data = self.train.data_of(units)
        table = patch_table(units, self.patches)
        target = self._target(table["target"].to_numpy(), model.class_names)
        writer = _HeatWriter(folder, model, choice, self.train.recipe.patches.length_frames)
        scores, classes, is_zero = writer.draw(data, target, self.patches, len(table))
        index = table.drop(columns=["unit", "target"])
        names = np.array(model.class_names)
        index["target_class"] = names[classes]
        index["predicted_class"] = names[scores.argmax(axis=1)]
        index["score"] = scores[np.arange(len(scores)), classes]
        index["is_zero"] = is_zero
        self.INDEX.write(index, folder)
        method = {"method": choice.method, "layers": list(choice.layers), "n_bands": data.n_bands}
        size = {"n_frames": self.patches.length_frames, "hop_frames": self.patches.hop_frames}
        self.METHOD.write({**method, **size}, folder)
        title, place = cam.METHODS[choice.method].title, ", ".join(choice.layers)
        log.info("explain: %s at %s, %d patches, %d all-zero maps", title, place, len(index), int(is_zero.sum()))

    @property
    def patches(self) -> PatchSettings:
        """Where patches are cut for heat."""
        return self.explain.patches_of(self.train.recipe.patches)

    def _target(self, true_class: np.ndarray, class_names: list[str]) -> np.ndarray | None:
        """Class of each patch whose score heat explains; None for the one with its highest score."""
        target = self.explain.target
        if target == "true":
            return true_class
        if target == "predicted":
            return None
        if target not in class_names:
            raise Refused(f"explain.target is {target!r}; {there_are(['true', 'predicted', *class_names], target)}")
        return np.full_like(true_class, class_names.index(target))

    def index(self) -> pd.DataFrame:
        """A row per patch: place, patient, part, classes, score and whether its heat is zero everywhere."""
        return self.INDEX.read(self.folder)

    def maps(self) -> np.ndarray:
        """Heat, memory-mapped: float32 [shape=(patch, row, column)]."""
        return np.load(self.folder / MAPS, mmap_mode="r")

    def per_band(self) -> np.ndarray:
        """Heat added up over time: float64 [shape=(patch, band)]."""
        return np.load(self.folder / PER_BAND).astype(np.float64)

    def method(self) -> dict[str, Any]:
        """Where heat comes from: method, layers, size of the input (n_bands, n_frames), and hop_frames of patches."""
        return self.METHOD.read(self.folder)


@dataclass(frozen=True)
class _HeatWriter:
    """Fills the arrays of heat in place: small results between large ones would hold the memory of all."""

    folder: Path
    model: TrainedModel
    choice: Choice
    n_frames: int

    def draw(
        self, data: Units, target: np.ndarray | None, patches: PatchSettings, n: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Write the heat of ``n`` patches; returns scores [shape=(patch, class)], targets and all-zero marks."""
        model, choice, to_device = self.model, self.choice, self.model.fabric.to_device
        per_band = self._array(PER_BAND, (n, data.n_bands))
        scores = np.empty((n, len(model.class_names)), dtype=np.float32)
        classes, is_zero = np.empty(n, dtype=np.int64), np.empty(n, dtype=bool)
        maps, done = None, 0
        bar = tqdm(total=n, desc="explain", unit="patch")
        for batch in patch_batches(data, model.batch_patches, patches):
            rows = slice(done, done + len(batch))
            batch_target = None if target is None else to_device(torch.tensor(target[rows]))
            result = cam.heat_maps(model.network, model.scaled(batch), choice.layers, [choice.method], batch_target)
            heat = result.heat(choice.method, choice.layers)
            if maps is None:
                maps = self._array(MAPS, (n, *heat.shape[1:]))
            maps[rows] = heat.cpu().numpy()
            per_band[rows] = cam.margins(heat, data.n_bands, self.n_frames)[0].cpu().numpy()
            scores[rows] = result.scores.cpu().numpy()
            classes[rows] = result.target.cpu().numpy()
            is_zero[rows] = (heat.amax(dim=(1, 2)) == 0).cpu().numpy()
            done += len(batch)
            bar.update(len(batch))
        bar.close()
        return scores, classes, is_zero

    def _array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        return open_memmap(self.folder / name, mode="w+", dtype=np.float32, shape=shape)

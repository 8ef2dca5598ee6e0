"""Trained models: scores, heat, and scores under occlusion."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from respcam.data import run_folder
from respcam.errors import Refused
from respcam.heat import cam
from respcam.heat.cam import Choice
from respcam.heat.layers import checked_scores
from respcam.network.inputs import Scaler, Units
from respcam.network.model import ModelSettings, blocks_of, build
from respcam.network.occluded import Occlusion, log_odds
from respcam.network.scoring import predict

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class TrainedModel:
    """A network with its scaler, classes and device.

    Attributes
    ----------
    network : nn.Module
        Network on the fabric's device, in evaluation mode.
    scaler : Scaler
    class_names : list of str
    fabric : Fabric
        Device and precision of `scores`, `log_odds` and `log_odds_without`.
    normal : str, optional
        Name of the normal class.
    pooling : str
        Pooling of patch scores into the score of a recording: mean, max or logsumexp.
    batch_patches : int
        Number of patches that the network is fed at a time.
    layers : tuple of str
        Layers that stand for its blocks where the network names none.
    """

    network: nn.Module
    scaler: Scaler
    class_names: list[str]
    fabric: "Fabric"
    normal: str | None = None
    pooling: str = "logsumexp"
    batch_patches: int = 64
    layers: tuple[str, ...] = ()

    @property
    def blocks(self) -> list[str]:
        """Names of the network's blocks, from the input up."""
        return blocks_of(self.network, self.layers)

    @property
    def judged_classes(self) -> list[int]:
        """Classes whose heat is examined: all but the normal class, if one is named."""
        return [k for k, name in enumerate(self.class_names) if name != self.normal]

    def scaled(self, patches: np.ndarray) -> torch.Tensor:
        """Scale patches and move them to the device: float32 [shape=(patch, 1, band, frame)]."""
        return self.scaler(self.fabric.to_device(torch.from_numpy(np.ascontiguousarray(patches))))

    def batches(self, patches: np.ndarray) -> Iterator[torch.Tensor]:
        """Batches of scaled patches on the device."""
        for batch in np.array_split(patches, -(-len(patches) // self.batch_patches)):
            yield self.scaled(batch)

    @torch.inference_mode()
    def scores(self, patches: np.ndarray) -> torch.Tensor:
        """Score patches [shape=(patch, band, frame)]: float64 [shape=(patch, class)], before softmax."""
        with self.fabric.autocast():
            return torch.cat([self._scores(batch) for batch in self.batches(patches)]).double()

    def _scores(self, batch: torch.Tensor) -> torch.Tensor:
        return checked_scores(self.network(batch), len(batch), self.network, len(self.class_names))

    def log_odds(self, patches: np.ndarray) -> np.ndarray:
        """Score patches as log-odds of each class: float64 [shape=(patch, class)]."""
        return log_odds(self.scores(patches)).cpu().numpy()

    @torch.inference_mode()
    def occlusion(self, patches: np.ndarray, fill: np.ndarray) -> Occlusion:
        """Prepare the occlusion of patches; the values of ``fill`` replace removed bands."""
        with self.fabric.autocast():
            return Occlusion(self.network, self.scaled(patches), self.scaled(fill))

    @torch.inference_mode()
    def log_odds_without(self, occlusion: Occlusion, is_removed: np.ndarray) -> np.ndarray:
        """Log-odds of occluded patches without some bands: float64 [shape=(patch, class)]."""
        with self.fabric.autocast():
            scores = occlusion.scores(is_removed)
        return log_odds(scores.double()).cpu().numpy()

    def heat(
        self, patches: np.ndarray, target: np.ndarray, choices: Sequence[Choice], network: nn.Module | None = None
    ) -> dict[Choice, torch.Tensor]:
        """Compute the heat of patches by several methods and layers.

        Parameters
        ----------
        patches : float32 [shape=(patch, band, frame)]
        target : int64 [shape=(patch,)]
            Class whose score the heat explains.
        choices : sequence of Choice
        network : nn.Module, optional
            Another network of the same shape, such as one with random weights.

        Returns
        -------
        dict of Choice to float32 [shape=(patch, row, column)]
            Raw heat, on the CPU.
        """
        heat: dict[Choice, list[torch.Tensor]] = {choice: [] for choice in choices}
        done = 0
        for batch in self.batches(patches):
            batch_target = self.fabric.to_device(torch.from_numpy(target[done : done + len(batch)]))
            done += len(batch)
            for needs_gradient in (True, False):
                chosen = [c for c in choices if cam.METHODS[c.method].needs_gradient == needs_gradient]
                if not chosen:
                    continue
                layers = list(dict.fromkeys(layer for choice in chosen for layer in choice.layers))
                methods = list(dict.fromkeys(choice.method for choice in chosen))
                maps = cam.heat_maps(network or self.network, batch, layers, methods, batch_target)
                for choice in chosen:
                    heat[choice].append(maps.heat(choice.method, choice.layers).cpu())
        return {choice: torch.cat(parts) for choice, parts in heat.items()}

    def predict(self, units: Units, progress: str = "") -> np.ndarray:
        """Score units from all their patches, in single precision: probabilities, float32 [shape=(unit, class)]."""
        return predict(self.network, units, self.scaler, self.pooling, self.fabric, progress)

    def save(self, folder: Path, bands: pd.DataFrame) -> None:
        """Write weights, scaler (a row per band of ``bands``) and class names."""
        # a copy of each, because a file cannot hold one tensor under two names
        weights = {name: tensor.cpu().contiguous().clone() for name, tensor in self.network.state_dict().items()}
        save_file(weights, folder / run_folder.WEIGHTS)
        run_folder.SCALER.write(bands.assign(mean=self.scaler.mean, std=self.scaler.std), folder)
        run_folder.CLASSES.write(self.class_names, folder)

    @staticmethod
    def load(
        folder: Path,
        settings: ModelSettings,
        fabric: "Fabric",
        normal: str | None = None,
        pooling: str = "logsumexp",
        batch_patches: int = 64,
    ) -> "TrainedModel":
        """Read what `save` wrote, onto the fabric's device.

        Raises
        ------
        Refused
            If the weights do not fit the network, for example after a change of the user's class.
        """
        class_names = run_folder.CLASSES.read(folder)
        network = build(settings, len(class_names)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        try:
            network.load_state_dict(load_file(folder / run_folder.WEIGHTS))
        except RuntimeError as error:
            weights = folder / run_folder.WEIGHTS
            raise Refused(f"{weights} holds the weights of another network than {settings.name}") from error
        bands = run_folder.SCALER.read(folder)
        scaler = Scaler(*(bands[name].to_numpy(np.float32) for name in ("mean", "std")))
        network = fabric.to_device(network.eval())
        return TrainedModel(network, scaler, class_names, fabric, normal, pooling, batch_patches)

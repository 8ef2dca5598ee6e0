"""Trained models: scores, heat, and scores under occlusion."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save
from torch import nn

from respcam.data import run_folder
from respcam.errors import Refused
from respcam.heat import cam
from respcam.heat.cam import Choice
from respcam.heat.layers import checked_scores
from respcam.network.inputs import Scaler, Units
from respcam.network.model import ModelSettings, blocks_of, build
from respcam.network.occluded import Occlusion
from respcam.network.readout import UNCALIBRATED, Readout, score_gradient
from respcam.network.scoring import predict
from respcam.store.integrity import verified

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class ChainRule:
    """How the explained score of a unit depends on the scores of its patches.

    The derivative of the explained score with respect to the class scores of a patch is weight times direction. So
    weight times the heat of the patch, for the class scores weighted by the direction, is the heat of the unit.

    Attributes
    ----------
    target : int64 [shape=(patch,)]
        Explained class.
    weight : float32 [shape=(patch,)]
        Largest derivative, without its sign.
    direction : float32 [shape=(patch, class)] or None
        Derivatives divided by the weight; None if only the score of the explained class counts.
    """

    target: torch.Tensor
    weight: torch.Tensor
    direction: torch.Tensor | None

    def of(self, rows: slice) -> "ChainRule":
        """Select some of the patches."""
        direction = None if self.direction is None else self.direction[rows]
        return ChainRule(self.target[rows], self.weight[rows], direction)


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
        Device, and precision of `scores_without`.
    normal : str, optional
        Name of the normal class.
    readout : Readout
        From patch scores to the class scores of a recording.
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
    readout: Readout = UNCALIBRATED
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
    def scores(self, patches: np.ndarray, network: nn.Module | None = None) -> torch.Tensor:
        """Score patches in single precision, before softmax.

        Parameters
        ----------
        patches : float32 [shape=(patch, band, frame)]
        network : nn.Module, optional
            Another network of the same shape, such as one with random weights.

        Returns
        -------
        float64 [shape=(patch, class)]
        """
        network, n_classes = network or self.network, len(self.class_names)
        batches = self.batches(patches)
        return torch.cat([checked_scores(network(of), len(of), network, n_classes) for of in batches]).double()

    @torch.inference_mode()
    def scores_without(
        self,
        patches: np.ndarray,
        fill: np.ndarray,
        conditions: Sequence[np.ndarray],
        network: nn.Module | None = None,
    ) -> torch.Tensor:
        """Score patches without some bands, before softmax.

        Parameters
        ----------
        patches, fill : float32 [shape=(patch, band, frame)]
            Patches, and the values that replace removed bands.
        conditions : sequence of bool [shape=(band,)]
            Each marks the bands that are removed.
        network : nn.Module, optional
            Another network of the same shape, such as one with random weights.

        Returns
        -------
        float64 [shape=(condition, patch, class)]
        """
        parts = []
        with self.fabric.autocast():
            for batch, values in zip(self.batches(patches), self.batches(fill), strict=True):
                occlusion = Occlusion(network or self.network, batch, values)
                parts.append(torch.stack([occlusion.scores(removed).double() for removed in conditions]))
        return torch.cat(parts, dim=1)

    def chain_rule(self, scores: torch.Tensor, counts: Sequence[int], target: np.ndarray, score: str) -> ChainRule:
        """Chain rule through the pooling: how the explained score of each unit depends on its patches.

        Parameters
        ----------
        scores : float64 [shape=(patch, class)]
        counts : sequence of int
            Number of patches of each unit.
        target : int64 [shape=(unit,)]
            Explained class of each unit.
        score : str
            Explained score, of `respcam.heat.cam.SCORES`.

        Returns
        -------
        ChainRule
        """
        unit_target = torch.tensor(target, device=scores.device)
        gradient = score_gradient(scores, counts, unit_target, self.readout, score).float()
        weight = gradient.abs().amax(dim=1)
        direction = gradient / weight.clamp_min(torch.finfo(weight.dtype).tiny)[:, None]
        patch_target = unit_target.repeat_interleave(torch.tensor(list(counts), device=scores.device))
        is_of_target = score == "class_score" and bool((gradient >= 0).all())
        return ChainRule(patch_target, weight, None if is_of_target else direction)

    def heat_along(
        self, rule: ChainRule, batch: torch.Tensor, choices: Sequence[Choice], network: nn.Module | None = None
    ) -> dict[Choice, torch.Tensor]:
        """Raw heat of scaled patches for the scores of a chain rule: [shape=(patch, row, column)].

        Parameters
        ----------
        rule : ChainRule
        batch : float32 [shape=(patch, 1, band, frame)]
            Scaled patches on the device.
        choices : sequence of Choice
            All with the score of the rule.
        network : nn.Module, optional
            Another network of the same shape, such as one with random weights.
        """
        heat: dict[Choice, torch.Tensor] = {}
        for needs_gradient in (True, False):
            chosen = [c for c in choices if cam.METHODS[c.method].needs_gradient == needs_gradient]
            if not chosen:
                continue
            layers = list(dict.fromkeys(layer for choice in chosen for layer in choice.layers))
            methods = list(dict.fromkeys(choice.method for choice in chosen))
            maps = cam.heat_maps(network or self.network, batch, layers, methods, rule.target, rule.direction)
            heat |= {choice: maps.heat(choice.method, choice.layers) for choice in chosen}
        return heat

    def heat(
        self,
        patches: np.ndarray,
        counts: Sequence[int],
        target: np.ndarray,
        choices: Sequence[Choice],
        network: nn.Module | None = None,
    ) -> dict[Choice, torch.Tensor]:
        """Compute the heat of whole units (recordings or events) by several methods and layers.

        Parameters
        ----------
        patches : float32 [shape=(patch, band, frame)]
            All scored patches of the units, in order.
        counts : sequence of int
            Number of patches of each unit.
        target : int64 [shape=(unit,)]
            Class whose score the heat explains.
        choices : sequence of Choice
        network : nn.Module, optional
            Another network of the same shape, such as one with random weights.

        Returns
        -------
        dict of Choice to float32 [shape=(patch, row, column)]
            What each patch adds to the heat of its unit, on the CPU.
        """
        scores = self.scores(patches, network)
        heat: dict[Choice, list[torch.Tensor]] = {choice: [] for choice in choices}
        for score in dict.fromkeys(choice.score for choice in choices):
            rule = self.chain_rule(scores, counts, target, score)
            chosen = [choice for choice in choices if choice.score == score]
            done = 0
            for batch in self.batches(patches):
                of_batch = rule.of(slice(done, done + len(batch)))
                done += len(batch)
                for choice, maps in self.heat_along(of_batch, batch, chosen, network).items():
                    heat[choice].append((maps * of_batch.weight[:, None, None]).cpu())
        return {choice: torch.cat(parts) for choice, parts in heat.items()}

    def predict(self, units: Units, progress: str = "") -> np.ndarray:
        """Score units from all their patches, in single precision: probabilities, float32 [shape=(unit, class)]."""
        return predict(self.network, units, self.scaler, self.readout, self.fabric, progress)

    def save(self, folder: Path, bands: pd.DataFrame) -> None:
        """Write weights, scaler (a row per band of ``bands``) and class names."""
        # a copy of each, because a file cannot hold one tensor under two names
        weights = {name: tensor.cpu().contiguous().clone() for name, tensor in self.network.state_dict().items()}
        (folder / run_folder.WEIGHTS).write_bytes(save(weights))
        run_folder.SCALER.write(bands.assign(mean=self.scaler.mean, std=self.scaler.std), folder)
        run_folder.CLASSES.write(self.class_names, folder)

    @staticmethod
    def load(
        folder: Path,
        settings: ModelSettings,
        fabric: "Fabric",
        normal: str | None = None,
        readout: Readout = UNCALIBRATED,
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
            network.load_state_dict(load_file(verified(folder / run_folder.WEIGHTS)))
        except RuntimeError as error:
            weights = folder / run_folder.WEIGHTS
            raise Refused(f"{weights} holds the weights of another network than {settings.name}") from error
        bands = run_folder.SCALER.read(folder)
        scaler = Scaler(*(bands[name].to_numpy(np.float32) for name in ("mean", "std")))
        network = fabric.to_device(network.eval())
        return TrainedModel(network, scaler, class_names, fabric, normal, readout, batch_patches)

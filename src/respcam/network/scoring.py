"""Scores of patches, and of units from all their patches."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from respcam.data.patches import PatchSettings, patch_starts
from respcam.network.inputs import Scaler, Units, patch_batches
from respcam.network.readout import Readout

if TYPE_CHECKING:  # takes seconds to import
    from lightning_fabric import Fabric

BATCH_PATCHES = 32


def in_precision_of(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Give inputs the precision of the weights: 64-true, 16-true and bf16-true train other weights than float32."""
    weights = next((weight for weight in network.parameters() if weight.is_floating_point()), inputs)
    return inputs.to(weights.dtype)


@torch.inference_mode()
def patch_scores(
    network: nn.Module,
    units: Units,
    scaler: Scaler,
    fabric: "Fabric",
    progress: str = "",
    settings: PatchSettings | None = None,
) -> tuple[torch.Tensor, list[int]]:
    """Score all patches of units.

    Parameters
    ----------
    network : nn.Module
        Network on the fabric's device; it is left in evaluation mode.
    units : Units
    scaler : Scaler
    fabric : Fabric
    progress : str
        Title of the progress bar; blank shows none.
    settings : PatchSettings, optional
        Length and hop of the patches; None takes the settings of the units.

    Returns
    -------
    scores : float32 [shape=(patch, class)]
        Scores before softmax.
    counts : list of int
        Number of patches of each unit.
    """
    network.eval()
    counts = [len(patch_starts(len(frames), settings or units.settings)) for frames in units.frames]
    bar = tqdm(total=sum(counts), desc=progress, unit="patch", disable=not progress, leave=False)
    scores, done = torch.empty(0), 0
    for patches in patch_batches(units, BATCH_PATCHES, settings):
        of_batch = network(in_precision_of(network, scaler(fabric.to_device(torch.from_numpy(patches))))).float()
        if not done:  # one array, because many small arrays would fragment the memory
            scores = of_batch.new_empty(sum(counts), of_batch.shape[1])
        scores[done : done + len(of_batch)] = of_batch
        done += len(of_batch)
        bar.update(len(of_batch))
    bar.close()
    return scores, counts


@torch.inference_mode()
def predict(
    network: nn.Module, units: Units, scaler: Scaler, readout: Readout, fabric: "Fabric", progress: str = ""
) -> np.ndarray:
    """Score every unit from all its patches.

    Parameters
    ----------
    network : nn.Module
        Network on the fabric's device; it is left in evaluation mode.
    units : Units
    scaler : Scaler
    readout : Readout
    fabric : Fabric
    progress : str
        Title of the progress bar; blank shows none.

    Returns
    -------
    float32 [shape=(unit, class)]
        Probabilities (softmax of the class scores of each unit).
    """
    scores, counts = patch_scores(network, units, scaler, fabric, progress)
    return readout.of_units(scores, counts).softmax(dim=1).cpu().numpy()

"""Scoring of units from all their patches."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from respcam.data.patches import patch_starts
from respcam.network.inputs import Scaler, Units, patch_batches, pool

if TYPE_CHECKING:  # takes seconds to import
    from lightning_fabric import Fabric

BATCH_PATCHES = 32


@torch.inference_mode()
def predict(
    network: nn.Module, units: Units, scaler: Scaler, pooling: str, fabric: "Fabric", progress: str = ""
) -> np.ndarray:
    """Score every unit from all its patches.

    Parameters
    ----------
    network : nn.Module
        Network on the fabric's device; it is left in evaluation mode.
    units : Units
    scaler : Scaler
    pooling : str
    fabric : Fabric
    progress : str
        Title of the progress bar; blank shows none.

    Returns
    -------
    float32 [shape=(unit, class)]
        Probabilities (softmax of the pooled scores).
    """
    network.eval()
    counts = [len(patch_starts(len(frames), units.settings)) for frames in units.frames]
    bar = tqdm(total=sum(counts), desc=progress, unit="patch", disable=not progress, leave=False)
    scores, done = torch.empty(0), 0
    for patches in patch_batches(units, BATCH_PATCHES):
        of_batch = network(scaler(fabric.to_device(torch.from_numpy(patches)))).float()
        if not done:  # one array, because many small arrays would fragment the memory
            scores = of_batch.new_empty(sum(counts), of_batch.shape[1])
        scores[done : done + len(of_batch)] = of_batch
        done += len(of_batch)
        bar.update(len(of_batch))
    bar.close()
    pooled = [pool(of_unit, pooling) for of_unit in scores.split(counts)]
    return torch.stack(pooled).softmax(dim=1).cpu().numpy()

"""Controls of heat: random weights, permuted labels, and heat on borders, blank input and padding."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import nn

from respcam.evidence.agreement import LOUDEST_BAND, profiles_of
from respcam.evidence.faithfulness import heat_similarity, randomised_in_cascade, rank_correlation
from respcam.evidence.sample import PatchSample
from respcam.heat import resize
from respcam.heat.bands import GroupedBands
from respcam.heat.cam import Choice
from respcam.network.trained import TrainedModel


def randomisation_table(
    model: TrainedModel, sample: PatchSample, heat: Mapping[Choice, torch.Tensor], seed: int
) -> pd.DataFrame:
    """Compare heat with that of the network with random weights, randomised from the top down.

    Parameters
    ----------
    model : TrainedModel
    sample : PatchSample
    heat : mapping of Choice to float32 [shape=(judged patch, row, column)]
    seed : int
        Seed of the random weights.

    Returns
    -------
    DataFrame
        ``method, layers, step, down_to`` (the lowest module with random weights), ``similarity`` (rank
        correlation).
    """
    torch.manual_seed(seed)
    fresh = {
        down_to: model.heat(sample.judged_patches, sample.judged_target, list(heat), network)
        for down_to, network in randomised_in_cascade(model.network)
    }
    rows = []
    for choice, maps in heat.items():
        similarities = heat_similarity(maps.numpy(), [maps_of[choice].numpy() for maps_of in fresh.values()])
        rows += [
            {
                "method": choice.method,
                "layers": choice.place,
                "step": step,
                "down_to": down_to,
                "similarity": similarity,
            }
            for step, (down_to, similarity) in enumerate(zip(fresh, similarities, strict=True), start=1)
        ]
    return pd.DataFrame(rows)


def share_table(sample: PatchSample, heat: Mapping[Choice, torch.Tensor], floor: float) -> pd.DataFrame:
    """Compute the share of heat on the outermost rows of the map, on the log floor and on padding.

    Parameters
    ----------
    sample : PatchSample
    heat : mapping of Choice to float32 [shape=(judged patch, row, column)]
    floor : float
        Log floor: log-mel of silence. A cell is blank below ``floor + log 2``.

    Returns
    -------
    DataFrame
        ``method, layers, border, blank, padding``, and the same shares of uniform heat (``_uniform``).
    """
    patches = sample.judged_patches
    is_blank = torch.from_numpy(patches < floor + np.log(2))
    n_frames = sample.n_frames[sample.judged]
    is_padding = torch.from_numpy(np.arange(patches.shape[2]) >= n_frames[:, None])[:, None].expand(is_blank.shape)
    rows = []
    for choice, maps in heat.items():
        large = resize.to_input(maps, *patches.shape[1:])
        edge = maps.new_zeros(maps.shape[1]).index_fill(0, torch.tensor([0, maps.shape[1] - 1]), 1.0)
        row: dict[str, object] = {"method": choice.method, "layers": choice.place}
        for name, resized, mask in (
            ("border", maps, edge[:, None]),
            ("blank", large, is_blank.float()),
            ("padding", large, is_padding.float()),
        ):
            row[name] = float((resized * mask).sum() / resized.sum()) if resized.sum() > 0 else np.nan
            row[f"{name}_uniform"] = float(mask.mean())
        rows.append(row)
    return pd.DataFrame(rows)


def control_similarity(
    model: TrainedModel,
    sample: PatchSample,
    profiles: Mapping[Choice, np.ndarray],
    control: nn.Module,
    bands: GroupedBands,
) -> dict[Choice, float]:
    """Rank correlation of each profile with that of a network trained on permuted labels.

    Parameters
    ----------
    model : TrainedModel
    sample : PatchSample
    profiles : mapping of Choice to float64 [shape=(judged patch, band)]
    control : nn.Module
        Network trained on permuted labels.
    bands : GroupedBands

    Returns
    -------
    dict of Choice to float
        Without `LOUDEST_BAND`, which does not depend on the network.
    """
    choices = [choice for choice in profiles if choice != LOUDEST_BAND]
    network = model.fabric.to_device(control)
    control_profiles = profiles_of(sample, model.heat(sample.judged_patches, sample.judged_target, choices, network))
    return {
        choice: float(
            rank_correlation(
                bands.per_group(profiles[choice].sum(axis=0)), bands.per_group(control_profiles[choice].sum(axis=0))
            )
        )
        for choice in choices
    }

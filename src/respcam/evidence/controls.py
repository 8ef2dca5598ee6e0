"""Shares of heat where it has no meaning: the border of the map, blank input and padding."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from respcam.heat import resize
from respcam.heat.cam import Choice


def share_table(
    patches: np.ndarray, n_frames: np.ndarray, heat: Mapping[Choice, torch.Tensor], floor: float
) -> pd.DataFrame:
    """Compute the share of heat on the outermost rows of the map, on the log floor and on padding.

    Parameters
    ----------
    patches : float32 [shape=(patch, band, frame)]
    n_frames : int [shape=(patch,)]
        Number of frames of the unit of each patch, before padding.
    heat : mapping of Choice to float32 [shape=(patch, row, column)]
    floor : float
        Log floor: log-mel of silence. A cell is blank below ``floor + log 2``.

    Returns
    -------
    DataFrame
        ``method, layers, score, border, blank, padding``, and the same shares of uniform heat (``_uniform``).
    """
    is_blank = torch.from_numpy(patches < floor + np.log(2))
    is_padding = torch.from_numpy(np.arange(patches.shape[2]) >= n_frames[:, None])[:, None].expand(is_blank.shape)
    rows = []
    for choice, maps in heat.items():
        large = resize.to_input(maps, *patches.shape[1:])
        edge = maps.new_zeros(maps.shape[1]).index_fill(0, torch.tensor([0, maps.shape[1] - 1]), 1.0)
        row: dict[str, object] = {"method": choice.method, "layers": choice.place, "score": choice.score}
        for name, resized, mask in (
            ("border", maps, edge[:, None]),
            ("blank", large, is_blank.float()),
            ("padding", large, is_padding.float()),
        ):
            row[name] = float((resized * mask).sum() / resized.sum()) if resized.sum() > 0 else np.nan
            row[f"{name}_uniform"] = float(mask.mean())
        rows.append(row)
    return pd.DataFrame(rows)

"""Patch samples: patches of a part, for gathering evidence."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from respcam.data.patches import patch_table, starts_in_unit
from respcam.metrics import BootstrapSettings, weights_and_resamples
from respcam.network import inputs
from respcam.network.inputs import Units
from respcam.network.trained import TrainedModel


@dataclass(frozen=True)
class PatchSample:
    """Sample of the patches of one part.

    Attributes
    ----------
    rows : DataFrame
        A row of `respcam.data.patches.patch_table` for each patch, in the order of that table.
    patches : float32 [shape=(patch, band, frame)]
        Log-mel, not scaled.
    n_frames : int64 [shape=(patch,)]
        Number of frames of the unit of each patch, before padding.
    weights : int64 [shape=(1 + resample, patch)]
        Count of each patch: 1 in the first row, then its count in each resample of the patients.
    judged : int64 [shape=(judged patch,)]
        Indices of the patches whose class counts for the verdict.
    """

    rows: pd.DataFrame
    patches: np.ndarray
    n_frames: np.ndarray
    weights: np.ndarray
    judged: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def part(self) -> str:
        """Name of the part: train, validation, or a test part."""
        return str(self.rows["part"].iloc[0])

    @property
    def target(self) -> np.ndarray:
        """Class of each patch: int64 [shape=(patch,)]."""
        return self.rows["target"].to_numpy()

    @property
    def judged_target(self) -> np.ndarray:
        """Class of each judged patch: int64 [shape=(judged patch,)]."""
        return self.target[self.judged]

    @property
    def judged_patches(self) -> np.ndarray:
        """The judged patches: float32 [shape=(judged patch, band, frame)]."""
        return self.patches[self.judged]

    @property
    def judged_weights(self) -> np.ndarray:
        """Weights of the judged patches: int64 [shape=(1 + resample, judged patch)]."""
        return self.weights[:, self.judged]

    @property
    def judged_units(self) -> list[int]:
        """Rows of the units that judged patches come from, rising."""
        return sorted(set(self.rows["unit"].to_numpy()[self.judged].tolist()))


def sample_patches(
    units: pd.DataFrame,
    data: Units,
    judged_classes: Collection[int],
    n_patches: int,
    seed: int,
    bootstrap: BootstrapSettings,
    log_contributions: np.ndarray | None = None,
) -> PatchSample:
    """Sample patches evenly over classes, and within a class over patients and then units.

    Parameters
    ----------
    units : DataFrame
        Units of one part, with the columns that `respcam.data.patches.patch_table` reads.
    data : Units
        Frames of the same units, in the same order.
    judged_classes : collection of int
        Classes whose patches count for the verdict. If the part has no patch of these, all patches count.
    n_patches : int
        Largest number of patches; every class gets at least one in any case.
    seed : int
    bootstrap : BootstrapSettings
    log_contributions : float64 [shape=(patch of the units,)], optional
        Result of `log_contributions`. With it, the patches of a unit are sampled in proportion to their
        contribution to its score; else uniformly.

    Returns
    -------
    PatchSample
    """
    rng = np.random.default_rng(seed)
    table = patch_table(units, data.settings)
    table = table.iloc[rng.permutation(len(table))]
    if log_contributions is None:
        turn_in_unit = table.groupby("unit_id").cumcount()
    else:
        # Gumbel trick: the largest log contribution plus Gumbel noise is sampled in proportion to the contribution
        noisy = log_contributions[table["patch"]] + rng.gumbel(size=len(table))
        turn_in_unit = table.assign(noisy=noisy).groupby("unit_id")["noisy"].rank(ascending=False, method="first")
    table = table.assign(turn=turn_in_unit).sort_values("turn", kind="stable")
    table["turn"] = table.groupby("patient_id").cumcount()
    table = table.sort_values("turn", kind="stable")
    per_class = max(1, n_patches // table["target"].nunique())
    rows = table[table.groupby("target").cumcount() < per_class].sort_values("patch").reset_index(drop=True)
    length, starts = data.settings.length_frames, starts_in_unit(rows, units)
    patches = [data.of(unit)[start : start + length].T for unit, start in zip(rows["unit"], starts, strict=True)]
    n_frames = np.array([len(data.frames[unit]) for unit in rows["unit"]])
    weights = weights_and_resamples(rows["patient_id"].to_numpy(), bootstrap)
    judged = np.flatnonzero(rows["target"].isin(list(judged_classes)))
    if not len(judged):  # a part that holds the normal class alone
        judged = np.arange(len(rows))
    return PatchSample(rows, np.stack(patches), n_frames, weights, judged)


def log_contributions(model: TrainedModel, data: Units, table: pd.DataFrame) -> np.ndarray:
    """Compute the contribution of each patch to the score of its unit, for the class of the unit.

    Parameters
    ----------
    model : TrainedModel
        Its pooling defines the contributions.
    data : Units
    table : DataFrame
        All rows of `respcam.data.patches.patch_table` of these units, in order.

    Returns
    -------
    float64 [shape=(patch,)]
        Natural logarithm of the contributions, up to a constant per unit
        (`respcam.network.inputs.log_contribution`).
    """
    n = len(table)
    batches = inputs.patch_batches(data, model.batch_patches)
    bar = tqdm(batches, total=-(-n // model.batch_patches), desc="weigh patches", unit="batch", leave=False)
    scores = torch.cat([model.scores(patches) for patches in bar]).cpu().numpy()
    of_target = scores[np.arange(n), table["target"]]
    return inputs.log_contribution(of_target, table["unit"].to_numpy(), model.pooling)

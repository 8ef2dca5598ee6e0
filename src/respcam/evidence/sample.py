"""Order in which recordings are looked at, and the sizes of the sample at which a verdict is tried."""

import numpy as np
import pandas as pd


def order_of_units(units: pd.DataFrame, seed: int) -> np.ndarray:
    """Shuffle units so that classes alternate, and within a class its patients: int64 [shape=(unit,)].

    So every beginning of the order is a sample in which classes and patients count alike.

    Parameters
    ----------
    units : DataFrame
        ``target, patient_id``.
    seed : int
    """
    shuffled = units.reset_index(drop=True).iloc[np.random.default_rng(seed).permutation(len(units))]
    turn_of_patient = shuffled.groupby(["target", "patient_id"]).cumcount()
    shuffled = shuffled.iloc[np.argsort(turn_of_patient.to_numpy(), kind="stable")]
    turn_in_class = shuffled.groupby("target").cumcount()
    return shuffled.index.to_numpy()[np.argsort(turn_in_class.to_numpy(), kind="stable")]


def sample_sizes(first: int, n_units: int, largest: int | None = None) -> list[int]:
    """Sizes of a growing sample: each twice the one before, up to all units or the largest size.

    Examples
    --------
    >>> sample_sizes(48, 377)
    [48, 96, 192, 377]
    """
    end = min(n_units, largest or n_units)
    sizes = []
    size = first
    while size < end:
        sizes.append(size)
        size *= 2
    return [*sizes, end]

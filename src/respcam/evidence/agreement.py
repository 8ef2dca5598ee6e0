"""Agreement of heat with occlusion, deletion and insertion, over groups of Hz."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from respcam.data.run_folder import MEDIAN
from respcam.evidence.faithfulness import (
    correlation,
    faithfulness,
    interval_columns,
    masks_of,
    order_of,
    rank_correlation,
    resampled_mean,
    with_spread,
)
from respcam.evidence.occlusion import OcclusionScores
from respcam.evidence.sample import PatchSample
from respcam.heat import resize
from respcam.heat.bands import GroupedBands
from respcam.heat.cam import METHODS, Choice

LOUDEST_BAND = Choice("loudest_band", ())  # a baseline without a model, in the same tables as the methods
Orders = Mapping[int, tuple[int, ...]]  # order of the groups, by class


def profiles_of(sample: PatchSample, heat: Mapping[Choice, torch.Tensor]) -> dict[Choice, np.ndarray]:
    """Sum the heat of the judged patches over time, and their loudness (a baseline without a model).

    Parameters
    ----------
    sample : PatchSample
    heat : mapping of Choice to float32 [shape=(judged patch, row, column)]

    Returns
    -------
    dict of Choice to float64 [shape=(judged patch, band)]
        The last one is `LOUDEST_BAND`.
    """
    patches = sample.judged_patches
    profiles = {choice: resize.margins(maps, *patches.shape[1:])[0].double().numpy() for choice, maps in heat.items()}
    profiles[LOUDEST_BAND] = np.exp(patches.astype(np.float64)).sum(axis=2)
    return profiles


def method_table(
    sample: PatchSample,
    scores: OcclusionScores,
    profiles: Mapping[Choice, np.ndarray],
    effect: np.ndarray,
    n_random_orders: int,
    seed: int,
) -> pd.DataFrame:
    """Compare every method and the loudness with occlusion, deletion and insertion.

    Parameters
    ----------
    sample : PatchSample
    scores : OcclusionScores
        Scores for deletion and insertion.
    profiles : mapping of Choice to float64 [shape=(judged patch, band)]
        Heat per band, including `LOUDEST_BAND`.
    effect : float64 [shape=(1 + resample, present group)]
        Drop under occlusion.
    n_random_orders : int
        Number of random orders of groups, the baseline of deletion and insertion.
    seed : int
        Seed of the random orders.

    Returns
    -------
    DataFrame
        ``method, layers, is_method, densest_hz`` (group of Hz with the most heat per band), ``peak_hz``
        (centre of the band with the most heat). With intervals: ``agreement`` (correlation of heat and drop
        under occlusion over the groups), ``rank_agreement`` (rank correlation), ``over_random`` and
        ``over_loudest`` (faithfulness of the order of groups by heat, minus that of random orders and of the
        order by loudness, in log-odds).
    """
    bands, weights = scores.bands, sample.judged_weights
    per_group = {choice: bands.per_group(profile) for choice, profile in profiles.items()}
    orders = [_orders_by_class(profile, sample.judged_target) for profile in per_group.values()]
    orders += _random_orders(n_random_orders, len(bands.present), sample.judged_target, seed)
    faith = faithfulness_of_orders(sample, scores, orders)
    faith_of = dict(zip(per_group, faith, strict=False))
    by_chance = np.mean(faith[len(per_group) :], axis=0)
    return pd.DataFrame(
        [
            {
                "method": choice.method,
                "layers": choice.place,
                "is_method": choice.method in METHODS,
                "densest_hz": densest_group(profile.sum(axis=0), bands),
                "peak_hz": float(bands.centre_hz[profiles[choice].sum(axis=0).argmax()]),
                **_columns("agreement", correlation(resampled_mean(profile, weights), effect)),
                **_columns("rank_agreement", rank_correlation(resampled_mean(profile, weights), effect)),
                **_columns("over_random", resampled_mean(faith_of[choice] - by_chance, weights)),
                **_columns("over_loudest", resampled_mean(faith_of[choice] - faith_of[LOUDEST_BAND], weights)),
            }
            for choice, profile in per_group.items()
        ]
    )


def _columns(name: str, values: np.ndarray) -> dict[str, float | None]:
    return interval_columns(name, with_spread(values))


def _orders_by_class(per_group: np.ndarray, target: np.ndarray) -> Orders:
    """Groups in order of falling heat, for the patches of each class."""
    return {int(k): order_of(per_group[target == k].sum(axis=0)) for k in sorted(set(target))}


def _random_orders(n_orders: int, n_groups: int, target: np.ndarray, seed: int) -> list[Orders]:
    rng = np.random.default_rng(seed)
    classes = [int(k) for k in sorted(set(target))]
    return [dict.fromkeys(classes, tuple(rng.permutation(n_groups).tolist())) for _ in range(n_orders)]


def faithfulness_of_orders(
    sample: PatchSample, scores: OcclusionScores, orders: Sequence[Orders]
) -> list[np.ndarray]:
    """Faithfulness of orders of groups on each judged patch.

    Parameters
    ----------
    sample : PatchSample
    scores : OcclusionScores
    orders : sequence of mapping of class to order of the present groups

    Returns
    -------
    list of float64 [shape=(judged patch,)]
        One array per order.
    """
    n_groups, target = len(scores.bands.present), sample.judged_target
    faith = [np.zeros(len(target)) for _ in orders]
    for k in sorted(set(target)):
        rows = sample.judged[target == k]
        conditions = [removed for order in orders for removed in masks_of(order[k], n_groups).values()]
        scores.score(conditions, rows, f"delete and insert, {scores.model.class_names[k]}")
        drops = {removed: scores.drop(removed)[rows, k] for removed in conditions}
        for values, order in zip(faith, orders, strict=True):
            values[target == k] = faithfulness(drops, order[k], n_groups)
    return faith


def densest_group(per_group: np.ndarray, bands: GroupedBands) -> str:
    """Name the group of Hz with the most heat per band, from heat [shape=(present group,)]."""
    return bands.names[int((per_group / bands.bands_per_group).argmax())]


def profile_table(
    profiles: Mapping[Choice, np.ndarray], by_fill: Mapping[str, np.ndarray], effect: np.ndarray, bands: GroupedBands
) -> pd.DataFrame:
    """Tabulate heat per group for every method, and the drop under occlusion for every fill and their median.

    Parameters
    ----------
    profiles : mapping of Choice to float64 [shape=(judged patch, band)]
    by_fill : mapping of fill to float64 [shape=(1 + resample, present group)]
        Drop under occlusion.
    effect : float64 [shape=(1 + resample, present group)]
        Median over the fills.
    bands : GroupedBands

    Returns
    -------
    DataFrame
        ``method, layers, fill, hz``; for a method ``share`` and ``ratio`` to uniform heat; for the method
        "occlusion" ``drop`` and its interval. ``fill`` is the name of a fill or median; blank for heat.
    """
    uniform = bands.bands_per_group / bands.bands_per_group.sum()
    rows: list[dict[str, object]] = []
    for choice, profile in profiles.items():
        shares = bands.per_group(profile.sum(axis=0))
        shares = shares / (shares.sum() if shares.sum() > 0 else np.nan)
        base = {"method": choice.method, "layers": choice.place, "fill": ""}
        rows += [
            {**base, "hz": hz, "share": share, "ratio": share / uniform_share}
            for hz, share, uniform_share in zip(bands.names, shares, uniform, strict=True)
        ]
    for fill, spread in {MEDIAN: effect, **by_fill}.items():
        base = {"method": "occlusion", "layers": "", "fill": fill}
        rows += [{**base, "hz": hz, **_columns("drop", spread[:, place])} for place, hz in enumerate(bands.names)]
    return pd.DataFrame(rows)

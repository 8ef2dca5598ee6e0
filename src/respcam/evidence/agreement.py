"""Agreement of the heat for a class with occlusion, over groups of Hz."""

from dataclasses import dataclass

import numpy as np

from respcam.evidence.faithfulness import correlation, with_spread
from respcam.heat.bands import GroupedBands
from respcam.heat.cam import Choice
from respcam.metrics import Interval

LOUDEST_BAND = Choice("loudest_band", (), "")  # a baseline without a model, in the same tables as the methods


@dataclass(frozen=True)
class Agreement:
    """How the heat for a class agrees with what the class's log-odds lose when groups are removed.

    Attributes
    ----------
    correlation : Interval
        Correlation of heat and effect over the groups.
    hottest, costliest : int
        Group with the most heat per band, and group with the largest effect.
    hottest_effect : Interval
        Effect of the hottest group.
    costliest_effect : Interval
        Effect of the costliest group.
    shortfall : Interval
        Effect of the hottest group minus a share of that of the costliest group.
    """

    correlation: Interval
    hottest: int
    costliest: int
    hottest_effect: Interval
    costliest_effect: Interval
    shortfall: Interval


def agreement(
    heat: np.ndarray, effect: np.ndarray, bands: GroupedBands, share: float, alpha: float = 0.05
) -> Agreement:
    """Compare heat with the effect of occlusion.

    Parameters
    ----------
    heat, effect : float64 [shape=(1 + resample, group)]
        Means over the same recordings, and over the same resamples of their patients.
    bands : GroupedBands
    share : float
        Share of the costliest effect that the hottest group has to reach.
    alpha : float
        1 - alpha is the level of the intervals.

    Returns
    -------
    Agreement
    """
    is_known = np.isfinite(heat).all(axis=1) & np.isfinite(effect).all(axis=1)
    heat, effect = heat[is_known], effect[is_known]  # a resample may lack the units of a class
    hottest, costliest = int((heat[0] / bands.bands_per_group).argmax()), int(effect[0].argmax())
    return Agreement(
        correlation=with_spread(correlation(heat, effect), alpha),
        hottest=hottest,
        costliest=costliest,
        hottest_effect=with_spread(effect[:, hottest], alpha),
        costliest_effect=with_spread(effect[:, costliest], alpha),
        shortfall=with_spread(effect[:, hottest] - share * effect[:, costliest], alpha),
    )

"""Heat per frequency band: shares, their uniform baseline, and intervals over patients."""

import numpy as np
import pandas as pd

from respcam.heat.bands import HzGroups, group_of_band
from respcam.metrics import BootstrapSettings, interval, patient_weights


def band_shares(heat: np.ndarray, patients: np.ndarray, settings: BootstrapSettings) -> tuple[np.ndarray, np.ndarray]:
    """Share of the heat that lies in each band.

    Raw heat is added up over patches before anything is divided, so a patch that the model hardly
    responds to counts hardly.

    Parameters
    ----------
    heat : float64 [shape=(patch, band)]
        Raw heat of each patch, summed over time.
    patients : [shape=(patch,)]
    settings : BootstrapSettings

    Returns
    -------
    share : float64 [shape=(band,)]
        Sums to one; NaN where there is no heat at all.
    resampled : float64 [shape=(resample, band)]
        The same for patients drawn with replacement.
    """
    names, patient_of_patch = np.unique(patients, return_inverse=True)
    per_patient = np.zeros((len(names), heat.shape[1]))
    np.add.at(per_patient, patient_of_patch, heat)
    weights = patient_weights(names, settings)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = per_patient.sum(axis=0)
        resampled = weights @ per_patient
        return total / total.sum(), resampled / resampled.sum(axis=1, keepdims=True)


def heat_table(
    heat: np.ndarray,
    patients: np.ndarray,
    bands: pd.DataFrame,
    groups: HzGroups,
    settings: BootstrapSettings,
) -> pd.DataFrame:
    """Tabulate heat per band, per group of Hz, and above the mark.

    Parameters
    ----------
    heat : float64 [shape=(patch, band)]
        Raw heat summed over time, of the kept bands.
    patients : [shape=(patch,)]
    bands : DataFrame
        The kept bands: ``band, lower_hz, centre_hz, upper_hz``.
    groups : HzGroups
    settings : BootstrapSettings

    Returns
    -------
    DataFrame
        ``scope`` (band, group, above_mark), ``name, lower_hz, centre_hz, upper_hz, n_bands``,
        ``share``, ``uniform_share`` (rows inside of all rows), ``ratio`` of the two and its 95 %
        interval over patients ``ratio_low, ratio_high``. Groups without a kept band are left out.
    """
    centre_hz = bands["centre_hz"].to_numpy()
    share, resampled = band_shares(heat, patients, settings)
    group = group_of_band(centre_hz, groups)
    members: list[tuple[str, str, float, float, list]] = [
        ("band", str(row.band), row.lower_hz, row.upper_hz, [i]) for i, row in enumerate(bands.itertuples())
    ]
    members += [
        ("group", name, groups.edges_hz[g], groups.edges_hz[g + 1], list(np.flatnonzero(group == g)))
        for g, name in enumerate(groups.names)
    ]
    above = list(np.flatnonzero(centre_hz > groups.mark_hz))
    members.append(("above_mark", f"above {groups.mark_hz:g}", groups.mark_hz, bands["upper_hz"].max(), above))
    rows = []
    for scope, name, lower_hz, upper_hz, inside in members:
        if not inside:
            continue
        uniform = len(inside) / len(bands)
        ratio = interval(share[inside].sum() / uniform, resampled[:, inside].sum(axis=1) / uniform)
        rows.append(
            {
                "scope": scope,
                "name": name,
                "lower_hz": lower_hz,
                "centre_hz": centre_hz[inside[0]] if scope == "band" else (lower_hz + upper_hz) / 2,
                "upper_hz": upper_hz,
                "n_bands": len(inside),
                "share": share[inside].sum(),
                "uniform_share": uniform,
                "ratio": ratio.value,
                "ratio_low": ratio.low,
                "ratio_high": ratio.high,
            }
        )
    return pd.DataFrame(rows)

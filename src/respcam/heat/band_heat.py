"""Heat per frequency band: shares, uniform baseline, and intervals over patients."""

import numpy as np
import pandas as pd

from respcam.errors import Refused
from respcam.heat.bands import HzGroups, group_of_band
from respcam.metrics import BootstrapSettings, interval, patient_weights
from respcam.sound.front_end import FrontEnd, bands_table


def band_shares(heat: np.ndarray, patients: np.ndarray, settings: BootstrapSettings) -> tuple[np.ndarray, np.ndarray]:
    """Share of the heat that lies in each band.

    Raw heat is summed over patches before division, so a patch with little heat counts little.

    Parameters
    ----------
    heat : float64 [shape=(patch, band)]
        Raw heat of each patch, summed over time.
    patients : [shape=(patch,)]
    settings : BootstrapSettings

    Returns
    -------
    share : float64 [shape=(band,)]
        Sums to one; NaN if there is no heat.
    resampled : float64 [shape=(resample, band)]
        The same shares for resampled patients (bootstrap).
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
        Raw heat of the kept bands, summed over time.
    patients : [shape=(patch,)]
    bands : DataFrame
        The kept bands: ``band, lower_hz, centre_hz, upper_hz``.
    groups : HzGroups
    settings : BootstrapSettings

    Returns
    -------
    DataFrame
        ``scope`` (band, group, above_mark), ``name, lower_hz, centre_hz, upper_hz, n_bands``,
        ``share``, ``uniform_share`` (bands inside divided by all bands), ``ratio`` of the two shares and its
        95 % interval over patients ``ratio_low, ratio_high``. Groups without a kept band are left out.
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


def band_profile(
    heat: np.ndarray, front_end: FrontEnd = FrontEnd(), patients: np.ndarray | None = None
) -> pd.DataFrame:
    """Tabulate the heat of patches per band, per group of Hz and above 1500 Hz.

    Parameters
    ----------
    heat : float32 [shape=(patch, band, frame)]
        Raw heat, not negative, such as from `respcam.network.attribution.heat_of`.
    front_end : FrontEnd
        Front end that made the bands.
    patients : [shape=(patch,)], optional
        Patient of each patch. Without it there are no intervals.

    Returns
    -------
    DataFrame
        Table of `heat_table`; ``ratio_low, ratio_high`` only if patients are given.

    Raises
    ------
    Refused
        If the heat does not have these bands, or there is not one patient per patch.

    Examples
    --------
    >>> profile = band_profile(np.ones((2, 64, 96), np.float32))
    >>> profile.loc[profile["name"] == "above 1500", ["share", "uniform_share", "ratio"]].values.tolist()
    [[0.15625, 0.15625, 1.0]]
    """
    return profile_of(heat, bands_table(front_end), HzGroups().over(front_end), patients)


def profile_of(
    heat: np.ndarray, bands: pd.DataFrame, groups: HzGroups, patients: np.ndarray | None = None
) -> pd.DataFrame:
    """Tabulate the heat of patches for a table of bands; the result and errors are those of `band_profile`.

    Parameters
    ----------
    heat : float32 [shape=(patch, band, frame)]
    bands : DataFrame
        A row per band of the heat: ``band, lower_hz, centre_hz, upper_hz``.
    groups : HzGroups
    patients : [shape=(patch,)], optional
    """
    heat = np.asarray(heat)
    if heat.ndim != 3 or heat.shape[1] != len(bands):
        raise Refused(f"heat has the shape {heat.shape}; expected (patch, band, frame) with {len(bands)} bands")
    if patients is not None and np.shape(patients) != heat.shape[:1]:
        raise Refused(
            f"patients has the shape {np.shape(patients)}; expected one patient for each of {len(heat)} patches"
        )
    per_band = heat.sum(axis=2, dtype=np.float64)
    one_patient = np.zeros(len(heat), dtype=int)
    table = heat_table(
        per_band, one_patient if patients is None else np.asarray(patients), bands, groups, BootstrapSettings()
    )
    return table.drop(columns=["ratio_low", "ratio_high"]) if patients is None else table

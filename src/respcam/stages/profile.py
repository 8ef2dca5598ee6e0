"""Heat maps to heat per band and per group of Hz."""

import json
import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from respcam.heat.band_heat import heat_table
from respcam.heat.bands import HzGroups
from respcam.metrics import BootstrapSettings
from respcam.store.artifact import Artifact, write_atomically
from respcam.store.tables import write_table

log = logging.getLogger(__name__)

SCHEMA = 2


def plan(store: Path, explain: Artifact, groups: HzGroups, bootstrap: BootstrapSettings) -> Artifact:
    """Name the output before any work is done."""
    settings = {"hz_groups": groups, "bootstrap": bootstrap}
    return Artifact(store, "bands", SCHEMA, settings, {"explain": explain.digest})


def run(
    artifact: Artifact, explain: Artifact, train: Artifact, groups: HzGroups, bootstrap: BootstrapSettings
) -> Path:
    """Add up heat per evaluated part, class and band.

    Parameters
    ----------
    artifact : Artifact
        From `plan`.
    explain, train : Artifact
    groups : HzGroups
    bootstrap : BootstrapSettings

    Returns
    -------
    Path
        Folder with ``band_heat.csv`` (split and target_class before the columns of
        `respcam.heat.band_heat.heat_table`) and ``heat_summary.json``.
    """
    with artifact.building() as partial:
        if partial is None:
            return artifact.folder
        folder = explain.require()
        index = pd.read_csv(folder / "index.csv", dtype={"patient_id": str})
        maps = np.load(folder / "heat-map.npy", mmap_mode="r")
        method = json.loads((folder / "method.json").read_text(encoding="utf-8"))
        per_band = np.load(folder / "heat-band.npy").astype(np.float64)
        bands = pd.read_csv(train.require() / "scaler.csv")
        tables, counts = [], []
        for (split, name), rows in index.groupby(["split", "target_class"]):
            patients = rows["patient_id"].to_numpy()
            table = heat_table(per_band[rows.index], patients, bands, groups, bootstrap)
            tables.append(table.assign(split=split, target_class=name))
            counts.append(
                {
                    "split": split,
                    "target_class": name,
                    "n_patches": len(rows),
                    "n_zero_maps": int(rows["is_zero"].sum()),
                    "n_patients": int(rows["patient_id"].nunique()),
                }
            )
        band_heat = pd.concat(tables, ignore_index=True)
        first = ["split", "target_class"]
        write_table(band_heat[first + [c for c in band_heat if c not in first]], partial / "band_heat.csv")
        summary = {
            "target": explain.settings["target"],
            **method,
            "map_rows": maps.shape[1],
            "map_columns": maps.shape[2],
            "classes": counts,
            "hz_groups": asdict(groups),
        }
        write_atomically(partial / "heat_summary.json", json.dumps(summary, indent=2) + "\n")
    return artifact.folder


def ratio_of_bands(artifact: Artifact, normal: str | None) -> np.ndarray:
    """Heat of each band over even heat, the mean over classes but the normal one: float64 [shape=(band,)]."""
    heat = pd.read_csv(artifact.require() / "band_heat.csv")
    own = heat[(heat["scope"] == "band") & (heat["target_class"] != normal)]
    return own.groupby(own["name"].astype(int))["ratio"].mean().to_numpy()

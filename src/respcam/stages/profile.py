"""Band profiles: heat per band and per group of Hz, per part and class."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from respcam.data import run_folder
from respcam.heat.band_heat import heat_table
from respcam.heat.bands import GroupedBands, HzGroups, fed_bands
from respcam.metrics import BootstrapSettings
from respcam.sound.front_end import band_edges_hz
from respcam.stages.explain import BESIDE, Explain
from respcam.store.stage import Stage


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile(Stage):
    """Heat added up per part, class and band.

    Attributes
    ----------
    explain : Explain
    hz_groups : HzGroups
    bootstrap : BootstrapSettings
    """

    name: ClassVar[str] = "profile"
    schema: ClassVar[int] = 5

    explain: Explain
    hz_groups: HzGroups
    bootstrap: BootstrapSettings

    def check(self) -> None:
        """Refuse groups of Hz that leave a band out.

        Raises
        ------
        Refused
        """
        train = self.explain.train
        edges_hz, bands = band_edges_hz(train.features.front_end), train.recipe.bands
        is_fed = np.ones(len(edges_hz), dtype=bool) if bands.guide else fed_bands(edges_hz, bands)
        GroupedBands.of(edges_hz, is_fed, self.hz_groups)

    def write(self, folder: Path) -> None:
        """Write ``band_heat.csv``, ``band_heat_beside.csv`` and ``heat_summary.json``.

        Each recording counts once, with the heat of its own score. So a long recording counts as much as a short one,
        and a patient with many recordings more than one with few, as in the metrics.
        """
        index = self.explain.index()
        counts = [
            {
                "part": part,
                "target_class": name,
                "n_units": int(rows["unit_id"].nunique()),
                "n_patches": len(rows),
                "n_zero_maps": int(rows["is_zero"].sum()),
                "n_patients": int(rows["patient_id"].nunique()),
            }
            for (part, name), rows in index.groupby(["part", "target_class"])
        ]
        run_folder.BAND_HEAT.write(self._table(index, self.explain.per_band()), folder)
        run_folder.BAND_HEAT_BESIDE.write(self._table(index, self.explain.per_band(BESIDE)), folder)
        _, n_rows, n_columns = self.explain.maps().shape
        summary = {
            "target": self.explain.explain.target,
            **self.explain.method(),
            "map_rows": n_rows,
            "map_columns": n_columns,
            "classes": counts,
            "hz_groups": asdict(self.hz_groups),
        }
        run_folder.HEAT.write(summary, folder)

    def _table(self, index: pd.DataFrame, per_band: np.ndarray) -> pd.DataFrame:
        """Heat per band of every part and class."""
        bands = self.explain.train.bands()
        tables = []
        for (part, name), rows in index.groupby(["part", "target_class"]):
            patients = rows["patient_id"].to_numpy()
            table = heat_table(per_band[rows.index], patients, bands, self.hz_groups, self.bootstrap)
            table.insert(0, "part", part)
            table.insert(1, "target_class", name)
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def band_heat(self) -> pd.DataFrame:
        """``part, target_class`` before the columns of `respcam.heat.band_heat.heat_table`."""
        return run_folder.BAND_HEAT.read(self.folder)

    def band_heat_beside(self) -> pd.DataFrame:
        """The same table of the method that stands beside (`respcam.stages.explain.ExplainSettings.beside`)."""
        return run_folder.BAND_HEAT_BESIDE.read(self.folder)

    def summary(self) -> dict[str, Any]:
        """Where heat comes from, the true number of rows and columns, and counts per part and class."""
        return run_folder.HEAT.read(self.folder)

    def importance(self) -> np.ndarray:
        """Heat of each band over uniform heat, the mean over classes but the normal one: float64 [shape=(band,)]."""
        heat = self.band_heat()
        normal = self.explain.train.recipe.task.normal
        judged = heat[(heat["scope"] == "band") & (heat["target_class"] != normal)]
        return judged.groupby(judged["name"].astype(int))["ratio"].mean().to_numpy()

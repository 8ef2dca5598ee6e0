"""Predictions of all trainings of an arm together: one ROC curve and one value, with intervals over patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from respcam.metrics import BootstrapSettings, Interval, Predictions, Scoring, evaluate, weights_and_resamples
from respcam.report import curves


@dataclass(frozen=True)
class Pool:
    """Predictions of one arm.

    Attributes
    ----------
    task : dict
        ``normal, score, uncounted`` of the task.
    class_names : list of str
    tables : list of DataFrame
        Predictions of each training: ``unit_id, patient_id, true_class, predicted_class, p_<class>``.
    """

    task: dict[str, Any]
    class_names: list[str]
    tables: list[pd.DataFrame] = field(default_factory=list)

    @property
    def patients(self) -> np.ndarray:
        """Patient of each prediction: [shape=(prediction,)]."""
        return self._rows["patient_id"].astype(str).to_numpy()

    @property
    def predictions(self) -> Predictions:
        """All predictions."""
        return Predictions.of(self._rows, self.class_names)

    @property
    def _rows(self) -> pd.DataFrame:
        return pd.concat(self.tables, ignore_index=True)

    def metric(self, name: str, bootstrap: BootstrapSettings) -> Interval:
        """A metric over all trainings, with its interval over patients; each training counts a unit once."""
        scoring = scoring_of(self.task, self.class_names)
        return evaluate(self.predictions, self.patients, scoring, bootstrap)[1][name]

    def roc(self, bootstrap: BootstrapSettings) -> pd.DataFrame:
        """ROC curve over all trainings (`respcam.report.curves.roc`); empty with more than two classes."""
        if len(self.class_names) > 2:
            return pd.DataFrame()
        weights = weights_and_resamples(self.patients, bootstrap)
        rows = self.predictions
        return curves.per_class(curves.roc, rows.target, rows.probability, weights, self.class_names)


def scoring_of(task: Mapping[str, Any], class_names: Sequence[str]) -> Scoring:
    """What sensitivity and score are about, from the settings of a task in the description of a run."""
    return Scoring.of(class_names, task["normal"], task["score"], task["uncounted"])


def pooled(pools: dict[str, Pool], metric: str, bootstrap: BootstrapSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pool the predictions of each arm.

    Parameters
    ----------
    pools : dict of str to Pool
        By arm.
    metric : str
    bootstrap : BootstrapSettings

    Returns
    -------
    values : DataFrame
        ``arm, n_trainings, n_units, n_patients, value, low, high``; without arms whose metric is not defined.
    roc : DataFrame
        ``arm`` and the columns of `respcam.report.curves.roc`.
    """
    values, shapes = [], []
    for arm, pool in pools.items():
        interval = pool.metric(metric, bootstrap)
        if interval.value is None:
            continue
        units = {unit for table in pool.tables for unit in table["unit_id"]}
        values.append(
            {
                "arm": arm,
                "n_trainings": len(pool.tables),
                "n_units": len(units),
                "n_patients": len(set(pool.patients)),
            }
            | vars(interval)
        )
        shapes.append(pool.roc(bootstrap).assign(arm=arm))
    columns = ["arm", "n_trainings", "n_units", "n_patients", "value", "low", "high"]
    return pd.DataFrame(values, columns=columns), pd.concat(shapes, ignore_index=True) if shapes else pd.DataFrame()

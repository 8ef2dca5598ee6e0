"""Classification of recordings from metadata alone: what could be known without the sound. Needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from respcam.metrics import BootstrapSettings, Interval, auroc, interval, patient_weights

CATEGORIES = ("device", "site", "sex")
NUMBERS = ("age_years", "source_rate_hz", "duration_s", "level_db")
MOST_FOLDS = 5


def metadata_of(recordings: pd.DataFrame, resampled: pd.DataFrame) -> pd.DataFrame:
    """Collect the metadata of each recording.

    Parameters
    ----------
    recordings : DataFrame
        Manifest with text columns; unknown values are blank.
    resampled : DataFrame
        ``recording_id, source_rate_hz, source_samples, rms_db`` of the readable recordings.

    Returns
    -------
    DataFrame
        By recording_id, the columns of `CATEGORIES` and `NUMBERS` that differ between recordings.
        Level is the RMS in dB re full scale before gain.
    """
    table = resampled.set_index("recording_id")
    table = pd.DataFrame(
        {
            "source_rate_hz": table["source_rate_hz"].astype(float),
            "duration_s": table["source_samples"] / table["source_rate_hz"],
            "level_db": table["rms_db"].astype(float),
        }
    ).join(recordings.set_index("recording_id")[[c for c in (*CATEGORIES, "age_years") if c in recordings]])
    for name in CATEGORIES:
        if name in table:
            table[name] = table[name].replace("", np.nan).astype("category")
    if "age_years" in table:
        table["age_years"] = pd.to_numeric(table["age_years"])
    return table[[name for name in (*CATEGORIES, *NUMBERS) if name in table and table[name].nunique() > 1]]


def metadata_scores(
    train: pd.DataFrame, target: np.ndarray, test: pd.DataFrame, n_classes: int, seed: int
) -> np.ndarray:
    """Classify from metadata alone.

    The classifier is gradient-boosted trees. They accept categories and missing values, and find thresholds,
    for example of age.

    Parameters
    ----------
    train, test : DataFrame
        A row per unit, columns as `metadata_of`.
    target : int [shape=(train unit,)]
    n_classes : int
    seed : int

    Returns
    -------
    float64 [shape=(test unit, class)]
        Probabilities.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # takes seconds to import

    trees = HistGradientBoostingClassifier(
        categorical_features="from_dtype",
        max_iter=60,
        max_leaf_nodes=8,
        min_samples_leaf=max(2, min(20, len(train) // 10)),
        early_stopping=False,
        class_weight="balanced",
        random_state=seed,
    ).fit(train, target)
    probability = np.zeros((len(test), n_classes))
    probability[:, trees.classes_] = trees.predict_proba(test)
    return probability


@dataclass(frozen=True)
class MetadataScore:
    """AUROC of a classifier of metadata alone.

    Attributes
    ----------
    fields : tuple of str
        Columns of the metadata that the classifier reads.
    auroc : Interval
    """

    fields: tuple[str, ...]
    auroc: Interval


def metadata_baseline(
    metadata: pd.DataFrame,
    train: pd.DataFrame,
    test: pd.DataFrame,
    n_classes: int,
    bootstrap: BootstrapSettings,
    seed: int = 0,
) -> list[MetadataScore]:
    """Score each metadata field alone, and all together, on the training and test units of the model.

    Parameters
    ----------
    metadata : DataFrame
        Table of `metadata_of`.
    train, test : DataFrame
        Units: ``recording_id, patient_id, target``.
    n_classes : int
    bootstrap : BootstrapSettings
    seed : int

    Returns
    -------
    list of MetadataScore
        First all fields together, then single fields, best first. Empty where no field differs.
    """
    train_fields, test_fields = (metadata.reindex(units["recording_id"]) for units in (train, test))

    def scores(names: list[str]) -> np.ndarray:
        target = train["target"].to_numpy()
        return metadata_scores(train_fields[names], target, test_fields[names], n_classes, seed)

    return _ranked([name for name in metadata if train_fields[name].nunique() > 1], scores, test, bootstrap)


def _ranked(
    fields: list[str],
    scores_of: Callable[[list[str]], np.ndarray],
    units: pd.DataFrame,
    bootstrap: BootstrapSettings,
) -> list[MetadataScore]:
    """Scores of all fields together, then of single fields, best first."""
    sets = [fields, *([name] for name in fields)] if len(fields) > 1 else [fields] if fields else []
    scores = [MetadataScore(tuple(names), auroc_interval(units, scores_of(names), bootstrap)) for names in sets]
    areas = pd.Series([score.auroc.value for score in scores], dtype=float)
    return [scores[place] for place in (*areas.index[:1], *areas[1:].sort_values(ascending=False).index)]


def metadata_out_of_fold(
    metadata: pd.DataFrame, units: pd.DataFrame, n_classes: int, bootstrap: BootstrapSettings, seed: int = 0
) -> list[MetadataScore]:
    """Score metadata on recordings that no model was trained on: each patient by the others.

    Parameters
    ----------
    metadata : DataFrame
        By recording_id, columns as `metadata_of`.
    units : DataFrame
        ``recording_id, patient_id, target``.
    n_classes : int
    bootstrap : BootstrapSettings
    seed : int

    Returns
    -------
    list of MetadataScore
        As `metadata_baseline`; also empty with fewer than two patients, or where a fold would learn one class alone.
    """
    from sklearn.model_selection import GroupKFold

    fields, target = metadata.reindex(units["recording_id"]), units["target"].to_numpy()
    n_folds = min(MOST_FOLDS, units["patient_id"].nunique())
    if n_folds < 2:
        return []
    folds = list(GroupKFold(n_folds, shuffle=True, random_state=seed).split(fields, target, units["patient_id"]))
    if any(len(set(target[train])) < 2 for train, _ in folds):
        return []

    def scores(names: list[str]) -> np.ndarray:
        probability = np.zeros((len(units), n_classes))
        for train, test in folds:
            rows = fields[names]
            probability[test] = metadata_scores(rows.iloc[train], target[train], rows.iloc[test], n_classes, seed)
        return probability

    return _ranked([name for name in fields if fields[name].nunique() > 1], scores, units, bootstrap)


def auroc_interval(units: pd.DataFrame, probability: np.ndarray, bootstrap: BootstrapSettings) -> Interval:
    """AUROC of units with its 95 % interval over patients (``target, patient_id``)."""
    target = units["target"].to_numpy()
    weights = patient_weights(units["patient_id"].to_numpy(), bootstrap)
    return interval(float(auroc(target, probability)), auroc(target, probability, weights))

"""Confounds: what a classifier could have learnt instead of the sound."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from respcam.metrics import BootstrapSettings, Interval, auroc, interval, patient_weights

CATEGORIES = ("device", "site", "sex")
NUMBERS = ("age_years", "source_rate_hz", "duration_s", "level_db")
STRATA = ("device", "source_rate_hz")


def metadata_of(recordings: pd.DataFrame, resampled: pd.DataFrame) -> pd.DataFrame:
    """Gather what is known of each recording beside its sound.

    Parameters
    ----------
    recordings : DataFrame
        The manifest, text columns, blank where not known.
    resampled : DataFrame
        ``recording_id, source_rate_hz, source_samples, rms_db`` of the readable recordings.

    Returns
    -------
    DataFrame
        By recording_id, the columns of `CATEGORIES` and `NUMBERS` that differ between recordings;
        level is the RMS in dB re full scale before any gain.
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

    Gradient-boosted trees: they take categories and blanks as they are and find thresholds such as
    an age.

    Parameters
    ----------
    train, test : DataFrame
        One row per unit, columns as `metadata_of`.
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


def metadata_baseline(
    metadata: pd.DataFrame,
    train: pd.DataFrame,
    test: pd.DataFrame,
    n_classes: int,
    bootstrap: BootstrapSettings,
    seed: int = 0,
) -> pd.DataFrame:
    """Score each piece of metadata alone, and all together, on the model's own split.

    Parameters
    ----------
    metadata : DataFrame
        By recording_id.
    train, test : DataFrame
        Units: ``recording_id, patient_id, target``.
    n_classes : int
    bootstrap : BootstrapSettings
    seed : int

    Returns
    -------
    DataFrame
        ``fields, auroc, auroc_low, auroc_high``; the first row holds all fields, the rest one each,
        best first. Empty where nothing is known.
    """
    rows = []
    sides = [metadata.reindex(units["recording_id"]) for units in (train, test)]
    fields = [name for name in metadata if sides[0][name].nunique() > 1]
    sets = [fields, *([name] for name in fields)] if len(fields) > 1 else [fields] if fields else []
    for names in sets:
        probability = metadata_scores(sides[0][names], train["target"].to_numpy(), sides[1][names], n_classes, seed)
        area = auroc_interval(test, probability, bootstrap)
        rows.append(
            {
                "fields": ", ".join(names),
                "auroc": area.value,
                "auroc_low": area.low,
                "auroc_high": area.high,
            }
        )
    table = pd.DataFrame(rows, columns=["fields", "auroc", "auroc_low", "auroc_high"])
    return pd.concat([table[:1], table[1:].sort_values("auroc", ascending=False)], ignore_index=True)


def auroc_interval(units: pd.DataFrame, probability: np.ndarray, bootstrap: BootstrapSettings) -> Interval:
    """AUROC of units with its 95 % interval over patients (``target, patient_id``)."""
    target = units["target"].to_numpy()
    weights = patient_weights(units["patient_id"].to_numpy(), bootstrap)
    return interval(float(auroc(target, probability)), auroc(target, probability, weights))


def comes_close(baseline: Interval, model: Interval, closeness: float) -> bool:
    """Whether a baseline is surely above chance and reaches a share of the model's lead over chance.

    Parameters
    ----------
    baseline, model : Interval
        AUROC.
    closeness : float
        Share of ``model - 0.5``.
    """
    if baseline.value is None or baseline.low is None or model.value is None:
        return False
    return baseline.low > 0.5 and baseline.value - 0.5 >= closeness * (model.value - 0.5)


def group_levels(frames: np.ndarray, group: np.ndarray, n_groups: int, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean log-mel of each group of bands, and how much of it is blank.

    Parameters
    ----------
    frames : float32 [shape=(frame, band)]
    group : int64 [shape=(band,)]
        Group of each band; -1 belongs to none.
    n_groups : int
    floor : float
        Log-mel of digital silence, ``log(offset)``. A cell is blank where the mel magnitude is
        below the offset: ``log-mel < floor + log 2``.

    Returns
    -------
    level, blank : float64 [shape=(group,)]
        NaN for a group without a band.
    """
    members = (group[:, None] == np.arange(n_groups)).astype(float)
    with np.errstate(invalid="ignore"):
        members /= members.sum(axis=0)
    is_blank = (frames < floor + np.log(2)).mean(axis=0, dtype=np.float64)
    return frames.mean(axis=0, dtype=np.float64) @ members, is_blank @ members


def telling_groups(level: np.ndarray, stratum: Sequence[str], min_auroc: float = 0.9) -> np.ndarray:
    """Mark the groups of bands by whose level strata such as devices can be told apart.

    Parameters
    ----------
    level : float64 [shape=(unit, group)]
        Mean log-mel of each unit.
    stratum : sequence of str [shape=(unit,)]
    min_auroc : float
        Of one stratum against the rest, whichever way round.

    Returns
    -------
    bool [shape=(group,)]
        Where that area is reached and the mean level differs by at least half of what it differs by
        in the group with the largest difference.
    """
    names = np.asarray(stratum)
    area = np.full(level.shape[1], 0.5)
    for name in np.unique(names):
        is_own = (names == name).astype(int)
        if is_own.all():
            continue
        found = [float(auroc(is_own, np.stack([-column, column], axis=1))) for column in level.T]
        area = np.maximum(area, np.maximum(found, 1 - np.array(found)))
    gap = np.ptp([level[names == name].mean(axis=0) for name in np.unique(names)], axis=0)
    return (area >= min_auroc) & (gap >= gap.max() / 2)

"""Confounds of one evaluated part: metadata alone, strata, blank and telling bands."""

from typing import Any

import numpy as np
import pandas as pd

from respcam.data.splits import TRAIN
from respcam.evidence import audit
from respcam.metrics import Interval
from respcam.stages.dataset import Source
from respcam.stages.explain import chosen_units
from respcam.stages.subject import Subject
from respcam.store.artifact import Artifact

PASSBAND = 0.95  # of half a source rate; above it the resampler's filter falls


def look(
    subject: Subject,
    source: Source,
    resample: Artifact,
    explain: Artifact,
    units: pd.DataFrame,
    model: Interval,
    top: dict[str, str],
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Look for what the model could have learnt instead.

    Parameters
    ----------
    subject : Subject
    source : Source
    resample, explain : Artifact
    units : DataFrame
        Of one evaluated part.
    model : Interval
        The model's AUROC on it.
    top : dict
        ``occlusion`` and ``heat``: the group of Hz that costs most and the densest one.

    Returns
    -------
    tables : dict of str to DataFrame
        ``metadata, strata, blank``.
    warnings : list of str
    """
    resampled = pd.read_csv(resample.require() / "recordings.csv", dtype={"recording_id": str})
    metadata = audit.metadata_of(source.recordings, resampled)
    train = chosen_units(subject.train.folder, [TRAIN])
    alone = audit.metadata_baseline(metadata, train, units, len(subject.class_names), subject.bootstrap)
    level, blank = _levels(units, subject)
    strata = _strata(metadata, units, explain, subject)
    blank_table = _blank_table(blank, units, subject)
    warnings = [
        *_metadata_warnings(alone, model, subject),
        *_band_warnings(metadata, units, level, top, alone, model, subject),
        *_blank_warnings(blank_table, resampled.set_index("recording_id")["source_rate_hz"], units, top, subject),
    ]
    return {"metadata": alone, "strata": strata, "blank": blank_table}, warnings


def _levels(units: pd.DataFrame, subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Mean log-mel and blank share of each unit in each present group: float64 [shape=(unit, group)]."""
    group = np.full(len(subject.kept), -1)
    group[subject.kept] = subject.group
    found = [
        audit.group_levels(
            np.asarray(subject.store.frames(*span)), group, len(subject.groups), subject.store.settings.floor
        )
        for span in units[["recording_id", "first_frame", "n_frames"]].itertuples(index=False)
    ]
    level, blank = (np.stack(each)[:, subject.present] for each in zip(*found, strict=True))
    return level, blank


def _metadata_warnings(alone: pd.DataFrame, model: Interval, subject: Subject) -> list[str]:
    closeness = subject.settings.limits.closeness
    rows = [row for row in alone.to_dict("records") if audit.comes_close(_interval(row), model, closeness)]
    if not rows:
        return []
    singles = [row for row in rows if "," not in row["fields"]]
    named = singles or rows
    fields = "; ".join(f"{row['fields']} {row['auroc']:.3f}" for row in named)
    return [
        f"metadata alone tells the classes apart nearly as well as the model (AUROC {fields}; model "
        f"{model.value:.3f}): what the model heard may be the recording, not the patient"
    ]


def _interval(row: dict[str, Any]) -> Interval:
    return Interval(*(None if pd.isna(row[name]) else float(row[name]) for name in
                      ("auroc", "auroc_low", "auroc_high")))  # fmt: skip


def _band_warnings(
    metadata: pd.DataFrame,
    units: pd.DataFrame,
    level: np.ndarray,
    top: dict[str, str],
    alone: pd.DataFrame,
    model: Interval,
    subject: Subject,
) -> list[str]:
    """Name the bands that tell devices or rates apart, where the class follows these and the model looks there."""
    warnings = []
    names = np.array(subject.names)
    for row in alone.to_dict("records"):
        name = row["fields"]
        if name not in audit.STRATA or not audit.comes_close(
            _interval(row), model, subject.settings.limits.closeness
        ):
            continue
        stratum = metadata[name].reindex(units["recording_id"]).astype(str).to_numpy()
        is_telling = audit.telling_groups(level, stratum)
        seen = [how for how, hz in top.items()
                if hz in names[is_telling]]  # fmt: skip
        word = name.replace("_", " ").removesuffix(" hz")
        if seen:
            warnings.append(
                f"shortcut: the {word} follows the class, its recordings differ in level at "
                f"{', '.join(names[is_telling])} Hz, and {' and '.join(seen)} "
                f"point{'s' if len(seen) == 1 else ''} there: the model may recognise the {word}"
            )
    return warnings


def _strata(metadata: pd.DataFrame, units: pd.DataFrame, explain: Artifact, subject: Subject) -> pd.DataFrame:
    """Classes, AUROC and heat of each device and each source rate."""
    text = {"unit_id": str, "recording_id": str, "patient_id": str}
    predictions = pd.read_csv(subject.train.folder / "predictions.csv", dtype=text).set_index("unit_id")
    heat = _heat_per_unit(explain, subject)
    rows = []
    for name in audit.STRATA:
        if name not in metadata:
            continue
        values = metadata[name].reindex(units["recording_id"]).to_numpy()
        for value in sorted({str(value) for value in values}):
            own = units[values.astype(str) == value]
            scores = predictions.loc[own["unit_id"], [f"p_{k}" for k in subject.class_names]].to_numpy()
            area = audit.auroc_interval(own, scores, subject.bootstrap)
            judged = own[own["target"].isin(subject.counted)]["unit_id"]
            profile = heat.reindex(judged).fillna(0).to_numpy().sum(axis=0)
            counts = np.bincount(own["target"], minlength=len(subject.class_names))
            rows.append(
                {
                    "field": name,
                    "value": "not known" if value == "nan" else value,
                    "n_units": len(own),
                    "n_patients": own["patient_id"].nunique(),
                    "classes": ", ".join(f"{n} {k}" for k, n in zip(subject.class_names, counts, strict=True)),
                    "auroc": area.value,
                    "auroc_low": area.low,
                    "auroc_high": area.high,
                    "densest_hz": subject.names[int((profile / subject.bands_per_group).argmax())]
                    if profile.any()
                    else "",
                }
            )
    columns = ["field", "value", "n_units", "n_patients", "classes", "auroc", "auroc_low", "auroc_high", "densest_hz"]
    return pd.DataFrame(rows, columns=columns)


def _heat_per_unit(explain: Artifact, subject: Subject) -> pd.DataFrame:
    """Heat of each unit in each present group, as it was explained."""
    index = pd.read_csv(explain.require() / "index.csv", dtype={"unit_id": str})
    per_band = np.load(explain.folder / "heat-band.npy").astype(np.float64)
    return pd.DataFrame(subject.per_group(per_band)).groupby(index["unit_id"].to_numpy()).sum()


def _blank_table(blank: np.ndarray, units: pd.DataFrame, subject: Subject) -> pd.DataFrame:
    """Share of each group's cells on the log floor, per class."""
    target = units["target"].to_numpy()
    rows = [
        {"hz": hz, "class": subject.class_names[k], "blank": float(blank[target == k, place].mean())}
        for place, hz in enumerate(subject.names)
        for k in sorted(set(target))
    ]
    return pd.DataFrame(rows)


def _blank_warnings(
    blank: pd.DataFrame, rate_hz: pd.Series, units: pd.DataFrame, top: dict[str, str], subject: Subject
) -> list[str]:
    """Say where the model looks at the log floor, or beyond what a source can hold."""
    judged = [subject.class_names[k] for k in subject.counted]
    upper_hz = dict(zip(subject.groups.names, subject.groups.edges_hz[1:], strict=True))
    own_rate_hz = rate_hz.reindex(units["recording_id"])
    warnings = []
    for how, hz in top.items():
        own = blank[(blank["hz"] == hz) & blank["class"].isin(judged)]
        worst = own.loc[own["blank"].idxmax()]
        if worst["blank"] >= subject.settings.limits.max_blank:
            warnings.append(
                f"blank: {how} points at {hz} Hz, where {worst['blank']:.0%} of the picture of class "
                f"{worst['class']} is log floor: what is seen there is the absence of sound"
            )
        is_short = own_rate_hz / 2 * PASSBAND < upper_hz[hz]
        if is_short.any():
            warnings.append(
                f"band-limited: {how} points at {hz} Hz, but {is_short.sum()} of {len(units)} "
                f"{subject.trained.task.unit}s come from a source rate as low as {own_rate_hz[is_short].min():g} Hz, "
                "which ends there: what is seen may be the source rate"
            )
    return warnings

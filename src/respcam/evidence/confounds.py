"""Confounds of an evaluated part: metadata alone, strata, and bands that are blank or differ between devices."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from respcam.evidence.faithfulness import interval_columns
from respcam.evidence.metadata import MetadataScore, auroc_interval, metadata_baseline
from respcam.evidence.verdict import Limits
from respcam.heat.bands import GroupedBands
from respcam.metrics import BootstrapSettings, Interval, auroc
from respcam.network.trained import TrainedModel

STRATA = {"device": "device", "source_rate_hz": "source rate"}  # column: word
PASSBAND = 0.95  # share of half a source rate; above it the filter of the resampler attenuates
OF_PATIENT = {"sex", "age_years"}
NOT_KNOWN = "not known"


class CautionKind(StrEnum):
    """Kind of confound that the model could have learnt instead of the sound."""

    METADATA = "metadata"  # metadata alone separates the classes nearly as well
    SHORTCUT = "shortcut"  # the model looks at bands that distinguish devices or rates
    BLANK = "blank"  # the model looks at the log floor, the value of silence
    BAND_LIMITED = "band_limited"  # the model looks at bands above the range of a source rate


@dataclass(frozen=True)
class Caution:
    """Warning about a confound: the model could have learnt it instead of the sound.

    Attributes
    ----------
    kind : CautionKind
    figures : mapping of str to plain data
        Numbers and names behind the warning.
    """

    kind: CautionKind
    figures: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        """The warning in words."""
        return _caution_sentence(self)

    @property
    def plain(self) -> dict[str, Any]:
        """The warning as plain data: ``kind, figures, sentence``."""
        return {"kind": str(self.kind), "figures": dict(self.figures), "sentence": self.sentence}


def _caution_sentence(caution: Caution) -> str:
    figures = caution.figures
    match caution.kind:
        case CautionKind.METADATA:
            scores = "; ".join(f"{row['fields']} {row['auroc']:.3f}" for row in figures["metadata"])
            fields = {name for row in figures["metadata"] for name in row["fields"].split(", ")}
            return (
                f"metadata alone separates the classes nearly as well as the model (AUROC {scores}; model "
                f"{figures['auroc']:.3f}): the model may recognise {_source_of(fields)}, not the illness"
            )
        case CautionKind.SHORTCUT:
            word, views = STRATA[figures["field"]], figures["views"]
            return (
                f"shortcut: the {word} follows the class, its recordings differ in level at "
                f"{', '.join(figures['hz'])} Hz, and {' and '.join(views)} "
                f"point{'s' if len(views) == 1 else ''} there: the model may recognise the {word}"
            )
        case CautionKind.BLANK:
            return (
                f"blank: {figures['view']} points at {figures['hz']} Hz, where {figures['blank']:.0%} of the input "
                f"of class {figures['class']} is log floor: the model may use the absence of sound"
            )
        case CautionKind.BAND_LIMITED:
            return (
                f"band-limited: {figures['view']} points at {figures['hz']} Hz, but {figures['n_limited']} of "
                f"{figures['n_units']} {figures['unit']}s come from a source rate as low as "
                f"{figures['lowest_rate_hz']:g} Hz, too low for this group: the model may recognise the source rate"
            )


def _source_of(fields: set[str]) -> str:
    """What metadata are about: the patient, the recording, or both."""
    is_of_patient = bool(fields & OF_PATIENT)
    if fields <= OF_PATIENT:
        return "the patient (" + ", ".join(sorted(name.removesuffix("_years") for name in fields)) + ")"
    return "the patient or the recording" if is_of_patient else "the recording"


def metadata_table(scores: Sequence[MetadataScore]) -> pd.DataFrame:
    """Tabulate the scores of metadata alone: ``fields, auroc, auroc_low, auroc_high``."""
    rows = [{"fields": ", ".join(score.fields), **interval_columns("auroc", score.auroc)} for score in scores]
    return pd.DataFrame(rows, columns=["fields", "auroc", "auroc_low", "auroc_high"])


def comes_close(baseline: Interval, model: Interval, closeness: float) -> bool:
    """Whether the interval of a baseline lies above chance and its AUROC comes close to that of the model.

    Parameters
    ----------
    baseline, model : Interval
        AUROC of each.
    closeness : float
        Share of ``model - 0.5`` that ``baseline - 0.5`` must reach.
    """
    if baseline.value is None or baseline.low is None or model.value is None:
        return False
    return baseline.low > 0.5 and baseline.value - 0.5 >= closeness * (model.value - 0.5)


def group_levels(frames: np.ndarray, group: np.ndarray, n_groups: int, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean log-mel of each group of bands, and its share of blank cells.

    Parameters
    ----------
    frames : float32 [shape=(frame, band)]
    group : int64 [shape=(band,)]
        Group of each band; -1 for a band without a group.
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


def unit_levels(frames: Iterable[np.ndarray], bands: GroupedBands, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean log-mel and blank share of units, for each group of bands that the model is fed.

    Parameters
    ----------
    frames : iterable of float32 [shape=(frame, band)]
        One array per unit, with all bands of the front end.
    bands : GroupedBands
    floor : float
        Log-mel of silence.

    Returns
    -------
    level, blank : float64 [shape=(unit, present group)]
    """
    group = np.full(len(bands.is_fed), -1)
    group[bands.is_fed] = bands.group
    levels = [group_levels(np.asarray(of_unit), group, len(bands.groups), floor) for of_unit in frames]
    level, blank = (np.stack(values)[:, bands.present] for values in zip(*levels, strict=True))
    return level, blank


def heat_per_unit(per_band: np.ndarray, unit_id: np.ndarray, bands: GroupedBands) -> pd.DataFrame:
    """Add up the heat of the patches of each unit.

    Parameters
    ----------
    per_band : float [shape=(patch, fed band)]
    unit_id : str [shape=(patch,)]
    bands : GroupedBands

    Returns
    -------
    DataFrame
        By unit_id: a float64 column for each group of bands that the model is fed.
    """
    return pd.DataFrame(bands.per_group(per_band.astype(np.float64))).groupby(unit_id).sum()


def distinguishing_groups(level: np.ndarray, stratum: Sequence[str], min_auroc: float = 0.9) -> np.ndarray:
    """Mark the groups of bands whose level distinguishes strata, such as devices.

    Parameters
    ----------
    level : float64 [shape=(unit, group)]
        Mean log-mel of each unit.
    stratum : sequence of str [shape=(unit,)]
    min_auroc : float
        Lowest AUROC of the level for a stratum against the rest; higher and lower levels both count.

    Returns
    -------
    bool [shape=(group,)]
        True where the AUROC is reached and the mean levels of the strata differ by at least half of the
        largest difference of all groups.
    """
    names = np.asarray(stratum)
    area = np.full(level.shape[1], 0.5)
    for name in np.unique(names):
        is_stratum = (names == name).astype(int)
        if is_stratum.all():
            continue
        areas = [float(auroc(is_stratum, np.stack([-column, column], axis=1))) for column in level.T]
        area = np.maximum(area, np.maximum(areas, 1 - np.array(areas)))
    gap = np.ptp([level[names == name].mean(axis=0) for name in np.unique(names)], axis=0)
    return (area >= min_auroc) & (gap >= gap.max() / 2)


@dataclass(frozen=True, kw_only=True)
class EvaluatedPart:
    """An evaluated part, with the predictions and the heat of the model on it.

    Attributes
    ----------
    units : DataFrame
        Units of the part: ``unit_id, recording_id, patient_id, target``.
    train : DataFrame
        Units of the train part: ``recording_id, patient_id, target``.
    metadata : DataFrame
        Table of `metadata_of`.
    source_rate_hz : Series
        Source rate by recording_id.
    predictions : DataFrame
        ``unit_id`` and ``p_...`` of each class; rows of other units are ignored.
    heat : DataFrame
        Table of `heat_per_unit`; rows of other units are ignored.
    level, blank : float64 [shape=(unit, present group)]
        Results of `unit_levels`.
    auroc : Interval
        AUROC of the model.
    top : mapping of str to str
        Group of Hz that occlusion and heat each point at.
    unit : str
        Kind of unit: recording or event.
    """

    units: pd.DataFrame
    train: pd.DataFrame
    metadata: pd.DataFrame
    source_rate_hz: pd.Series
    predictions: pd.DataFrame
    heat: pd.DataFrame
    level: np.ndarray
    blank: np.ndarray
    auroc: Interval
    top: Mapping[str, str]
    unit: str = "recording"


def look(
    part: EvaluatedPart, model: TrainedModel, bands: GroupedBands, limits: Limits, bootstrap: BootstrapSettings
) -> tuple[dict[str, pd.DataFrame], list[Caution]]:
    """Look for confounds: what the model could have learnt instead of the sound.

    Parameters
    ----------
    part : EvaluatedPart
    model : TrainedModel
        Only its class names and its examined classes are used.
    bands : GroupedBands
    limits : Limits
    bootstrap : BootstrapSettings

    Returns
    -------
    tables : dict of str to DataFrame
        ``metadata`` (`metadata_table`), ``strata`` (`strata_table`) and ``blank`` (`blank_table`).
    cautions : list of Caution
    """
    scores = metadata_baseline(part.metadata, part.train, part.units, len(model.class_names), bootstrap)
    close = [score for score in scores if comes_close(score.auroc, part.auroc, limits.closeness)]
    blank = blank_table(part, model.class_names, bands)
    judged = [model.class_names[k] for k in model.judged_classes]
    cautions = [
        *_metadata_cautions(close, part.auroc),
        *_shortcut_cautions(close, part, bands),
        *_view_cautions(blank[blank["class"].isin(judged)], part, bands, limits),
    ]
    tables = {
        "metadata": metadata_table(scores),
        "strata": strata_table(part, model, bands, bootstrap),
        "blank": blank,
    }
    return tables, cautions


def _metadata_cautions(close: Sequence[MetadataScore], model: Interval) -> list[Caution]:
    """Name the single fields that come close to the model, or else all fields together."""
    if not close:
        return []
    singles = [score for score in close if len(score.fields) == 1]
    rows = [{"fields": ", ".join(score.fields), "auroc": score.auroc.value} for score in singles or close]
    return [Caution(CautionKind.METADATA, {"metadata": rows, "auroc": model.value})]


def _shortcut_cautions(close: Sequence[MetadataScore], part: EvaluatedPart, bands: GroupedBands) -> list[Caution]:
    """Name the bands that distinguish devices or rates, where these follow the class and the model looks there."""
    cautions = []
    for field in (score.fields[0] for score in close if len(score.fields) == 1):
        if field not in STRATA:
            continue
        stratum = part.metadata[field].reindex(part.units["recording_id"]).astype(str).to_numpy()
        names = np.array(bands.names)[distinguishing_groups(part.level, stratum)].tolist()
        views = [view for view, hz in part.top.items() if hz in names]
        if views:
            cautions.append(Caution(CautionKind.SHORTCUT, {"field": field, "hz": names, "views": views}))
    return cautions


def _view_cautions(blank: pd.DataFrame, part: EvaluatedPart, bands: GroupedBands, limits: Limits) -> list[Caution]:
    """Warn where the model looks at the log floor, or above the range of a source rate."""
    upper_hz = dict(zip(bands.groups.names, bands.groups.edges_hz[1:], strict=True))
    rate_hz = part.source_rate_hz.reindex(part.units["recording_id"])
    cautions = []
    for view, hz in part.top.items():
        rows = blank[blank["hz"] == hz]
        if rows["blank"].max() >= limits.max_blank:  # false where the part holds no judged class
            worst = rows.loc[rows["blank"].idxmax()]
            figures = {"view": view, "hz": hz, "blank": float(worst["blank"]), "class": worst["class"]}
            cautions.append(Caution(CautionKind.BLANK, figures))
        is_limited = rate_hz / 2 * PASSBAND < upper_hz[hz]
        if is_limited.any():
            figures = {
                "view": view,
                "hz": hz,
                "n_limited": int(is_limited.sum()),
                "n_units": len(part.units),
                "unit": part.unit,
                "lowest_rate_hz": float(rate_hz[is_limited].min()),
            }
            cautions.append(Caution(CautionKind.BAND_LIMITED, figures))
    return cautions


def strata_table(
    part: EvaluatedPart, model: TrainedModel, bands: GroupedBands, bootstrap: BootstrapSettings
) -> pd.DataFrame:
    """Tabulate classes, AUROC and heat of each device and each source rate.

    Returns
    -------
    DataFrame
        ``field, value, n_units, n_patients, classes, auroc, auroc_low, auroc_high, densest_hz`` (for the
        examined classes; blank without heat).
    """
    predictions = part.predictions.set_index("unit_id")[[f"p_{name}" for name in model.class_names]]
    rows = []
    for field in STRATA:
        if field not in part.metadata:
            continue
        values = part.metadata[field].reindex(part.units["recording_id"]).to_numpy()
        is_missing, texts = pd.isna(values), values.astype(str)
        for text in sorted(set(texts.tolist())):
            is_in = texts == text
            units = part.units[is_in]
            area = auroc_interval(units, predictions.loc[units["unit_id"]].to_numpy(), bootstrap)
            judged = units[units["target"].isin(model.judged_classes)]["unit_id"]
            profile = part.heat.reindex(judged).fillna(0).to_numpy().sum(axis=0)
            counts = np.bincount(units["target"], minlength=len(model.class_names))
            rows.append(
                {
                    "field": field,
                    "value": NOT_KNOWN if is_missing[is_in].all() else text,
                    "n_units": len(units),
                    "n_patients": units["patient_id"].nunique(),
                    "classes": ", ".join(f"{n} {name}" for name, n in zip(model.class_names, counts, strict=True)),
                    **interval_columns("auroc", area),
                    "densest_hz": bands.densest(profile) if profile.any() else "",
                }
            )
    columns = ["field", "value", "n_units", "n_patients", "classes", "auroc", "auroc_low", "auroc_high", "densest_hz"]
    return pd.DataFrame(rows, columns=columns)


def blank_table(part: EvaluatedPart, class_names: Sequence[str], bands: GroupedBands) -> pd.DataFrame:
    """Tabulate the share of cells on the log floor, per group and class: ``hz, class, blank``."""
    target = part.units["target"].to_numpy()
    rows = [
        {"hz": hz, "class": class_names[k], "blank": float(part.blank[target == k, place].mean())}
        for place, hz in enumerate(bands.names)
        for k in sorted(set(target))
    ]
    return pd.DataFrame(rows)

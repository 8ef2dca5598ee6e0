"""Confounds of an evaluated part: metadata alone, strata, and bands that are blank or differ between devices."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from respcam.evidence.agreement import densest_group
from respcam.evidence.faithfulness import interval_columns
from respcam.evidence.verdict import Limits
from respcam.heat.bands import GroupedBands
from respcam.metrics import BootstrapSettings, Interval, auroc, interval, patient_weights
from respcam.network.trained import TrainedModel

CATEGORIES = ("device", "site", "sex")
NUMBERS = ("age_years", "source_rate_hz", "duration_s", "level_db")
STRATA = {"device": "device", "source_rate_hz": "source rate"}  # column: word
PASSBAND = 0.95  # of half a source rate; above it the resampler's filter falls
NOT_KNOWN = "not known"


class CautionKind(StrEnum):
    """What the model could have learnt instead of the sound."""

    METADATA = "metadata"  # alone it tells the classes apart nearly as well
    SHORTCUT = "shortcut"  # the model looks at bands that tell devices or rates apart
    BLANK = "blank"  # the model looks at the log floor
    BAND_LIMITED = "band_limited"  # the model looks at bands beyond what a source can hold


@dataclass(frozen=True)
class Caution:
    """A warning about what the model could have learnt instead of the sound.

    Attributes
    ----------
    kind : CautionKind
    figures : mapping of str to plain data
        The numbers and names that it rests on.
    """

    kind: CautionKind
    figures: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        """The warning for a reader."""
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
            return (
                f"metadata alone tells the classes apart nearly as well as the model (AUROC {scores}; model "
                f"{figures['auroc']:.3f}): what the model heard may be the recording, not the patient"
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
                f"of class {figures['class']} is log floor: what is seen there is the absence of sound"
            )
        case CautionKind.BAND_LIMITED:
            return (
                f"band-limited: {figures['view']} points at {figures['hz']} Hz, but {figures['n_limited']} of "
                f"{figures['n_units']} {figures['unit']}s come from a source rate as low as "
                f"{figures['lowest_rate_hz']:g} Hz, which ends there: what is seen may be the source rate"
            )


def metadata_of(recordings: pd.DataFrame, resampled: pd.DataFrame) -> pd.DataFrame:
    """Gather what is stated about each recording beside its sound.

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
    """AUROC of a classifier that reads metadata alone.

    Attributes
    ----------
    fields : tuple of str
        Columns of the metadata that it reads.
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
    """Score each piece of metadata alone, and all together, on the model's training and test units.

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
    list of MetadataScore
        First of all fields, then of single fields, best first. Empty where no field differs.
    """
    train_fields, test_fields = (metadata.reindex(units["recording_id"]) for units in (train, test))
    fields = [name for name in metadata if train_fields[name].nunique() > 1]
    sets = [fields, *([name] for name in fields)] if len(fields) > 1 else [fields] if fields else []
    scores = []
    for names in sets:
        probability = metadata_scores(
            train_fields[names], train["target"].to_numpy(), test_fields[names], n_classes, seed
        )
        scores.append(MetadataScore(tuple(names), auroc_interval(test, probability, bootstrap)))
    areas = pd.Series([score.auroc.value for score in scores], dtype=float)
    return [scores[place] for place in (*areas.index[:1], *areas[1:].sort_values(ascending=False).index)]


def metadata_table(scores: Sequence[MetadataScore]) -> pd.DataFrame:
    """Tabulate what metadata alone reaches: ``fields, auroc, auroc_low, auroc_high``."""
    rows = [{"fields": ", ".join(score.fields), **interval_columns("auroc", score.auroc)} for score in scores]
    return pd.DataFrame(rows, columns=["fields", "auroc", "auroc_low", "auroc_high"])


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


def unit_levels(frames: Iterable[np.ndarray], bands: GroupedBands, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean log-mel and blank share of units in each group that the model is fed.

    Parameters
    ----------
    frames : iterable of float32 [shape=(frame, band)]
        All bands of the front end, of one unit after another.
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
        float64, by unit_id, a column for each group that the model is fed.
    """
    return pd.DataFrame(bands.per_group(per_band.astype(np.float64))).groupby(unit_id).sum()


def distinguishing_groups(level: np.ndarray, stratum: Sequence[str], min_auroc: float = 0.9) -> np.ndarray:
    """Mark the groups of bands by whose level strata such as devices can be told apart.

    Parameters
    ----------
    level : float64 [shape=(unit, group)]
        Mean log-mel of each unit.
    stratum : sequence of str [shape=(unit,)]
    min_auroc : float
        Of a stratum against the rest, whichever way round.

    Returns
    -------
    bool [shape=(group,)]
        Where that area is reached and the mean level differs by at least half of what it differs by
        in the group with the largest difference.
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
    """An evaluated part, and what the model does on it.

    Attributes
    ----------
    units : DataFrame
        Of the part: ``unit_id, recording_id, patient_id, target``.
    train : DataFrame
        Of the train part: ``recording_id, patient_id, target``.
    metadata : DataFrame
        By recording_id (`metadata_of`).
    source_rate_hz : Series
        By recording_id.
    predictions : DataFrame
        ``unit_id`` and ``p_...`` of each class; further rows are ignored.
    heat : DataFrame
        `heat_per_unit`; further rows are ignored.
    level, blank : float64 [shape=(unit, present group)]
        `unit_levels`.
    auroc : Interval
        Of the model.
    top : mapping of str to str
        Views of where the model looks, occlusion and heat, and the group of Hz that each points at.
    unit : str
        What a unit is: recording or event.
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
    """Look for what the model could have learnt instead of the sound.

    Parameters
    ----------
    part : EvaluatedPart
    model : TrainedModel
        Its class names, and which of them are judged.
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
    """Name the fields that come close alone, or else all of them together."""
    if not close:
        return []
    singles = [score for score in close if len(score.fields) == 1]
    rows = [{"fields": ", ".join(score.fields), "auroc": score.auroc.value} for score in singles or close]
    return [Caution(CautionKind.METADATA, {"metadata": rows, "auroc": model.value})]


def _shortcut_cautions(close: Sequence[MetadataScore], part: EvaluatedPart, bands: GroupedBands) -> list[Caution]:
    """Name the bands that tell devices or rates apart, where the class follows these and the model looks there."""
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
    """Say where the model looks at the log floor, or beyond what a source can hold."""
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
        ``field, value, n_units, n_patients, classes, auroc, auroc_low, auroc_high, densest_hz`` (of the
        judged classes; blank without heat).
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
                    "densest_hz": densest_group(profile, bands) if profile.any() else "",
                }
            )
    columns = ["field", "value", "n_units", "n_patients", "classes", "auroc", "auroc_low", "auroc_high", "densest_hz"]
    return pd.DataFrame(rows, columns=columns)


def blank_table(part: EvaluatedPart, class_names: Sequence[str], bands: GroupedBands) -> pd.DataFrame:
    """Tabulate the share of each group's cells on the log floor, per class: ``hz, class, blank``."""
    target = part.units["target"].to_numpy()
    rows = [
        {"hz": hz, "class": class_names[k], "blank": float(part.blank[target == k, place].mean())}
        for place, hz in enumerate(bands.names)
        for k in sorted(set(target))
    ]
    return pd.DataFrame(rows)

"""Report of one run: settings, data, metrics, heat per band, trust, examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from respcam.data import run_folder
from respcam.data.patches import PatchSettings
from respcam.data.splits import TRAIN, UNUSED, VALIDATION, SplitSettings
from respcam.data.tasks import Task
from respcam.heat.bands import BandSelection, HzGroups, fed_bands
from respcam.heat.cam import METHODS
from respcam.metrics import CALIBRATION_BINS, BootstrapSettings, defined, weights_and_resamples
from respcam.network.model import ModelSettings
from respcam.network.readout import Readout
from respcam.network.training import Training
from respcam.report import charts, curves, figures
from respcam.report.charts import Chart
from respcam.report.page import DASH, decision_words, render
from respcam.report.recordings import RecordingTables
from respcam.report.saved import FORMATS, FigureFolder, InlineFigure, file_stem
from respcam.report.trust_section import TrustTables, section
from respcam.sound.audio import AudioSettings
from respcam.sound.front_end import FrontEnd
from respcam.store.artifact import write_atomically

SCORES = {"icbhi": "(SE + SP) / 2", "sprsound": "mean of (SE + SP) / 2 and 2 SE SP / (SE + SP)"}
NO_HEAT = "no heat"


@dataclass(frozen=True, kw_only=True)
class RunTables:
    """Data and results of one run.

    Attributes
    ----------
    metrics : mapping
        By part: ``note, n_units, n_recordings, n_patients, confusion``, and for each metric ``value, low, high``.
    history : DataFrame
        ``epoch, train_loss, validation_loss, validation_auroc, is_best``.
    predictions : DataFrame
        ``part, unit_id, recording_id, true_class, predicted_class`` and ``p_<class>``.
    units : DataFrame
        ``part, unit_id, recording_id, patient_id, target, first_frame, n_frames``.
    class_names : list of str
    readout : Readout
        Calibration and decision of the model.
    remarks : list of str
        Sentences that name what was left out, with the reason.
    rejected : DataFrame
        ``recording_id, reason, detail`` of recordings that could not be used.
    bands : DataFrame
        Every band of the front end: ``lower_hz, centre_hz, upper_hz, n_bins``.
    """

    metrics: Mapping[str, Any]
    history: pd.DataFrame
    predictions: pd.DataFrame
    units: pd.DataFrame
    class_names: list[str]
    readout: Readout
    remarks: list[str]
    rejected: pd.DataFrame
    bands: pd.DataFrame

    @property
    def edges_hz(self) -> np.ndarray:
        """Lower edge, centre, upper edge of each band: float64 [shape=(band, 3)]."""
        return self.bands[["lower_hz", "centre_hz", "upper_hz"]].to_numpy()

    @property
    def tested(self) -> dict[str, Any]:
        """Metrics of the test parts."""
        return {part: values for part, values in self.metrics.items() if part != VALIDATION}

    def title_of(self, part: str) -> str:
        """Name of a part, with its note where it has one."""
        note = self.metrics[part]["note"]
        return f"{part} ({note})" if note else part


@dataclass(frozen=True, kw_only=True)
class RunHeat:
    """Heat of one run.

    Attributes
    ----------
    band_heat : DataFrame
        ``part, target_class, scope, name, lower_hz, centre_hz, upper_hz, n_bands, share, uniform_share, ratio,
        ratio_low, ratio_high``.
    summary : mapping
        ``method, layers, target, n_bands, n_frames, map_rows, map_columns, classes, hz_groups``.
    band_heat_beside : DataFrame
        The same of the method that stands beside.
    """

    band_heat: pd.DataFrame
    summary: Mapping[str, Any]
    band_heat_beside: pd.DataFrame

    @property
    def parts(self) -> list[str]:
        """Parts that have heat."""
        return list(dict.fromkeys(self.band_heat["part"]))

    @property
    def title(self) -> str:
        """Method of the heat."""
        return method_words(self.summary)

    @property
    def title_beside(self) -> str:
        """Method that stands beside it."""
        return method_words(self.summary["beside"])

    @property
    def map_words(self) -> str:
        """Number of rows of the heat map, for the caption of every figure of heat."""
        return f"the map has {self.summary['map_rows']} rows for {self.summary['n_bands']} bands"


@dataclass(frozen=True, kw_only=True)
class PrintedSettings:
    """Settings that the page prints.

    Attributes
    ----------
    audio : AudioSettings
    front_end : FrontEnd
        Front end that made the bands.
    task : Task
    split : SplitSettings
    patches : PatchSettings
    bands : BandSelection
    model : ModelSettings
    training : Training
    hz_groups : HzGroups
    """

    audio: AudioSettings
    front_end: FrontEnd
    task: Task
    split: SplitSettings
    patches: PatchSettings
    bands: BandSelection
    model: ModelSettings
    training: Training
    hz_groups: HzGroups


@dataclass(frozen=True, kw_only=True)
class RunContent:
    """Content of the page of one run.

    Attributes
    ----------
    name : str
        Name of the folder of the run.
    description : mapping
        ``dataset, fold, seed, licence`` (``fold`` is None without cross-validation).
    settings : PrintedSettings
    tables : RunTables
    heat : RunHeat
    trust : TrustTables
    recordings : RecordingTables
        Tested units, and close-ups of some.
    provenance : mapping of str to str
        Digest of the run and of each of its stages.
    """

    name: str
    description: Mapping[str, Any]
    settings: PrintedSettings
    tables: RunTables
    heat: RunHeat
    trust: TrustTables
    recordings: RecordingTables
    provenance: Mapping[str, str]


def method_words(summary: Mapping[str, Any]) -> str:
    """Name of a method of heat: method, layers and score."""
    score = {"log_odds": "log-odds", "class_score": "class score"}[summary["score"]]
    layers = summary["layers"]
    place = f"{layers[0]} to {layers[-1]} fused" if len(layers) > 2 else " + ".join(layers)
    return f"{METHODS[summary['method']].title} at {place}, {score}"


def write_run_page(content: RunContent, folder: Path, formats: Sequence[str] = FORMATS) -> None:
    """Write the page of one run.

    Parameters
    ----------
    content : RunContent
    folder : Path
        Gets ``report.html``, with every figure inside it, and ``figures/``.
    formats : sequence of str
        Formats of the figures, of `respcam.report.saved.FORMATS`; what they show is always written as CSV.
    """
    settings, tables = content.settings, content.tables
    fed = tables.bands[fed_bands(tables.edges_hz, settings.bands)]
    groups = settings.hz_groups.over(settings.front_end)
    saved = FigureFolder(folder / run_folder.FIGURES, formats)
    trust = section(content.trust, fed, groups, tables.metrics, saved)
    shown = _figures(content, trust, saved)
    page = render(
        "report.html",
        scripts=["player.js"],
        title=f"respcam: {content.description['dataset']}, {settings.task.name}, bands {settings.bands.name}",
        first=_first_screen(content),
        warnings=_warnings(tables),
        what=_what(content),
        trust=trust,
        figures=shown,
        charts=[*shown["training"], *shown["curves"], *shown["profiles"]],
        player_data=content.recordings.player().embedded,
        learns_from_events=_learns_from_events(settings),
        provenance=content.provenance,
        folder_name=content.name,
        licence=content.description["licence"],
        **_data(tables, settings.task),
        **_heat(content),
    )
    write_atomically(folder / run_folder.PAGE, page)


def _learns_from_events(settings: PrintedSettings) -> bool:
    """Whether the training was told the events of its recordings; units that are events have labels of their own."""
    task = settings.task
    return settings.training.event_weight > 0 and task.events is not None and task.unit == "recording"


def _first_screen(content: RunContent) -> dict[str, Any]:
    """What a reader asks first, in plain words."""
    tables, task, settings = content.tables, content.settings.task, content.settings
    classes = " or ".join(tables.class_names) if len(tables.class_names) < 4 else f"{len(tables.class_names)} classes"
    hz = f"{settings.front_end.f_min_hz:g} to {settings.front_end.f_max_hz:g} Hz"
    bands = "" if settings.bands.name == "all" else f" It is fed some of these bands only: {settings.bands.words}."
    lines = []
    for part, values in tables.tested.items():
        auroc = values["auroc"]
        if auroc["value"] is not None:
            lines.append(
                {
                    "value": f"AUROC {auroc['value']:.2f}",
                    "words": f"({auroc['low']:.2f} to {auroc['high']:.2f}) on {tables.title_of(part)}: "
                    f"{values['n_units']} {task.unit}s of {values['n_patients']} patients",
                }
            )
    return {
        "asked": f"Is this {task.unit} {classes}? A neural network was trained to answer for "
        f"{content.description['dataset']}; it sees the sound from {hz}.{bands} "
        "Which of these frequencies does it listen to?",
        "how_well": lines,
        "auroc_words": _auroc_words(tables, task.unit),
        "where": _where(content),
    }


def _auroc_words(tables: RunTables, unit: str) -> str:
    meaning = "0.5 is guessing, 1 is perfect."
    if len(tables.class_names) == 2:
        first, second = tables.class_names
        pair = f"of two {unit}s, one {first} and one {second}"
        meaning = f"AUROC: {pair}, the chance that the model tells which is which. {meaning}"
    else:
        meaning = f"AUROC: the chance to tell two {unit}s of different classes apart. {meaning}"
    return f"{meaning} In brackets: its 95 % interval, for other patients like these."


def _where(content: RunContent) -> str:
    """Where the heat lies, and what occlusion says, in a sentence per part."""
    sentences = []
    for part, verdict in content.trust.summary["parts"].items():
        top, name = verdict["top"], verdict["classes"][0]["class"]
        if top["heat"] == top["occlusion"]:
            sentences.append(
                f"On {part}, for class {name}: {top['heat']} Hz. There the heat is densest, and there the score "
                "falls most when the sound is replaced."
            )
        else:
            sentences.append(
                f"On {part}, for class {name}: the heat is densest at {top['heat']} Hz, but the score falls most "
                f"when {top['occlusion']} Hz is replaced."
            )
    return " ".join(sentences)


def _figures(content: RunContent, trust: dict[str, Any], saved: FigureFolder) -> dict[str, Any]:
    tables = content.tables
    caption = "Loss and AUROC per epoch. Dotted: the chosen epoch."
    confusion = [_confusion(content, part, saved) for part in tables.metrics]
    profiles = [_profile(content, part, is_beside) for part in content.heat.parts for is_beside in (False, True)]
    is_fed = fed_bands(tables.edges_hz, content.settings.bands)
    pictures = content.recordings.pictures(is_fed)
    first = trust["parts"][0]["figures"].pop() if trust["parts"] else None
    return {
        "first": first,
        "training": [saved.save_chart(charts.training("training", caption, tables.history))],
        "curves": [saved.save_chart(chart) for part in tables.tested for chart in _curves(content, part)],
        "confusion": confusion,
        "profiles": [saved.save_chart(chart) for chart in profiles],
        "gallery": [_gallery(content, part, examples, saved) for part, examples in pictures.items()],
    }


def _curves(content: RunContent, part: str) -> list[Chart]:
    """ROC, precision-recall and calibration of one part; none where no class can be told from the rest."""
    tables, title = content.tables, content.tables.title_of(part)
    rows = tables.predictions[tables.predictions["part"] == part]
    target = pd.Categorical(rows["true_class"], tables.class_names).codes.astype(np.int64)
    probability = rows[[f"p_{name}" for name in tables.class_names]].to_numpy()
    weights = weights_and_resamples(rows["patient_id"].astype(str).to_numpy(), BootstrapSettings())

    def of(curve: curves.Curve) -> pd.DataFrame:
        return curves.per_class(curve, target, probability, weights, tables.class_names)

    if of(curves.roc).empty:
        return []
    against = "against the rest" if len(tables.class_names) > 2 else f"against {tables.class_names[0]}"
    band = "Shading: 95 % interval over patients. Click on a class to bring it forward."
    guess = float((target == 1).mean()) if len(tables.class_names) == 2 else None
    return [
        charts.roc(
            file_stem("roc", part),
            f"{title}: share of each class that is found, over the share of false alarms, {against}. Dashed: a model "
            f"that guesses. {band}",
            of(curves.roc),
        ),
        charts.precision_recall(
            file_stem("precision_recall", part),
            f"{title}: share of the alarms that are right, over the share that is found, {against}."
            + ("" if guess is None else " Dashed: a model that guesses.")
            + f" It holds for classes as frequent as here. {band}",
            of(curves.precision_recall),
            guess,
        ),
        charts.reliability(
            file_stem("calibration", part),
            f"{title}: is a probability what it says? A point: {content.settings.task.unit}s with similar predicted "
            "probability, and the share of them that is so. Dashed: a calibrated model. Lines: 95 % interval over "
            f"patients. {_calibration_words(tables.metrics[part]['calibration_error'])}",
            of(curves.reliability),
        ),
    ]


def _calibration_words(error: Mapping[str, float]) -> str:
    return (
        f"Mean distance from the dashed line (expected calibration error, {CALIBRATION_BINS} bins): "
        f"{error['value']:.3f} ({error['low']:.3f} to {error['high']:.3f}, over patients; few units overstate it)."
    )


def _confusion(content: RunContent, part: str, saved: FigureFolder) -> InlineFigure:
    tables = content.tables
    matrix = np.array(tables.metrics[part]["confusion"]["true_by_predicted"])
    figure = figures.confusion(matrix, tables.class_names, part)
    caption = f"{tables.title_of(part)}: number of {content.settings.task.unit}s and share of each true class."
    table = pd.DataFrame(matrix, columns=tables.class_names)
    table.insert(0, "true by predicted", tables.class_names, allow_duplicates=True)
    return saved.save_figure(figure, file_stem("confusion", part), caption, table)


def _profile(content: RunContent, part: str, is_beside: bool) -> Chart:
    """Heat per band over occlusion, for each class."""
    heat, title = content.heat, content.tables.title_of(part)
    method = heat.title_beside if is_beside else f"{heat.title}, {heat.map_words}"
    of_part = heat.band_heat_beside if is_beside else heat.band_heat
    of_part = of_part[of_part["part"] == part]
    groups = of_part[of_part["scope"] == "group"]
    ends = {"ratio": "value", "ratio_low": "low", "ratio_high": "high"}
    rows = of_part[of_part["scope"] != "above_mark"].rename(
        columns={"target_class": "class", "scope": "kind", **ends}
    )
    edges = groups.rename(columns={"target_class": "class", "name": "hz"})
    falls = edges[["class", "hz", "lower_hz", "centre_hz", "upper_hz"]].merge(content.trust.falls(part))
    falls = falls.rename(columns={"drop": "value", "drop_low": "low", "drop_high": "high"}).assign(kind="occlusion")
    columns = ["class", "kind", "lower_hz", "centre_hz", "upper_hz", "value", "low", "high"]
    caption = (
        f"{title}. Upper panel of a class: heat per mel band (curve, shading: 95 % interval over patients) and per "
        f"group of Hz (bars), divided by uniform heat (dashed line: spread evenly over the bands), by {method}. Each "
        f"{content.settings.task.unit} counts once. In brackets: may this heat be believed (verdict of the tests "
        "below)? Heat that is not supported is grey. Lower panel: what the score loses when the group is replaced "
        "(occlusion). Where both are high, the model listens."
    )
    return charts.heat_and_occlusion(
        file_stem("bands", part, *(["beside"] if is_beside else [])),
        caption,
        pd.concat([rows[columns], falls[columns]], ignore_index=True),
        content.settings.hz_groups.mark_hz,
        content.trust.outcomes(part, is_beside),
    )


def _gallery(content: RunContent, part: str, examples: list[figures.Example], saved: FigureFolder) -> InlineFigure:
    unit = content.settings.task.unit
    figure = figures.gallery(examples, content.tables.edges_hz, 1 / content.settings.front_end.frame_rate_hz)
    caption = (
        f"{content.tables.title_of(part)}: for each class, the surest recognised and the surest missed {unit}. Left: "
        "input of the model (dark is loud). Beside it: the same with heat. The line surrounds the cells that hold "
        "90 % of the heat. Every picture has a scale of its own: it shows where, not how much. For a mistake: the "
        f"heat for its true and for the predicted class. The frequency axis is in Hz; {content.heat.map_words}."
    )
    return saved.save_figure(figure, file_stem("gallery", part), caption)


def _what(content: RunContent) -> dict[str, str]:
    """Rows of the table of settings."""
    description, heat, settings = content.description, content.heat, content.settings
    task, split, patches, front_end = settings.task, settings.split, settings.patches, settings.front_end
    gain, readout = settings.audio.gain, content.tables.readout
    if gain != "none":
        gain = f"{gain} to {settings.audio.target_db:g} dB"
    fold = "" if description["fold"] is None else f", fold {split.fold} of {split.n_folds}"
    return {
        "data set": description["dataset"],
        "task": f"{task.name}: {', '.join(content.tables.class_names)} per {task.unit}",
        "split": f"{split.name}{fold}",
        "bands": f"{settings.bands.name}: {heat.summary['n_bands']} of {front_end.n_bands} ({settings.bands.words})",
        "front end": f"{front_end.n_bands} bands, {front_end.f_min_hz:g} to {front_end.f_max_hz:g} Hz, "
        f"{front_end.n_fft}-point FFT, log(mel + {front_end.log_offset:g})",
        "gain": f"{gain} (sets how much of a patch lies on the log floor, the value of silence)",
        "patches": f"{patches.length_frames / front_end.frame_rate_hz:g} s every "
        f"{patches.hop_frames / front_end.frame_rate_hz:g} s; shorter {task.unit}s: {patches.pad}",
        "model": f"{settings.model.name}, scores pooled by {settings.training.pooling}",
        "training": f"{len(content.tables.history)} epochs, seed {description['seed']}",
        "calibration": f"temperature {readout.temperature:.2f} and an offset per class, from validation patients",
        "decision": decision_words(content.tables.class_names, readout.decision),
        "heat": f"{heat.title}, for the {heat.summary['target']} class, per {heat.summary['level']}, "
        f"{heat.map_words}, raw",
        "heat beside it": heat.title_beside,
    }


def _data(tables: RunTables, task: Task) -> dict[str, Any]:
    """Counts of units, recordings that were not used, and metrics."""
    return {
        "unit": task.unit,
        "classes": tables.class_names,
        "parts": _parts(tables),
        "rejected": tables.rejected.to_dict("records"),
        "reasons": tables.rejected["reason"].value_counts().to_dict(),
        "metrics": tables.metrics,
        "metric_names": defined(tables.metrics.values()),
        "normal": task.normal,
        "score": SCORES[task.score],
        "uncounted": task.uncounted,
        "decision": decision_words(tables.class_names, tables.readout.decision),
    }


def _warnings(tables: RunTables) -> list[str]:
    notes = [
        f"{part}: {values['note']}. These metrics are not patient-independent."
        for part, values in tables.tested.items()
        if values["note"]
    ]
    return [*notes, *tables.remarks, *_weak_band_warning(tables.bands)]


def _weak_band_warning(bands: pd.DataFrame) -> list[str]:
    weak = bands[bands["n_bins"] < 2]
    if weak.empty:
        return []
    return [
        f"{len(weak)} of {len(bands)} mel filters rest on fewer than two FFT bins (up to "
        f"{weak['upper_hz'].max():.0f} Hz). Heat per band has no meaning there."
    ]


def _parts(tables: RunTables) -> list[dict[str, Any]]:
    """Rows of the table of data: every part, then the units that were not used."""
    names = {part: part for part in (TRAIN, *tables.metrics)}
    if (tables.units["part"] == UNUSED).any():
        names[UNUSED] = "not used"
    rows = []
    for part, name in names.items():
        units = tables.units[tables.units["part"] == part]
        counts = np.bincount(units["target"].astype(int), minlength=len(tables.class_names))
        rows.append(
            {
                "part": name,
                "n_units": len(units),
                "n_recordings": units["recording_id"].nunique(),
                "n_patients": units["patient_id"].nunique(),
                "per_class": counts.tolist(),
            }
        )
    return rows


def _heat(content: RunContent) -> dict[str, Any]:
    """Rows and sentences on heat per band."""
    return {
        "mark_hz": f"{content.settings.hz_groups.mark_hz:g}",
        "heat_sentence": _heat_sentence(content.heat),
        "above": _rows_above_mark(content.heat, content.tables),
        "groups": _heat_rows(content.heat, "group"),
    }


def _heat_rows(heat: RunHeat, scope: str) -> list[dict[str, Any]]:
    return [_heat_row(row) for row in heat.band_heat.to_dict("records") if row["scope"] == scope]


def _heat_row(row: dict[str, Any]) -> dict[str, Any]:
    share = ratio = NO_HEAT
    if not pd.isna(row["ratio"]):
        share = f"{row['share']:.1%}"
        ratio = f"{row['ratio']:.2f} ({row['ratio_low']:.2f}{DASH}{row['ratio_high']:.2f})"
    return {**row, "share": share, "uniform_share": f"{row['uniform_share']:.1%}", "ratio": ratio}


def _rows_above_mark(heat: RunHeat, tables: RunTables) -> list[dict[str, Any]]:
    """Heat above the mark for every part and class, also where no band lies above it."""
    above = {(row["part"], row["target_class"]): row for row in _heat_rows(heat, "above_mark")}
    not_fed = {"share": "not fed", "uniform_share": "0 %", "ratio": DASH}
    return [
        {
            **counts,
            **above.get((counts["part"], counts["target_class"]), not_fed),
            "note": tables.metrics[counts["part"]]["note"],
        }
        for counts in heat.summary["classes"]
    ]


def _heat_sentence(heat: RunHeat) -> str:
    """Name the group of Hz with the most heat per band, for each class."""
    groups = heat.band_heat[(heat.band_heat["scope"] == "group") & heat.band_heat["ratio"].notna()]
    sentences = []
    for (part, name), rows in groups.groupby(["part", "target_class"]):
        top = rows.loc[rows["ratio"].idxmax()]
        sentences.append(
            f"{part}, class {name}: densest at {top['name']} Hz, {top['ratio']:.2f} times uniform "
            f"({top['ratio_low']:.2f} to {top['ratio_high']:.2f})."
        )
    cell = heat.summary["n_bands"] / heat.summary["map_rows"]
    return (
        " ".join(sentences)
        + f" Densest: most heat per band. One row of the map covers {cell:.1f} mel bands, and the 25 ms window "
        "resolves 160 Hz. Finer detail in the curve comes from interpolation or from the strides of the network. "
        "Heat does not show that the model would fail without these bands."
    )

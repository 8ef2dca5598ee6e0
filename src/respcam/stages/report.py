"""Everything of one run in one folder, with a page to read it by."""

import json
import logging
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from respcam.data.splits import TRAIN, UNUSED
from respcam.heat.bands import HzGroups, fed_bands
from respcam.heat.cam import METHODS, joined, to_input
from respcam.metrics import METRICS
from respcam.report import figures, trust_section
from respcam.report.page import render
from respcam.report.pictures import png
from respcam.sound.audio import AudioSettings
from respcam.sound.front_end import FrontEnd
from respcam.stages.features import FrameStore
from respcam.stages.train import TrainSettings
from respcam.store.artifact import Artifact, digest_of, write_atomically

log = logging.getLogger(__name__)

SCHEMA = 2
GALLERY_SECONDS = 10
SCORES = {"icbhi": "(SE + SP) / 2", "sprsound": "mean of (SE + SP) / 2 and 2 SE SP / (SE + SP)"}


@dataclass(frozen=True)
class Upstream:
    """The finished work that a report is made of."""

    resample: Artifact
    features: Artifact
    train: Artifact
    explain: Artifact
    bands: Artifact
    trust: Artifact


def describe(dataset: str, trained: TrainSettings, seed: int, base: Artifact) -> dict[str, Any]:
    """Say what a run is, in a few words per item.

    ``base`` is the train stage as it would be with all bands: ``apart_from_bands`` is its digest, shared by
    runs of one seed and fold; ``experiment`` leaves seed and fold out as well.
    """
    identity = base.identity
    del identity["seed"], identity["settings"]["split"]["fold"]
    split = trained.split.name
    return {
        "dataset": dataset,
        "task": trained.task.name,
        "split": split,
        "fold": trained.split.fold if split == "patient_kfold" else None,
        "bands": trained.bands.name,
        "model": trained.model.name,
        "seed": seed,
        "task_settings": {name: getattr(trained.task, name) for name in ("unit", "normal", "score")},
        "apart_from_bands": base.digest,
        "experiment": digest_of(identity),
        "band_selection": asdict(trained.bands),
    }


def plan(runs: Path, upstream: Upstream, description: dict[str, Any]) -> Artifact:
    """Name the run folder before any work is done."""
    inputs = {name: getattr(upstream, name).digest for name in ("resample", "train", "explain", "bands", "trust")}
    fold = "" if description["fold"] is None else f"{description['fold']}"
    parts = [
        description["dataset"],
        description["task"],
        f"{description['split']}{fold}",
        description["bands"],
        description["model"],
        f"seed{description['seed']}",
    ]
    return Artifact(runs, "report", SCHEMA, {"run": description}, inputs, description["seed"], title="-".join(parts))


def run(
    artifact: Artifact,
    upstream: Upstream,
    audio: AudioSettings,
    front_end: FrontEnd,
    trained: TrainSettings,
    groups: HzGroups,
    config: str,
) -> Path:
    """Gather a run's results and write its page.

    Parameters
    ----------
    artifact : Artifact
        From `plan`.
    upstream : Upstream
    audio : AudioSettings
    front_end : FrontEnd
    trained : TrainSettings
    groups : HzGroups
    config : str
        The composed configuration, as YAML.

    Returns
    -------
    Path
        ``report.html`` in a folder with ``config.yaml, metrics.json, predictions.csv, history.csv,
        model.safetensors, band_heat.csv, trust.json`` and its tables, ``rejected.csv, figures/`` and
        ``provenance.json``.
    """
    with artifact.building() as partial:
        if partial is None:
            return artifact.folder / "report.html"
        train, heat = upstream.train.require(), upstream.bands.require()
        for name in ("metrics.json", "predictions.csv", "history.csv", "model.safetensors", "scaler.csv",
                     "classes.json", "units.csv", "remarks.json"):  # fmt: skip
            shutil.copy2(train / name, partial)
        for name in ("band_heat.csv", "heat_summary.json"):
            shutil.copy2(heat / name, partial)
        for name in trust_section.FILES:
            shutil.copy2(upstream.trust.require() / name, partial)
        shutil.copy2(upstream.resample.require() / "rejected.csv", partial)
        write_atomically(partial / "config.yaml", config)
        (partial / "figures").mkdir(exist_ok=True)
        tables = Tables.read(partial)
        pictures = _pictures(tables, upstream, front_end, trained, groups, partial / "figures")
        content = _content(tables, artifact, upstream, audio, front_end, trained, groups)
        bands = pd.read_csv(partial / "scaler.csv")
        trust = trust_section.section(upstream.trust, bands, tables.metrics, partial / "figures")
        page = render("report.html", **content, trust=trust, pictures=pictures)
        write_atomically(partial / "report.html", page)
    return artifact.folder / "report.html"


@dataclass(frozen=True)
class Tables:
    """The results of a run, read from its folder."""

    metrics: dict[str, Any]
    history: pd.DataFrame
    predictions: pd.DataFrame
    units: pd.DataFrame
    classes: list[str]
    remarks: list[str]
    band_heat: pd.DataFrame
    heat: dict[str, Any]
    rejected: pd.DataFrame

    @staticmethod
    def read(folder: Path) -> "Tables":
        """Read everything that the page shows."""

        def from_json(name: str) -> Any:
            return json.loads((folder / name).read_text(encoding="utf-8"))

        ids = {"unit_id": str, "recording_id": str, "patient_id": str}
        return Tables(
            from_json("metrics.json"),
            pd.read_csv(folder / "history.csv"),
            pd.read_csv(folder / "predictions.csv", dtype=ids),
            pd.read_csv(folder / "units.csv", dtype=ids, keep_default_na=False),
            from_json("classes.json"),
            from_json("remarks.json"),
            pd.read_csv(folder / "band_heat.csv"),
            from_json("heat_summary.json"),
            pd.read_csv(folder / "rejected.csv", dtype=str, keep_default_na=False),
        )

    @property
    def explained(self) -> list[str]:
        """Parts that have heat."""
        return list(dict.fromkeys(self.band_heat["split"]))


def _pictures(
    tables: Tables,
    upstream: Upstream,
    front_end: FrontEnd,
    trained: TrainSettings,
    groups: HzGroups,
    folder: Path,
) -> dict[str, list[dict[str, str]]]:
    curves = figures.training_curves(tables.history)
    pictures = {
        "training": [png(curves, folder / "training.png", "Loss and AUROC per epoch; dotted: the epoch chosen.")],
        "confusion": [],
        "bands": [],
        "gallery": [],
    }
    rows = _rows_of_map(tables)
    for part, values in tables.metrics.items():
        matrix = np.array(values["confusion"]["true_by_predicted"])
        note = f" ({values['note']})" if values["note"] else ""
        picture = figures.confusion(matrix, tables.classes, part)
        caption = f"{part}{note}: number of {trained.task.unit}s and share of each true class."
        pictures["confusion"].append(png(picture, folder / f"confusion_{part}.png", caption))
    for part in tables.explained:
        note = f" ({tables.metrics[part]['note']})" if tables.metrics[part]["note"] else ""
        own = tables.band_heat[tables.band_heat["split"] == part]
        picture = figures.band_profile(own, groups.mark_hz, f"{part}{note}: heat per band, {rows}")
        caption = (
            f"{part}{note}: heat per mel band and per group of Hz, divided by what heat spread evenly over the "
            f"picture would give; above 1 the model looks there more than evenly. {rows[0].upper()}{rows[1:]}."
        )
        pictures["bands"].append(png(picture, folder / f"bands_{part}.png", caption))
        store = FrameStore.open(upstream.features.require(), front_end)
        examples = _examples(tables, part, store, upstream, trained)
        if examples:
            picture = figures.gallery(examples, store.edges_hz, 1 / front_end.frame_rate_hz)
            caption = (
                f"{part}{note}: for each class the {trained.task.unit} recognised with most certainty and the one "
                f"missed with most certainty. Left the log-mel picture (dark is loud), right the same with heat for "
                f"its true class. Bands are drawn at their place in Hz; {rows}."
            )
            if tables.heat["target"] != "true":
                caption = caption.replace("its true class", f"target {tables.heat['target']}")
            pictures["gallery"].append(png(picture, folder / f"gallery_{part}.png", caption))
    return pictures


def _rows_of_map(tables: Tables) -> str:
    heat = tables.heat
    return f"the map has {heat['map_rows']} rows for {heat['n_bands']} bands"


def _examples(
    tables: Tables, part: str, store: FrameStore, upstream: Upstream, trained: TrainSettings
) -> list[figures.Example]:
    """Per class the surest hit and the surest miss of a part, with their heat."""
    folder = upstream.explain.require()
    index = pd.read_csv(folder / "index.csv", dtype={"unit_id": str, "recording_id": str, "patient_id": str})
    maps = np.load(folder / "heat-map.npy", mmap_mode="r")
    kept = fed_bands(store.edges_hz, trained.bands)
    spans = tables.units.set_index("unit_id")[["first_frame", "n_frames"]].astype(int)
    own = tables.predictions[tables.predictions["split"] == part]
    examples = []
    for name in tables.classes:
        of_class = own[own["true_class"] == name]
        is_hit = of_class["predicted_class"] == name
        for word, rows in (("recognised", of_class[is_hit]), ("missed", of_class[~is_hit])):
            if rows.empty:
                continue
            certainty = rows[f"p_{name}"] if word == "recognised" else -rows[f"p_{name}"]
            row = rows.loc[certainty.idxmax()]
            first, n_frames = spans.loc[row["unit_id"]]
            n_shown = min(n_frames, int(GALLERY_SECONDS * store.settings.frame_rate_hz))
            patches = index[(index["split"] == part) & (index["unit_id"] == row["unit_id"])]
            picture = np.full((len(kept), n_shown), np.nan, dtype=np.float32)
            heat = to_input(torch.tensor(maps[patches["patch"]]), tables.heat["n_bands"], tables.heat["n_frames"])
            picture[kept] = joined(heat.numpy(), patches["start_frame"].to_numpy() - first, n_shown)
            examples.append(
                figures.Example(
                    f"{name}, {word}: {row['unit_id']}\n"
                    f"predicted {row['predicted_class']}, P({name}) = {row[f'p_{name}']:.2f}",
                    np.asarray(store.frames(row["recording_id"], first, n_shown)).T,
                    picture,
                    first / store.settings.frame_rate_hz,
                )
            )
    return examples


def _content(
    tables: Tables,
    artifact: Artifact,
    upstream: Upstream,
    audio: AudioSettings,
    front_end: FrontEnd,
    trained: TrainSettings,
    groups: HzGroups,
) -> dict[str, Any]:
    task, split, bands = trained.task, trained.split, trained.bands
    described = artifact.settings["run"]
    gain = audio.gain if audio.gain == "none" else f"{audio.gain} to {audio.target_db:g} dB"
    heat_above, heat_groups = _heat_rows(tables)
    tested = {part: values for part, values in tables.metrics.items() if part != "validation"}
    return {
        "title": f"respcam: {described['dataset']}, {task.name}, bands {bands.name}",
        "summary": _summary(tested, task.unit),
        "warnings": [
            *(
                f"{part}: {values['note']}. These figures are not patient-independent."
                for part, values in tested.items()
                if values["note"]
            ),
            *tables.remarks,
            *_weak_band_warning(upstream),
        ],
        "what": {
            "data set": described["dataset"],
            "task": f"{task.name}: {', '.join(tables.classes)} per {task.unit}",
            "split": f"{split.name}"
            + ("" if described["fold"] is None else f", fold {split.fold} of {split.n_folds}"),
            "bands": f"{bands.name}: {tables.heat['n_bands']} of {front_end.n_bands} ({bands.words})",
            "front end": f"{front_end.n_bands} bands, {front_end.f_min_hz:g} to {front_end.f_max_hz:g} Hz, "
            f"{front_end.n_fft}-point FFT, log(mel + {front_end.log_offset:g})",
            "gain": f"{gain} (decides how much of a picture lies on the log floor)",
            "patches": f"{trained.patches.length_frames / front_end.frame_rate_hz:g} s every "
            f"{trained.patches.hop_frames / front_end.frame_rate_hz:g} s; "
            f"shorter {task.unit}s: {trained.patches.pad}",
            "model": f"{trained.model.name}, scores pooled by {trained.training.pooling}",
            "training": f"{len(tables.history)} epochs, seed {described['seed']}",
            "heat": f"{METHODS[tables.heat['method']].title} for the {tables.heat['target']} class, "
            f"layer {' and '.join(tables.heat['layers'])}, "
            f"{_rows_of_map(tables)}, raw",
        },
        "unit": task.unit,
        "classes": tables.classes,
        "sides": _sides(tables),
        "rejected": tables.rejected.to_dict("records"),
        "reasons": tables.rejected["reason"].value_counts().to_dict(),
        "metrics": tables.metrics,
        "metric_names": METRICS,
        "normal": task.normal,
        "score": SCORES[task.score],
        "mark_hz": f"{groups.mark_hz:g}",
        "heat_sentence": _heat_sentence(tables),
        "above": heat_above,
        "groups": heat_groups,
        "provenance": {
            "run": artifact.digest,
            **{
                name: getattr(upstream, name).digest
                for name in ("resample", "features", "train", "explain", "bands", "trust")
            },
        },
    }


def _summary(tested: dict[str, Any], unit: str) -> str:
    sentences = []
    for part, values in tested.items():
        area = values["auroc"]
        if area["value"] is None:
            continue
        note = f" ({values['note']})" if values["note"] else ""
        sentences.append(
            f"On {part}{note}, {values['n_units']} {unit}s of {values['n_patients']} patients: AUROC "
            f"{area['value']:.3f}, 95 % interval over patients {area['low']:.3f} to {area['high']:.3f}."
        )
    return " ".join(sentences)


def _weak_band_warning(upstream: Upstream) -> list[str]:
    bands = pd.read_csv(upstream.features.require() / "bands.csv")
    weak = bands[bands["n_bins"] < 2]
    if weak.empty:
        return []
    return [
        f"{len(weak)} of {len(bands)} mel filters rest on fewer than two FFT bins (up to "
        f"{weak['upper_hz'].max():.0f} Hz): heat per band means nothing there."
    ]


def _sides(tables: Tables) -> list[dict[str, Any]]:
    rows = []
    sides = [TRAIN, *tables.metrics]
    for side in sides:
        own = tables.units[tables.units["side"] == side]
        counts = np.bincount(own["target"].astype(int), minlength=len(tables.classes))
        rows.append(
            {
                "side": side,
                "n_units": len(own),
                "n_recordings": own["recording_id"].nunique(),
                "n_patients": own["patient_id"].nunique(),
                "per_class": counts.tolist(),
            }
        )
    unused = tables.units[tables.units["side"] == UNUSED]
    if len(unused):
        counts = np.bincount(unused["target"].astype(int), minlength=len(tables.classes))
        rows.append({"side": "not used", "n_units": len(unused), "n_recordings": unused["recording_id"].nunique(),
                     "n_patients": unused["patient_id"].nunique(), "per_class": counts.tolist()})  # fmt: skip
    return rows


def _heat_rows(tables: Tables) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    def shown(row: dict[str, Any]) -> dict[str, Any]:
        known = not pd.isna(row["ratio"])
        interval = (
            f"{row['ratio']:.2f} ({row['ratio_low']:.2f}\N{EN DASH}{row['ratio_high']:.2f})" if known else "no heat"
        )
        share = f"{row['share']:.1%}" if known else "no heat"
        return {**row, "share": share, "uniform_share": f"{row['uniform_share']:.1%}", "ratio": interval}

    def rows(scope: str) -> list[dict[str, Any]]:
        return [shown(row) for row in tables.band_heat.to_dict("records") if row["scope"] == scope]

    found = {(row["split"], row["target_class"]): row for row in rows("above_mark")}
    above = []
    for counts in tables.heat["classes"]:
        none = {"share": "not fed", "uniform_share": "0 %", "ratio": "\N{EN DASH}"}
        row = found.get((counts["split"], counts["target_class"]), none)
        above.append({**counts, **row, "note": tables.metrics[counts["split"]]["note"]})
    return above, rows("group")


def _heat_sentence(tables: Tables) -> str:
    """Name the group of Hz that each class's heat is densest in."""
    groups = tables.band_heat[(tables.band_heat["scope"] == "group") & tables.band_heat["ratio"].notna()]
    sentences = []
    for (split, name), rows in groups.groupby(["split", "target_class"]):
        top = rows.loc[rows["ratio"].idxmax()]
        sentences.append(
            f"{split}, class {name}: densest at {top['name']} Hz, {top['ratio']:.2f} times uniform "
            f"({top['ratio_low']:.2f} to {top['ratio_high']:.2f})."
        )
    heat = tables.heat
    cell = heat["n_bands"] / heat["map_rows"]
    return (
        " ".join(sentences)
        + f" One row of the map covers {cell:.1f} mel bands, and the 25 ms window resolves 160 Hz: finer detail in "
        "the curve is interpolation, or the strides of the network. Heat says where the class score comes from, not "
        "that the model would fail without it."
    )

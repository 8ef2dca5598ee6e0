"""Many runs side by side, and the difference that the bands alone make."""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from respcam import figures
from respcam.artifact import Artifact, write_atomically
from respcam.manifest import write_table
from respcam.metrics import METRICS, BootstrapSettings, interval, patient_weights, resampled_figures
from respcam.report import render
from respcam.stages.pictures import png

log = logging.getLogger(__name__)

SCHEMA = 1


def plan(folder: Path, runs: Sequence[Path], bootstrap: BootstrapSettings) -> Artifact:
    """Name the comparison before any work is done.

    Raises
    ------
    FileNotFoundError
        If a folder is not a finished run.
    """
    inputs = {}
    for run_folder in runs:
        provenance = run_folder / "provenance.json"
        if not provenance.is_file():
            raise FileNotFoundError(f"{run_folder}: not a finished run (it has no provenance.json)")
        inputs[run_folder.name] = json.loads(provenance.read_text(encoding="utf-8"))["digest"]
    return Artifact(folder, "compare", SCHEMA, {"bootstrap": bootstrap}, inputs, title="comparison")


def run(artifact: Artifact, runs: Sequence[Path], bootstrap: BootstrapSettings) -> Path:
    """Compare finished runs.

    Parameters
    ----------
    artifact : Artifact
        From `plan`.
    runs : sequence of Path
        Run folders.
    bootstrap : BootstrapSettings

    Returns
    -------
    Path
        ``comparison.html`` in a folder with ``comparison.csv`` (a row per run and part),
        ``differences.csv`` (each run minus the run with all bands that shares everything else) and
        ``figures/``.
    """
    with artifact.building() as partial:
        if partial is None:
            return artifact.folder / "comparison.html"
        (partial / "figures").mkdir(exist_ok=True)
        finished = [_read(folder) for folder in sorted(runs)]
        _label(finished)
        table = pd.DataFrame([row for each in finished for row in _rows(each)])
        write_table(table, partial / "comparison.csv")
        differences = _differences(finished, bootstrap)
        flat = [{**row, **_flat(row["figures"])} for row in differences]
        write_table(pd.DataFrame(flat).drop(columns="figures", errors="ignore"), partial / "differences.csv")
        page = render(
            "comparison.html",
            title=f"respcam: {len(finished)} runs compared",
            summary=_summary(finished),
            warnings=_warnings(finished),
            metric_names=METRICS,
            parts=_parts(finished, table, partial / "figures"),
            differences=differences,
            profiles=_profiles(finished, partial / "figures"),
            runs=[
                {"name": each["label"], "link": os.path.relpath(folder / "report.html", artifact.folder)}
                for each, folder in zip(finished, sorted(runs), strict=True)
            ],
        )
        write_atomically(partial / "comparison.html", page)
    return artifact.folder / "comparison.html"


def _read(folder: Path) -> dict[str, Any]:
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    return {
        "name": folder.name,
        **provenance["settings"]["run"],
        "metrics": json.loads((folder / "metrics.json").read_text(encoding="utf-8")),
        "heat": json.loads((folder / "heat_summary.json").read_text(encoding="utf-8")),
        "band_heat": pd.read_csv(folder / "band_heat.csv"),
        "predictions": pd.read_csv(folder / "predictions.csv", dtype={"unit_id": str, "patient_id": str}),
        "task_settings": provenance["settings"]["run"]["task_settings"],
    }


def _label(finished: list[dict[str, Any]]) -> None:
    """Name each run by what it differs in from the others."""
    fields = ("dataset", "task", "split", "fold", "model", "bands", "seed")
    varying = [name for name in fields if len({each[name] for each in finished}) > 1] or ["bands"]
    for each in finished:
        words = (str(each[name]) if name == "bands" else f"{name} {each[name]}" for name in varying)
        each["label"] = ", ".join(words)
    labels = [each["label"] for each in finished]
    for each in finished:
        if labels.count(each["label"]) > 1:
            each["label"] += f" ({each['name'][-8:]})"


def _flat(values: dict[str, dict[str, float | None]]) -> dict[str, float | None]:
    flat = {}
    for name, figure in values.items():
        flat[name], flat[f"{name}_low"], flat[f"{name}_high"] = figure["value"], figure["low"], figure["high"]
    return flat


def _rows(each: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per evaluated part of a run."""
    rows = []
    for part, values in each["metrics"].items():
        rows.append(
            {
                "run": each["name"],
                **{name: each[name] for name in ("dataset", "task", "split", "fold", "bands", "model", "seed")},
                "n_bands": each["heat"]["n_bands"],
                "part": part,
                "note": values["note"],
                **{name: values[name] for name in ("n_units", "n_recordings", "n_patients")},
                **_flat({name: values[name] for name in METRICS}),
            }
        )
    return rows


def _differences(finished: list[dict[str, Any]], bootstrap: BootstrapSettings) -> list[dict[str, Any]]:
    """Each run minus the run with all bands that shares everything else, per tested part."""
    full = {each["apart_from_bands"]: each for each in finished if each["band_selection"]["keep_hz"] is None}
    rows = []
    for each in finished:
        base = full.get(each["apart_from_bands"])
        if base is None or each is base:
            continue
        for part in each["metrics"]:
            if part == "validation":
                continue
            rows.append(
                {
                    "part": part,
                    "note": each["metrics"][part]["note"],
                    **{name: each[name] for name in ("label", "bands", "seed", "fold")},
                    "figures": _paired_difference(each, base, part, bootstrap),
                }
            )
    return rows


def _paired_difference(
    pruned: dict[str, Any], full: dict[str, Any], part: str, bootstrap: BootstrapSettings
) -> dict[str, dict[str, float | None]]:
    predictions = [each["predictions"] for each in (pruned, full)]
    tables = [table[table["split"] == part].set_index("unit_id") for table in predictions]
    if not tables[0].index.equals(tables[1].index):
        raise ValueError(f"{pruned['name']} and {full['name']} were tested on different units of {part}")
    classes = full["metrics"][part]["confusion"]["classes"]
    target = tables[0]["true_class"].map({name: k for k, name in enumerate(classes)}).to_numpy()
    weights = patient_weights(tables[0]["patient_id"].to_numpy(), bootstrap)
    weights = np.concatenate([np.ones((1, len(target)), dtype=weights.dtype), weights])
    task = full["task_settings"]
    normal = classes.index(task["normal"]) if task["normal"] in classes else None
    probabilities = [table[[f"p_{name}" for name in classes]].to_numpy() for table in tables]
    values = [resampled_figures(target, p, weights, normal, task["score"]) for p in probabilities]
    found = {}
    for name in METRICS:
        difference = values[0][name] - values[1][name]
        found[name] = vars(interval(float(difference[0]), difference[1:]))
    return found


def _summary(finished: list[dict[str, Any]]) -> str:
    bands = sorted({each["bands"] for each in finished})
    seeds = sorted({each["seed"] for each in finished})
    data = sorted({f"{each['dataset']}, task {each['task']}, split {each['split']}" for each in finished})
    return f"{'; '.join(data)}. Bands: {', '.join(bands)}. Seeds: {', '.join(map(str, seeds))}."


def _warnings(finished: list[dict[str, Any]]) -> list[str]:
    notes = {(p, v["note"]) for each in finished for p, v in each["metrics"].items() if v["note"]}
    return [f"{part}: {note}. These figures are not patient-independent." for part, note in sorted(notes)]


def _parts(finished: list[dict[str, Any]], table: pd.DataFrame, folder: Path) -> list[dict[str, Any]]:
    parts = []
    for name in dict.fromkeys(part for each in finished for part in each["metrics"]):
        own = [each for each in finished if name in each["metrics"]]
        rows = [
            {
                "label": each["label"],
                "n_bands": each["heat"]["n_bands"],
                "n_units": each["metrics"][name]["n_units"],
                "n_patients": each["metrics"][name]["n_patients"],
                "figures": each["metrics"][name],
            }
            for each in own
        ]
        shown = table[table["part"] == name].replace({"run": {each["name"]: each["label"] for each in own}})
        known = [metric for metric in METRICS if shown[metric].notna().all()]
        note = own[0]["metrics"][name]["note"]
        caption = f"{name}{f' ({note})' if note else ''}: each metric with its 95 % interval over patients."
        picture = png(figures.metric_intervals(shown, known), folder / f"metrics_{name}.png", caption)
        unit = own[0]["task_settings"]["unit"]
        parts.append({"name": name, "note": note, "unit": unit, "rows": rows, "pictures": [picture]})
    return parts


def _profiles(finished: list[dict[str, Any]], folder: Path) -> list[dict[str, str]]:
    pictures = []
    heat = pd.concat([each["band_heat"].assign(label=each["label"]) for each in finished])
    bands = heat[heat["scope"] == "band"]
    mark_hz = finished[0]["heat"]["hz_groups"]["mark_hz"]
    for (split, name), rows in bands.groupby(["split", "target_class"]):
        profiles = {str(label): own for label, own in rows.groupby("label")}
        picture = figures.profiles_together(profiles, mark_hz, f"{split}: heat for class {name}")
        caption = (
            f"{split}, class {name}: heat per band divided by what even heat over that run's own bands would give. "
            "Shaded: 95 % interval over patients."
        )
        pictures.append(png(picture, folder / f"profiles_{split}_{name}.png", caption))
    return pictures

"""Runs of an experiment side by side: what each arm's bands change, over seeds, folds and patients."""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from respcam.data.manifest import STRATA
from respcam.experiments.differences import Design, Difference, Pair, conclusion, corrected, differences
from respcam.metrics import METRICS, BootstrapSettings
from respcam.report import figures
from respcam.report.page import render
from respcam.report.pictures import png
from respcam.store.artifact import Artifact, write_atomically
from respcam.store.tables import write_table

log = logging.getLogger(__name__)

SCHEMA = 3
FOLDS = "held-out folds"
EVERYONE = "all recordings"
COLUMNS = [
    "experiment", "part", "stratum", "metric", "arm", "base", *(field.name for field in fields(Difference)),
    "p_corrected", "p_permuted_corrected", "verdict", "sentence",
]  # fmt: skip
FEWEST_PATIENTS = 10  # of a stratum that is looked at by itself


def plan(
    folder: Path, runs: Sequence[Path], bootstrap: BootstrapSettings, design: Design, metric: str, base: str
) -> Artifact:
    """Name the comparison before any work is done.

    Raises
    ------
    FileNotFoundError
        If a folder is not a finished run.
    ValueError
        If the metric is not known, or a run is too old.
    """
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; expected one of {', '.join(METRICS)}")
    inputs = {}
    for run_folder in runs:
        provenance = run_folder / "provenance.json"
        if not provenance.is_file():
            raise FileNotFoundError(f"{run_folder}: not a finished run (it has no provenance.json)")
        made = json.loads(provenance.read_text(encoding="utf-8"))
        if "experiment" not in made["settings"]["run"]:
            raise ValueError(f"{run_folder}: made by an earlier version of respcam; run it again")
        inputs[run_folder.name] = made["digest"]
    settings = {"bootstrap": bootstrap, "design": design, "metric": metric, "base": base}
    return Artifact(folder, "compare", SCHEMA, settings, inputs, title="comparison")


def run(
    artifact: Artifact, runs: Sequence[Path], bootstrap: BootstrapSettings, design: Design, metric: str, base: str
) -> Path:
    """Compare finished runs.

    Runs that differ in seed and fold alone are one arm; arms that differ in their bands alone are one
    experiment, and within it each arm is held against the base arm.

    Parameters
    ----------
    artifact : Artifact
        From `plan`.
    runs : sequence of Path
        Run folders.
    bootstrap : BootstrapSettings
    design : Design
    metric : str
        Of `respcam.metrics.METRICS`: what verdicts and figures are about.
    base : str
        Name of the arm that the others are held against.

    Returns
    -------
    Path
        ``comparison.html`` in a folder with ``comparison.csv`` (a row per run and part),
        ``differences.csv`` (a row per arm, part, stratum and metric, with verdict and sentence) and ``figures/``.
    """
    with artifact.building() as partial:
        if partial is None:
            return artifact.folder / "comparison.html"
        (partial / "figures").mkdir(exist_ok=True)
        finished = [_read(folder) for folder in sorted(runs)]
        table = pd.DataFrame([row for each in finished for row in _rows(each)])
        write_table(table, partial / "comparison.csv")
        experiments = _experiments(finished)
        found = pd.DataFrame(
            [
                {"experiment": name, **row}
                for name, own in experiments.items()
                for row in _differences(own, bootstrap, design, base)
            ],
            columns=COLUMNS,
        )
        write_table(found, partial / "differences.csv")
        page = render(
            "comparison.html",
            title=f"respcam: {len(finished)} runs compared",
            warnings=_warnings(finished),
            metric=title(metric),
            metric_names=METRICS,
            design=asdict(design),
            experiments=[
                _content(name, own, found, table, partial / "figures", metric, base, design)
                for name, own in experiments.items()
            ],
            runs=[
                {"name": folder.name, "link": os.path.relpath(folder / "report.html", artifact.folder)}
                for folder in sorted(runs)
            ],
        )
        write_atomically(partial / "comparison.html", page)
    return artifact.folder / "comparison.html"


def title(metric: str) -> str:
    """Name of a metric as it is written in sentences."""
    return "AUROC" if metric == "auroc" else metric.replace("_", " ")


def _read(folder: Path) -> dict[str, Any]:
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    return {
        "name": folder.name,
        **provenance["settings"]["run"],
        "metrics": json.loads((folder / "metrics.json").read_text(encoding="utf-8")),
        "heat": json.loads((folder / "heat_summary.json").read_text(encoding="utf-8")),
        "band_heat": pd.read_csv(folder / "band_heat.csv"),
        "trust": json.loads((folder / "trust.json").read_text(encoding="utf-8"))["parts"],
        "predictions": pd.read_csv(
            folder / "predictions.csv", dtype={"unit_id": str, "patient_id": str, **dict.fromkeys(STRATA, str)}
        ),
    }


def _rows(each: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per evaluated part of a run."""
    rows = []
    for part, values in each["metrics"].items():
        row = {
            "run": each["name"],
            **{name: each[name] for name in ("dataset", "task", "split", "fold", "bands", "model", "seed")},
            "n_bands": each["heat"]["n_bands"],
            "part": part,
            "note": values["note"],
            **{name: values[name] for name in ("n_units", "n_recordings", "n_patients")},
        }
        for name in METRICS:
            row[name], row[f"{name}_low"], row[f"{name}_high"] = (
                values[name][end] for end in ("value", "low", "high")
            )
        judged = each["trust"].get(part, {"is_supported": None, "top": {"heat": None, "occlusion": None}})
        row["heat_is_supported"] = judged["is_supported"]
        row["heat_densest_hz"], row["occlusion_most_hz"] = judged["top"]["heat"], judged["top"]["occlusion"]
        rows.append(row)
    return rows


def _experiments(finished: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Runs by what they share apart from bands, seed and fold; named by what tells the groups apart."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for each in finished:
        groups.setdefault(each["experiment"], []).append(each)
    common = ["dataset", "task", "split", "model"]
    varying = [name for name in common if len({each[name] for each in finished}) > 1]
    names = {
        digest: ", ".join(f"{name} {own[0][name]}" for name in (varying or common)) for digest, own in groups.items()
    }
    if len(set(names.values())) < len(names):
        names = {digest: f"{name} ({digest[:8]})" for digest, name in names.items()}
    return {names[digest]: own for digest, own in groups.items()}


def _arms(runs: list[dict[str, Any]], base: str) -> list[str]:
    """Names of the arms, the base arm first."""
    return sorted({each["bands"] for each in runs}, key=lambda name: (name != base, name))


def _parts(runs: list[dict[str, Any]]) -> list[str]:
    """What the runs were tested on; the test folds of a cross-validation are one."""
    parts = (_part(each, name) for each in runs for name in each["metrics"] if name != "validation")
    return list(dict.fromkeys(parts))


def _part(each: dict[str, Any], name: str) -> str:
    return name if each["fold"] is None else FOLDS


def _differences(
    runs: list[dict[str, Any]], bootstrap: BootstrapSettings, design: Design, base: str
) -> list[dict[str, Any]]:
    """Each arm minus the base arm: a row per part, stratum and metric."""
    arms = _arms(runs, base)
    bases = {each["apart_from_bands"]: each for each in runs if each["bands"] == base}
    rows = []
    for part in _parts(runs) if bases else ():
        tables = {arm: _pairs([each for each in runs if each["bands"] == arm], bases, part) for arm in arms[1:]}
        found: dict[tuple[str, str], dict[str, Difference]] = {}
        for arm, (pairs, strata, normal, score) in tables.items():
            for stratum, is_inside in [(EVERYONE, None), *strata.items()]:
                chosen = pairs if is_inside is None else [p.of(r) for p, r in zip(pairs, is_inside, strict=True)]
                chosen = [pair for pair in chosen if len(pair.target)]
                n_patients = len({patient for pair in chosen for patient in pair.patients})
                if n_patients < (1 if is_inside is None else FEWEST_PATIENTS):
                    continue
                for metric, difference in differences(chosen, normal, score, bootstrap, design).items():
                    found.setdefault((stratum, metric), {})[arm] = difference
        for (stratum, metric), own in found.items():
            p = corrected([each.p for each in own.values()])
            p_permuted = corrected([each.p_permuted for each in own.values()])
            for (arm, each), p_arm, p_arm_permuted in zip(own.items(), p, p_permuted, strict=True):
                verdict, sentence = conclusion(arm, base, title(metric), each, p_arm, len(own), design)
                rows.append(
                    {
                        "part": part, "stratum": stratum, "metric": metric, "arm": arm, "base": base, **asdict(each),
                        "p_corrected": p_arm, "p_permuted_corrected": p_arm_permuted, "verdict": verdict,
                        "sentence": sentence,
                    }
                )  # fmt: skip
    return rows


def _pairs(
    runs: list[dict[str, Any]], bases: dict[str, dict[str, Any]], part: str
) -> tuple[list[Pair], dict[str, list[np.ndarray]], int | None, str]:
    """Predictions of an arm beside those of the base arm of the same seed and fold, and the strata of their units."""
    pairs, known = [], []
    task, normal = {"score": "icbhi"}, None
    for each in runs:
        other = bases.get(each["apart_from_bands"])
        if other is None:
            log.warning("compare: %s has no run of the base arm with its seed and fold; left out", each["name"])
            continue
        names = [name for name in each["metrics"] if name != "validation" and _part(each, name) == part]
        tables = [table[table["split"].isin(names)].set_index("unit_id") for table in (
            each["predictions"], other["predictions"])]  # fmt: skip
        if tables[0].empty:
            continue
        if not tables[0].index.equals(tables[1].index):
            raise ValueError(f"{each['name']} and {other['name']} were tested on different units of {part}")
        classes, task = each["metrics"][names[0]]["confusion"]["classes"], each["task_settings"]
        normal = classes.index(task["normal"]) if task["normal"] in classes else None
        target = tables[0]["true_class"].map({name: k for k, name in enumerate(classes)}).to_numpy()
        probabilities = [table[[f"p_{name}" for name in classes]].to_numpy() for table in tables]
        pairs.append(
            Pair(each["seed"], each["fold"] or 0, tables[0]["patient_id"].to_numpy(), target, *probabilities)
        )
        known.append(tables[0])
    strata = {}
    for field in STRATA if known else ():
        if all(field in table for table in known):
            values = sorted(set(pd.concat([table[field] for table in known]).dropna()))
            for value in values if len(values) > 1 else ():
                stratum = f"{field.removesuffix('_hz').replace('_', ' ')} {value}"
                strata[stratum] = [(table[field] == value).to_numpy() for table in known]
    return pairs, strata, normal, task["score"]


def _warnings(finished: list[dict[str, Any]]) -> list[str]:
    notes = {(p, v["note"]) for each in finished for p, v in each["metrics"].items() if v["note"]}
    return [f"{part}: {note}. These figures are not patient-independent." for part, note in sorted(notes)]


def _content(
    name: str,
    runs: list[dict[str, Any]],
    found: pd.DataFrame,
    table: pd.DataFrame,
    folder: Path,
    metric: str,
    base: str,
    design: Design,
) -> dict[str, Any]:
    """What the page says about one experiment."""
    arms = _arms(runs, base)
    own = found[found["experiment"] == name]
    own_table = table[table["run"].isin([each["name"] for each in runs])]
    seeds, folds = sorted({each["seed"] for each in runs}), {each["fold"] for each in runs} - {None}
    trainings = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}" + (f" of {len(folds)} folds" if folds else "")
    parts = []
    for part in _parts(runs):
        in_part = own_table["part"].str.startswith("fold") if part == FOLDS else own_table["part"] == part
        means = own_table[in_part].groupby("bands")[[*METRICS, "n_bands", "n_patients"]].mean()
        n_runs = own_table[in_part].groupby("bands").size()
        rows = own[own["part"] == part]
        is_main, is_whole = rows["metric"] == metric, rows["stratum"] == EVERYONE
        main = rows[is_main & is_whole]
        stem = f"{part}_{runs[0]['experiment'][:8]}".replace(" ", "_")
        parts.append(
            {
                "name": part,
                "arms": [
                    {"arm": arm, "n_runs": int(n_runs[arm]), **{key: means.loc[arm, key] for key in means}}
                    for arm in arms
                    if arm in means.index
                ],
                "differences": main.to_dict("records"),
                "others": rows[~is_main & is_whole].to_dict("records"),
                "strata": rows[is_main & ~is_whole].to_dict("records"),
                "heat": _heat_of_arms(own_table[in_part], arms),
                "pictures": _pictures(main, runs, folder / stem, metric, base, design, part),
            }
        )
    return {
        "name": name,
        "summary": f"{len(runs)} runs: {len(arms)} arms, {trainings}.",
        "base": base,
        "parts": parts,
        "profiles": _profiles(runs, arms, folder, name),
    }


def _heat_of_arms(table: pd.DataFrame, arms: list[str]) -> list[dict[str, Any]]:
    """How many trainings of each arm have heat that occlusion bears out, and where both find the most."""
    judged = table.dropna(subset="heat_is_supported")
    found = []
    for arm in arms:
        own = judged[judged["bands"] == arm]
        if len(own):
            row = {"arm": arm, "n_runs": len(own), "n_supported": int(own["heat_is_supported"].sum())}
            for name in ("heat_densest_hz", "occlusion_most_hz"):
                row[name] = [f"{group} ({n})" for group, n in own[name].value_counts().items()]
            found.append(row)
    return found


def _pictures(
    main: pd.DataFrame, runs: list[dict[str, Any]], stem: Path, metric: str, base: str, design: Design, part: str
) -> list[dict[str, str]]:
    known = main.dropna(subset="low")
    if known.empty:
        return []
    found = [
        png(
            figures.forest(known, title(metric), base, design.margin),
            stem.with_name(f"forest_{stem.name}.png"),
            f"{part}: {title(metric)} of each arm minus that of {base}, with its {1 - design.alpha:.0%} interval "
            "over trainings and patients. Right of zero is better.",
        )
    ]
    cutoffs = {each["bands"]: _cutoff_hz(each["band_selection"]) for each in runs}
    curve = known.assign(cutoff_hz=known["arm"].map(cutoffs)).dropna(subset="cutoff_hz")
    if len(curve) > 2:
        caption = f"{part}: {title(metric)} minus that of {base} with the bands above a cut-off gone, with intervals."
        picture = figures.cutoff_curve(curve, title(metric), base, design.margin)
        found.append(png(picture, stem.with_name(f"cutoffs_{stem.name}.png"), caption))
    return found


def _cutoff_hz(selection: dict[str, Any]) -> float | None:
    """The frequency above which bands were cut away, where that is all that a selection does."""
    keep = selection["keep_hz"]
    is_plain = selection["choose"] == "ranges" and selection["how"] == "crop" and selection["spread_hz"] is None
    return keep[0][1] if is_plain and keep is not None and len(keep) == 1 and keep[0][0] <= 100 else None


def _profiles(runs: list[dict[str, Any]], arms: list[str], folder: Path, name: str) -> list[dict[str, str]]:
    """Heat per band of every arm, the mean over its trainings."""
    pictures: list[dict[str, str]] = []
    heat = pd.concat(
        [each["band_heat"].assign(arm=each["bands"], fold=each["fold"]) for each in runs], ignore_index=True
    )
    heat = heat[heat["scope"] == "band"]
    is_fold = heat["fold"].notna() & heat["split"].str.startswith("fold")
    heat["split"] = heat["split"].mask(is_fold, FOLDS)
    mark_hz = runs[0]["heat"]["hz_groups"]["mark_hz"]
    for (split, class_name), rows in heat.groupby(["split", "target_class"]):
        profiles = {}
        for arm in arms:
            of_arm = rows[rows["arm"] == arm].groupby("centre_hz")["ratio"]
            if of_arm.ngroups:
                ends = {"ratio": of_arm.mean(), "ratio_low": of_arm.min(), "ratio_high": of_arm.max()}
                profiles[arm] = pd.DataFrame(ends).reset_index()
        picture = figures.profiles_of_arms(profiles, mark_hz, f"{split}: heat for class {class_name}")
        caption = (
            f"{name}, {split}, class {class_name}: heat per band over what even heat over the arm's bands would be; "
            f"mean over trainings, shaded from the lowest to the highest. Grey: {arms[0]}. Dotted: {mark_hz:g} Hz."
        )
        stem = f"profiles_{split}_{class_name}_{len(pictures)}_{runs[0]['experiment'][:8]}.png".replace(" ", "_")
        pictures.append(png(picture, folder / stem, caption))
    return pictures

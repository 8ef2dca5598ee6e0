"""Test of heat on sounds with a planted frequency: does each method find it?

python scripts/bench/planted.py [--workers 2] [--plants 21] [--seed 1]

Trains a small model per planted frequency (the centre of every group of Hz and every edge between two groups). The
trust stage examines the model, and the result of every method is compared with the planted frequency. When it is
started again, it continues.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed

from respcam.cli.composition import composed_settings
from respcam.data import run_folder
from respcam.evidence.agreement import LOUDEST_BAND
from respcam.evidence.localisation import LOUDEST_MOMENT, NO_WEIGHTS, TRAINED
from respcam.heat.bands import HzGroups
from respcam.stages.run import Run, RunSettings

LOW_HUM_HZ, HIGH_HUM_HZ = 300, 1200
FAR_HZ = 700  # plants below it get the high hum, so that no plant is in the group of the hum
OUTPUT = Path("outputs/bench/planted")
BLANK = dict.fromkeys(("layers", "fill", "weights"), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="number of models trained at the same time"
    )
    parser.add_argument("--plants", type=int, default=None, help="number of planted frequencies; default: all")
    parser.add_argument("--plant", default="wheeze", choices=["wheeze", "crackle"], help="kind of plant")
    parser.add_argument("--seed", type=int, default=1, help="seed of sounds and weights")
    arguments, overrides = parser.parse_known_args()
    first = settings(arguments, 890, overrides)
    groups = first.hz_groups.over(first.front_end)
    plants = [(low + high) / 2 for low, high in zip(groups.edges_hz[:-1], groups.edges_hz[1:], strict=True)]
    plants = sorted(plants + list(groups.edges_hz[1:-1]))
    if arguments.plants:
        plants = [plants[round(i * (len(plants) - 1) / (arguments.plants - 1))] for i in range(arguments.plants)]
    jobs = (delayed(run)(arguments, plant_hz, overrides) for plant_hz in plants)
    scored = []
    for plant_hz, folder in zip(plants, Parallel(n_jobs=arguments.workers, return_as="generator")(jobs), strict=True):
        rows = score(Path(folder), plant_hz, groups)
        scored += rows
        top = next(row for row in rows if row["fill"] == run_folder.MEDIAN)
        print(f"{plant_hz:6.1f} Hz: accuracy {top['accuracy']:.3f}, occlusion says {top['says_hz']}", file=sys.stderr)
    table = pd.DataFrame(scored)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    path = OUTPUT / f"{arguments.plant}_seed{arguments.seed}.csv"
    table.to_csv(path, index=False)
    print(summary(table))
    print(path)


def settings(arguments: argparse.Namespace, plant_hz: float, overrides: list[str]) -> RunSettings:
    hum_hz = LOW_HUM_HZ if plant_hz > FAR_HZ else HIGH_HUM_HZ
    synthetic = {
        "plants": f"[{arguments.plant}]",
        "plant_hz": plant_hz,
        "hum_hz": hum_hz,
        "snr_db": 3 if arguments.plant == "wheeze" else 15,
        "n_patients": 64,
        "seed": arguments.seed,
    }
    sounds = [f"dataset.synthetic.{name}={value}" for name, value in synthetic.items()]
    base = ["training=quick", "training.epochs=24", f"seed={arguments.seed}", "workers=1"]
    return composed_settings([*base, *sounds, *overrides])


def run(arguments: argparse.Namespace, plant_hz: float, overrides: list[str]) -> str:
    logging.disable(logging.WARNING)
    return str(Run.of(settings(arguments, plant_hz, overrides)).make().parent)


def score(folder: Path, plant_hz: float, groups: HzGroups) -> list[dict]:
    """One row per method: the frequency that it finds, and its error."""
    confusion = run_folder.METRICS.read(folder)["test"]["confusion"]["true_by_predicted"]
    accuracy = sum(confusion[k][k] for k in range(2)) / sum(map(sum, confusion))
    tables = {
        name: run_folder.EVIDENCE[name].read(folder).fillna(BLANK) for name in ("profiles", "methods", "localisation")
    }
    methods = tables["methods"].set_index(["method", "layers"])
    in_time = tables["localisation"]
    in_time = in_time[in_time["weights"].isin([TRAINED, NO_WEIGHTS])].set_index(["method", "layers"])
    edges = dict(zip(groups.names, zip(groups.edges_hz[:-1], groups.edges_hz[1:], strict=True), strict=True))
    rows = []
    for (method, layers, fill), profile in tables["profiles"].groupby(["method", "layers", "fill"], sort=False):
        is_occlusion = bool(fill)
        says = profile.loc[profile["drop" if is_occlusion else "ratio"].idxmax(), "hz"]
        is_true = profile["hz"].map(lambda hz: edges[hz][0] <= plant_hz <= edges[hz][1])
        peak_hz = sum(edges[says]) / 2 if is_occlusion else methods.loc[(method, layers), "peak_hz"]
        amount = profile["drop"].clip(lower=0) if is_occlusion else profile["share"]
        uniform = 1 / len(profile) if is_occlusion else (profile["share"] / profile["ratio"]).mean()
        is_loudest = method == LOUDEST_BAND.method
        moment = (LOUDEST_MOMENT.method, LOUDEST_MOMENT.place) if is_loudest else (method, layers)
        rows.append(
            {
                "plant_hz": plant_hz,
                "method": ", ".join(word for word in (method, layers, fill) if word),
                "fill": fill,
                "is_method": not is_occlusion and bool(methods.loc[(method, layers), "is_method"]),
                "accuracy": accuracy,
                "says_hz": says,
                "is_hit": edges[says][0] <= plant_hz <= edges[says][1],
                "inside": amount[is_true].sum() / amount.sum(),
                "uniform": uniform * is_true.sum(),
                "error_hz": abs(peak_hz - plant_hz),
                **{key: in_time[key].get(moment) for key in ("pointing", "covered", "error_s")},
                "is_supported": bool(methods["is_supported"].get((method, layers), False)),
            }
        )
    return rows


def summary(table: pd.DataFrame) -> str:
    """Table in Markdown: one row per method, for the plants whose model learnt the task."""
    learnt = table[table["accuracy"] >= 0.95]
    n = learnt["plant_hz"].nunique()
    lines = [
        f"{n} of {table['plant_hz'].nunique()} models reach 95 % test accuracy and count.",
        "",
        "| method, at layer | plants found | heat inside (uniform) | error in Hz, median "
        "| hottest moment in an event (time covered) | error in s | called supported |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rows in learnt.groupby("method", sort=False):
        has_moment = rows["pointing"].notna().any()
        moment = f"{rows['pointing'].mean():.2f} ({rows['covered'].mean():.2f})" if has_moment else "-"
        error_s = f"{rows['error_s'].mean():.2f}" if has_moment else "-"
        supported = f"{rows['is_supported'].sum()} of {n}" if rows["is_method"].all() else "-"
        lines.append(
            f"| {name} | {rows['is_hit'].sum()} of {n} | {rows['inside'].mean():.0%} ({rows['uniform'].mean():.0%}) "
            f"| {rows['error_hz'].median():.0f} | {moment} | {error_s} | {supported} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""Paired comparison of settings on train patients: each patient is scored by models that have not heard it.

python scripts/bench/choices.py --change training.event_weight=0 --change training.epochs=40
    -- dataset=sprsound2022 dataset.root=DIR dataset.missing=skip task=adventitious

For every seed and fold a model of the given settings is trained, and one for each change. The predictions of all
folds together give one AUROC and one score per seed. A row is their mean over seeds, and the change minus the given
settings on the same patients and seeds, with 95 % intervals from a bootstrap over patients. No test part of the data
set is read: split=patient_kfold divides its train patients. Finished trainings are reused.
"""

import argparse
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
from tqdm import tqdm

from respcam.cli.composition import composed_settings
from respcam.data.splits import VALIDATION
from respcam.metrics import (
    BootstrapSettings,
    Interval,
    Predictions,
    calibration_error,
    interval,
    resampled_metrics,
    weights_and_resamples,
)
from respcam.stages.run import Run

SHOWN = ("auroc", "score", "calibration error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--change", action="append", default=[], help="overrides of one candidate, with spaces between"
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="trainings at a time, of one thread each")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    candidates = {"as given": [], **{change: change.split() for change in arguments.change}}
    train_all(
        [command for changes in candidates.values() for command in commands(arguments, changes)], arguments.jobs
    )
    tables = {name: [predictions_of_seed(arguments, changes, seed) for seed in arguments.seeds]
              for name, changes in candidates.items()}  # fmt: skip
    show(summary(tables))


def settings_of(arguments: argparse.Namespace, changes: list[str], seed: int, fold: int) -> list[str]:
    split = ["split=patient_kfold", f"split.n_folds={arguments.folds}", f"split.fold={fold}"]
    return [*arguments.overrides, *split, f"seed={seed}", "training.threads=1", *changes]


def commands(arguments: argparse.Namespace, changes: list[str]) -> list[list[str]]:
    return [
        settings_of(arguments, changes, seed, fold) for seed in arguments.seeds for fold in range(arguments.folds)
    ]


def train_all(all_settings: list[list[str]], jobs: int) -> None:
    """Train in processes of their own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(until: str, settings: list[str]) -> None:
        command = [sys.executable, "-m", "respcam.cli.main", "run", f"until={until}", *settings]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        if result.returncode:
            raise SystemExit(f"{' '.join(settings)}\n{result.stderr[-2000:]}")

    run("features", all_settings[0])  # all share them
    with ThreadPoolExecutor(jobs) as pool:
        list(tqdm(pool.map(partial(run, "train"), all_settings), total=len(all_settings), unit="training"))


def predictions_of_seed(arguments: argparse.Namespace, changes: list[str], seed: int) -> pd.DataFrame:
    """Predictions of all folds of a seed, by unit."""
    tables = []
    for fold in range(arguments.folds):
        train = Run.of(composed_settings(settings_of(arguments, changes, seed, fold))).stages["train"]
        table = train.predictions()
        tables.append(table[table["part"] != VALIDATION])
    table = pd.concat(tables).sort_values("unit_id", ignore_index=True)
    table.attrs = {"classes": train.class_names(), "task": train.recipe.task}
    return table


def summary(tables: dict[str, list[pd.DataFrame]]) -> pd.DataFrame:
    values = {name: np.mean([resampled(table) for table in of_seeds], axis=0) for name, of_seeds in tables.items()}
    per_seed = {name: np.array([resampled(table)[:, 0] for table in of_seeds]) for name, of_seeds in tables.items()}
    rows = []
    for name in tables:
        row = {"settings": name}
        for number, metric in enumerate(SHOWN):
            row[metric] = words(interval(values[name][number][0], values[name][number][1:]))
            row[f"SD of {metric}"] = (
                f"{per_seed[name][:, number].std(ddof=1):.3f}" if len(per_seed[name]) > 1 else "–"
            )
            difference = values[name][number] - values["as given"][number]
            row[f"{metric}, difference"] = (
                "–" if name == "as given" else words(interval(difference[0], difference[1:]), "+")
            )
        rows.append(row)
    return pd.DataFrame(rows)


def resampled(table: pd.DataFrame) -> np.ndarray:
    """Metrics of `SHOWN` for the patients as they are, then for resamples: [shape=(metric, 1 + resample)]."""
    names = table.attrs["classes"]
    weights = weights_and_resamples(table["patient_id"].astype(str).to_numpy(), BootstrapSettings())
    predictions = Predictions.of(table, names)
    metrics = resampled_metrics(predictions, weights, table.attrs["task"].scoring(names))
    error = calibration_error(predictions.target, predictions.probability, weights)
    return np.stack([*(metrics[name] for name in SHOWN[:-1]), error])


def show(table: pd.DataFrame) -> None:
    for cells in ([*table], ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()):
        print("| " + " | ".join(cells) + " |")
    print()


def words(value: Interval, sign: str = "") -> str:
    if value.value is None:
        return "–"
    return f"{value.value:{sign}.3f} ({value.low:{sign}.3f} to {value.high:{sign}.3f})"


if __name__ == "__main__":
    main()

"""A row of the table of results: trainings of several seeds on a published split, beside metadata alone.

python scripts/bench/results.py --seeds 0 1 2 3 4
    -- dataset=sprsound2022 dataset.root=DIR dataset.missing=skip task=sprsound_2_1

For every seed a model is trained. Epoch, calibration and decision come from its validation patients; its test parts
are scored once, by the training itself. A row has, per test part, the mean and the SD of every metric over seeds, and
a 95 % interval of the mean over patients. The second table is a classifier of metadata (device, site, age, duration,
level, ...) on the same units. Finished trainings are reused.
"""

import argparse
import logging
import os

import numpy as np
import pandas as pd
from choices import show, train_all, words

from respcam.cli.composition import composed_settings
from respcam.data import run_folder
from respcam.data.splits import TRAIN, VALIDATION
from respcam.evidence.metadata import metadata_baseline, metadata_of
from respcam.metrics import (
    BootstrapSettings,
    Predictions,
    calibration_error,
    compared_metrics,
    interval,
    resampled_metrics,
    weights_and_resamples,
)
from respcam.stages.run import Run
from respcam.stages.train import Train

ERROR = "calibration error"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="trainings at a time, of one thread each")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    of_seeds = [[*arguments.overrides, f"seed={seed}", "training.threads=1"] for seed in arguments.seeds]
    train_all(of_seeds, arguments.jobs)
    trainings = [Run.of(composed_settings(overrides)).stages["train"] for overrides in of_seeds]
    show(pd.DataFrame([row(trainings, part) for part in parts_of(trainings[0])]))
    show(pd.DataFrame(metadata_rows(trainings[0])))


def parts_of(train: Train) -> list[str]:
    """Test parts, in order."""
    return [part for part in train.metrics() if part != VALIDATION]


def row(trainings: list[Train], part: str) -> dict[str, str]:
    """Metrics of a part: mean, SD over seeds, interval of the mean over patients."""
    values = [resampled(train, part) for train in trainings]
    names = trainings[0].class_names()
    target = trainings[0].predictions().query("part == @part")["true_class"].value_counts()
    cells = {
        "part": part,
        "units": ", ".join(f"{target.get(name, 0)} {name}" for name in names),
        "trainings": str(len(trainings)),
    }
    for name in values[0]:
        of_seeds = np.stack([of_seed[name] for of_seed in values])
        mean = of_seeds.mean(axis=0)
        spread = f", SD {of_seeds[:, 0].std(ddof=1):.3f}" if len(of_seeds) > 1 else ""
        cells[name] = words(interval(mean[0], mean[1:])) + spread
    minutes = [run_folder.PROVENANCE.read(train.folder)["duration_s"] / 60 for train in trainings]
    cells["minutes per training"] = f"{np.mean(minutes):.0f}"
    network, _ = trainings[0].trial
    cells["parameters"] = str(sum(weight.numel() for weight in network.parameters()))
    return cells


def resampled(train: Train, part: str) -> dict[str, np.ndarray]:
    """Metrics of one training for the patients as they are, then for resamples: [shape=(1 + resample,)]."""
    names, table = train.class_names(), train.predictions().query("part == @part")
    predictions, scoring = Predictions.of(table, names), train.recipe.task.scoring(names)
    weights = weights_and_resamples(table["patient_id"].astype(str).to_numpy(), BootstrapSettings())
    values = resampled_metrics(predictions, weights, scoring)
    error = calibration_error(predictions.target, predictions.probability, weights)
    return {name: values[name] for name in compared_metrics(scoring)} | {ERROR: error}


def metadata_rows(train: Train) -> list[dict[str, str]]:
    """AUROC of metadata alone on each test part: all fields, then the best single ones."""
    metadata = metadata_of(train.labels.recordings, train.features.resample.recordings())
    n_classes, rows = len(train.class_names()), []
    for part in parts_of(train):
        units = train.units([part])
        for score in metadata_baseline(metadata, train.units([TRAIN]), units, n_classes, BootstrapSettings())[:3]:
            rows.append({"part": part, "metadata": ", ".join(score.fields), "auroc": words(score.auroc)})
    return rows


if __name__ == "__main__":
    main()

"""Training time to a given AUROC on validation patients, with two sets of settings.

python scripts/bench/time_to_auroc.py --auroc 0.84 --against training.epochs=32 training.pooling=mean
    -- dataset=sprsound2022 dataset.root=DIR dataset.missing=skip task=adventitious

The two sets of settings take turns, seed by seed. The time ends with the first epoch that reaches the AUROC; all
epochs of a run count as equally long. A run that never reaches it counts with its full time. No test recording is
used.
"""

import argparse
import time
from pathlib import Path

import measure
import numpy as np

from respcam.cli.composition import composed_settings
from respcam.data.splits import TRAIN, VALIDATION
from respcam.network import training
from respcam.network.inputs import Scaler
from respcam.network.machine import make_fabric
from respcam.network.model import build


def rows(arguments: argparse.Namespace) -> list[measure.Row]:
    ours, others = [], []
    for seed in arguments.seeds:
        ours.append(trained(arguments, [*arguments.overrides, f"seed={seed}"]))
        others.append(trained(arguments, [*arguments.overrides, *arguments.against, f"seed={seed}"]))
    on = f"{len(arguments.seeds)} seeds, to AUROC {arguments.auroc:g}"
    bench, spread = "time to AUROC", measure.spread
    ours_s, others_s = ([run["seconds"] for run in runs] for runs in (ours, others))
    ours_auroc, others_auroc = ([run["auroc"] for run in runs] for runs in (ours, others))
    gain = np.array(ours_auroc) - np.array(others_auroc)
    return [
        spread(bench, "seconds, own settings", on, ours_s, "s"),
        spread(bench, "seconds, other settings", on, others_s, "s"),
        measure.ratio(bench, "own over other", on, ours_s, others_s, "<= 0.5"),
        spread(bench, "AUROC of the chosen epoch, own settings", on, ours_auroc, ""),
        spread(bench, "AUROC of the chosen epoch, other settings", on, others_auroc, ""),
        spread(bench, "AUROC, own minus other", on, gain.tolist(), "", ">= -0.01"),
    ]


def trained(arguments: argparse.Namespace, overrides: list[str]) -> dict[str, float]:
    """Seconds to the given AUROC, and the AUROC of the chosen epoch."""
    settings = composed_settings(overrides)
    recipe, train = settings.recipe, measure.training_of(settings)
    prepared = train.prepare()
    n_classes = len(prepared.class_names)
    parts = {part: train.data_of(prepared.of(part)) for part in (TRAIN, VALIDATION)}
    fabric = make_fabric(settings.device, recipe.training.precision, recipe.training.threads)
    with measure.scratch() as folder:
        start = time.perf_counter()
        data = training.TrainingData(parts[TRAIN], parts[VALIDATION], Scaler.fit(parts[TRAIN]), n_classes)
        _, history = training.fit(
            lambda: build(recipe.model, n_classes),
            data,
            recipe.training,
            settings.seed,
            fabric,
            Path(folder) / "checkpoint.pt",
        )
        seconds = time.perf_counter() - start
    chosen = history.loc[history["is_best"]].iloc[0]
    reached = history.loc[history["validation_auroc"] >= arguments.auroc, "epoch"]
    measure.say(
        f"{' '.join(overrides[-3:])}: {len(history)} epochs in {seconds:.0f} s, "
        f"AUROC {chosen['validation_auroc']:.4f} at epoch {chosen['epoch']:.0f}, "
        f"{arguments.auroc:g} at epoch {reached.iloc[0] if len(reached) else 'none'}"
    )
    share = reached.iloc[0] / len(history) if len(reached) else 1.0
    return {"seconds": seconds * share, "auroc": float(chosen["validation_auroc"])}


if __name__ == "__main__":
    parser = measure.parser(__doc__)
    parser.add_argument("--auroc", type=float, required=True, help="AUROC on validation patients to reach")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="seeds of the trainings")
    parser.add_argument("--against", nargs="+", required=True, help="overrides of the other settings")
    measure.main("time_to_auroc", rows, parser.parse_args())

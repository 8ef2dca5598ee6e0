"""How long training takes to a given AUROC on validation patients, with these settings and with others.

python scripts/bench/time_to_auroc.py --auroc 0.84 --against training.epochs=32 training.pooling=mean
    -- dataset=sprsound2022 dataset.root=DIR dataset.missing=skip task=adventitious

Settings and others take turns, seed by seed. The time is that of the first epoch whose AUROC is as asked, the epochs
of a run taken as equally long; a run that never gets there counts whole and is named. No test recording is touched.
"""

import argparse
import time
from pathlib import Path

import measure
import numpy as np

from configured import composed
from respcam.network import training
from respcam.network.model import build
from respcam.network.training import Scaler
from respcam.stages import train


def rows(arguments: argparse.Namespace) -> list[measure.Row]:
    own, other = [], []
    for seed in arguments.seeds:
        own.append(trained(arguments, [*arguments.overrides, f"seed={seed}"]))
        other.append(trained(arguments, [*arguments.overrides, *arguments.against, f"seed={seed}"]))
    on = f"{len(arguments.seeds)} seeds, to AUROC {arguments.auroc:g}"
    bench, spread = "time to AUROC", measure.spread
    gain = np.array([a["auroc"] - b["auroc"] for a, b in zip(own, other, strict=True)])
    return [
        spread(bench, "seconds, own settings", on, [each["seconds"] for each in own], "s"),
        spread(bench, "seconds, other settings", on, [each["seconds"] for each in other], "s"),
        spread(
            bench, "own over other", on,
            [a["seconds"] / b["seconds"] for a, b in zip(own, other, strict=True)], limit="<= 0.5",
        ),
        spread(bench, "AUROC of the chosen epoch, own settings", on, [each["auroc"] for each in own], ""),
        spread(bench, "AUROC of the chosen epoch, other settings", on, [each["auroc"] for each in other], ""),
        spread(bench, "AUROC, own minus other", on, gain.tolist(), "", ">= -0.01"),
    ]  # fmt: skip


def trained(arguments: argparse.Namespace, overrides: list[str]) -> dict[str, float]:
    """Seconds to the AUROC that is asked for, and the AUROC of the epoch that would be kept."""
    settings = composed(overrides)
    own = settings.trained
    store, units, class_names = measure.units_of(settings)
    parts = {part: train.load_units(store, units[units["side"] == part], own) for part in ("train", "validation")}
    fabric = training.make_fabric(settings.device, own.training.precision, own.training.threads)
    with measure.scratch() as folder:
        start = time.perf_counter()
        _, history = training.fit(
            lambda: build(own.model, len(class_names)), parts["train"], parts["validation"],
            Scaler.fit(parts["train"]), len(class_names), own.training, settings.seed, fabric,
            Path(folder) / "checkpoint.pt",
        )  # fmt: skip
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
    parser.add_argument("--auroc", type=float, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--against", nargs="+", required=True, help="what the other settings have different")
    measure.main("time_to_auroc", rows, parser.parse_args())

"""Time of a sweep with one and with two joblib workers, one torch thread each.

python scripts/bench/sweep.py [--rounds 1] [dataset=sprsound2022 dataset.root=DIR ... training.epochs=2]

Each sweep has twelve runs (six seeds, two arms), from files to reports, in an empty folder. The time includes the
start of the workers and their waiting: the first worker that needs the features makes them for all.
"""

import argparse
import subprocess
import sys
import time

import measure

from respcam.cli.places import SHIPPED as PROJECT

SWEEP = ["seed=0,1,2,3,4,5", "bands=all,below_1500hz"]


def rows(arguments: argparse.Namespace) -> list[measure.Row]:
    overrides = arguments.overrides or ["training=quick"]
    on = " ".join([*SWEEP, *overrides])
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(arguments.rounds):
        for n_workers in (1, 2) if number % 2 else (2, 1):
            seconds[n_workers].append(_sweep(n_workers, overrides))
            measure.say(f"sweep: {n_workers} workers, {seconds[n_workers][-1]:.0f} s")
    return [
        measure.spread("sweep", "one worker", on, seconds[1], "s"),
        measure.spread("sweep", "two workers", on, seconds[2], "s"),
        measure.ratio("sweep", "one worker over two", on, seconds[1], seconds[2], ">= 1.7"),
    ]


def _sweep(n_workers: int, overrides: list[str]) -> float:
    with measure.scratch() as folder:
        places = [f"paths.{name}={folder}/{name}" for name in ("store", "runs", "records")]
        launcher = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={n_workers}", "training.threads=1"]
        command = [sys.executable, str(PROJECT / "scripts/run.py"), "-m", *launcher, *places, *SWEEP, *overrides]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - start


if __name__ == "__main__":
    parser = measure.parser(__doc__)
    parser.set_defaults(rounds=1)  # takes ten minutes
    measure.main("sweep", rows, parser.parse_args())

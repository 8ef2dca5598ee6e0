"""Time and memory by corpus size: four stages on 1, 10 and 100 hours of generated audio.

python scripts/bench/growth.py [--hours 1 10 100]

Each size runs in its own process with one worker and one epoch of training, after a small corpus as warm-up. Sizes
below 10 hours run five times, and the median counts. Memory is the anonymous memory of the process, sampled ten times
a second; pages of mapped files are not counted, because the system can free them at any time. 100 hours temporarily
need 32 GB of disk. Files of a finished size are emptied, and deleted at the end (see `measure.emptied`).
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import generated
import measure
from threadpoolctl import threadpool_limits

from respcam.cli.composition import composed_settings
from respcam.stages.explain import Explain
from respcam.stages.features import Features
from respcam.stages.resample import Resample
from respcam.stages.train import Train

WARM_UP_HOURS = 0.2
OVERRIDES = ["task=adventitious", "training.epochs=1", "bootstrap.n_resamples=200"]
STAGES = ("resample", "features", "train", "explain")
FLAT = {"resample", "features", "explain"}


def rows(arguments: argparse.Namespace) -> list[measure.Row]:
    by_size: dict[float, dict[str, dict[str, float]]] = {}
    with measure.scratch() as folder:
        for hours in arguments.hours:
            measure.say(f"growth: {hours:g} h")
            place = Path(folder) / f"{hours:g}"
            command = [sys.executable, __file__, "--size", f"{hours}", "--folder", place, *arguments.overrides]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            by_size[hours] = json.loads(output.splitlines()[-1])
            measure.emptied(place)
    on = f"{', '.join(f'{hours:g}' for hours in arguments.hours)} h of noise, one worker"
    table = []
    for stage in STAGES:
        per_hour = [by_size[hours][stage]["seconds"] / hours for hours in arguments.hours]
        memory = [by_size[hours][stage]["peak_mb"] for hours in arguments.hours]
        table += [
            measure.spread("growth", f"{stage}: time per hour", on, per_hour, "s"),
            measure.spread("growth", f"{stage}: most to least", on, [max(per_hour) / min(per_hour)], "x", "<= 1.15"),
            measure.spread("growth", f"{stage}: memory", on, memory, "MB"),
            measure.spread(
                "growth",
                f"{stage}: memory at {max(arguments.hours):g} h over {min(arguments.hours):g} h",
                on,
                [memory[-1] / memory[0]],
                "x",
                "<= 1.2" if stage in FLAT else "",
            ),
        ]
    return table


def medians(hours: float, overrides: list[str], folder: Path) -> dict[str, dict[str, float]]:
    """Seconds and peak memory of each stage."""
    with threadpool_limits(1):
        stages_of(WARM_UP_HOURS, overrides, folder / "warm-up")
        rounds = [stages_of(hours, overrides, folder / f"{number}") for number in range(5 if hours < 10 else 1)]
    return {
        stage: {
            what: statistics.median(of_round[stage][what] for of_round in rounds) for what in ("seconds", "peak_mb")
        }
        for stage in STAGES
    }


def stages_of(hours: float, overrides: list[str], folder: Path) -> dict[str, dict[str, float]]:
    settings = composed_settings([*OVERRIDES, *overrides])
    dataset, store = generated.source(folder / "audio", hours), folder / "store"
    resample = Resample(store=store, files=dataset.files, audio=settings.audio, workers=1)
    features = Features(store=store, resample=resample, front_end=settings.front_end, workers=1)
    train = Train(
        store=store,
        features=features,
        labels=dataset.labels,
        recipe=settings.recipe,
        seed=settings.seed,
        device=settings.device,
    )
    explain = Explain(store=store, train=train, explain=settings.explain)
    by_stage = {"resample": watched(resample.make), "features": watched(features.make)}
    measure.emptied(resample.folder / "audio")
    return by_stage | {"train": watched(train.make), "explain": watched(explain.make)}


def watched(work: Callable[[], object]) -> dict[str, float]:
    peak_mb, is_done = [anonymous_mb()], threading.Event()

    def watch() -> None:
        while not is_done.wait(0.1):
            peak_mb.append(anonymous_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        work()
    finally:
        seconds = time.perf_counter() - start
        is_done.set()
        watcher.join()
    return {"seconds": seconds, "peak_mb": max(peak_mb)}


def anonymous_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("--hours", type=float, nargs="+", default=[1, 10, 100])
    parser.add_argument("--size", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.size:
        print(json.dumps(medians(arguments.size, arguments.overrides, arguments.folder)))
    else:
        measure.main("growth", rows, arguments)


if __name__ == "__main__":
    main()

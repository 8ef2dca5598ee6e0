"""Speed of feature extraction: all recordings of a data set to log-mel frames, with one process and with all cores.

python scripts/bench/extraction.py [dataset=sprsound2022 dataset.root=DIR dataset.missing=skip]

It runs the stages resample and features of a run, including files on disk and the start of worker processes. The
first round is not counted; after it, the recordings are in the file cache.
"""

import argparse
import os
import tempfile
from pathlib import Path

import generated
import measure
from loky import get_reusable_executor
from threadpoolctl import threadpool_limits

from respcam.cli.composition import composed_settings
from respcam.stages.dataset import open_dataset
from respcam.stages.features import Features
from respcam.stages.resample import Resample

HOURS = 7


def rows(arguments: argparse.Namespace) -> list[measure.Row]:
    n_cores = os.cpu_count() or 1
    settings = composed_settings(arguments.overrides)
    with measure.scratch() as folder, threadpool_limits(1):
        if arguments.overrides:
            dataset = open_dataset(settings.dataset, settings.store, settings.workers)
        else:
            dataset = generated.source(Path(folder) / "audio", HOURS)

        def extract(n_processes: int) -> float:
            store = Path(tempfile.mkdtemp(dir=folder, prefix="store"))
            resample = Resample(store=store, files=dataset.files, audio=settings.audio, workers=n_processes)
            resample.make()
            Features(store=store, resample=resample, front_end=settings.front_end, workers=n_processes).make()
            recordings = resample.recordings()
            return float((recordings["source_samples"] / recordings["source_rate_hz"]).sum() / 3600)

        def between() -> None:
            get_reusable_executor(reuse=True).shutdown()  # so that every round starts its processes
            for store in Path(folder).glob("store*"):
                measure.emptied(store)

        hours = extract(n_cores)
        between()
        works = {"one": lambda: extract(1), "all": lambda: extract(n_cores)}
        seconds = measure.alternate(works, arguments.rounds, between=between)
    on = f"{hours:.1f} h, {dataset.name}"
    return [
        measure.spread("extraction", "one process", on, seconds["one"], "s"),
        measure.spread("extraction", f"{n_cores} processes", on, seconds["all"], "s", "<= 30"),
        measure.ratio("extraction", f"one process over {n_cores}", on, seconds["one"], seconds["all"], ">= 1.8"),
    ]


if __name__ == "__main__":
    measure.main("extraction", rows, measure.parser(__doc__).parse_args())

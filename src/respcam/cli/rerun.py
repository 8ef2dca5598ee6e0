"""Make a run again from its folder and say which figures are the same: respcam rerun outputs/runs/RUN"""

import argparse
import logging
from pathlib import Path

from omegaconf import OmegaConf

from respcam.cli.refusals import LOG_FORMAT, reports_refusals
from respcam.data import run_folder


@reports_refusals
def rerun(arguments: argparse.Namespace) -> None:
    """Make the run in a folder of its own and compare."""
    from respcam.cli.composition import settings_of  # imports torch, which takes seconds: not for --help
    from respcam.experiments.repeat import check_can_repeat, what_is_the_same
    from respcam.stages.run import Run

    out = arguments.out / arguments.run.name
    check_can_repeat(arguments.run, out)
    cfg = OmegaConf.load(arguments.run / run_folder.CONFIGURATION)
    cfg.paths.store, cfg.paths.runs = str(out / "store"), str(out / "runs")
    repetition = Run.of(settings_of(cfg)).make().parent
    print(repetition)
    for line in what_is_the_same(arguments.run, repetition):
        print(line)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--out", type=Path, default=Path("outputs/rerun"), help="where it is made again")
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    rerun(parser.parse_args())

"""Make a run again from its folder and say which figures are the same: python scripts/rerun.py outputs/runs/RUN"""

import argparse
import logging
from pathlib import Path

from omegaconf import OmegaConf

from edge import one_line_errors


@one_line_errors
def main(arguments: argparse.Namespace) -> None:
    from configured import pipeline_of  # imports torch, which takes seconds: not for --help
    from respcam.experiments.repeat import check_can_repeat, what_is_the_same

    out = arguments.out / arguments.run.name
    check_can_repeat(arguments.run, out)
    cfg = OmegaConf.load(arguments.run / "config.yaml")
    cfg.paths.store, cfg.paths.runs = str(out / "store"), str(out / "runs")
    again = pipeline_of(cfg).run_all().parent
    print(again)
    for line in what_is_the_same(arguments.run, again):
        print(line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--out", type=Path, default=Path("outputs/rerun"), help="where it is made again")
    logging.basicConfig(level=logging.INFO, format="[%(asctime)s][%(name)s][%(levelname)s] - %(message)s")
    main(parser.parse_args())

"""Start-up time of a command without work (--help, a run with all stages finished) and of the library.

python scripts/bench/start_up.py [dataset=sprsound2022 dataset.root=DIR dataset.missing=skip task=adventitious]

If the run is not finished, it is made first.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable

import measure

from respcam.cli.places import SHIPPED as PROJECT

FEW = ["dataset.synthetic.n_patients=20", "dataset.synthetic.duration_s=2", "training=quick", "training.epochs=1"]


def rows(arguments: argparse.Namespace) -> list[measure.Row]:
    overrides = arguments.overrides or FEW
    subprocess.run([sys.executable, str(PROJECT / "scripts/run.py"), *overrides], check=True, capture_output=True)
    commands = {
        "--help": (_command("--help"), "-", "<= 1.5"),
        "a finished run": (_command(*overrides), overrides[0], "<= 5"),
        "import respcam": (_python("-c", "import respcam"), "-", "<= 0.3"),
        "import torch, for comparison": (_python("-c", "import torch"), "-", ""),
    }
    seconds = measure.alternate({name: work for name, (work, _, _) in commands.items()}, arguments.rounds)
    return [
        measure.spread("start-up", name, on, seconds[name], "s", limit) for name, (_, on, limit) in commands.items()
    ]


def _command(*arguments: str) -> Callable[[], object]:
    return _python(str(PROJECT / "scripts/run.py"), *arguments)


def _python(*arguments: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


if __name__ == "__main__":
    measure.main("start_up", rows, measure.parser(__doc__).parse_args())

"""Common functions of the benchmarks: alternating runs, medians of ratios, table and JSON."""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile as sf

if TYPE_CHECKING:  # takes seconds to import
    from respcam.stages.run import RunSettings
    from respcam.stages.train import Train

PACKAGES = ("respcam", "torch", "torchaudio", "numpy", "scipy", "soundfile", "soxr", "librosa", "captum", "grad-cam")
OUTPUT = Path("outputs/bench")


@dataclass(frozen=True)
class Row:
    """One number of a benchmark.

    Attributes
    ----------
    bench, what, on : str
        Name of the benchmark, of the comparison, and of the input.
    figure : float
        Median over the rounds.
    low, high : float
        Smallest and largest round.
    unit : str
        Unit of the number; ``x`` for a ratio.
    limit : str
        Limit such as ``<= 1.15``; blank if there is none.
    """

    bench: str
    what: str
    on: str
    figure: float
    low: float
    high: float
    unit: str = "x"
    limit: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the number meets its limit; None if there is no limit."""
        if not self.limit:
            return None
        sign, bound = self.limit.split()
        return self.figure <= float(bound) if sign == "<=" else self.figure >= float(bound)


def alternate(
    works: dict[str, Callable[[], object]],
    rounds: int,
    per_round_s: float = 0.2,
    between: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Time functions in turn, so that a slower machine slows all of them.

    Parameters
    ----------
    works : dict of str to callable
        Functions to time, by name.
    rounds : int
        Number of counted rounds, after one that is not counted.
    per_round_s : float
        A shorter function is repeated within a round, up to about this time.
    between : callable
        Function called after every timed function; its time does not count.

    Returns
    -------
    dict of str to list of float
        Seconds per call, one value per round.
    """

    def seconds(work: Callable[[], object], n: int = 1) -> float:
        start = time.perf_counter()
        for _ in range(n):
            work()
        taken = time.perf_counter() - start
        between()
        return taken / n

    for work in works.values():
        seconds(work)
    repeats = {name: max(1, int(per_round_s / max(seconds(work), 1e-6))) for name, work in works.items()}
    by_work: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        names = list(works)
        for name in names if number % 2 else reversed(names):
            by_work[name].append(seconds(works[name], repeats[name]))
    return by_work


def ratio(bench: str, what: str, on: str, upper: Sequence[float], lower: Sequence[float], limit: str = "") -> Row:
    """Ratio of two series of times, round by round."""
    return spread(bench, what, on, [above / below for above, below in zip(upper, lower, strict=True)], limit=limit)


def spread(bench: str, what: str, on: str, values: Sequence[float], unit: str = "x", limit: str = "") -> Row:
    """Median, smallest and largest of some values."""
    return Row(bench, what, on, float(statistics.median(values)), float(min(values)), float(max(values)), unit, limit)


def machine() -> dict[str, Any]:
    """Describe the machine, the packages and the date."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).is_file() else []


def table(rows: Sequence[Row]) -> str:
    """Rows as aligned text."""
    cells = [("bench", "what", "on", "median", "rounds", "limit", "")]
    for row in rows:
        met = {True: "met", False: "MISSED", None: ""}[row.is_met]
        unit = "" if row.unit == "x" else f" {row.unit}"
        cells.append(
            (row.bench, row.what, row.on, f"{row.figure:.3g}{unit}", f"{row.low:.3g}-{row.high:.3g}", row.limit, met)
        )
    widths = [max(len(line[column]) for line in cells) for column in range(7)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Command-line options of every benchmark."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7, help="number of counted rounds")
    options.add_argument(
        "overrides",
        nargs="*",
        help="overrides as for run.py, such as dataset=sprsound2022 dataset.root=DIR; default: synthetic",
    )
    return options


def main(name: str, rows: Callable[[argparse.Namespace], list[Row]], arguments: argparse.Namespace) -> None:
    """Run one benchmark, print its table and write its JSON."""
    write(name, rows(arguments), machine())


def write(name: str, rows: Sequence[Row], where: dict[str, Any]) -> None:
    """Print the table of some rows and write them as JSON."""
    print(f"{where['processor']}, {where['cores']} cores, load {where['load_before']} before the start")
    print(", ".join(f"{package} {number}" for package, number in where["versions"].items()))
    print(table(rows))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    path = OUTPUT / f"{name}.json"
    plain = [{**asdict(row), "is_met": row.is_met} for row in rows]
    path.write_text(json.dumps({"machine": where, "rows": plain}, indent=2) + "\n")
    print(path)


def say(text: str) -> None:
    """Report progress."""
    print(text, file=sys.stderr, flush=True)


def noise_file(folder: Path, seconds: float, rate_hz: int, seed: int = 0) -> Path:
    """Write 16-bit mono noise."""
    path = folder / f"noise_{rate_hz}_{seed}.wav"
    sound = 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate_hz))
    sf.write(path, sound, rate_hz, subtype="PCM_16")
    return path


def training_of(settings: "RunSettings") -> "Train":
    """The training of a run, ready to start: resample and features are made if needed."""
    from respcam.stages.run import Run

    run = Run.of(settings)
    run.make("features")
    return run.stages["train"]


def emptied(folder: Path) -> None:
    """Empty all files and keep their names.

    After files were deleted, ext4 skips their inodes for minutes whenever a file is made. After thousands of deleted
    files this took 0.8 ms instead of 0.05 ms. So a benchmark that deletes files would slow its next round.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            os.truncate(path, 0)


def scratch() -> tempfile.TemporaryDirectory:
    """Make a temporary folder beside the output, on the same disk as the results of a user."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=OUTPUT)

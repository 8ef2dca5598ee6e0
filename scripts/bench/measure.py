"""What every benchmark shares: alternating runs, medians of ratios, the table and its JSON."""

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
    """One figure of a benchmark.

    Attributes
    ----------
    bench, what, on : str
        Benchmark, what is compared, on what input.
    figure : float
        Median over the rounds.
    low, high : float
        Least and largest round.
    unit : str
        ``x`` for a ratio.
    limit : str
        Such as ``<= 1.15``; blank where the figure is for information.
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
        """Whether the figure keeps its limit; None where it has none."""
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
    """Time works in turn, so that a machine that slows down slows all of them.

    Parameters
    ----------
    works : dict of str to callable
    rounds : int
        Counted rounds, after one that is not.
    per_round_s : float
        A work shorter than this is repeated within a round, up to about this time.
    between : callable
        Called after every work, outside the time that is taken.

    Returns
    -------
    dict of str to list of float
        Seconds per call, one for each round.
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
    """Quotient of two works, round by round."""
    return spread(bench, what, on, [above / below for above, below in zip(upper, lower, strict=True)], limit=limit)


def spread(bench: str, what: str, on: str, values: Sequence[float], unit: str = "x", limit: str = "") -> Row:
    """Median, least and largest of some values."""
    return Row(bench, what, on, float(statistics.median(values)), float(min(values)), float(max(values)), unit, limit)


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
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
    """Options that every benchmark takes."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7, help="counted rounds")
    options.add_argument(
        "overrides", nargs="*", help="as for run.py, such as dataset=sprsound2022 dataset.root=DIR; else synthetic"
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
    """The training of a run, ready to start: its recordings are resampled and framed where they are not yet."""
    from respcam.stages.run import Run

    run = Run.of(settings)
    run.make("features")
    return run.stages["train"]


def emptied(folder: Path) -> None:
    """Give the space of all files back and keep their names.

    For minutes after files were deleted, ext4 passes over their inodes whenever a file is made, which took 0.8 ms
    instead of 0.05 once thousands had gone: a benchmark that deletes slows its own next round.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            os.truncate(path, 0)


def scratch() -> tempfile.TemporaryDirectory:
    """Make a folder beside the output, on the disk that a user's results would lie on."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=OUTPUT)

"""Repetition of a run: comparison of its files and metrics."""

from collections.abc import Iterator
from pathlib import Path

from respcam.data import run_folder
from respcam.errors import Refused
from respcam.experiments.finished import FinishedRun
from respcam.store.artifact import git_state

EXACT = (
    run_folder.WEIGHTS,
    run_folder.PREDICTIONS.name,
    run_folder.METRICS.name,
    run_folder.BAND_HEAT.name,
    run_folder.UNITS.name,
)


def check_can_repeat(run: Path, out: Path) -> None:
    """Refuse a folder without a finished run, and an output folder with an earlier repetition.

    Parameters
    ----------
    run : Path
        Folder of a run.
    out : Path
        Output folder of the repetition.

    Raises
    ------
    Refused
        If the run has no configuration, or ``out`` holds a repetition, which may be of another version.
    """
    FinishedRun.of(run, required=run_folder.CONFIGURATION)
    if any(out.glob(f"runs/*/{run_folder.PROVENANCE.name}")):
        raise Refused(f"{out}: holds an earlier repetition; remove it, or name another folder with --out")


def what_is_the_same(run: Path, again: Path) -> Iterator[str]:
    """Compare two folders of finished runs.

    Parameters
    ----------
    run : Path
        Folder of the original run.
    again : Path
        Folder of its repetition by this code.

    Yields
    ------
    str
        One line each: the digest; versions, platform and code if they changed; every file and metric that should
        be identical.
    """
    first, repeated = FinishedRun(run), FinishedRun(again)
    made, now = first.provenance(), repeated.provenance()
    is_same = first.digest() == repeated.digest()
    yield f"digest: {'identical' if is_same else 'differs (settings, inputs or versions changed)'}"
    for name in ("libraries", "python", "platform"):
        if made[name] != now[name]:
            yield f"{name}: was {made[name]}, is {now[name]}"
    if made["git"] != git_state():
        yield f"code: was {made['git']}, is {git_state()}"
    for name in EXACT:
        yield f"{name}: {_word(first.sha256(name), repeated.sha256(name))}"
    intervals = repeated.intervals()
    for name, interval in first.intervals().items():
        before, after = interval["value"], intervals[name]["value"]
        yield f"{name.replace('.', ' ', 1)}: was {before}, is {after}: {_word(before, after)}"


def _word(before: object, after: object) -> str:
    return "identical" if before == after else "differs"

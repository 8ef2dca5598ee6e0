"""Whether a run that was made again is the same."""

import json
from collections.abc import Iterator
from pathlib import Path

from respcam.experiments.records import intervals
from respcam.store.artifact import file_sha256, git_state

EXACT = ("model.safetensors", "predictions.csv", "metrics.json", "band_heat.csv", "units.csv")


def check_can_repeat(run: Path, out: Path) -> None:
    """Refuse what is no finished run, and a folder that holds an earlier repetition.

    Raises
    ------
    FileNotFoundError
        If the run has no configuration.
    ValueError
        If ``out`` is taken: a run would be compared with the repetition of another version.
    """
    if not (run / "config.yaml").is_file():
        raise FileNotFoundError(f"{run}: not a finished run (it has no config.yaml)")
    if any(out.glob("runs/*/provenance.json")):
        raise ValueError(f"{out}: made again before; remove it, or name another folder with --out")


def what_is_the_same(run: Path, again: Path) -> Iterator[str]:
    """Compare two folders of finished runs.

    Parameters
    ----------
    run : Path
        As it was made first.
    again : Path
        As this code made it.

    Yields
    ------
    str
        A line each: the digest; versions, platform and code where they changed; every file and figure that should
        be identical.
    """
    made, now = (json.loads((folder / "provenance.json").read_text(encoding="utf-8")) for folder in (run, again))
    yield f"digest: {'the same' if made['digest'] == now['digest'] else 'another: settings or inputs changed'}"
    for name in ("libraries", "python", "platform"):
        if made[name] != now[name]:
            yield f"{name}: was {made[name]}, is {now[name]}"
    if made["git"] != git_state():
        yield f"code: was {made['git']}, is {git_state()}"
    for name in EXACT:
        yield f"{name}: {_word(file_sha256(run / name), file_sha256(again / name))}"
    before, after = intervals(run), intervals(again)
    for name, own in before.items():
        found = after[name]["value"]
        yield f"{name.replace('.', ' ', 1)}: was {own['value']}, is {found}: {_word(own['value'], found)}"


def _word(one: object, other: object) -> str:
    return "identical" if one == other else "differs"

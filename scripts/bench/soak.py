"""Interruptions at random moments: the same command afterwards must end as if nothing had happened.

python scripts/bench/soak.py [--interruptions 200] [--serves 20] [--jobs 2] [--seed 0]

Commands are a run, a run with worker processes, a sweep, a comparison and a prediction on made-up sounds. Each is
started in a folder of its own and ended at a random moment by SIGKILL, SIGTERM or SIGINT, up to six times. One
process works there or three of the same command at once. Then it is started once more and left alone. Lost is:
another content of a table or of the weights than in an undisturbed folder, an unfinished folder or a lock that is
left and stops a start, damage that ``runs --check`` names, a run that ``runs`` does not list as finished, or a
traceback after SIGTERM or SIGINT. A served page is ended in the same ways while it examines a sound; it must leave no
file and no traceback, and give the same answer when it is started again. After that, every file that a stage reads is
damaged (tests/stages/test_damage.py).
"""

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

import measure
import numpy as np
import soundfile as sf
from served import ask, served
from tqdm import tqdm

RESPCAM = [sys.executable, "-m", "respcam.cli.main"]
SMALL = ["training=quick", "training.epochs=2", "trust.first=8", "examples.number=2", "report.formats=[]",
         "dataset.synthetic.n_patients=20", "dataset.synthetic.recordings_per_patient=1",
         "dataset.synthetic.duration_s=2"]  # fmt: skip
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MOST_PER_FOLDER = 6


@dataclass
class Case:
    """A command, and what it gives when nobody interrupts it."""

    name: str
    command: list[str]
    content: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interruptions", type=int, default=200)
    parser.add_argument("--serves", type=int, default=20, help="served pages that are ended")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with measure.scratch() as scratch:
        place = Path(scratch).resolve()
        cases = undisturbed(place / "undisturbed")
        soak = Soak(place, cases, arguments.interruptions, arguments.seed)
        with ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(soak.work, range(arguments.jobs)))
        soak.bar.close()
        (run,) = (place / "undisturbed-run/outputs/runs").glob("[!.]*")
        disturb_pages(soak, run, place / "undisturbed/sounds/0.wav", arguments.serves)
    print(", ".join(f"{n} {name}" for name, n in sorted(soak.counts.items())))
    for line in soak.lost:
        print(line)
    rows = [count(f"interruptions by {name}", n) for name, n in sorted(soak.counts.items())]
    rows += [
        count("lost", len(soak.lost), "<= 0"),
        count("tests of damage that failed", damage_that_failed(), "<= 0"),
    ]
    measure.write("soak", rows, measure.machine())


def damage_that_failed() -> int:
    """Damage every file that is read later, not only those of the usual tests."""
    tests = Path(__file__).parents[2] / "tests" / "stages" / "test_damage.py"
    command = [sys.executable, "-m", "pytest", "-q", str(tests)]
    ended = subprocess.run(command, env={**environment(), "RESPCAM_SOAK": "1"}, capture_output=True, text=True)
    failed = re.findall(r"^(?:FAILED|ERROR) .*", ended.stdout, re.MULTILINE)
    print("\n".join(failed) or "every damaged file was noticed")
    return max(len(failed), int(ended.returncode != 0))


def count(what: str, n: int, limit: str = "") -> measure.Row:
    return measure.Row("soak", what, "6 commands", float(n), float(n), float(n), unit="", limit=limit)


def undisturbed(folder: Path) -> list[Case]:
    """Run every command once, in one folder in which the sounds and the runs of the last two lie."""
    make_sounds(folder / "sounds")
    settings = ["run", *SMALL]
    cases = [
        Case("run", [*settings, "workers=1"]),
        Case("run with workers", [*settings, "workers=2", "bands=below_1500hz"]),
        Case("sweep", ["run", "-m", *SMALL, "seed=3,4", "workers=1"]),
    ]
    for case in cases:
        alone = folder.with_name(f"{folder.name}-{case.name.replace(' ', '-')}")
        case.seconds = start(case, alone)
        case.content = contents(alone)
    made = sorted((folder.with_name(f"{folder.name}-sweep") / "outputs/runs").glob("[!.]*"))
    for name, command in (("compare", ["compare", *map(str, made)]),
                          ("predict", ["predict", str(made[0]), str(folder / "sounds")])):  # fmt: skip
        case = Case(name, command)
        alone = folder.with_name(f"{folder.name}-{name}")
        case.seconds = start(case, alone)
        case.content = contents(alone)
        cases.append(case)
    return cases


def make_sounds(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(8):
        sf.write(folder / f"{number}.wav", 0.1 * rng.standard_normal(24_000), 8000)


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def start(case: Case, folder: Path) -> float:
    """Run a command to its end; seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    before = time.monotonic()
    ended = subprocess.run(
        [*RESPCAM, *case.command], cwd=folder, env=environment(), capture_output=True, text=True, timeout=900
    )
    if ended.returncode:
        raise RuntimeError(f"{case.name} in {folder}: {ended.stderr[-800:]}")
    return time.monotonic() - before


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every table and all weights under the folders that people open."""
    paths = [path for path in sorted(folder.glob("outputs/*/[!.]*/*")) if path.suffix in (".csv", ".safetensors")]
    kept = [path for path in paths if path.parts[-3] in ("runs", "comparisons", "predictions")]
    return {f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


class Soak:
    """Interruptions shared among threads, and what was lost."""

    def __init__(self, place: Path, cases: list[Case], n_wanted: int, seed: int):
        self.place, self.cases, self.n_wanted, self.seed = place, cases, n_wanted, seed
        self.counts: Counter[str] = Counter()
        self.lost: list[str] = []
        self.lock = threading.Lock()
        self.bar = tqdm(total=n_wanted, unit="interruption")

    def work(self, job: int) -> None:
        """Disturb one folder after another until there were enough interruptions."""
        rng = random.Random(self.seed * 1000 + job)
        number = 0
        while sum(self.counts.values()) < self.n_wanted:
            case = rng.choice(self.cases)
            folder = self.place / f"{job}-{number}"
            number += 1
            try:
                self.disturb(case, folder, rng)
                start(case, folder)
                trouble = trouble_in(case, folder)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                trouble = str(error)
            if trouble:
                self.lost.append(f"{case.name}: {trouble}")
            shutil.rmtree(folder, ignore_errors=True)

    def disturb(self, case: Case, folder: Path, rng: random.Random) -> None:
        folder.mkdir()
        n_processes = rng.choice((1, 3))
        for _ in range(rng.randint(1, MOST_PER_FOLDER)):
            processes = [
                subprocess.Popen([*RESPCAM, *case.command], cwd=folder, env=environment(), text=True,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
                                 preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
                for _ in range(n_processes)
            ]  # fmt: skip
            time.sleep(rng.uniform(0.5, case.seconds * (1 + 0.5 * (n_processes - 1))))
            for process in processes:
                kind = rng.choice(SIGNALS)
                is_running = process.poll() is None
                if is_running:
                    os.killpg(process.pid, kind)
                error = process.communicate(timeout=300)[1]
                if is_running:
                    self.note(case, kind, error)

    def note(self, case: Case, kind: signal.Signals, error: str) -> None:
        with self.lock:
            self.counts[kind.name] += 1
            self.bar.update()
            if kind != signal.SIGKILL and "Traceback" in error:
                self.lost.append(f"{case.name}: a traceback after {kind.name}: {error[-600:]}")


def disturb_pages(soak: Soak, run: Path, sound: Path, n_pages: int) -> None:
    """End a served page at a random moment of an examination, again and again; then ask it once more."""
    case, rng, body = Case("serve", ["serve"]), random.Random(soak.seed), sound.read_bytes()
    with served(run) as (address, _):
        expected = ask(address, body)
    for number in tqdm(range(n_pages), unit="page"):
        folder, kind = soak.place / f"serve-{number}", rng.choice(SIGNALS)
        folder.mkdir()
        with (soak.place / f"serve-{number}.txt").open("w+") as errors:
            with served(run, folder, errors) as (address, pid), ThreadPoolExecutor(1) as asking:
                answer = asking.submit(ask, address, body)
                time.sleep(rng.uniform(0, 1.5 * expected[2]))
                os.kill(pid, kind)
            errors.seek(0)
            soak.note(case, kind, errors.read())
        if not isinstance(answer.exception(), OSError | HTTPException | None):
            soak.lost.append(f"serve: {answer.exception()!r}")
        if left := [str(path) for path in folder.rglob("*") if path.is_file()]:
            soak.lost.append(f"serve: {kind.name} left {left}")
    with served(run) as (address, _):
        if ask(address, body)[:2] != expected[:2]:
            soak.lost.append("serve: another answer after the interruptions")


def trouble_in(case: Case, folder: Path) -> str:
    """What is wrong in a folder after the last, undisturbed start."""
    found = contents(folder)
    if found != case.content:
        differing = sorted(
            name for name in found.keys() | case.content.keys() if found.get(name) != case.content.get(name)
        )
        return f"{len(differing)} files differ: {', '.join(differing[:5])}"
    check = subprocess.run([*RESPCAM, "runs", "--check"], cwd=folder, capture_output=True, text=True)
    if check.returncode:
        return check.stdout + check.stderr
    if case.command[0] == "run":
        listed = subprocess.run([*RESPCAM, "runs"], cwd=folder, capture_output=True, text=True).stderr
        if not listed.strip().splitlines()[-1].endswith("finished"):
            return f"runs lists {listed.strip().splitlines()[-1]}"
    return ""


if __name__ == "__main__":
    main()

"""Load test of the served page: 200 requests, 8 at a time, bad ones among them, to this machine only.

python scripts/bench/served.py outputs/runs/RUN [--requests 200] [--at-once 8] [--seconds 15]

Every answer must be right or a clear refusal. Prints what came back, how long it took, the memory of the server
before and after, and whether it left a file or an open sound behind.
"""

import argparse
import io
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import soundfile as sf


@contextmanager
def served(
    run: Path, folder: Path | None = None, errors: IO[str] | int = subprocess.DEVNULL
) -> Iterator[tuple[str, int]]:
    """Start ``respcam serve`` on a free port in a process of its own; yields its address and process id.

    ``errors`` gets what it prints on stderr.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "respcam.cli.main", "serve", str(run.resolve()), "--port", str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **({"TMPDIR": str(folder)} if folder else {})}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, cwd=folder)
    try:
        address = process.stdout.readline().strip() if process.stdout else ""
        for _ in range(300):
            try:
                urllib.request.urlopen(address, timeout=5).read()
                break
            except OSError:
                time.sleep(0.1)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(timeout=20)


def memory_mib(pid: int) -> float:
    """Memory of a process that lies in RAM."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def open_sounds(pid: int) -> int:
    """Number of sounds in memory that a process still holds."""
    folder = Path(f"/proc/{pid}/fd")
    return sum("memfd" in os.readlink(handle) for handle in folder.iterdir())


def ask(address: str, body: bytes) -> tuple[int, bytes, float]:
    """Post a sound; returns status, answer and seconds."""
    start = time.perf_counter()
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{address}explain", body), timeout=300) as answer:
            return answer.status, answer.read(), time.perf_counter() - start
    except urllib.error.HTTPError as error:
        return error.code, error.read(), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=15, help="length of each sound")
    arguments = parser.parse_args()
    memory = io.BytesIO()
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(8000 * arguments.seconds))
    sf.write(memory, noise, 8000, format="WAV")
    good = memory.getvalue()
    bodies = [b"", b"no sound at all", good[: len(good) // 2], bytes(1000)]
    asked = [good if number % 5 else bodies[number // 5 % len(bodies)] for number in range(arguments.requests)]
    with tempfile.TemporaryDirectory() as name, served(arguments.run, Path(name)) as (address, pid):
        single = [ask(address, good)[1:] for _ in range(5)]
        before = memory_mib(pid)
        with ThreadPoolExecutor(arguments.at_once) as pool:
            answers = list(pool.map(lambda body: ask(address, body), asked))
        after, n_sounds, files = (
            memory_mib(pid),
            open_sounds(pid),
            [str(path) for path in Path(name).rglob("*") if path.is_file()],
        )
    wrong = [
        number
        for number, (status, answer, _) in enumerate(answers)
        if (status, answer) != (200, single[0][0])
        if (asked[number] is good and status != 503) or (asked[number] is not good and status not in (422, 503))
    ]
    statuses, seconds = Counter(status for status, _, _ in answers), [seconds for *_, seconds in answers]
    alone = np.median([seconds for _, seconds in single])
    print(f"alone: {alone:.2f} s for {arguments.seconds:g} s of sound")
    print(f"statuses: {dict(sorted(statuses.items()))}; wrong answers: {len(wrong)}")
    print(f"seconds, median and longest: {np.median(seconds):.2f}, {max(seconds):.2f}")
    print(f"memory: {before:.0f} MiB before, {after:.0f} MiB after; sounds still open: {n_sounds}; files: {files}")
    raise SystemExit(len(wrong) > 0 or n_sounds > 0 or len(files) > 0)


if __name__ == "__main__":
    main()

"""Eight processes that need the same outputs and others; processes that are killed while they hold a lock."""

import json
import signal
import subprocess
import sys
import time

from respcam.store.artifact import Artifact
from respcam.store.integrity import check_output

WORK = """
import os, sys, time
from pathlib import Path
from respcam.store.artifact import Artifact
from respcam.store.integrity import verified
folder, numbers = Path(sys.argv[1]), sys.argv[2].split(",")
for number in numbers:
    artifact = Artifact(folder, "stage", 1, settings={"number": number})
    with artifact.building() as partial:
        if partial is not None:
            for piece in range(20):
                (partial / f"{piece}.txt").write_text(number * 1000)
                time.sleep(0.005)
            with open(folder / "computed.txt", "a") as file:
                file.write(number + "\\n")
            if "hold" in sys.argv:
                print("holds the lock", flush=True)
                time.sleep(600)
    for piece in range(20):
        assert verified(artifact.folder / f"{piece}.txt").read_text() == number * 1000
"""


def start(folder, numbers, *more):
    return subprocess.Popen(
        [sys.executable, "-c", WORK, str(folder), numbers, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_eight_processes_compute_each_output_once_and_read_it_whole(tmp_path):
    orders = ["1,2,3", "3,2,1", "2,1,4", "4,3,2", "1,4,3", "3,1,4", "4,1,2", "2,4,1"]
    processes = [start(tmp_path, numbers) for numbers in orders]
    for process in processes:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    assert sorted((tmp_path / "computed.txt").read_text().split()) == ["1", "2", "3", "4"]
    for number in "1234":
        check_output(Artifact(tmp_path, "stage", 1, settings={"number": number}).folder)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_lock_of_a_process_that_was_killed_stops_nobody(tmp_path):
    holder = start(tmp_path, "1", "hold")
    assert holder.stdout.readline() == "holds the lock\n"
    waiting = start(tmp_path, "1")
    time.sleep(0.5)
    assert waiting.poll() is None
    holder.send_signal(signal.SIGKILL)
    _, error = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, error
    holder.communicate()
    folder = Artifact(tmp_path, "stage", 1, settings={"number": "1"}).folder
    assert len(json.loads((folder / "provenance.json").read_text())["files"]) == 20

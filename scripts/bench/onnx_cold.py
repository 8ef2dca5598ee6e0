"""Paired timing of prediction by an exported file and by torch: one recording, from the command to its page.

python scripts/bench/onnx_cold.py outputs/runs/RUN outputs/exports/RUN/model.onnx SOUND.wav [--rounds 7]

Each round starts both commands in processes of their own, in turns. Warm: scores and heat of the recording in a
process that has the model open.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure


def seconds_of(command: list[str]) -> float:
    """Seconds from the start of a command to its end; its output goes to a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([*command, "--out", folder], check=True, capture_output=True)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("onnx", type=Path)
    parser.add_argument("sound", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # torch is fastest with it on few cores
    respcam = [sys.executable, "-m", "respcam.cli.main", "predict"]
    exported = [*respcam, "--onnx", str(arguments.onnx), str(arguments.sound)]
    torch = [*respcam, str(arguments.run), str(arguments.sound)]
    both: dict[str, list[float]] = {"onnx": [], "torch": []}
    for number in range(arguments.rounds):
        order = [("onnx", exported), ("torch", torch)]
        for name, command in order if number % 2 else order[::-1]:
            both[name].append(seconds_of(command))
    on = arguments.sound.name
    rows = [
        measure.spread("onnx_cold", "seconds from command to page, ONNX Runtime", on, both["onnx"], "s", "<= 1.5"),
        measure.spread("onnx_cold", "seconds from command to page, torch", on, both["torch"], "s"),
        measure.ratio("onnx_cold", "ONNX Runtime over torch", on, both["onnx"], both["torch"], "<= 0.334"),
        measure.spread("onnx_cold", "seconds for scores and heat, warm", on, warm(arguments), "s", "<= 0.1"),
    ]
    measure.write("onnx_cold", rows, measure.machine())


def warm(arguments: argparse.Namespace) -> list[float]:
    """Seconds for scores and heat of the recording, each of 20 times."""
    from respcam.experiments.onnx_model import OnnxModel
    from respcam.network.closeup import EXPORTED_OUTPUTS
    from respcam.sound.audio import read_raw

    model = OnnxModel.open(arguments.onnx)
    waveform = model.prepared(*read_raw(arguments.sound))
    seconds = []
    for _ in range(25):
        start = time.perf_counter()
        model.session.run(list(EXPORTED_OUTPUTS), {"waveform": waveform})
        seconds.append(time.perf_counter() - start)
    return seconds[5:]


if __name__ == "__main__":
    main()

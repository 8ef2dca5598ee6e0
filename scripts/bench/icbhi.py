"""ICBHI 2017 at its full size, made up: layout, rates, lengths, cycles and split of the database, with other sounds.

python scripts/bench/icbhi.py [--hours 5.5] [--epochs 1]

Files are laid out as in the database: 920 recordings of the official split, annotations of 6,898 cycles, diagnosis
and demographics. Then the commands of its README run: tables from the annotations, the refusal of the patients who
are in both parts, the official protocol and the patient-independent repair. Time and memory are those of the
commands.
"""

import argparse
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import measure
import numpy as np
import pandas as pd
import soundfile as sf
from tqdm import tqdm

N_CYCLES = 6898
SHARES = {"normal": 3642, "crackle": 1864, "wheeze": 886, "both": 506}  # cycles of the database
RATES_HZ = {"Meditron": 4000, "Litt3200": 4000, "LittC2SE": 44100, "AKGC417L": 44100}
BENCH = "icbhi"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=5.5)
    parser.add_argument("--epochs", type=int, default=1)
    arguments = parser.parse_args()
    with measure.scratch() as place:
        folder = Path(place)
        root = folder / "ICBHI"
        make(root, arguments.hours)
        measure.write(BENCH, rows(folder, root, arguments.epochs), measure.machine())


def make(root: Path, hours: float) -> None:
    """Lay out the data set."""
    manifest = Path(__file__).parents[2] / "data_manifests/icbhi2017.csv"
    table = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    sounds = root / "ICBHI_final_database"
    sounds.mkdir(parents=True)
    table[["recording_id", "split"]].to_csv(
        root / "ICBHI_challenge_train_test.txt", sep="\t", header=False, index=False
    )
    people = table.drop_duplicates("patient_id")
    people[["patient_id", "diagnosis"]].to_csv(root / "patient_diagnosis.csv", header=False, index=False)
    people = people.assign(sex=people["sex"].str[:1].str.upper(), bmi="NA", weight="NA", height="NA")
    people[["patient_id", "age_years", "sex", "bmi", "weight", "height"]].replace("", "NA").to_csv(
        root / "demographic_info.txt", sep=" ", header=False, index=False
    )
    rng = np.random.default_rng(0)
    lengths_s = rng.uniform(10, 33, len(table))
    lengths_s *= 3600 * hours / lengths_s.sum()
    labels = rng.permutation(np.repeat(list(SHARES), list(SHARES.values())))
    of_recording = np.array_split(labels, len(table))
    for row, length_s, cycles in tqdm(
        zip(table.itertuples(), lengths_s, of_recording, strict=True), total=len(table)
    ):
        rate_hz = RATES_HZ[row.device]
        edges_s = np.linspace(0, length_s, len(cycles) + 1)
        lines = [
            f"{start:.3f}\t{end:.3f}\t{int(label in ('crackle', 'both'))}\t{int(label in ('wheeze', 'both'))}"
            for start, end, label in zip(edges_s, edges_s[1:], cycles, strict=False)
        ]
        (sounds / f"{row.recording_id}.txt").write_text("\n".join(lines) + "\n")
        sound = waveform(edges_s, cycles, rate_hz, rng)
        width = "PCM_24" if row.device == "Meditron" else "PCM_16"
        sf.write(sounds / f"{row.recording_id}.wav", sound, rate_hz, subtype=width)


def waveform(edges_s: np.ndarray, labels: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Noise, with clicks in cycles of crackles and a tone in cycles of wheezes."""
    sound = 0.02 * rng.standard_normal(int(edges_s[-1] * rate_hz)).astype(np.float32)
    for start_s, end_s, label in zip(edges_s, edges_s[1:], labels, strict=False):
        first, end = int(start_s * rate_hz), int(end_s * rate_hz)
        if label in ("wheeze", "both"):
            sound[first:end] += 0.05 * np.sin(2 * np.pi * 400 * np.arange(end - first) / rate_hz)
        if label in ("crackle", "both"):
            for place in rng.integers(first, max(first + 1, end - rate_hz // 100), 12):
                sound[place : place + rate_hz // 200] += 0.3
    return np.clip(sound, -1, 1)


def rows(folder: Path, root: Path, epochs: int) -> list[measure.Row]:
    """Run the commands of the README."""
    tables = folder / "manifests"
    made = command(["manifest", "make", "icbhi2017", root, "--out", tables])
    cycles = pd.read_csv(tables / "icbhi2017_events.csv")
    settings = [
        "run", "until=train", "dataset=icbhi2017", f"dataset.root={root}", "task=icbhi_cycles",
        f"dataset.manifest={tables}/icbhi2017.csv", f"dataset.events={tables}/icbhi2017_events.csv",
        f"training.epochs={epochs}", *(f"paths.{name}={folder}/{name}" for name in ("store", "runs", "records")),
    ]  # fmt: skip
    refused = command(settings, is_refused=True)
    if "156, 218 in two parts of the published split" not in refused[2]:
        raise SystemExit(f"patients 156 and 218 were not named: {refused[2]}")
    official = command([*settings, "split.shared_patients=keep"])
    repaired = command([*settings, "split.shared_patients=drop_from_train"])
    on = f"920 recordings, {len(cycles)} cycles, {epochs} epoch(s)"
    done = {"tables from annotations": made, "official protocol": official, "patient-independent repair": repaired}
    result = []
    for what, (seconds, gib, _) in done.items():
        result.append(measure.spread(BENCH, f"{what}, minutes", on, [seconds / 60], "min"))
        result.append(measure.spread(BENCH, f"{what}, peak memory", on, [gib], "GiB", "<= 4"))
    return result


def command(arguments: list[object], is_refused: bool = False) -> tuple[float, float, str]:
    """Seconds, peak memory in GiB of any process so far, and messages of a command."""
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-m", "respcam.cli.main", *map(str, arguments)], capture_output=True, text=True
    )
    if bool(result.returncode) != is_refused:
        raise SystemExit(result.stderr[-2000:])
    for line in re.findall(r"^.*(?:test has|train has|validation has|score).*$", result.stderr, re.M):
        measure.say(line)
    peak_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return time.perf_counter() - start, peak_gib, result.stderr


if __name__ == "__main__":
    main()

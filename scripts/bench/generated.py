"""Generated corpora for benchmarks: many recordings as links to a few files of noise."""

from pathlib import Path

import measure
import pandas as pd

from respcam.data.labels import Labels
from respcam.stages.dataset import FILE_COLUMNS, AudioFiles, Dataset
from respcam.store.artifact import file_sha256

FILE_S = 10
RATE_HZ = 8_000
N_SOUNDS = 40
PER_PATIENT = 8


def source(folder: Path, hours: float) -> Dataset:
    """Make recordings of noise, most of them links to the same few files; half of the patients have wheezes."""
    folder.mkdir(parents=True, exist_ok=True)
    sounds = [measure.noise_file(folder, FILE_S, RATE_HZ, seed) for seed in range(N_SOUNDS)]
    digests = [file_sha256(path) for path in sounds]
    rows = []
    for number in range(max(N_SOUNDS, round(hours * 3600 / FILE_S))):
        patient, sound = number // PER_PATIENT, number % N_SOUNDS
        path = folder / f"r{number:06d}.wav"
        path.hardlink_to(sounds[sound])
        rows.append(
            {
                "recording_id": path.stem,
                "path": path.name,
                "sha256": digests[sound],
                "sample_rate_hz": str(RATE_HZ),
                "n_samples": str(FILE_S * RATE_HZ),
                "patient_id": f"p{patient:05d}",
                "label": ("wheeze", "normal")[patient % 2],
                "split": "test" if patient % 5 == 0 else "train",
            }
        )
    recordings = pd.DataFrame(rows)
    table = recordings[FILE_COLUMNS].assign(content=recordings["sha256"])
    labels = Labels(recordings, None, [], table.set_index("recording_id")["content"])
    return Dataset(f"{hours:g} h of noise", AudioFiles(folder, table), labels)

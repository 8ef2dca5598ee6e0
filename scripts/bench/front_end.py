"""Speed from audio file to log-mel frames on one core, compared with librosa, torchaudio and a lower limit.

python scripts/bench/front_end.py [dataset=sprsound2022 dataset.root=DIR dataset.missing=skip]

Every function starts from files and ends with frames in memory. The lower limit ("floor") is decoding, soxr and one
real FFT of the frames, without window, filters, logarithm and check of the input.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import librosa
import measure
import numpy as np
import soundfile as sf
import soxr
import torch
import torchaudio
from threadpoolctl import threadpool_limits

from respcam.cli.composition import composed_settings
from respcam.sound.audio import AudioSettings, resample
from respcam.sound.front_end import FrontEnd, LogMel
from respcam.sound.usable import read_mono
from respcam.stages.dataset import ABSENT, open_dataset

RATES_HZ = (4_000, 8_000, 44_100, 48_000)
N_FILES, SECONDS = 8, 10


def rows(arguments: argparse.Namespace) -> list[measure.Row]:
    torch.set_num_threads(1)
    table = []
    with measure.scratch() as folder, threadpool_limits(1):
        sets = {
            f"{N_FILES} x {SECONDS} s of noise at {rate_hz} Hz": [
                measure.noise_file(Path(folder), SECONDS, rate_hz, seed) for seed in range(N_FILES)
            ]
            for rate_hz in RATES_HZ
        }
        if arguments.overrides:
            settings = composed_settings(arguments.overrides)
            dataset = open_dataset(settings.dataset, settings.store, settings.workers)
            present = dataset.files.table[~dataset.files.table["content"].isin(ABSENT)]
            files = [dataset.files.root / path for path in present["path"][:: max(1, len(present) // 32)][:32]]
            sets[f"{len(files)} recordings of {dataset.name}"] = files
        for on, files in sets.items():
            measure.say(f"front_end: {on}")
            seconds = measure.alternate(
                {name: _over(files, work()) for name, work in WORKS.items()}, arguments.rounds
            )
            respcam = seconds.pop("respcam")
            for name, limit in (("librosa", ">= 2"), ("torchaudio", ">= 1.5")):
                table.append(measure.ratio("front end", f"speed against {name}", on, seconds[name], respcam, limit))
            table.append(measure.ratio("front end", "time over the floor", on, respcam, seconds["floor"], "<= 1.4"))
    return table


def _over(files: list[Path], work: Callable[[Path], object]) -> Callable[[], None]:
    def loop() -> None:
        for path in files:
            work(path)

    return loop


def respcam_work() -> Callable[[Path], object]:
    log_mel, settings = LogMel(FrontEnd()), AudioSettings(gain="rms")
    return lambda path: log_mel(resample(*read_mono(path), settings))


def librosa_work() -> Callable[[Path], object]:
    def work(path: Path) -> np.ndarray:
        waveform, rate_hz = librosa.load(path, sr=16_000, mono=True)
        mel = librosa.feature.melspectrogram(
            y=waveform,
            sr=rate_hz,
            n_fft=1024,
            win_length=400,
            hop_length=160,
            center=False,
            power=1,
            n_mels=64,
            fmin=100,
            fmax=2000,
            htk=True,
            norm=None,
        )
        return np.log(mel + 0.01)

    return work


def torchaudio_work() -> Callable[[Path], object]:
    mel = torchaudio.transforms.MelSpectrogram(
        16_000, n_fft=1024, win_length=400, hop_length=160, center=False, power=1, n_mels=64, f_min=100, f_max=2000
    )
    resamplers: dict[int, torchaudio.transforms.Resample] = {}

    def work(path: Path) -> torch.Tensor:
        channels, rate_hz = sf.read(path, dtype="float32", always_2d=True)
        if rate_hz not in resamplers:
            resamplers[rate_hz] = torchaudio.transforms.Resample(rate_hz, 16_000)
        waveform = resamplers[rate_hz](torch.from_numpy(channels.mean(axis=1)))
        return torch.log(mel(waveform) + 0.01)

    return work


def floor_work() -> Callable[[Path], object]:
    def work(path: Path) -> torch.Tensor:
        waveform, rate_hz = sf.read(path, dtype="float32")
        waveform = soxr.resample(waveform, rate_hz, 16_000)
        return torch.fft.rfft(torch.from_numpy(waveform).unfold(0, 400, 160), n=1024)

    return work


WORKS = {"respcam": respcam_work, "librosa": librosa_work, "torchaudio": torchaudio_work, "floor": floor_work}

if __name__ == "__main__":
    measure.main("front_end", rows, measure.parser(__doc__).parse_args())

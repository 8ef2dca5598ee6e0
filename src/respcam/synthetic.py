"""Breath-like sounds with a known answer: where the class differs is where we put it."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfilt

from respcam.manifest import safe_id

LABELS = ("normal", "wheeze")


@dataclass(frozen=True)
class Synthetic:
    """A small data set made on the spot.

    Every recording is breath-like noise in respiratory cycles with a steady hum (louder than the
    plant, in both classes, so that loudness alone tells nothing). Wheeze recordings carry short
    tones at ``plant_hz`` in inspiration, at ``snr_db`` against the breath.

    Parameters
    ----------
    n_patients : int
        Half of them wheeze.
    recordings_per_patient : int
    duration_s : float
    sample_rate_hz : int
    plant_hz : float
        Mean frequency of the planted tone; each tone differs by up to ``plant_spread_hz``.
    plant_spread_hz : float
    snr_db : float
        Power of the tone re power of the breath while both sound.
    hum_hz : float
        Frequency of the distractor.
    hum_db : float
        Power of the distractor re power of the breath.
    seed : int
    """

    n_patients: int = 40
    recordings_per_patient: int = 3
    duration_s: float = 6.0
    sample_rate_hz: int = 8000
    plant_hz: float = 890.0
    plant_spread_hz: float = 60.0
    snr_db: float = 0.0
    hum_hz: float = 300.0
    hum_db: float = 6.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_patients < 20:
            raise ValueError(
                f"dataset.synthetic.n_patients is {self.n_patients}; expected at least 20, so that "
                "train, validation and test each have patients of both classes"
            )
        if not 1 <= self.duration_s <= 60:
            raise ValueError(f"dataset.synthetic.duration_s is {self.duration_s}; expected 1 to 60 s")
        limit_hz = self.sample_rate_hz / 2 - self.plant_spread_hz
        if not self.plant_spread_hz < self.plant_hz < limit_hz:
            raise ValueError(
                f"dataset.synthetic.plant_hz is {self.plant_hz:g}; expected above {self.plant_spread_hz:g} "
                f"and below {limit_hz:g} Hz"
            )


@dataclass(frozen=True)
class SyntheticRecording:
    """One made-up recording.

    Attributes
    ----------
    recording_id, patient_id, label, split : str
    waveform : float32 [shape=(n_samples,)]
    events : list of (start_s, end_s, label)
        Every breath, labelled by what it holds.
    """

    recording_id: str
    patient_id: str
    label: str
    split: str
    waveform: np.ndarray
    events: list[tuple[float, float, str]]


def make_patient(patient: int, settings: Synthetic) -> list[SyntheticRecording]:
    """Make all recordings of one patient; the same for the same settings and number.

    Every fourth pair of patients is in the test part, the rest in train.
    """
    rng = np.random.default_rng([settings.seed, patient])
    label = LABELS[patient % 2]
    split = "test" if (patient // 2) % 4 == 3 else "train"
    patient_id = f"s{patient:03d}"
    cycle_s, timbre_hz = rng.uniform(1.6, 2.6), rng.uniform(350, 550)
    recordings = []
    for number in range(settings.recordings_per_patient):
        waveform, events = _recording(label == "wheeze", cycle_s, timbre_hz, settings, rng)
        name = safe_id(f"{patient_id}_{number}")
        recordings.append(SyntheticRecording(name, patient_id, label, split, waveform, events))
    return recordings


def _recording(
    wheezes: bool, cycle_s: float, timbre_hz: float, settings: Synthetic, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    rate = settings.sample_rate_hz
    time_s = np.arange(round(settings.duration_s * rate)) / rate
    noise = rng.standard_normal(len(time_s))
    breath = sosfilt(butter(2, [80, 2 * timbre_hz], btype="bandpass", fs=rate, output="sos"), noise)
    phase = (time_s / cycle_s + rng.uniform()) % 1.0
    # inspiration fills the first 40 % of a cycle, a softer expiration the next 40 %, then a pause
    envelope = np.where(phase < 0.4, np.sin(np.pi * phase / 0.4), 0.0)
    envelope += np.where((phase >= 0.4) & (phase < 0.8), 0.6 * np.sin(np.pi * (phase - 0.4) / 0.4), 0.0)
    breath *= 0.05 / breath.std()
    power = 0.05**2
    hum_phase = 2 * np.pi * (settings.hum_hz * time_s + rng.uniform())
    hum = np.sqrt(2 * power * 10 ** (settings.hum_db / 10)) * np.sin(hum_phase)
    waveform = breath * envelope + hum
    events = []
    starts = np.flatnonzero(np.diff(phase, prepend=1.0) < 0) / rate
    for start_s in starts:
        end_s = min(start_s + 0.4 * cycle_s, settings.duration_s)
        if end_s - start_s < 0.2:
            continue
        if wheezes:
            f_hz = settings.plant_hz + rng.uniform(-1, 1) * settings.plant_spread_hz
            inside = (time_s >= start_s) & (time_s < end_s)
            tone = np.sqrt(2 * power * 10 ** (settings.snr_db / 10)) * np.sin(2 * np.pi * f_hz * time_s[inside])
            waveform[inside] += tone * np.hanning(inside.sum())
        events.append((round(float(start_s), 3), round(float(end_s), 3), "wheeze" if wheezes else "normal"))
    waveform += 1e-3 * rng.standard_normal(len(waveform))
    level = 10 ** (rng.uniform(-6, 0) / 20)
    return (0.5 * level * waveform / np.abs(waveform).max()).astype(np.float32), events

"""Breath-like sounds with a known answer: where the class differs is where we put it."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfilt

LABELS = ("normal", "wheeze")
BREATH_RMS = 0.05
INSPIRATION = 0.4  # of a cycle; expiration takes as long, a pause the rest


@dataclass(frozen=True)
class Synthetic:
    """A small data set made on the spot.

    Every recording is breath-like noise in respiratory cycles with a steady hum: louder than the
    plant and in both classes, so that the loudest band is not the answer, and of a level that
    differs between recordings, so that its level is no answer either, whatever the gain policy.
    Wheeze recordings carry tones about ``plant_hz`` in every inspiration, at ``snr_db`` against
    the breath.

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
    hum_db, hum_spread_db : float
        Power of the distractor re power of the breath, and by how much it differs either way.
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
    hum_db: float = 9.0
    hum_spread_db: float = 6.0
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
    cycle_s = rng.uniform(1.6, 2.6)
    recordings = []
    for number in range(settings.recordings_per_patient):
        waveform, events = _recording(label == "wheeze", cycle_s, settings, rng)
        name = f"{patient_id}_{number}"
        recordings.append(SyntheticRecording(name, patient_id, label, split, waveform, events))
    return recordings


def _recording(
    wheezes: bool, cycle_s: float, settings: Synthetic, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    rate = settings.sample_rate_hz
    time_s = np.arange(round(settings.duration_s * rate)) / rate
    phase = (time_s / cycle_s + rng.uniform()) % 1.0
    upper_hz = rng.uniform(600, 1200)
    filter_ = butter(2, [80, upper_hz], btype="bandpass", fs=rate, output="sos")
    breath = sosfilt(filter_, rng.standard_normal(len(time_s)))
    waveform = BREATH_RMS * breath / breath.std() * _breathing(phase)
    hum_db = settings.hum_db + rng.uniform(-1, 1) * settings.hum_spread_db
    waveform += _tone(settings.hum_hz, hum_db, time_s, rng)
    events = []
    for start_s in np.flatnonzero(np.diff(phase, prepend=1.0) < 0) / rate:
        end_s = min(start_s + INSPIRATION * cycle_s, settings.duration_s)
        if end_s - start_s < 0.2:
            continue
        if wheezes:
            inside = (time_s >= start_s) & (time_s < end_s)
            f_hz = settings.plant_hz + rng.uniform(-1, 1) * settings.plant_spread_hz
            waveform[inside] += _tone(f_hz, settings.snr_db, time_s[inside], rng) * np.hanning(inside.sum())
        events.append((round(float(start_s), 3), round(float(end_s), 3), "wheeze" if wheezes else "normal"))
    waveform += 0.02 * BREATH_RMS * rng.standard_normal(len(waveform))
    # the level is drawn, not set by the peak: a peak would carry the plant into every band
    return (10 ** (rng.uniform(-6, 6) / 20) * waveform).clip(-1, 1).astype(np.float32), events


def _breathing(phase: np.ndarray) -> np.ndarray:
    """Envelope of the breath: inspiration, a softer expiration, a pause."""
    inspiration = np.where(phase < INSPIRATION, np.sin(np.pi * phase / INSPIRATION), 0.0)
    later = phase - INSPIRATION
    is_expiration = (later >= 0) & (later < INSPIRATION)
    return inspiration + np.where(is_expiration, 0.6 * np.sin(np.pi * later / INSPIRATION), 0.0)


def _tone(f_hz: float, level_db: float, time_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A sine of random phase whose power is ``level_db`` re power of the breath at its loudest."""
    amplitude = np.sqrt(2) * BREATH_RMS * 10 ** (level_db / 20)
    return amplitude * np.sin(2 * np.pi * f_hz * time_s + rng.uniform(0, 2 * np.pi))

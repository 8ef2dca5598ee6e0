"""Breath-like sounds with a known answer: where the class differs is where we put it."""

from dataclasses import dataclass, field

import numpy as np

LABELS = ("normal", "wheeze", "crackle")
PLANTS = LABELS[1:]
SHORTCUTS = ("none", "hiss", "colouration")
DEVICES = ("plain", "coloured")
BREATH_RMS = 0.05
INSPIRATION = 0.4  # of a cycle; expiration takes as long, a pause the rest


@dataclass(frozen=True)
class Synthetic:
    """A small data set made on the spot.

    Every recording is breath-like noise in respiratory cycles. Recordings of every other patient
    carry a plant in each inspiration: a wheeze (a tone with harmonics) or a cluster of crackles
    (short damped oscillations), about ``plant_hz``.

    Two distractors are louder than the plant and in both classes: a steady hum at a fixed frequency,
    so that the loudest band is not the answer, and rustles (bursts of wide noise), so that the
    loudest moment is not either. Levels are drawn per recording and the hum swells and fades, so that
    a level is no answer whatever the gain policy: brought to one RMS, a recording that is mostly a
    steady hum would have less of it wherever something is planted.

    A shortcut, on demand, is a second device that hisses or colours the sound in a band of its own
    and that all plant patients, or a share of them, were recorded with.

    Parameters
    ----------
    n_patients : int
        Half of them carry plants.
    recordings_per_patient : int
    duration_s : float
    sample_rate_hz : int
    plants : list of str
        wheeze, crackle: the patients that carry plants take these in turn.
    plant_hz : float
        Mean frequency of the plant; each one differs by up to ``plant_spread_hz``.
    plant_spread_hz : float
    snr_db : float
        Power of a wheeze's fundamental, or of a crackle's first oscillation, re power of the breath
        at its loudest.
    harmonics : int
        Tones of a wheeze at 1, 2, ... times its frequency, each 12 dB below the one before; with more
        than one the class can be told by an overtone as well, so that there are several true answers.
    crackle_decay_s : float
        Time in which a crackle falls to 1/e.
    hum_hz : float
        Frequency of the steady distractor.
    hum_db, hum_spread_db : float
        Its power re power of the breath, and by how much that differs either way between recordings.
    hum_swell_db : float
        By how much it differs either way within a recording, over 3 to 12 s.
    rustles_per_s, rustle_db : float
        How many bursts of noise (30 to 80 ms, 100 to 2000 Hz), and their power re power of the breath.
    shortcut : str
        none, hiss (noise added by the second device) or colouration (what the second device makes louder).
    shortcut_hz : [low, high]
    shortcut_db : float
        Power of the hiss re power of the breath, or gain of the colouration.
    shortcut_tie : float
        How far the device follows the class: 1 always, 0 not at all.
    shortcut_tie_test : float, optional
        The same for the test part; None is as in train. A shortcut that breaks has less there.
    seed : int
    """

    n_patients: int = 40
    recordings_per_patient: int = 3
    duration_s: float = 6.0
    sample_rate_hz: int = 8000
    plants: list[str] = field(default_factory=lambda: ["wheeze"])
    plant_hz: float = 890.0
    plant_spread_hz: float = 60.0
    snr_db: float = 0.0
    harmonics: int = 1
    crackle_decay_s: float = 0.006
    hum_hz: float = 300.0
    hum_db: float = 9.0
    hum_spread_db: float = 6.0
    hum_swell_db: float = 10.0
    rustles_per_s: float = 0.5
    rustle_db: float = 9.0
    shortcut: str = "none"
    shortcut_hz: list[float] = field(default_factory=lambda: [1500.0, 2200.0])
    shortcut_db: float = -6.0
    shortcut_tie: float = 1.0
    shortcut_tie_test: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_patients < 20:
            raise ValueError(
                f"dataset.synthetic.n_patients is {self.n_patients}; expected at least 20, so that "
                "train, validation and test each have patients of both classes"
            )
        if not 1 <= self.duration_s <= 60:
            raise ValueError(f"dataset.synthetic.duration_s is {self.duration_s}; expected 1 to 60 s")
        if not self.plants or set(self.plants) - set(PLANTS):
            raise ValueError(f"dataset.synthetic.plants is {self.plants}; expected some of {', '.join(PLANTS)}")
        limit_hz = self.sample_rate_hz / 2 - self.plant_spread_hz
        if not self.plant_spread_hz < self.plant_hz < limit_hz:
            raise ValueError(
                f"dataset.synthetic.plant_hz is {self.plant_hz:g}; expected above {self.plant_spread_hz:g} "
                f"and below {limit_hz:g} Hz"
            )
        if self.shortcut not in SHORTCUTS:
            raise ValueError(
                f"dataset.synthetic.shortcut is {self.shortcut!r}; expected one of {', '.join(SHORTCUTS)}"
            )
        low_hz, high_hz = self.shortcut_hz
        if not 0 < low_hz < high_hz < self.sample_rate_hz / 2:
            raise ValueError(
                f"dataset.synthetic.shortcut_hz is {self.shortcut_hz}; expected [low, high] below "
                f"{self.sample_rate_hz / 2:g} Hz"
            )
        for name in ("shortcut_tie", "shortcut_tie_test"):
            tie = getattr(self, name)
            if tie is not None and not 0 <= tie <= 1:
                raise ValueError(f"dataset.synthetic.{name} is {tie}; expected 0 to 1")


@dataclass(frozen=True)
class SyntheticRecording:
    """One made-up recording.

    Attributes
    ----------
    recording_id, patient_id, label, split, device : str
    waveform : float32 [shape=(n_samples,)]
    events : list of (start_s, end_s, label)
        Every plant, or every inspiration where nothing is planted.
    """

    recording_id: str
    patient_id: str
    label: str
    split: str
    device: str
    waveform: np.ndarray
    events: list[tuple[float, float, str]]


def make_patient(patient: int, settings: Synthetic) -> list[SyntheticRecording]:
    """Make all recordings of one patient; the same for the same settings and number.

    Every fourth pair of patients is in the test part, the rest in train.
    """
    rng = np.random.default_rng([settings.seed, patient])
    turn = patient // 2 + patient // 8  # moves on with every test pair, so that each part gets every plant
    label = settings.plants[turn % len(settings.plants)] if patient % 2 else "normal"
    split = "test" if (patient // 2) % 4 == 3 else "train"
    patient_id = f"s{patient:03d}"
    cycle_s = rng.uniform(1.6, 2.6)
    tie = settings.shortcut_tie
    if split == "test" and settings.shortcut_tie_test is not None:
        tie = settings.shortcut_tie_test
    follows_class = rng.uniform() < tie
    is_coloured = settings.shortcut != "none" and (label != "normal" if follows_class else rng.uniform() < 0.5)
    recordings = []
    for number in range(settings.recordings_per_patient):
        waveform, events = _recording(label, is_coloured, cycle_s, settings, rng)
        name = f"{patient_id}_{number}"
        device = DEVICES[is_coloured]
        recordings.append(SyntheticRecording(name, patient_id, label, split, device, waveform, events))
    return recordings


def _recording(
    label: str, is_coloured: bool, cycle_s: float, settings: Synthetic, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    rate = settings.sample_rate_hz
    time_s = np.arange(round(settings.duration_s * rate)) / rate
    phase = (time_s / cycle_s + rng.uniform()) % 1.0
    waveform = BREATH_RMS * _noise(len(time_s), 80, rng.uniform(600, 1200), rate, rng) * _breathing(phase)
    hum_db = settings.hum_db + rng.uniform(-1, 1) * settings.hum_spread_db
    swell_db = settings.hum_swell_db * np.sin(2 * np.pi * (time_s / rng.uniform(3, 12) + rng.uniform()))
    waveform += _tone(settings.hum_hz, hum_db, time_s, rng) * 10 ** (swell_db / 20)
    for start_s in rng.uniform(0, settings.duration_s, rng.poisson(settings.rustles_per_s * settings.duration_s)):
        inside = (time_s >= start_s) & (time_s < start_s + rng.uniform(0.03, 0.08))
        burst = _noise(len(time_s), 100, 2000, rate, rng)[inside] * np.hanning(inside.sum())
        waveform[inside] += BREATH_RMS * 10 ** (settings.rustle_db / 20) * burst
    events = []
    for start_s in np.flatnonzero(np.diff(phase, prepend=1.0) < 0) / rate:
        end_s = min(start_s + INSPIRATION * cycle_s, settings.duration_s)
        if end_s - start_s < 0.3:
            continue
        if label != "normal":
            plant = _wheeze if label == "wheeze" else _crackles
            start_s, end_s = plant(waveform, time_s, start_s, end_s, settings, rng)
        events.append((round(float(start_s), 3), round(float(end_s), 3), label))
    waveform += 0.02 * BREATH_RMS * rng.standard_normal(len(waveform))
    if is_coloured:
        waveform = _through_second_device(waveform, settings, rng)
    # the level is drawn, not set by the peak: a peak would carry the plant into every band
    return (10 ** (rng.uniform(-6, 6) / 20) * waveform).clip(-1, 1).astype(np.float32), events


def _wheeze(
    waveform: np.ndarray,
    time_s: np.ndarray,
    start_s: float,
    end_s: float,
    settings: Synthetic,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Add a tone with harmonics to a part of an inspiration; returns its start and end."""
    length_s = min(rng.uniform(0.25, 0.5), end_s - start_s)
    start_s = rng.uniform(start_s, end_s - length_s)
    inside = (time_s >= start_s) & (time_s < start_s + length_s)
    f_hz = settings.plant_hz + rng.uniform(-1, 1) * settings.plant_spread_hz
    for number in range(settings.harmonics):
        if (number + 1) * f_hz < settings.sample_rate_hz / 2:
            tone = _tone((number + 1) * f_hz, settings.snr_db - 12 * number, time_s[inside], rng)
            waveform[inside] += tone * np.hanning(inside.sum())
    return start_s, start_s + length_s


def _crackles(
    waveform: np.ndarray,
    time_s: np.ndarray,
    start_s: float,
    end_s: float,
    settings: Synthetic,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Add four to eight damped oscillations to a part of an inspiration; returns their start and end."""
    length_s = min(rng.uniform(0.2, 0.4), end_s - start_s - 0.05)
    start_s = rng.uniform(start_s, end_s - length_s - 0.05)
    for onset_s in start_s + rng.uniform(0, length_s, rng.integers(4, 9)):
        f_hz = settings.plant_hz + rng.uniform(-1, 1) * settings.plant_spread_hz
        later_s = np.maximum(time_s - onset_s, 0)
        decay = np.exp(-later_s / settings.crackle_decay_s) * (time_s >= onset_s)
        waveform += _tone(f_hz, settings.snr_db, later_s, rng) * decay
    return start_s, start_s + length_s + 0.05


def _through_second_device(waveform: np.ndarray, settings: Synthetic, rng: np.random.Generator) -> np.ndarray:
    low_hz, high_hz = settings.shortcut_hz
    if settings.shortcut == "hiss":
        hiss = _noise(len(waveform), low_hz, high_hz, settings.sample_rate_hz, rng, order=8)
        return waveform + BREATH_RMS * 10 ** (settings.shortcut_db / 20) * hiss
    band = _band_pass(waveform, low_hz, high_hz, settings.sample_rate_hz, order=8)
    return waveform + (10 ** (settings.shortcut_db / 20) - 1) * band


def _noise(
    n_samples: int, low_hz: float, high_hz: float, rate_hz: int, rng: np.random.Generator, order: int = 2
) -> np.ndarray:
    """Noise of a band, of power one."""
    noise = _band_pass(rng.standard_normal(n_samples), low_hz, high_hz, rate_hz, order)
    return noise / noise.std()


def _band_pass(waveform: np.ndarray, low_hz: float, high_hz: float, rate_hz: int, order: int) -> np.ndarray:
    from scipy.signal import butter, sosfilt  # takes a second to import

    return sosfilt(butter(order, [low_hz, high_hz], btype="bandpass", fs=rate_hz, output="sos"), waveform)


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

"""Synthetic breath sounds whose class lies in wheezes, crackles or a rhythm at known frequencies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from respcam.errors import Refused, there_are

LABELS = ("normal", "wheeze", "crackle")
PLANTS = LABELS[1:]
SHORTCUTS = ("none", "hiss", "colouration")
DEVICES = ("plain", "coloured")
EVIDENCE = ("presence", "redundant", "xor", "absence", "ratio", "rhythm")
Event = tuple[float, float, str]  # start and end in s, label
BREATH_RMS = 0.01  # so low that the loudest hum, rustle and plant together stay below full scale
INSPIRATION = 0.4  # share of a cycle; expiration has the same share, the rest is a pause


@dataclass(frozen=True)
class Synthetic:
    """Settings of the synthetic data set.

    Every recording is breath-like noise in respiratory cycles. A plant is a wheeze (a tone with harmonics) or a
    cluster of crackles (short damped oscillations) in each inspiration, at about ``plant_hz`` or ``second_hz``. Every
    second patient is ill. What tells these recordings from the normal ones is set by ``evidence``.

    Both classes have two distractors that are louder than the plant. One is a hum at a fixed frequency, so the
    loudest band does not tell the class. The other is rustles (bursts of broadband noise), so the loudest moment does
    not tell it. Levels are random for each recording, and the hum swells and fades. So no level tells the class, with
    any gain policy. A steady hum would: after gain to one RMS, it would be quieter in recordings with a plant.

    An optional shortcut is a second device that hisses or colours the sound in a separate band. All ill patients, or
    a share of them, were recorded with it.

    No sample reaches full scale, because a clipped hum has overtones, also in the group of the plant.

    Parameters
    ----------
    n_patients : int
        Number of patients; half of them are ill.
    recordings_per_patient : int
    duration_s : float
    sample_rate_hz : int
    plants : list of str
        Kinds of plants (wheeze, crackle), one per ill patient, in turn. They are also the labels of these patients.
    evidence : str
        What the recordings of ill patients have:

        - presence: plants at ``plant_hz``; normal recordings have none.
        - redundant: plants at ``plant_hz`` and at ``second_hz``; normal recordings have none.
        - xor: plants at one of the two frequencies; normal recordings have plants at both or none.
        - absence: no plants; normal recordings have plants at ``plant_hz``.
        - ratio: plants at both, those at ``plant_hz`` louder by ``ratio_db``; in normal recordings those at
          ``second_hz`` are louder.
        - rhythm: no plants; the breath pulsates at the second of ``rhythm_hz``, in normal recordings at the first.
    plant_hz, second_hz : float
        Mean frequencies of the plants.
    plant_spread_hz : float
        Largest difference of the frequency of a plant from its mean.
    ratio_db : float
        Difference of level of the two plants (evidence: ratio).
    rhythm_hz : [normal, ill]
        Pulses of the breath per second (evidence: rhythm).
    snr_db : float
        Power of the fundamental of a wheeze, or of the first oscillation of a crackle, re power of the breath at its
        loudest.
    harmonics : int
        Number of tones of a wheeze, at 1, 2, ... times its frequency, each 12 dB below the tone before. With two or
        more, overtones also tell the class, so there are several true answers.
    crackle_decay_s : float
        Time in which a crackle falls to 1/e.
    hum_hz : float
        Frequency of the hum.
    hum_db, hum_spread_db : float
        Power of the hum re power of the breath, and its largest difference (up or down) between recordings.
    hum_swell_db : float
        Largest change of the power of the hum (up or down) within a recording, over 3 to 12 s.
    rustles_per_s, rustle_db : float
        Number of rustles per second (noise of 30 to 80 ms, 100 to 2000 Hz), and their power re power of the breath.
    shortcut : str
        Effect of the second device: none, hiss (added noise) or colouration (gain in a band).
    shortcut_hz : [low, high]
        Band of the hiss or the colouration.
    shortcut_db : float
        Power of the hiss re power of the breath, or gain of the colouration.
    shortcut_tie : float
        Share of patients whose device follows the class: 1 always, 0 not at all.
    shortcut_tie_test : float, optional
        Value of ``shortcut_tie`` in the test part; None takes that of train. With a lower value the shortcut fails
        in the test.
    seed : int

    Raises
    ------
    Refused
        If a value is out of its range.
    """

    n_patients: int = 40
    recordings_per_patient: int = 3
    duration_s: float = 6.0
    sample_rate_hz: int = 8000
    plants: list[str] = field(default_factory=lambda: ["wheeze"])
    evidence: str = "presence"
    plant_hz: float = 890.0
    second_hz: float = 1240.0
    plant_spread_hz: float = 60.0
    ratio_db: float = 12.0
    rhythm_hz: list[float] = field(default_factory=lambda: [5.0, 14.0])
    snr_db: float = 3.0
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
            raise Refused(
                f"dataset.synthetic.n_patients is {self.n_patients}; expected at least 20, so that "
                "train, validation and test each have patients of both classes"
            )
        if not 1 <= self.duration_s <= 60:
            raise Refused(f"dataset.synthetic.duration_s is {self.duration_s}; expected 1 to 60 s")
        self._check_plants()
        self._check_shortcut()

    def _check_plants(self) -> None:
        if not self.plants or set(self.plants) - set(PLANTS):
            raise Refused(f"dataset.synthetic.plants is {self.plants}; expected some of {', '.join(PLANTS)}")
        if self.evidence not in EVIDENCE:
            raise Refused(f"dataset.synthetic.evidence is {self.evidence!r}; {there_are(EVIDENCE, self.evidence)}")
        limit_hz = self.sample_rate_hz / 2 - self.plant_spread_hz
        for name in ("plant_hz", "second_hz"):
            if not self.plant_spread_hz < getattr(self, name) < limit_hz:
                raise Refused(
                    f"dataset.synthetic.{name} is {getattr(self, name):g}; expected above {self.plant_spread_hz:g} "
                    f"and below {limit_hz:g} Hz"
                )
        if len(self.rhythm_hz) != 2 or not 0 < min(self.rhythm_hz) <= max(self.rhythm_hz) <= 30:
            raise Refused(
                f"dataset.synthetic.rhythm_hz is {self.rhythm_hz}; expected two rates, above 0 and up to 30 Hz"
            )

    def _check_shortcut(self) -> None:
        if self.shortcut not in SHORTCUTS:
            raise Refused(f"dataset.synthetic.shortcut is {self.shortcut!r}; expected one of {', '.join(SHORTCUTS)}")
        span_hz = self.shortcut_hz
        if not (len(span_hz) == 2 and 0 < span_hz[0] < span_hz[1] < self.sample_rate_hz / 2):
            raise Refused(
                f"dataset.synthetic.shortcut_hz is {self.shortcut_hz}; expected [low, high] below "
                f"{self.sample_rate_hz / 2:g} Hz"
            )
        for name in ("shortcut_tie", "shortcut_tie_test"):
            tie = getattr(self, name)
            if tie is not None and not 0 <= tie <= 1:
                raise Refused(f"dataset.synthetic.{name} is {tie}; expected 0 to 1")


@dataclass(frozen=True)
class SyntheticRecording:
    """One synthetic recording.

    Attributes
    ----------
    recording_id, patient_id, label, split, device : str
        Values of these columns of the manifest.
    waveform : float32 [shape=(n_samples,)]
        Full scale is 1.
    events : list of (start_s, end_s, label)
        Every plant, or every inspiration if there are no plants; times in s.
    """

    recording_id: str
    patient_id: str
    label: str
    split: str
    device: str
    waveform: np.ndarray
    events: list[Event]


def make_patient(patient: int, settings: Synthetic) -> list[SyntheticRecording]:
    """Make all recordings of a patient; they depend only on settings and number.

    Every fourth pair of patients is in the test part, the others in train.

    Parameters
    ----------
    patient : int >= 0
        Number of the patient; patients with odd numbers are ill.
    settings : Synthetic

    Returns
    -------
    list of SyntheticRecording

    Examples
    --------
    >>> [(r.recording_id, r.label, r.split) for r in make_patient(7, Synthetic(recordings_per_patient=1))]
    [('s007_0', 'wheeze', 'test')]
    """
    rng = np.random.default_rng([settings.seed, patient])
    turn = patient // 2 + patient // 8  # one more step per test pair, so that each part gets every plant
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
) -> tuple[np.ndarray, list[Event]]:
    """Make the waveform of a recording and list its events."""
    rate_hz, is_ill = settings.sample_rate_hz, label != "normal"
    time_s = np.arange(round(settings.duration_s * rate_hz)) / rate_hz
    phase = (time_s / cycle_s + rng.uniform()) % 1.0
    waveform = BREATH_RMS * _noise(len(time_s), 80, rng.uniform(600, 1200), rate_hz, rng) * _breathing(phase)
    if settings.evidence == "rhythm":
        waveform *= 1 + 0.9 * np.sin(2 * np.pi * (settings.rhythm_hz[is_ill] * time_s + rng.uniform()))
    _add_hum(waveform, time_s, settings, rng)
    _add_rustles(waveform, time_s, settings, rng)
    add_plant = ADD_PLANT[label if is_ill else settings.plants[0]]
    plants = _plants(is_ill, settings, rng)
    events = []
    for start_s in np.flatnonzero(np.diff(phase, prepend=1.0) < 0) / rate_hz:
        end_s = min(start_s + INSPIRATION * cycle_s, settings.duration_s)
        if end_s - start_s < 0.3:
            continue
        spans = [add_plant(waveform, time_s, (start_s, end_s), *plant, settings, rng) for plant in plants]
        events += [
            (round(float(start_s), 3), round(float(end_s), 3), label)
            for start_s, end_s in spans or [(start_s, end_s)]
        ]
    waveform += 0.02 * BREATH_RMS * rng.standard_normal(len(waveform))
    if is_coloured:
        waveform = _through_second_device(waveform, settings, rng)
    # the level is random, not set by the peak, because the peak depends on the plant
    waveform *= 10 ** (rng.uniform(-6, 6) / 20)
    return (waveform / max(1.0, 1.01 * np.abs(waveform).max())).astype(np.float32), events


def _plants(is_ill: bool, settings: Synthetic, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Mean frequency and level (dB re breath) of the plants of a recording."""
    plants = [(settings.plant_hz, settings.snr_db), (settings.second_hz, settings.snr_db)]
    match settings.evidence:
        case "presence":
            return plants[:is_ill]
        case "redundant":
            return plants if is_ill else []
        case "xor":
            first, second = (plants[:1], plants[1:]) if is_ill else ([], plants)
            return first if rng.uniform() < 0.5 else second
        case "absence":
            return plants[: not is_ill]
        case "ratio":
            change_db = (1 if is_ill else -1) * settings.ratio_db / 2
            common_db = rng.uniform(-3, 3)
            return [(hz, db + common_db + sign * change_db) for (hz, db), sign in zip(plants, (1, -1), strict=True)]
    return []


def _add_hum(waveform: np.ndarray, time_s: np.ndarray, settings: Synthetic, rng: np.random.Generator) -> None:
    """Add a tone that swells and fades."""
    hum_db = settings.hum_db + rng.uniform(-1, 1) * settings.hum_spread_db
    swell_db = settings.hum_swell_db * np.sin(2 * np.pi * (time_s / rng.uniform(3, 12) + rng.uniform()))
    waveform += _tone(settings.hum_hz, hum_db, time_s, rng) * 10 ** (swell_db / 20)


def _add_rustles(waveform: np.ndarray, time_s: np.ndarray, settings: Synthetic, rng: np.random.Generator) -> None:
    """Add short bursts of broadband noise."""
    n_rustles = rng.poisson(settings.rustles_per_s * settings.duration_s)
    for start_s in rng.uniform(0, settings.duration_s, n_rustles):
        inside = (time_s >= start_s) & (time_s < start_s + rng.uniform(0.03, 0.08))
        noise = _noise(len(time_s), 100, 2000, settings.sample_rate_hz, rng)
        waveform[inside] += BREATH_RMS * 10 ** (settings.rustle_db / 20) * (noise[inside] * np.hanning(inside.sum()))


def _add_wheeze(
    waveform: np.ndarray,
    time_s: np.ndarray,
    inspiration_s: tuple[float, float],
    mean_hz: float,
    level_db: float,
    settings: Synthetic,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Add a tone with harmonics to a part of an inspiration; return its start and end."""
    start_s, end_s = inspiration_s
    length_s = min(rng.uniform(0.25, 0.5), end_s - start_s)
    start_s = rng.uniform(start_s, end_s - length_s)
    inside = (time_s >= start_s) & (time_s < start_s + length_s)
    f_hz = mean_hz + rng.uniform(-1, 1) * settings.plant_spread_hz
    for number in range(settings.harmonics):
        if (number + 1) * f_hz < settings.sample_rate_hz / 2:
            tone = _tone((number + 1) * f_hz, level_db - 12 * number, time_s[inside], rng)
            waveform[inside] += tone * np.hanning(inside.sum())
    return start_s, start_s + length_s


def _add_crackles(
    waveform: np.ndarray,
    time_s: np.ndarray,
    inspiration_s: tuple[float, float],
    mean_hz: float,
    level_db: float,
    settings: Synthetic,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Add four to eight damped oscillations to a part of an inspiration; return their start and end."""
    start_s, end_s = inspiration_s
    length_s = min(rng.uniform(0.2, 0.4), end_s - start_s - 0.05)
    start_s = rng.uniform(start_s, end_s - length_s - 0.05)
    for onset_s in start_s + rng.uniform(0, length_s, rng.integers(4, 9)):
        f_hz = mean_hz + rng.uniform(-1, 1) * settings.plant_spread_hz
        later_s = np.maximum(time_s - onset_s, 0)
        decay = np.exp(-later_s / settings.crackle_decay_s) * (time_s >= onset_s)
        waveform += _tone(f_hz, level_db, later_s, rng) * decay
    return start_s, start_s + length_s + 0.05


#: Function that adds a plant to an inspiration, by kind.
ADD_PLANT: Mapping[str, Callable[..., tuple[float, float]]] = {"wheeze": _add_wheeze, "crackle": _add_crackles}


def _through_second_device(waveform: np.ndarray, settings: Synthetic, rng: np.random.Generator) -> np.ndarray:
    """Add a hiss, or make a band louder."""
    low_hz, high_hz = settings.shortcut_hz
    if settings.shortcut == "hiss":
        hiss = _noise(len(waveform), low_hz, high_hz, settings.sample_rate_hz, rng, order=8)
        return waveform + BREATH_RMS * 10 ** (settings.shortcut_db / 20) * hiss
    band = _band_pass(waveform, low_hz, high_hz, settings.sample_rate_hz, order=8)
    return waveform + (10 ** (settings.shortcut_db / 20) - 1) * band


def _noise(
    n_samples: int, low_hz: float, high_hz: float, rate_hz: int, rng: np.random.Generator, order: int = 2
) -> np.ndarray:
    """Noise in one band, with power one."""
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

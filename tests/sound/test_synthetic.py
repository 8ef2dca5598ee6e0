from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import butter, sosfilt, sosfiltfilt
from sklearn.metrics import roc_auc_score

from respcam.errors import Refused
from respcam.sound.audio import AudioSettings, resample
from respcam.sound.front_end import FrontEnd, LogMel, band_edges_hz
from respcam.sound.synthetic import EVIDENCE, LABELS, SHORTCUTS, Synthetic, make_patient


def mean_log_mel(settings, patients):
    log_mel = LogMel(FrontEnd())
    sounds = [r.waveform for p in patients for r in make_patient(p, settings)]
    waves = [resample(sound, settings.sample_rate_hz, AudioSettings(gain="rms")) for sound in sounds]
    return np.mean([log_mel(wave).mean(axis=0) for wave in waves], axis=0)


@pytest.mark.parametrize("plant_hz", [500.0, 890.0, 1600.0])
def test_the_classes_differ_where_the_plant_is(plant_hz):
    settings = Synthetic(plant_hz=plant_hz, snr_db=6)
    difference = mean_log_mel(settings, range(1, 40, 2)) - mean_log_mel(settings, range(0, 40, 2))
    lower, _, upper = band_edges_hz(FrontEnd())[difference.argmax()]
    assert lower - 60 <= plant_hz <= upper + 60


def test_the_loudest_band_is_not_the_plant():
    settings = Synthetic()
    centre = band_edges_hz(FrontEnd())[:, 1]
    for patients in (range(0, 40, 2), range(1, 40, 2)):
        assert abs(centre[mean_log_mel(settings, patients).argmax()] - settings.hum_hz) < 60


def test_the_level_of_the_hum_does_not_tell_the_class():
    settings = Synthetic(snr_db=6, n_patients=200, recordings_per_patient=1)
    centre = band_edges_hz(FrontEnd())[:, 1]
    hum = np.abs(centre - settings.hum_hz) < 40
    levels = np.array([mean_log_mel(settings, [patient])[hum].mean() for patient in range(200)])
    assert 0.4 < roc_auc_score(np.arange(200) % 2, levels) < 0.6


@pytest.mark.parametrize(
    "changes",
    [
        *({"evidence": evidence} for evidence in EVIDENCE),
        *({"shortcut": shortcut, "shortcut_db": 10.0} for shortcut in SHORTCUTS),
        {"plants": ["wheeze", "crackle"], "snr_db": 15.0, "harmonics": 3},
        {"plants": ["crackle"], "snr_db": 30.0, "crackle_decay_s": 0.02},
        {"hum_db": 25.0, "rustles_per_s": 8.0, "rustle_db": 30.0},
        {"sample_rate_hz": 16_000, "duration_s": 2.0, "recordings_per_patient": 1},
    ],
    ids=str,
)
def test_no_sample_is_at_full_scale(changes):
    peaks = [np.abs(r.waveform).max() for p in range(20) for r in make_patient(p, Synthetic(**changes))]
    assert min(peaks) > 0.01
    assert max(peaks) < 0.995


def power_db(waveform, low_hz, high_hz, rate_hz=8000):
    """Power of a sound in a band of frequencies, in dB re full scale."""
    spectrum = np.square(np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)))))
    f_hz = np.fft.rfftfreq(len(waveform), 1 / rate_hz)
    return 10 * np.log10(1e-30 + spectrum[(f_hz >= low_hz) & (f_hz < high_hz)].sum() / len(waveform) ** 2)


@pytest.mark.parametrize(("distractor", "bound_db"), [("hum_db", -40), ("rustle_db", -6)])
def test_a_distractor_has_little_power_in_the_group_of_the_plant(distractor, bound_db):
    def sound(patient, **changes):
        return make_patient(patient, Synthetic(recordings_per_patient=1, **changes))[0].waveform

    excess_db = []
    for patient in range(1, 80, 2):
        whole = sound(patient)
        alone = whole - sound(patient, **{distractor: -200.0})  # sounds add up, so the difference is the distractor
        plant = whole - sound(patient, snr_db=-200.0)
        excess_db.append(power_db(alone, 800, 975) - power_db(plant, 800, 975))
    assert np.median(excess_db) < bound_db


def prominence_db(waveform, hz):
    """Power at a frequency re power beside it, so that the level of the recording does not matter."""
    beside = np.logaddexp2(power_db(waveform, hz - 240, hz - 100), power_db(waveform, hz + 100, hz + 240))
    return power_db(waveform, hz - 70, hz + 70) - beside


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_the_evidence_is_what_it_says(evidence):
    settings = Synthetic(evidence=evidence, snr_db=10, plant_hz=600, second_hz=1500, recordings_per_patient=1)
    rows = [
        (r.label == "wheeze", *(prominence_db(r.waveform, hz) for hz in (600, 1500)))
        for p in range(100)
        for r in make_patient(p, replace(settings, rustles_per_s=0, hum_db=-60))
    ]
    is_ill, first_db, second_db = map(np.array, zip(*rows, strict=True))
    has_first, has_second = first_db > 4, second_db > 4
    expected = {
        "presence": (has_first == is_ill) & ~has_second,
        "redundant": (has_first == is_ill) & (has_second == is_ill),
        "xor": (has_first != has_second) == is_ill,
        "absence": (has_first != is_ill) & ~has_second,
        "ratio": (first_db - second_db > np.median(first_db - second_db)) == is_ill,
        "rhythm": ~has_first & ~has_second,
    }
    assert expected[evidence].mean() > 0.95


def test_sounds_are_repeatable_and_differ():
    first, again = (make_patient(3, Synthetic()) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.waveform, other.waveform)
    assert not np.array_equal(first[0].waveform, first[1].waveform)
    assert not np.array_equal(first[0].waveform, make_patient(3, Synthetic(seed=1))[0].waveform)


def test_labels_events_and_parts_fit_together():
    recordings = [r for p in range(40) for r in make_patient(p, Synthetic(plants=["wheeze", "crackle"]))]
    for recording in recordings:
        assert recording.label in LABELS
        assert recording.events
        for start_s, end_s, label in recording.events:
            assert 0 <= start_s < end_s <= 6.05
            assert label == recording.label
        assert np.abs(recording.waveform).max() <= 1
    for part in ("train", "test"):
        assert {r.label for r in recordings if r.split == part} == set(LABELS)


@pytest.mark.parametrize("plant", ["wheeze", "crackle"])
def test_the_plant_lies_where_its_events_say(plant):
    settings = Synthetic(plants=[plant], snr_db=25, rustles_per_s=0, plant_hz=1400)
    band = butter(4, [1300, 1500], btype="bandpass", fs=settings.sample_rate_hz, output="sos")
    for recording in [r for p in range(1, 8, 2) for r in make_patient(p, settings)]:
        power = np.square(sosfiltfilt(band, recording.waveform))
        time_s = np.arange(len(power)) / settings.sample_rate_hz
        inside = np.zeros(len(power), dtype=bool)
        for start_s, end_s, _ in recording.events:
            inside |= (time_s >= start_s) & (time_s < end_s)
        assert power[inside].sum() > 0.95 * power.sum()
        assert inside.mean() < 0.5


def test_distractors_are_louder_than_the_plant():
    def energy(**changes):
        settings = Synthetic(n_patients=20, hum_spread_db=0, rustles_per_s=0, **changes)
        waveform = make_patient(1, settings)[0].waveform
        return np.square(waveform).mean()

    whole, without_plant = energy(), energy(snr_db=-60)
    without_hum = energy(hum_db=-60)
    assert whole - without_hum > 3 * (whole - without_plant)


def band_level_db(waveform, low_hz, high_hz, rate_hz=8000):
    band = butter(4, [low_hz, high_hz], btype="bandpass", fs=rate_hz, output="sos")
    return 10 * np.log10(np.square(sosfilt(band, waveform)).mean() / np.square(waveform).mean())


@pytest.mark.parametrize(("shortcut", "shortcut_db"), [("hiss", 0), ("colouration", 30)])
def test_a_shortcut_follows_the_class_and_lies_in_its_band(shortcut, shortcut_db):
    settings = Synthetic(shortcut=shortcut, shortcut_db=shortcut_db)
    recordings = [r for p in range(40) for r in make_patient(p, settings)]
    assert {(r.label == "wheeze", r.device) for r in recordings} == {(True, "coloured"), (False, "plain")}
    levels = {
        device: np.median([band_level_db(r.waveform, 1500, 1840) for r in recordings if r.device == device])
        for device in ("plain", "coloured")
    }
    assert levels["coloured"] > levels["plain"] + 6
    short = replace(settings, recordings_per_patient=1, duration_s=1)
    untied = [r for p in range(40) for r in make_patient(p, replace(short, shortcut_tie=0))]
    share = np.mean([r.device == "coloured" for r in untied if r.label == "wheeze"])
    assert 0.1 < share < 0.9
    assert {r.device for p in range(4) for r in make_patient(p, Synthetic())} == {"plain"}
    broken = [r for p in range(160) for r in make_patient(p, replace(short, shortcut_tie_test=0.0))]
    for split, low, high in (("train", 0.99, 1), ("test", 0.25, 0.75)):
        own = [r for r in broken if r.split == split]
        assert low <= np.mean([(r.label == "wheeze") == (r.device == "coloured") for r in own]) <= high


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_patients": 4}, "at least 20"),
        ({"plant_hz": 5000}, "below 3940 Hz"),
        ({"duration_s": 0}, "1 to 60 s"),
        ({"plants": ["cough"]}, "expected some of wheeze, crackle"),
        ({"evidence": "both"}, "there are presence, redundant"),
        ({"second_hz": 5000}, "second_hz is 5000; expected above 60 and below 3940 Hz"),
        ({"rhythm_hz": [5.0]}, "expected two rates"),
        ({"shortcut": "hum"}, "expected one of none, hiss, colouration"),
        ({"shortcut_hz": [1500, 5000]}, "below 4000 Hz"),
        ({"shortcut_tie": 2}, "expected 0 to 1"),
        ({"shortcut_tie_test": -1}, "shortcut_tie_test is -1; expected 0 to 1"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(Refused, match=message):
        Synthetic(**change)

import numpy as np
import pytest

from respcam.audio import AudioSettings, resample
from respcam.front_end import FrontEnd, LogMel, band_edges_hz
from respcam.synthetic import LABELS, Synthetic, make_patient


def mean_log_mel(settings, patients):
    log_mel = LogMel(FrontEnd())
    sounds = [r.waveform for p in patients for r in make_patient(p, settings)]
    waves = [resample(sound, settings.sample_rate_hz, AudioSettings(gain="rms")) for sound in sounds]
    return np.mean([log_mel(wave).mean(dim=0).numpy() for wave in waves], axis=0)


@pytest.mark.parametrize("plant_hz", [500.0, 890.0, 1600.0])
def test_the_classes_differ_where_the_plant_is(plant_hz):
    settings = Synthetic(plant_hz=plant_hz)
    difference = mean_log_mel(settings, range(1, 40, 2)) - mean_log_mel(settings, range(0, 40, 2))
    lower, _, upper = band_edges_hz(FrontEnd())[difference.argmax()]
    assert lower - 60 <= plant_hz <= upper + 60


def test_the_loudest_band_is_not_the_plant():
    settings = Synthetic()
    centre = band_edges_hz(FrontEnd())[:, 1]
    for patients in (range(0, 40, 2), range(1, 40, 2)):
        assert abs(centre[mean_log_mel(settings, patients).argmax()] - settings.hum_hz) < 60


def test_sounds_are_repeatable_and_differ():
    first, again = (make_patient(3, Synthetic()) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.waveform, other.waveform)
    assert not np.array_equal(first[0].waveform, first[1].waveform)
    assert not np.array_equal(first[0].waveform, make_patient(3, Synthetic(seed=1))[0].waveform)


def test_labels_events_and_parts_fit_together():
    recordings = [r for p in range(40) for r in make_patient(p, Synthetic())]
    for recording in recordings:
        assert recording.label in LABELS
        assert recording.events
        for start_s, end_s, label in recording.events:
            assert 0 <= start_s < end_s <= 6
            assert label == recording.label
        assert np.abs(recording.waveform).max() <= 1
    for part in ("train", "test"):
        assert {r.label for r in recordings if r.split == part} == set(LABELS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_patients": 4}, "at least 20"),
        ({"plant_hz": 5000}, "below 3940 Hz"),
        ({"duration_s": 0}, "1 to 60 s"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        Synthetic(**change)

import numpy as np
import pytest

from respcam.sound.front_end import FrontEnd, band_edges_hz, n_frames
from respcam.sound.masking import split_sound

FRONT_END = FrontEnd()


def cells(waveform, low_hz, high_hz):
    centre_hz = band_edges_hz(FRONT_END)[:, 1]
    is_inside = (centre_hz > low_hz) & (centre_hz < high_hz)
    return np.repeat(is_inside[:, None], n_frames(len(waveform), FRONT_END), axis=1)


def level_db(waveform):
    return 20 * np.log10(np.sqrt(np.mean(waveform**2)))


def test_a_tone_inside_stays_and_is_quiet_in_the_rest(tone):
    waveform = tone(500)
    inside, rest = split_sound(waveform, cells(waveform, 300, 800), FRONT_END)
    assert len(inside) == len(rest) == len(waveform)
    assert level_db(inside) == pytest.approx(level_db(waveform), abs=0.1)
    assert level_db(rest) == pytest.approx(level_db(waveform) - 20, abs=0.6)
    # the phase stays too
    assert np.corrcoef(inside, waveform)[0, 1] > 0.999


def test_both_parts_add_up_to_the_input(noise):
    rng = np.random.default_rng(1)
    is_inside = rng.random((64, n_frames(len(noise), FRONT_END))) > 0.5
    inside, rest = split_sound(noise, is_inside, FRONT_END, other_db=-20)
    np.testing.assert_allclose((inside + rest) / 1.1, noise, atol=1e-4)


def test_all_or_nothing_inside(noise):
    everything = cells(noise, 0, 1e5)
    inside, _ = split_sound(noise, everything, FRONT_END)
    nothing, rest = split_sound(noise, ~everything, FRONT_END)
    np.testing.assert_allclose(rest, noise, atol=1e-4)
    np.testing.assert_allclose(nothing, 0.1 * noise, atol=1e-4)
    # what the bands do not reach belongs to the rest
    assert level_db(inside) < level_db(noise) - 5


def test_a_mask_acts_at_its_time(tone):
    waveform = tone(500, duration_s=2)
    is_inside = cells(waveform, 300, 800)
    is_inside[:, is_inside.shape[1] // 2 :] = False
    inside, _ = split_sound(waveform, is_inside, FRONT_END)
    n = len(waveform) // 2
    assert level_db(inside[: n - 800]) == pytest.approx(level_db(waveform), abs=0.1)
    assert level_db(inside[n + 800 :]) == pytest.approx(level_db(waveform) - 20, abs=0.1)


def test_a_very_short_sound(noise):
    short = noise[:400]
    inside, rest = split_sound(short, cells(short, 300, 800), FRONT_END)
    np.testing.assert_allclose((inside + rest) / 1.1, short, atol=1e-4)

import librosa
import numpy as np
import pytest

from respcam.errors import Refused
from respcam.sound.front_end import (
    FrontEnd,
    LogMel,
    band_edges_hz,
    bands_table,
    bins_per_band,
    log_mel,
    mel_matrix,
    n_frames,
)

DEFAULT, VGGISH = FrontEnd(), FrontEnd(n_fft=512)


def straightforward(wave, settings):
    """The front end once more, one frame at a time, in float64."""
    length = settings.window_samples
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    filters = librosa.filters.mel(
        sr=16_000, n_fft=settings.n_fft, n_mels=64, fmin=settings.f_min_hz, fmax=settings.f_max_hz, htk=True,
        norm=None, dtype=np.float64,
    )  # fmt: skip
    rows = []
    for start in range(0, len(wave) - length + 1, 160):
        spectrum = np.abs(np.fft.rfft(wave[start : start + length].astype(np.float64) * window, settings.n_fft))
        rows.append(np.log(filters @ spectrum + 0.01))
    return np.array(rows)


@pytest.mark.parametrize(
    "settings",
    [
        DEFAULT,
        VGGISH,
        FrontEnd(window_samples=401),
        FrontEnd(window_samples=128),
        FrontEnd(f_min_hz=0, f_max_hz=8000),
        FrontEnd(window_samples=1024),
    ],
)
def test_log_mel_agrees_with_a_straightforward_implementation(settings, noise):
    found = LogMel(settings)(noise)
    expected = straightforward(noise, settings)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("settings", [DEFAULT, VGGISH])
def test_mel_matrix_agrees_with_librosa(settings):
    expected = librosa.filters.mel(
        sr=16_000, n_fft=settings.n_fft, n_mels=64, fmin=100, fmax=2000, htk=True, norm=None
    )
    np.testing.assert_allclose(mel_matrix(settings).T, expected, atol=1e-6)


def test_band_edges_agree_with_librosa():
    points = librosa.mel_frequencies(66, fmin=100, fmax=2000, htk=True)
    edges = band_edges_hz(DEFAULT)
    np.testing.assert_allclose(edges[:, 0], points[:-2], rtol=1e-9)
    np.testing.assert_allclose(edges[:, 1], points[1:-1], rtol=1e-9)
    np.testing.assert_allclose(edges[:, 2], points[2:], rtol=1e-9)


@pytest.mark.parametrize(
    ("n_samples", "expected"), [(399, 0), (400, 1), (559, 1), (560, 2), (15_599, 95), (15_600, 96)]
)
def test_frames_are_whole_windows(n_samples, expected):
    assert n_frames(n_samples, DEFAULT) == expected
    assert LogMel(DEFAULT)(np.zeros(n_samples, np.float32)).shape == (expected, 64)


@pytest.mark.parametrize("band", range(0, 64, 3))
def test_a_tone_lands_in_the_band_that_contains_it(tone, band):
    edges = band_edges_hz(DEFAULT)
    loudest = LogMel(DEFAULT)(tone(edges[band, 1])).mean(axis=0).argmax()
    assert edges[loudest, 0] <= edges[band, 1] <= edges[loudest, 2]


def test_silence_lies_on_the_floor():
    frames = LogMel(DEFAULT)(np.zeros(16_000, np.float32))
    np.testing.assert_allclose(frames, np.log(0.01), atol=1e-6)
    assert DEFAULT.floor == pytest.approx(np.log(0.01))


def test_weak_filters_are_counted():
    assert (bins_per_band(VGGISH) == 1).sum() == 23
    assert bins_per_band(DEFAULT).min() == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_fft": 256}, "n_fft is 256; expected at least the window of 400"),
        ({"f_max_hz": 9000}, "half the sample rate"),
        ({"f_min_hz": 3000}, "f_min_hz < f_max_hz"),
        ({"hop_samples": 0}, "hop_samples is 0; expected more than 0"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(Refused, match=message):
        FrontEnd(**change)


@pytest.mark.parametrize("settings", [DEFAULT, VGGISH, FrontEnd(n_bands=20, f_max_hz=1000)])
def test_the_log_mel_of_a_waveform_is_that_of_the_stages_with_bands_first(noise, settings):
    table = log_mel(noise, settings)
    assert (table.dtype, table.shape) == (np.float32, (settings.n_bands, 98))
    np.testing.assert_array_equal(table, LogMel(settings)(noise).T)
    np.testing.assert_array_equal(log_mel(noise.astype(np.float64), settings), table)


def test_a_tone_lies_in_its_band(tone):
    bands = bands_table(DEFAULT)
    loudest = log_mel(tone(900)).mean(axis=1).argmax()
    assert bands.loc[loudest, "lower_hz"] < 900 < bands.loc[loudest, "upper_hz"]


@pytest.mark.parametrize(
    ("waveform", "words"),
    [
        (np.zeros((16_000, 2), np.float32), r"waveform is float32 of shape \(16000, 2\); expected one channel"),
        (np.zeros(16_000, np.int16), "waveform is int16 .*; expected one channel of floating-point samples"),
        (np.array([0.0, np.nan, np.inf]), "waveform has 2 NaN or infinite samples of 3; expected finite ones"),
    ],
)
def test_what_is_no_mono_waveform_is_refused(waveform, words):
    with pytest.raises(Refused, match=words):
        log_mel(waveform)


def test_blocks_of_frames_change_nothing():
    wave = np.random.default_rng(0).standard_normal(6 * 16_000)
    found = LogMel(DEFAULT)(wave)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, straightforward(wave, DEFAULT), atol=1e-5)


def test_the_limits_of_the_settings_are_allowed():
    FrontEnd(n_fft=400)
    FrontEnd(f_max_hz=8000)
    with pytest.raises(Refused, match=r"f_min_hz < f_max_hz <= 8000 Hz, half the sample rate"):
        FrontEnd(f_max_hz=8001)
    with pytest.raises(Refused, match="f_min_hz, f_max_hz are 500, 500"):
        FrontEnd(f_min_hz=500, f_max_hz=500)


def test_the_table_of_bands_has_their_number_edges_and_bins():
    table = bands_table(VGGISH)
    assert table.columns.tolist() == ["band", "lower_hz", "centre_hz", "upper_hz", "n_bins"]
    assert table["band"].tolist() == list(range(64))
    assert table["n_bins"].tolist() == bins_per_band(VGGISH).tolist()
    np.testing.assert_allclose(table[["lower_hz", "centre_hz", "upper_hz"]], band_edges_hz(VGGISH))


@pytest.mark.parametrize("hz", [0, 20, 6000])
def test_loud_sound_outside_of_the_bands_hides_nothing(hz):
    faint = 1e-4 * np.random.default_rng(0).standard_normal(16_000)
    wave = (faint + np.cos(2 * np.pi * hz * np.arange(16_000) / 16_000)).astype(np.float32)
    np.testing.assert_allclose(LogMel(DEFAULT)(wave), straightforward(wave, DEFAULT), atol=5e-4)

import numpy as np
import pytest
import soundfile as sf
from scipy.io import wavfile

from respcam.sound.wav import missing_bytes, write_wav


def test_written_audio_is_exact_and_not_clipped(tmp_path):
    wave = np.array([0.0, 1.7, -2.5, 1e-9], np.float32)
    write_wav(tmp_path / "a.wav", wave, 16_000)
    np.testing.assert_array_equal(sf.read(tmp_path / "a.wav", dtype="float32")[0], wave)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("n_samples", [0, 1, 4001])
def test_a_file_is_byte_by_byte_what_scipy_writes(tmp_path, noise, n_samples):
    wave = noise[:n_samples]
    write_wav(tmp_path / "a.wav", wave, 8000)
    wavfile.write(tmp_path / "expected.wav", 8000, wave)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "expected.wav").read_bytes()


def test_samples_that_are_not_contiguous_or_wider_are_written_as_float32(tmp_path, noise):
    write_wav(tmp_path / "a.wav", noise.astype(np.float64)[::3], 16_000)
    np.testing.assert_array_equal(sf.read(tmp_path / "a.wav", dtype="float32")[0], noise[::3])


@pytest.mark.parametrize("n_cut", [0, 1, 500])
@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_bytes_missing_from_a_wav_file_are_counted(write_sound, noise, name, n_cut):
    path = write_sound(name, noise, subtype="PCM_16")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - n_cut])
    assert missing_bytes(path) == (n_cut if name == "a.wav" else 0)


def test_chunks_before_the_samples_are_passed_over(write_sound, noise):
    path = write_sound("a.wav", noise, subtype="PCM_16")
    content = path.read_bytes()
    note = b"LIST" + (5).to_bytes(4, "little") + b"hello\0"  # of odd length, hence padded
    path.write_bytes(content[:36] + note + content[36:-10])
    assert missing_bytes(path) == 10


@pytest.mark.parametrize("announced", [0xFFFFFFFF, 0xFFFFFF00, 0])
def test_a_stream_of_unknown_length_is_left_to_the_decoder(write_sound, noise, announced):
    path = write_sound("a.wav", noise, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[40:44] = announced.to_bytes(4, "little")
    path.write_bytes(content)
    assert missing_bytes(path) == 0


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEfmt "])
def test_a_header_that_ends_early_is_left_to_the_decoder(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    assert missing_bytes(tmp_path / "a.wav") == 0

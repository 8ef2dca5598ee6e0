"""Files whose headers lie, and things that are no files: each costs a line and nothing else."""

import os
import resource
import struct
import threading

import numpy as np
import pytest
import soundfile as sf

from respcam.errors import Reason, Refused, Unusable
from respcam.sound import usable
from respcam.sound.audio import AudioSettings, read_audio
from respcam.sound.usable import Limits, read_mono

NOISE = 0.1 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)


def reason_of(path, limits=None):
    with pytest.raises(Unusable) as caught:
        read_mono(path, *([] if limits is None else [limits]))
    return caught.value.reason, caught.value.detail


def flac_announcing(path, n_samples):
    """A FLAC file whose header announces a number of samples: 36 bits from the middle of byte 21 on."""
    sf.write(path, NOISE, 16_000)
    content = bytearray(path.read_bytes())
    before = int.from_bytes(content[18:26], "big")
    content[18:26] = (before >> 36 << 36 | n_samples).to_bytes(8, "big")
    path.write_bytes(content)


def ogg_checksum(page):
    """CRC-32 of a page of Ogg: polynomial 0x04c11db7, not reflected, without inversion."""
    register = 0
    for byte in page:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ 0x04C11DB7 if register & 1 << 31 else register << 1) & 0xFFFFFFFF
    return register


def ogg_announcing(path, n_samples):
    """An Ogg file whose last page announces a number of samples."""
    sf.write(path, NOISE, 16_000, format="OGG", subtype="VORBIS")
    content = bytearray(path.read_bytes())
    start = content.rfind(b"OggS")
    content[start + 6 : start + 14] = struct.pack("<q", n_samples)
    content[start + 22 : start + 26] = bytes(4)
    content[start + 22 : start + 26] = struct.pack("<I", ogg_checksum(content[start:]))
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("announce", "name", "n_samples"),
    [(flac_announcing, "a.flac", 2**36 - 1), (flac_announcing, "a.flac", 2**33), (ogg_announcing, "a.ogg", 2**40)],
)
def test_a_header_that_announces_days_of_sound_asks_for_no_memory(tmp_path, announce, name, n_samples):
    path = tmp_path / name
    announce(path, n_samples)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reason, detail = reason_of(path)
    assert reason == Reason.TOO_LONG
    assert str(n_samples) in detail
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_a_header_that_announces_more_than_there_is_is_truncated_at_the_memory_of_what_there_is(tmp_path):
    path = tmp_path / "a.flac"
    flac_announcing(path, 200_000_000)  # 800 MB, within the limits
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert reason_of(path)[0] in (Reason.TRUNCATED, Reason.NOT_AUDIO)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize("n_channels", [1, 3])
def test_blocks_change_nothing(tmp_path, monkeypatch, n_channels):
    path = tmp_path / "a.wav"
    sf.write(path, np.stack([NOISE * (k + 1) for k in range(n_channels)], axis=1), 16_000, subtype="PCM_24")
    whole, _ = read_mono(path)
    monkeypatch.setattr(usable, "BLOCK_VALUES", 1000)
    np.testing.assert_array_equal(read_mono(path)[0], whole)


def test_rates_channels_and_lengths_beyond_the_limits_are_listed(tmp_path):
    path = tmp_path / "a.wav"
    sf.write(path, NOISE, 1)
    assert reason_of(path) == (Reason.OUT_OF_RANGE, "a sample rate of 1 Hz; expected 1000 to 768000 Hz")
    sf.write(path, np.tile(NOISE[:100, None], (1, 65)), 16_000)
    assert reason_of(path) == (Reason.OUT_OF_RANGE, "65 channels; expected at most 64")
    sf.write(path, NOISE, 16_000)
    assert reason_of(path, Limits(longest_s=0.5))[0] == Reason.TOO_LONG
    with pytest.raises(Unusable, match=r"a.wav: the header announces 16000 samples; expected at most 0.000139 h"):
        read_audio(path, AudioSettings(longest_s=0.5))


@pytest.mark.parametrize(
    "setting",
    [{"longest_s": 0.5}, {"lowest_rate_hz": 17_000}, {"highest_rate_hz": 15_000}, {"most_channels": 1},
     {"largest_sample": 0.05}],
    ids=str,
)  # fmt: skip
def test_every_limit_is_a_setting(tmp_path, setting):
    path = tmp_path / "a.wav"
    sf.write(path, np.stack([NOISE, NOISE], axis=1), 16_000)
    read_audio(path)
    with pytest.raises(Unusable) as caught:
        read_audio(path, AudioSettings(**setting))
    assert caught.value.reason in (Reason.OUT_OF_RANGE, Reason.TOO_LONG)


def test_limits_that_leave_nothing_are_refused():
    for setting in ({"largest_sample": 0}, {"highest_rate_hz": 999}):
        with pytest.raises(Refused, match=f"audio.{next(iter(setting))} is "):
            AudioSettings(**setting)


@pytest.mark.parametrize(("value", "is_used"), [(1e7, False), (3e38, False), (32767.0, True), (1e-30, True)])
def test_absurd_magnitudes_are_listed_and_unscaled_integers_are_used(tmp_path, value, is_used):
    path = tmp_path / "a.wav"
    sf.write(path, NOISE * np.float32(value), 16_000, subtype="FLOAT")
    if not is_used:
        assert reason_of(path)[0] == Reason.OUT_OF_RANGE
        return
    waveform = read_audio(path)
    assert np.isfinite(waveform).all()


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    (tmp_path / "folder.wav").mkdir()
    reasons = {}

    def read_all():
        for name in ("pipe.wav", "zero.wav", "folder.wav"):
            reasons[name] = reason_of(tmp_path / name)

    thread = threading.Thread(target=read_all, daemon=True)
    thread.start()
    thread.join(10)  # a pipe would be waited for without an end
    assert list(reasons.values()) == [(Reason.UNREADABLE, "not a regular file")] * 3


def test_a_file_without_a_header_is_no_audio(tmp_path):
    (tmp_path / "a.raw").write_bytes(NOISE.tobytes())
    assert reason_of(tmp_path / "a.raw") == (Reason.NOT_AUDIO, ".raw has no header; convert it to WAV")

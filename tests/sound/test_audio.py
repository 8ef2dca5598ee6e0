import hashlib

import numpy as np
import pytest
import soundfile as sf

from respcam.errors import Reason, Refused, Unusable
from respcam.sound import wav
from respcam.sound.audio import AudioSettings, read_audio, resample, resample_file, rms
from respcam.sound.usable import read_mono
from respcam.store.integrity import file_checksum


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_U8"),
        ("a.wav", "PCM_16"),
        ("a.wav", "PCM_24"),
        ("a.wav", "PCM_32"),
        ("a.wav", "FLOAT"),
        ("a.wav", "DOUBLE"),
        ("a.wav", "ULAW"),
        ("a.flac", "PCM_24"),
        ("a.ogg", "VORBIS"),
        ("a.mp3", "MPEG_LAYER_III"),
        ("a.aiff", "PCM_16"),
    ],
)
@pytest.mark.parametrize("n_channels", [1, 2, 5])
def test_every_width_and_channel_count_is_read(write_sound, tone, name, subtype, n_channels):
    if subtype in ("VORBIS", "MPEG_LAYER_III") and n_channels > 2:
        pytest.skip("not a layout of this format")
    wave = tone(440)
    path = write_sound(name, np.stack([wave] * n_channels, axis=1), subtype=subtype)
    found, rate_hz = read_mono(path)
    assert rate_hz == 16_000
    assert found.dtype == np.float32
    n = min(len(found), len(wave))
    assert n > 15_000
    assert np.corrcoef(found[:n], wave[:n])[0, 1] > 0.99


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_samples_are_those_of_libsndfile_to_the_bit(write_sound, noise, subtype):
    noise[:2] = [-1.0, 0.999]
    path = write_sound("a.wav", noise, subtype=subtype)
    np.testing.assert_array_equal(read_mono(path)[0], sf.read(path, dtype="float32")[0])


def test_channels_are_averaged(write_sound, tone):
    wave = tone(200)
    found, _ = read_mono(write_sound("a.wav", np.stack([wave, 0 * wave], axis=1), subtype="FLOAT"))
    np.testing.assert_allclose(found, wave / 2, atol=1e-7)


def test_a_wrong_block_align_field_does_no_harm(write_sound, tone):
    path = write_sound("a.wav", tone(200), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[32:34] = (4).to_bytes(2, "little")  # SPRSound's header: 4 for 16-bit mono
    path.write_bytes(content)
    found, _ = read_mono(path)
    np.testing.assert_allclose(found, tone(200), atol=1e-4)


def damage(path, kind):
    content = path.read_bytes()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "not_audio":
        path.write_text("Dear diary, " * 50)
    elif kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "zero_length":
        sf.write(path, np.zeros(0, np.float32), 16_000)
    elif kind == "not_finite":
        sf.write(path, np.array([0.1, np.nan, 0.2], np.float32), 16_000, subtype="FLOAT")
    elif kind == "silent":
        sf.write(path, np.zeros(16_000, np.float32), 16_000)


@pytest.mark.parametrize("kind", ["empty", "not_audio", "truncated", "zero_length", "not_finite", "silent"])
def test_damage_is_named(write_sound, tone, kind):
    path = write_sound("a.wav", tone(300))
    damage(path, kind)
    with pytest.raises(Unusable) as error:
        read_mono(path)
    assert error.value.reason == kind
    assert error.value.detail


def test_a_truncated_flac_is_named(write_sound, noise):
    path = write_sound("a.flac", noise)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(Unusable) as error:
        read_mono(path)
    assert error.value.reason in (Reason.TRUNCATED, Reason.NOT_AUDIO)


@pytest.mark.parametrize("rate_hz", [4000, 8000, 10_000, 11_025, 22_050, 44_100, 48_000])
def test_a_tone_keeps_frequency_level_and_length(tone, rate_hz):
    out = resample(tone(700, rate_hz), rate_hz, AudioSettings(gain="none"))
    assert abs(len(out) - 16_000) <= 1
    middle = out[2000:14_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert abs(np.argmax(spectrum) * 16_000 / len(middle) - 700) < 2
    assert np.abs(middle).max() == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("gain", ["rms", "peak"])
def test_gain_brings_recordings_to_one_level(tone, gain):
    settings = AudioSettings(gain=gain, target_db=-20)
    loud, quiet = (resample(tone(300, level=level), 16_000, settings) for level in (0.9, 0.001))
    np.testing.assert_allclose(loud, quiet, atol=1e-6)
    level = np.abs(loud).max() if gain == "peak" else np.sqrt(np.mean(loud**2))
    assert level == pytest.approx(0.1, rel=1e-3)


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def row_of(**changes):
    blank = {"sha256": "", "sample_rate_hz": "", "n_samples": ""}
    return {"recording_id": "a", "path": "a.wav", "content": "0" * 64, **blank, **changes}


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"content": Reason.MISSING}, "missing", "not under the data set's root"),
        ({"path": "absent.wav", "content": Reason.UNREADABLE}, "unreadable", "No such file or directory"),
        ({"sha256": "1" * 64}, "wrong_checksum", "SHA-256 is {content}..., the manifest has 1111111111111111..."),
        ({"sample_rate_hz": "8000"}, "altered", "sample_rate_hz is 16000, the manifest has 8000"),
        ({"n_samples": "7"}, "altered", "n_samples is 16000, the manifest has 7"),
    ],
)
def test_a_rejected_recording_is_listed_with_its_reason(write_sound, tone, changes, reason, detail):
    path = write_sound("a.wav", tone(300))
    content = sha256_of(path)
    listed = resample_file(row_of(**{"content": content, **changes}), path.parent, path.parent, AudioSettings())
    assert listed["path"] == changes.get("path", "a.wav")
    assert (listed["reason"], listed["detail"]) == (reason, detail.format(content=content[:16]))
    assert type(listed["reason"]) is str  # it goes to JSON and CSV


def test_a_recording_that_changes_while_it_is_read_is_no_unusable_one(write_sound, tone):
    """As one that is still copied, or whose drive goes: libsndfile takes an error of reading for the end of the file."""
    path = write_sound("a.wav", tone(300))
    content = sha256_of(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(Refused, match=r"a\.wav: the WAV header announces .*, but not when the files were listed"):
        resample_file(row_of(content=content), path.parent, path.parent, AudioSettings())


def test_a_usable_recording_is_written_and_described(write_sound, tone):
    folder = write_sound("a.wav", tone(300, 8000), 8000).parent
    (folder / "out").mkdir()
    row = row_of(sha256="0" * 64, sample_rate_hz="8000", n_samples="8000")
    described = resample_file(row, folder, folder / "out", AudioSettings())
    assert described == {
        "recording_id": "a",
        "n_samples": 16_000,
        "source_rate_hz": 8000,
        "source_samples": 8000,
        "rms_db": pytest.approx(20 * np.log10(0.5 / 2**0.5), abs=0.01),
        "peak_db": pytest.approx(20 * np.log10(0.5), abs=0.01),
        "checksum": file_checksum(folder / "out/a.wav"),
    }
    assert sf.info(folder / "out" / "a.wav").frames == 16_000


def test_a_failure_to_write_is_not_taken_for_an_unreadable_recording(write_sound, tone):
    folder = write_sound("a.wav", tone(300)).parent
    with pytest.raises(FileNotFoundError):
        resample_file(row_of(), folder, folder / "absent", AudioSettings())


def test_a_recording_too_long_for_a_wav_file_is_listed(tmp_path, tone, monkeypatch):
    sf.write(tmp_path / "a.wav", tone(300), 16_000)
    (tmp_path / "out").mkdir()
    row, reasons = row_of(content=sha256_of(tmp_path / "a.wav")), []
    for most_bytes in (4 * 16_000, 4 * 16_000 - 1):
        monkeypatch.setattr(wav, "MOST_BYTES", most_bytes)
        reasons.append(resample_file(row, tmp_path, tmp_path / "out", AudioSettings()).get("reason"))
    assert reasons == [None, "too_long"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gain": "loud"}, "expected one of none, rms, peak"),
        ({"quality": "X"}, "QQ"),
        ({"target_db": 3}, "at most 0 dB"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(Refused, match=message):
        AudioSettings(**change)


@pytest.mark.parametrize("gain", ["none", "rms", "peak"])
@pytest.mark.parametrize(("name", "rate_hz"), [("a.wav", 16_000), ("a.flac", 44_100)])
def test_a_recording_is_read_as_the_resample_stage_writes_it(write_sound, tone, gain, name, rate_hz):
    path = write_sound(name, np.stack([tone(300, rate_hz), tone(700, rate_hz)], axis=1), rate_hz)
    settings = AudioSettings(gain=gain)
    row = {**row_of(), "path": name}
    (path.parent / "out").mkdir()
    resample_file(row, path.parent, path.parent / "out", settings)
    expected, _ = sf.read(path.parent / "out" / "a.wav", dtype="float32")
    waveform = read_audio(str(path), settings)
    assert (waveform.dtype, waveform.shape) == (np.float32, (16_000,))
    np.testing.assert_array_equal(waveform, expected)


def test_levels_are_those_of_a_run_unless_the_settings_say_otherwise(write_sound, tone):
    waveform = tone(300)
    path = write_sound("a.wav", waveform, subtype="FLOAT")
    assert 20 * np.log10(rms(read_audio(path))) == pytest.approx(-20, abs=1e-4)
    np.testing.assert_array_equal(read_audio(path, AudioSettings(gain="none")), waveform)


def test_a_file_that_is_no_recording_is_refused_in_one_line_that_names_it(tmp_path, write_sound):
    write_sound("silent.wav", np.zeros(100))
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "notes.wav").write_text("no sound at all")
    (tmp_path / "folder.wav").mkdir()
    names = {"silent": "silent", "empty": "empty", "notes": "not_audio", "folder": "unreadable", "absent": "missing"}
    for name, reason in names.items():
        path = tmp_path / f"{name}.wav"
        with pytest.raises(Refused, match=f"^{reason}: {path}: [^\n]+$") as error:
            read_audio(path)
        assert error.value.reason == Reason(reason)

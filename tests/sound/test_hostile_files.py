"""Every format that soundfile writes, whole and damaged in many ways: each file is used, or costs one line."""

import hashlib
import struct

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from respcam.errors import Unusable
from respcam.sound.audio import AudioSettings, read_audio, resample_files
from respcam.sound.front_end import FrontEnd, log_mel

RNG = np.random.default_rng(0)
NOISE = 0.1 * RNG.standard_normal((2000, 2))
FORMATS = [(major, subtype) for major in sorted(sf.available_formats())
           for subtype in sorted(sf.available_subtypes(major))]  # fmt: skip
DAMAGES = ("whole", "half", "in the header", "one byte short", "one byte more", "flipped header", "flipped middle",
           "zeroed header", "twice")  # fmt: skip


def damaged(content, damage):
    """Content of a file after damage."""
    half, header = len(content) // 2, min(40, len(content))
    return {
        "whole": content,
        "half": content[:half],
        "in the header": content[: header // 2],
        "one byte short": content[:-1],
        "one byte more": content + b"\0",
        "flipped header": bytes(b ^ 0x55 if 8 <= i < header else b for i, b in enumerate(content[:64]))
        + content[64:],
        "flipped middle": content[:half] + bytes(b ^ 0xFF for b in content[half : half + 16]) + content[half + 16 :],
        "zeroed header": content[:12] + bytes(header - 12 if header > 12 else 0) + content[header:],
        "twice": content + content,
    }[damage]


def ends(path):
    """How reading ends: usable, or its reason. Any other error is a defect."""
    try:
        waveform = read_audio(path, AudioSettings())
    except Unusable as refusal:
        return str(refusal.reason)
    assert waveform.dtype == np.float32
    assert np.isfinite(log_mel(waveform, FrontEnd())).all()
    return "usable"


def contents_of(folder, major, subtype):
    """A file of a format with one and with two channels, as far as the format has them."""
    for n_channels in (1, 2):
        path = folder / f"{n_channels}.{major.lower()}"
        try:
            sf.write(path, NOISE[:, :n_channels], 8000, format=major, subtype=subtype)
        except (sf.LibsndfileError, ValueError):  # a format that soundfile lists and cannot write so
            continue
        yield n_channels, path.read_bytes()


@pytest.mark.parametrize(("major", "subtype"), FORMATS)
def test_a_file_of_any_format_is_used_or_listed(tmp_path, major, subtype):
    for n_channels, content in contents_of(tmp_path, major, subtype):
        for damage in DAMAGES:
            path = tmp_path / f"{n_channels} {damage}.{major.lower()}"
            path.write_bytes(damaged(content, damage))
            outcome = ends(path)
            if (
                damage == "whole"
                and not subtype.startswith("DWVW")
                and major in ("WAV", "FLAC", "AIFF", "OGG", "CAF", "W64", "RF64")
            ):
                assert outcome == "usable"


WAV = struct.Struct("<4sI4s4sIHHIIHH4sI")


def wav(n_bytes=4000, announced=None, rate=8000, channels=1, bits=16, code=1, block=None):
    """A WAV file whose header says what it is told."""
    block = channels * bits // 8 if block is None else block
    announced = n_bytes if announced is None else announced
    header = WAV.pack(b"RIFF", (announced + 36) & 0xFFFFFFFF, b"WAVE", b"fmt ", 16, code, channels, rate,
                      (rate * block) & 0xFFFFFFFF, block & 0xFFFF, bits, b"data", announced & 0xFFFFFFFF)  # fmt: skip
    return header + RNG.integers(0, 256, n_bytes, dtype=np.uint8).tobytes()


LIES = [
    *({"announced": n} for n in (0, 1, 3999, 4001, 8000, 2**31 - 1, 2**31, 2**32 - 1)),
    *({"rate": n} for n in (0, 1, 7, 100, 999, 1000, 4000, 768_000, 768_001, 2**31 - 1, 2**32 - 1)),
    *({"channels": n} for n in (0, 2, 3, 64, 65, 255, 1024, 65_535)),
    *({"bits": n} for n in (0, 1, 4, 8, 12, 17, 24, 32, 64, 65_535)),
    *({"code": n} for n in (0, 2, 3, 6, 7, 17, 85, 0xFFFE, 0xFFFF)),
    *({"block": n} for n in (0, 1, 3, 65_535)),
    *({"n_bytes": n} for n in (0, 1, 2, 3)),
]


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_header_that_lies_costs_a_line(tmp_path, lie):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(**lie))
    ends(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 59), st.integers(0, 255)), max_size=8), st.integers(0, 400), st.booleans())
def test_any_bytes_of_a_header_are_used_or_listed(tmp_path, changes, n_bytes, is_flac):
    path = tmp_path / ("a.flac" if is_flac else "a.wav")
    sf.write(path, NOISE[:200, 0], 8000)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place] = value
    path.write_bytes(content[: len(content) - n_bytes])
    ends(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(width=32), min_size=1, max_size=40), st.sampled_from([1000, 8000, 44_100, 768_000]))
def test_any_values_of_samples_have_finite_features_or_are_listed(tmp_path, values, rate_hz):
    path = tmp_path / "a.wav"
    sf.write(path, np.tile(np.array(values, np.float32), 3000 // len(values) + 1), rate_hz, subtype="FLOAT")
    ends(path)


def test_a_bad_neighbour_changes_nothing(tmp_path):
    root, alone, among = (tmp_path / name for name in ("root", "alone", "among"))
    for folder in (root, alone, among):
        folder.mkdir()
    sf.write(root / "good.wav", NOISE[:, 0], 8000)
    rows = []
    for number, lie in enumerate(LIES):
        (root / f"bad{number}.wav").write_bytes(wav(**lie))
        rows.append(row_of(root, f"bad{number}.wav"))
    good = row_of(root, "good.wav")
    resample_files([good], root, alone, AudioSettings())
    outcomes = resample_files([*rows[:20], good, *rows[20:]], root, among, AudioSettings())
    assert (among / "good.wav").read_bytes() == (alone / "good.wav").read_bytes()
    assert len(outcomes) == len(LIES) + 1
    listed = pd.DataFrame([outcome for outcome in outcomes if "reason" in outcome])
    assert listed["reason"].notna().all()
    assert len(list(among.iterdir())) == len(outcomes) - len(listed)


def row_of(root, name):
    """Row of a manifest that knows nothing but the place of a file."""
    content = hashlib.sha256((root / name).read_bytes()).hexdigest()
    blank = dict.fromkeys(("sha256", "sample_rate_hz", "n_samples"), "")
    return {"recording_id": name.removesuffix(".wav"), "path": name, "content": content, **blank}

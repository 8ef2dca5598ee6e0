"""Files that cannot be used, of every kind, and what is said of each; and sound whose name is unusual."""

import os
from pathlib import Path

import numpy as np
import soundfile as sf

REASONS = {
    "empty.wav": "empty",
    "text.wav": "not_audio",
    "silent.wav": "silent",
    "short.wav": "too_short",
    "zero.wav": "zero_length",
    "nan.wav": "not_finite",
    "truncated.wav": "truncated",
    "gone.wav": "missing",
    "pipe.wav": "unreadable",
    "cut.flac": "not_audio",
    "picture.mp3": "not_audio",
    "zeros.wav": "unreadable",
    "no-utf-8-\\xff.wav": "missing",
    "headless.raw": "not_audio",
}
#: names of sounds that can be used
UNUSUAL_NAMES = ("line\rend.wav", "line\nend.wav", f"{'long' * 62}.wav", f"{'ä' * 124}.wav", "NA.wav", "$\\frac$.wav")


def write_bad_files(folder: Path) -> dict[str, str]:
    """Write them into a folder; returns the reason that belongs to each."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("no sound at all")
    sf.write(folder / "silent.wav", np.zeros(16_000), 8000)
    sf.write(folder / "short.wav", noise[:60], 8000)
    sf.write(folder / "zero.wav", np.zeros(0), 8000)
    sf.write(folder / "nan.wav", np.where(np.arange(16_000) == 5, np.nan, noise), 8000, subtype="FLOAT")
    for name, n_bytes in (("truncated.wav", 16_000), ("cut.flac", 200)):
        sf.write(folder / name, noise, 8000)
        (folder / name).write_bytes((folder / name).read_bytes()[:n_bytes])
    (folder / "gone.wav").symlink_to("/nonexistent/sound.wav")
    os.mkfifo(folder / "pipe.wav")
    (folder / "zeros.wav").symlink_to("/dev/zero")
    (Path(os.fsdecode(os.fsencode(folder) + b"/no-utf-8-\xff.wav"))).write_bytes(b"")
    (folder / "headless.raw").write_bytes(noise.tobytes())
    (folder / "picture.mp3").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    return REASONS

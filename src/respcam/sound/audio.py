"""Foreign audio in, 16 kHz mono out."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr

GAIN_POLICIES = ("none", "rms", "peak")
MOST_BYTES = 2**32 - 64  # of samples in a WAV file, whose header counts in 32 bits
MISSING = "missing"
UNREADABLE = "unreadable"
# samples read as whole numbers and scaled here: the same values as libsndfile's floats in a fifth of the time
INTEGER_OF = {"PCM_U8": "int16", "PCM_S8": "int16", "PCM_16": "int16", "PCM_24": "int32", "PCM_32": "int32"}


@dataclass(frozen=True)
class AudioSettings:
    """How any recording becomes one waveform.

    Parameters
    ----------
    sample_rate_hz : int
        Rate of the output.
    quality : str
        soxr quality: QQ, LQ, MQ, HQ or VHQ.
    gain : str
        none (levels as recorded), rms or peak. The 0.01 floor of the log-mel is not
        gain-free, so this decides how much of a picture lies on the floor.
    target_db : float <= 0
        Level in dB re full scale that rms or peak brings each recording to.
    """

    sample_rate_hz: int = 16_000
    quality: str = "HQ"
    gain: str = "none"
    target_db: float = -20.0

    def __post_init__(self) -> None:
        if self.sample_rate_hz < 1000:
            raise ValueError(f"audio.sample_rate_hz is {self.sample_rate_hz}; expected at least 1000 Hz")
        if self.quality not in ("QQ", "LQ", "MQ", "HQ", "VHQ"):
            raise ValueError(f"audio.quality is {self.quality!r}; expected QQ, LQ, MQ, HQ or VHQ")
        if self.gain not in GAIN_POLICIES:
            raise ValueError(f"audio.gain is {self.gain!r}; expected one of {', '.join(GAIN_POLICIES)}")
        if self.target_db > 0:
            raise ValueError(f"audio.target_db is {self.target_db}; expected at most 0 dB re full scale")


def read_mono(path: Path) -> tuple[np.ndarray, int]:
    """Decode an audio file of any format, width, rate and channel count that soundfile knows.

    Parameters
    ----------
    path : Path

    Returns
    -------
    waveform : float32 [shape=(n_samples,)]
        Mean of the channels; full scale is 1.
    sample_rate_hz : int

    Raises
    ------
    ValueError
        If the content is unusable; the message starts with one of the words empty, not_audio,
        truncated, zero_length, not_finite, silent.
    OSError
        If the file cannot be read at all.
    """
    if path.stat().st_size == 0:
        raise ValueError("empty: the file has 0 bytes")
    n_missing_bytes = _wav_bytes_missing(path)
    if n_missing_bytes:
        raise ValueError(f"truncated: the WAV header announces {n_missing_bytes} bytes more than the file has")
    try:
        with sf.SoundFile(path) as file:
            n_announced, sample_rate_hz = file.frames, file.samplerate
            samples = file.read(dtype=INTEGER_OF.get(file.subtype, "float32"), always_2d=True)
    except sf.LibsndfileError as error:
        raise ValueError(f"not_audio: {error.error_string.rstrip('.')}") from error
    if len(samples) < n_announced:
        raise ValueError(f"truncated: {len(samples)} of {n_announced} samples could be decoded")
    if not len(samples):
        raise ValueError("zero_length: the file has a header and no samples")
    channels = samples
    if samples.dtype != np.float32:
        full_scale = -float(np.iinfo(samples.dtype).min)
        channels = np.multiply(samples, np.float32(1 / full_scale), dtype=np.float32)
    waveform = channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1, dtype=np.float32)
    lowest, highest = waveform.min(), waveform.max()
    if not np.isfinite(lowest) or not np.isfinite(highest):  # both are NaN where any sample is
        n_bad = int(np.count_nonzero(~np.isfinite(channels).all(axis=1)))
        raise ValueError(f"not_finite: {n_bad} of {len(channels)} samples are NaN or infinite")
    if lowest == highest:
        raise ValueError(f"silent: all {len(waveform)} samples are {waveform[0]:g}")
    return waveform, sample_rate_hz


def _wav_bytes_missing(path: Path) -> int:
    """Bytes that a RIFF file's data chunk announces beyond the end of the file.

    libsndfile shortens such a recording without a word. Streams written without a known
    length announce 0xFFFFFFFF or nothing, and are left to the decoder.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return 0
        while len(chunk := file.read(8)) == 8:
            name, n_bytes = chunk[:4], struct.unpack("<I", chunk[4:])[0]
            if name == b"data":
                return 0 if n_bytes >= 0xFFFFFF00 else max(0, file.tell() + n_bytes - size)
            file.seek(n_bytes + n_bytes % 2, 1)
    return 0


def resample(waveform: np.ndarray, from_hz: int, settings: AudioSettings) -> np.ndarray:
    """Bring a waveform to the common rate (soxr) and level.

    Parameters
    ----------
    waveform : float32 [shape=(n_samples,)]
    from_hz : int
    settings : AudioSettings

    Returns
    -------
    float32 [shape=(ceil(n_samples * settings.sample_rate_hz / from_hz),)]
        Up to one sample more or less at uneven ratios.
    """
    out = waveform
    if from_hz != settings.sample_rate_hz:
        out = soxr.resample(waveform, from_hz, settings.sample_rate_hz, quality=settings.quality)
    if settings.gain == "none" or not len(out):
        return out
    level = rms(out) if settings.gain == "rms" else peak(out)
    if level == 0:
        return out
    factor = np.float32(10 ** (settings.target_db / 20) / level)
    return out * factor if out is waveform else np.multiply(out, factor, out=out)


def rms(waveform: np.ndarray) -> float:
    """Root of the mean square of a waveform."""
    return float(np.linalg.norm(waveform)) / len(waveform) ** 0.5


def peak(waveform: np.ndarray) -> float:
    """Largest magnitude in a waveform."""
    return float(max(waveform.max(), -waveform.min()))


def write_wav(path: Path, waveform: np.ndarray, sample_rate_hz: int) -> None:
    """Write mono 32-bit float WAV: exact, and nothing above full scale is clipped.

    With a header of its own (RIFF, WAVE_FORMAT_IEEE_FLOAT): libsndfile reads the samples twice, for
    the peak, and SciPy's writer takes half a second to import in every worker process.

    Parameters
    ----------
    path : Path
        Complete, or as it was before: the file is written under another name first.
    waveform : float32 [shape=(n_samples,)]
        At most `MOST_BYTES`.
    sample_rate_hz : int
    """
    samples = np.ascontiguousarray(waveform, dtype="<f4")
    form = struct.pack("<4sIHHIIHHH", b"fmt ", 18, 3, 1, sample_rate_hz, 4 * sample_rate_hz, 4, 32, 0)
    fact = struct.pack("<4sII", b"fact", 4, len(samples))
    data = struct.pack("<4sI", b"data", samples.nbytes)
    chunks = b"WAVE" + form + fact + data
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(struct.pack("<4sI", b"RIFF", len(chunks) + samples.nbytes) + chunks)
        file.write(samples.data)
    partial.replace(path)


def resample_files(
    rows: Sequence[dict[str, str]], root: Path, folder: Path, settings: AudioSettings
) -> list[dict[str, Any]]:
    """Resample some recordings, one after the other, as `resample_file` does."""
    return [resample_file(row, root, folder, settings) for row in rows]


def resample_file(row: dict[str, str], root: Path, folder: Path, settings: AudioSettings) -> dict[str, Any]:
    """Resample one recording of a manifest.

    Parameters
    ----------
    row : dict
        ``recording_id, path, found`` (SHA-256 of the file as it is, or missing, or unreadable) and,
        blank where unknown, ``sha256, sample_rate_hz, n_samples``.
    root : Path
        Folder that the path is relative to.
    folder : Path
        Where ``<recording_id>.wav`` goes.
    settings : AudioSettings

    Returns
    -------
    dict
        ``recording_id, n_samples, source_rate_hz, source_samples, rms_db, peak_db``, or
        ``recording_id, path, reason, detail`` where the recording is unusable.
    """
    name, path = row["recording_id"], root / row["path"]
    try:
        if row["found"] == MISSING:
            raise ValueError(f"{MISSING}: not under the data set's root")
        waveform, rate_hz = read_mono(path)
        _check_content(row, len(waveform), rate_hz)
        out = resample(waveform, rate_hz, settings)
        if out.nbytes > MOST_BYTES:
            hours = len(out) / settings.sample_rate_hz / 3600
            raise ValueError(f"too_long: {hours:.1f} h do not fit a WAV file of 4 GiB; cut the recording")
    except (ValueError, OSError) as error:
        message = str(error) if isinstance(error, ValueError) else f"{UNREADABLE}: {error.strerror or error}"
        reason, _, detail = message.partition(": ")
        return {"recording_id": name, "path": row["path"], "reason": reason, "detail": detail}
    write_wav(folder / f"{name}.wav", out, settings.sample_rate_hz)
    return {
        "recording_id": name,
        "n_samples": len(out),
        "source_rate_hz": rate_hz,
        "source_samples": len(waveform),
        "rms_db": round(20 * float(np.log10(rms(waveform))), 2),
        "peak_db": round(20 * float(np.log10(peak(waveform))), 2),
    }


def _check_content(row: dict[str, str], n_samples: int, rate_hz: int) -> None:
    """Hold a readable file against what the manifest knows of it."""
    found = row["found"]
    if row["sha256"] and found != row["sha256"]:
        raise ValueError(f"wrong_checksum: SHA-256 is {found[:16]}..., the manifest has {row['sha256'][:16]}...")
    for column, value in (("sample_rate_hz", rate_hz), ("n_samples", n_samples)):
        if row[column] and int(row[column]) != value:
            raise ValueError(f"altered: {column} is {value}, the manifest has {row[column]}")

"""Decoding of audio files, or their rejection with a reason (`respcam.errors.Unusable`)."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from respcam.errors import Reason, Unusable
from respcam.sound import wav

NO_FORMAT, NO_SUCH_FILE = "Format not recognised", 7  # words and number of libsndfile
# reading integers and scaling them here gives the values of libsndfile's floats in a fifth of the time
INTEGER_OF = {"PCM_U8": "int16", "PCM_S8": "int16", "PCM_16": "int16", "PCM_24": "int32", "PCM_32": "int32"}


def read_mono(path: Path) -> tuple[np.ndarray, int]:
    """Decode an audio file of any format, bit depth, rate and channel count that soundfile reads.

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
    Unusable
        If the content is unusable: empty, not_audio, truncated, zero_length, not_finite or silent.
    OSError
        If the file cannot be read at all.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "stereo.flac"
    >>> sf.write(path, [[0.5, 0.0], [-0.5, 0.0]], 8000)
    >>> waveform, sample_rate_hz = read_mono(path)
    >>> waveform.tolist(), sample_rate_hz
    ([0.25, -0.25], 8000)
    """
    if path.stat().st_size == 0:
        raise Unusable(Reason.EMPTY, "the file has 0 bytes")
    n_missing = wav.missing_bytes(path)
    if n_missing:
        raise Unusable(Reason.TRUNCATED, f"the WAV header announces {n_missing} bytes more than the file has")
    try:
        with sf.SoundFile(path) as file:
            n_announced, sample_rate_hz = file.frames, file.samplerate
            samples = file.read(dtype=INTEGER_OF.get(file.subtype, "float32"), always_2d=True)
    except sf.LibsndfileError as error:
        is_pipe = error.code == NO_SUCH_FILE  # said of an MP3 file of other content
        raise Unusable(Reason.NOT_AUDIO, NO_FORMAT if is_pipe else error.error_string.rstrip(".")) from error
    if len(samples) < n_announced:
        raise Unusable(Reason.TRUNCATED, f"{len(samples)} of {n_announced} samples could be decoded")
    if not len(samples):
        raise Unusable(Reason.ZERO_LENGTH, "the file has a header and no samples")
    channels = samples
    if samples.dtype != np.float32:
        full_scale = -float(np.iinfo(samples.dtype).min)
        channels = np.multiply(samples, np.float32(1 / full_scale), dtype=np.float32)
    waveform = channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1, dtype=np.float32)
    lowest, highest = waveform.min(), waveform.max()
    if not np.isfinite(lowest) or not np.isfinite(highest):  # both are NaN where any sample is
        n_bad = int(np.count_nonzero(~np.isfinite(channels).all(axis=1)))
        raise Unusable(Reason.NOT_FINITE, f"{n_bad} of {len(channels)} samples are NaN or infinite")
    if lowest == highest:
        raise Unusable(Reason.SILENT, f"all {len(waveform)} samples are {waveform[0]:g}")
    return waveform, sample_rate_hz


def read_usable(row: dict[str, str], root: Path) -> tuple[np.ndarray, int]:
    """Read a recording of a manifest and compare it with the row of the manifest.

    Parameters
    ----------
    row : dict
        Row of the manifest, as for `respcam.sound.audio.resample_file`.
    root : Path
        Folder that the path is relative to.

    Returns
    -------
    waveform : float32 [shape=(n_samples,)]
    sample_rate_hz : int

    Raises
    ------
    Unusable
        If the recording is missing, altered, or has unusable content.
    OSError
        If the file cannot be read at all.
    """
    content = row["content"]
    if content == Reason.MISSING:
        raise Unusable(Reason.MISSING, "not under the data set's root")
    waveform, rate_hz = read_mono(root / row["path"])
    if row["sha256"] and content != row["sha256"]:
        detail = f"SHA-256 is {content[:16]}..., the manifest has {row['sha256'][:16]}..."
        raise Unusable(Reason.WRONG_CHECKSUM, detail)
    for column, value in (("sample_rate_hz", rate_hz), ("n_samples", len(waveform))):
        if row[column] and int(row[column]) != value:
            raise Unusable(Reason.ALTERED, f"{column} is {value}, the manifest has {row[column]}")
    return waveform, rate_hz


def rejection(row: dict[str, str], error: Unusable) -> dict[str, Any]:
    """Make a row of ``rejected.csv``: ``recording_id, path, reason, detail``."""
    return {
        "recording_id": row["recording_id"],
        "path": row["path"],
        "reason": error.reason.value,
        "detail": error.detail,
    }

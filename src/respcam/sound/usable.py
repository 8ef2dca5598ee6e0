"""Decoding of audio files, or their rejection with a reason (`respcam.errors.Unusable`)."""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from respcam.errors import Reason, Refused, Unusable
from respcam.sound import wav

UNKNOWN_FRAMES = 2**62  # a stream that does not know its length announces at least this many
BLOCK_VALUES = 2**22  # samples of all channels that are decoded at a time
MOST_SAMPLES = 2**29  # of one channel; 2 GiB in single precision
NO_FORMAT, NO_SUCH_FILE = "Format not recognised", 7  # words and number of libsndfile
# reading integers and scaling them here gives the values of libsndfile's floats in a fifth of the time
INTEGER_OF = {"PCM_U8": "int16", "PCM_S8": "int16", "PCM_16": "int16", "PCM_24": "int32", "PCM_32": "int32"}


@dataclass(frozen=True)
class Limits:
    """What a recording may ask for, so that a header that lies costs neither memory nor time.

    Attributes
    ----------
    longest_s : float
    lowest_rate_hz, highest_rate_hz : int
    most_channels : int
    largest_sample : float
        Magnitude; full scale is 1, and unscaled integers of 16 bits reach 32768.
    """

    longest_s: float = 14_400.0
    lowest_rate_hz: int = 1000
    highest_rate_hz: int = 768_000
    most_channels: int = 64
    largest_sample: float = 1e6

    def check(self, file: sf.SoundFile) -> None:
        """Refuse a header before memory is asked for.

        Raises
        ------
        Unusable
        """
        if not self.lowest_rate_hz <= file.samplerate <= self.highest_rate_hz:
            raise Unusable(
                Reason.OUT_OF_RANGE,
                f"a sample rate of {file.samplerate} Hz; expected {self.lowest_rate_hz} to {self.highest_rate_hz} Hz",
            )
        if file.channels > self.most_channels:
            raise Unusable(Reason.OUT_OF_RANGE, f"{file.channels} channels; expected at most {self.most_channels}")
        if file.frames < UNKNOWN_FRAMES and file.frames > self.most_samples(file.samplerate):
            raise self.too_long(f"the header announces {file.frames} samples", file.samplerate)

    def most_samples(self, rate_hz: int) -> int:
        """Largest number of samples of one channel."""
        return min(int(self.longest_s * rate_hz), MOST_SAMPLES)

    def too_long(self, what: str, rate_hz: int) -> Unusable:
        """Rejection of a recording that is too long."""
        hours = self.most_samples(rate_hz) / rate_hz / 3600
        return Unusable(Reason.TOO_LONG, f"{what}; expected at most {hours:.3g} h; cut the recording")


LIMITS = Limits()


def read_mono(path: Path, limits: Limits = LIMITS) -> tuple[np.ndarray, int]:
    """Decode an audio file of any format, bit depth, rate and channel count that soundfile reads.

    Parameters
    ----------
    path : Path
    limits : Limits

    Returns
    -------
    waveform : float32 [shape=(n_samples,)]
        Mean of the channels; full scale is 1.
    sample_rate_hz : int

    Raises
    ------
    Unusable
        If it is no regular file (unreadable), or the content is unusable: empty, not_audio, truncated, zero_length,
        not_finite, silent, too_long or out_of_range.
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
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise Unusable(Reason.UNREADABLE, "not a regular file")
    if status.st_size == 0:
        raise Unusable(Reason.EMPTY, "the file has 0 bytes")
    n_missing = wav.missing_bytes(path)
    if n_missing:
        raise Unusable(Reason.TRUNCATED, f"the WAV header announces {n_missing} bytes more than the file has")
    try:
        with sf.SoundFile(path) as file:
            limits.check(file)
            n_announced, sample_rate_hz = file.frames, file.samplerate
            waveform = _decoded(file, limits)
    except TypeError as error:  # of a file without a header, by its suffix
        raise Unusable(Reason.NOT_AUDIO, f"{path.suffix} has no header; convert it to WAV") from error
    except sf.LibsndfileError as error:
        is_pipe = error.code == NO_SUCH_FILE  # said of an MP3 file of other content
        raise Unusable(Reason.NOT_AUDIO, NO_FORMAT if is_pipe else error.error_string.rstrip(".")) from error
    if len(waveform) < n_announced < UNKNOWN_FRAMES:
        raise Unusable(Reason.TRUNCATED, f"{len(waveform)} of {n_announced} samples could be decoded")
    if not len(waveform):
        raise Unusable(Reason.ZERO_LENGTH, "the file has a header and no samples")
    lowest, highest = waveform.min(), waveform.max()
    if not np.isfinite(lowest) or not np.isfinite(highest):  # both are NaN where any sample is
        n_bad = int(np.count_nonzero(~np.isfinite(waveform)))
        raise Unusable(Reason.NOT_FINITE, f"{n_bad} of {len(waveform)} samples are NaN or infinite")
    if lowest == highest:
        raise Unusable(Reason.SILENT, f"all {len(waveform)} samples are {waveform[0]:g}")
    if max(-lowest, highest) > limits.largest_sample:
        detail = (
            f"samples reach {max(-lowest, highest):.3g}; expected at most {limits.largest_sample:g}, full scale is 1"
        )
        raise Unusable(Reason.OUT_OF_RANGE, detail)
    return waveform, sample_rate_hz


def _decoded(file: sf.SoundFile, limits: Limits) -> np.ndarray:
    """Mean of the channels, float32 [shape=(n_samples,)], block by block: memory is asked for as samples come."""
    kind = INTEGER_OF.get(file.subtype, "float32")
    blocks, n_samples = [np.zeros(0, dtype=np.float32)], 0
    while len(block := file.read(max(1, BLOCK_VALUES // file.channels), dtype=kind, always_2d=True)):
        n_samples += len(block)
        if n_samples > limits.most_samples(file.samplerate):
            raise limits.too_long(f"more than {n_samples} samples", file.samplerate)
        if block.dtype != np.float32:
            full_scale = -float(np.iinfo(block.dtype).min)
            block = np.multiply(block, np.float32(1 / full_scale), dtype=np.float32)
        blocks.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32))
    return blocks[1] if len(blocks) == 2 else np.concatenate(blocks)


def read_usable(row: dict[str, str], root: Path, limits: Limits = LIMITS) -> tuple[np.ndarray, int]:
    """Read a recording of a manifest and compare it with the row of the manifest.

    Parameters
    ----------
    row : dict
        Row of the manifest, as for `respcam.sound.audio.resample_file`.
    root : Path
        Folder that the path is relative to.
    limits : Limits

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
    waveform, rate_hz = read_mono(root / row["path"], limits)
    if row["sha256"] and content != row["sha256"]:
        detail = f"SHA-256 is {content[:16]}..., the manifest has {row['sha256'][:16]}..."
        raise Unusable(Reason.WRONG_CHECKSUM, detail)
    for column, value in (("sample_rate_hz", rate_hz), ("n_samples", len(waveform))):
        if row[column] and int(row[column]) != value:
            raise Unusable(Reason.ALTERED, f"{column} is {value}, the manifest has {row[column]}")
    return waveform, rate_hz


def gone(path: Path, trouble: str) -> Refused:
    """Refusal of a file that went or changed while a command worked, as on a network drive: a row would stay."""
    return Refused(
        f"{path}: {trouble}, but not when the files were listed; start the same command again, which goes on"
    )


def is_as_listed(path: Path, content: str) -> bool:
    """Whether a file can be read and has this SHA-256."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == content
    except OSError:
        return False


def rejection(row: dict[str, str], error: Unusable) -> dict[str, Any]:
    """Make a row of ``rejected.csv``: ``recording_id, path, reason, detail``."""
    return {
        "recording_id": row["recording_id"],
        "path": row["path"],
        "reason": error.reason.value,
        "detail": error.detail,
    }

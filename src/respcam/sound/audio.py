"""Resampling of recordings to 16 kHz mono, and gain policies."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from respcam.errors import Reason, Refused, Unusable
from respcam.sound import wav
from respcam.sound.usable import LIMITS, Limits, gone, is_as_listed, read_mono, read_usable, rejection

GAIN_POLICIES = ("none", "rms", "peak")
QUALITIES = ("QQ", "LQ", "MQ", "HQ", "VHQ")


@dataclass(frozen=True)
class AudioSettings:
    """Settings of rate and level of a waveform.

    Parameters
    ----------
    sample_rate_hz : int
        Sample rate of the output.
    quality : str
        soxr quality: QQ, LQ, MQ, HQ or VHQ.
    gain : str
        Gain policy: none (level as recorded), rms or peak. It sets how much of a patch lies on the log floor, the
        log-mel of silence.
    target_db : float <= 0
        Level of each recording after gain rms or peak, in dB re full scale.
    longest_s : float
        A longer recording is rejected, before memory is asked for.
    lowest_rate_hz, highest_rate_hz : int
        A recording of another sample rate is rejected: resampling a lower one would make it many times as long.
    most_channels : int
        A recording of more channels is rejected.
    largest_sample : float
        A recording with a larger magnitude is rejected; full scale is 1.

    Raises
    ------
    Refused
        If a value is out of its range.

    Examples
    --------
    >>> AudioSettings(gain="rms").target_db
    -20.0
    """

    sample_rate_hz: int = 16_000
    quality: str = "HQ"
    gain: str = "rms"
    target_db: float = -20.0
    longest_s: float = 14_400.0
    lowest_rate_hz: int = 1000
    highest_rate_hz: int = 768_000
    most_channels: int = 64
    largest_sample: float = 1e6

    def __post_init__(self) -> None:
        if self.sample_rate_hz < 1000:
            raise Refused(f"audio.sample_rate_hz is {self.sample_rate_hz}; expected at least 1000 Hz")
        if self.quality not in QUALITIES:
            raise Refused(f"audio.quality is {self.quality!r}; expected QQ, LQ, MQ, HQ or VHQ")
        if self.gain not in GAIN_POLICIES:
            raise Refused(f"audio.gain is {self.gain!r}; expected one of {', '.join(GAIN_POLICIES)}")
        if self.target_db > 0:
            raise Refused(f"audio.target_db is {self.target_db}; expected at most 0 dB re full scale")
        for name in ("longest_s", "lowest_rate_hz", "most_channels", "largest_sample"):
            if not getattr(self, name) > 0:
                raise Refused(f"audio.{name} is {getattr(self, name)}; expected more than 0")
        if self.highest_rate_hz < self.lowest_rate_hz:
            raise Refused(
                f"audio.highest_rate_hz is {self.highest_rate_hz}; expected at least audio.lowest_rate_hz, "
                f"{self.lowest_rate_hz}"
            )

    @property
    def limits(self) -> Limits:
        """What a recording may ask for."""
        return Limits(**{limit.name: getattr(self, limit.name) for limit in fields(Limits)})


def read_audio(path: str | Path, settings: AudioSettings = AudioSettings()) -> np.ndarray:
    """Read a recording of any bit depth, rate and channel count as one waveform, 16 kHz mono.

    Parameters
    ----------
    path : str or Path
        File of any format that soundfile reads.
    settings : AudioSettings
        Rate, quality and gain; by default those of a run.

    Returns
    -------
    float32 [shape=(n_samples,)]
        Mean of the channels, at ``settings.sample_rate_hz``; full scale is 1.

    Raises
    ------
    Unusable
        If the file is missing or unreadable, or its content is empty, not_audio, truncated, zero_length, not_finite,
        silent, too_long or out_of_range. The message names the file. `Unusable` is a subclass of
        `respcam.errors.Refused`.

    Examples
    --------
    >>> import tempfile
    >>> import soundfile
    >>> path = Path(tempfile.mkdtemp()) / "stereo.wav"
    >>> soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, (8000, 2)), 8000)
    >>> waveform = read_audio(path, AudioSettings(gain="peak", target_db=0))
    >>> len(waveform), peak(waveform)
    (16000, 1.0)
    """
    waveform, rate_hz = read_raw(path, settings.limits)
    return resample(waveform, rate_hz, settings)


def read_raw(path: str | Path, limits: Limits = LIMITS) -> tuple[np.ndarray, int]:
    """Read a recording as it is: mean of the channels, float32 [shape=(n_samples,)], and sample rate in Hz.

    Errors are those of `read_audio`.
    """
    path = Path(path)
    try:
        return read_mono(path, limits)
    except Unusable as error:
        raise Unusable(error.reason, f"{path}: {error.detail}") from error
    except FileNotFoundError as error:
        raise Unusable(Reason.MISSING, f"{path}: no such file") from error
    except OSError as error:
        raise Unusable(Reason.UNREADABLE, f"{path}: {error.strerror or error}") from error


def resample(waveform: np.ndarray, from_hz: int, settings: AudioSettings) -> np.ndarray:
    """Convert a waveform to the rate (soxr) and level of the settings.

    Parameters
    ----------
    waveform : float32 [shape=(n_samples,)]
    from_hz : int
    settings : AudioSettings

    Returns
    -------
    float32 [shape=(ceil(n_samples * settings.sample_rate_hz / from_hz),)]
        Up to one sample more or less if the ratio of the rates is not an integer.

    Examples
    --------
    >>> len(resample(np.zeros(8000, np.float32), 8000, AudioSettings()))
    16000
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
    """Root of the mean square of a waveform.

    Parameters
    ----------
    waveform : float32 [shape=(n_samples,)]
        At least one sample.

    Returns
    -------
    float >= 0

    Examples
    --------
    >>> rms(np.array([2.0, -2.0, 2.0, -2.0], np.float32))
    2.0
    """
    return float(np.linalg.norm(waveform)) / len(waveform) ** 0.5


def peak(waveform: np.ndarray) -> float:
    """Largest magnitude in a waveform.

    Parameters
    ----------
    waveform : float32 [shape=(n_samples,)]
        At least one sample.

    Returns
    -------
    float >= 0

    Examples
    --------
    >>> peak(np.array([0.5, -2.0], np.float32))
    2.0
    """
    return float(max(waveform.max(), -waveform.min()))


def resample_files(
    rows: Sequence[dict[str, str]], root: Path, folder: Path, settings: AudioSettings
) -> list[dict[str, Any]]:
    """Resample several recordings with `resample_file`: the work of one process."""
    return [resample_file(row, root, folder, settings) for row in rows]


def resample_file(row: dict[str, str], root: Path, folder: Path, settings: AudioSettings) -> dict[str, Any]:
    """Resample one recording of a manifest.

    Parameters
    ----------
    row : dict
        ``recording_id, path, content`` (SHA-256 of the file on disk, or ``Reason.MISSING``, or
        ``Reason.UNREADABLE``) and, blank if unknown, ``sha256, sample_rate_hz, n_samples``.
    root : Path
        Folder that the path is relative to.
    folder : Path
        Folder for ``<recording_id>.wav``.
    settings : AudioSettings

    Returns
    -------
    dict
        ``recording_id, n_samples, source_rate_hz, source_samples, rms_db, peak_db``, and ``checksum`` of the file
        that was written. If the recording is unusable: ``recording_id, path, reason, detail``; the reason is the
        value of a `respcam.errors.Reason`.

    Raises
    ------
    Refused
        If the file is not what was listed any more (`respcam.sound.usable.gone`).
    OSError
        If the result cannot be written.

    Examples
    --------
    >>> blank = {"sha256": "", "sample_rate_hz": "", "n_samples": ""}
    >>> row = {"recording_id": "a", "path": "a.wav", "content": Reason.MISSING, **blank}
    >>> resample_file(row, Path("data"), Path("audio"), AudioSettings())["reason"]
    'missing'
    """
    try:
        waveform, rate_hz = read_usable(row, root, settings.limits)
        out = resample(waveform, rate_hz, settings)
        if out.nbytes > wav.MOST_BYTES:
            hours = len(out) / settings.sample_rate_hz / 3600
            raise Unusable(Reason.TOO_LONG, f"{hours:.1f} h do not fit a WAV file of 4 GiB; cut the recording")
    except (Unusable, OSError) as error:
        return _rejected(row, root, error)
    checksum = wav.write_wav(folder / f"{row['recording_id']}.wav", out, settings.sample_rate_hz)
    return {
        "recording_id": row["recording_id"],
        "n_samples": len(out),
        "source_rate_hz": rate_hz,
        "source_samples": len(waveform),
        "rms_db": round(20 * float(np.log10(rms(waveform))), 2),
        "peak_db": round(20 * float(np.log10(peak(waveform))), 2),
        "checksum": checksum,
    }


def _rejected(row: dict[str, str], root: Path, error: Unusable | OSError) -> dict[str, Any]:
    """Row of a recording that is unusable for good; `resample_file` says what is refused."""
    if isinstance(error, OSError):
        error = Unusable(Reason.UNREADABLE, str(error.strerror or error))
    path, content = root / row["path"], row["content"]
    if content not in (Reason.MISSING, Reason.UNREADABLE) and not is_as_listed(path, content):
        raise gone(path, error.detail)
    return rejection(row, error)

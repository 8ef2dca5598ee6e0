"""Log-mel front end: frames of a waveform, without centring or padding."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from respcam.errors import Refused

if TYPE_CHECKING:  # a worker process starts without it
    import pandas as pd

BLOCK_FRAMES = 256  # the frames of a block and their spectra fit the cache of a core


@dataclass(frozen=True)
class FrontEnd:
    """Settings of the log-mel front end.

    The method is that of the VGGish front end (Hershey et al. 2017, arXiv 1609.09430):
    periodic Hann window, magnitude spectrum, HTK mel triangles, ``log(mel + offset)``.

    Parameters
    ----------
    sample_rate_hz : int
    window_samples, hop_samples : int
        Length of a window and distance between windows; 400 and 160 are 25 ms and 10 ms at 16 kHz.
    n_fft : int
        Number of FFT points, at least ``window_samples``. With 512 points, 23 of the 64 filters between 100 and
        2000 Hz have only one bin; with 1024, each has at least two.
    n_bands : int
    f_min_hz, f_max_hz : float
    log_offset : float
        Offset of the mel magnitude before the logarithm. Its logarithm is the log floor, the log-mel of silence.

    Raises
    ------
    Refused
        If a value is out of its range.

    Examples
    --------
    >>> FrontEnd(f_max_hz=1500).frame_rate_hz
    100.0
    """

    sample_rate_hz: int = 16_000
    window_samples: int = 400
    hop_samples: int = 160
    n_fft: int = 1024
    n_bands: int = 64
    f_min_hz: float = 100.0
    f_max_hz: float = 2000.0
    log_offset: float = 0.01

    def __post_init__(self) -> None:
        for name in ("sample_rate_hz", "window_samples", "hop_samples", "n_bands", "log_offset"):
            if getattr(self, name) <= 0:
                raise Refused(f"front_end.{name} is {getattr(self, name)}; expected more than 0")
        if self.n_fft < self.window_samples:
            raise Refused(
                f"front_end.n_fft is {self.n_fft}; expected at least the window of {self.window_samples} samples"
            )
        if not 0 <= self.f_min_hz < self.f_max_hz <= self.sample_rate_hz / 2:
            raise Refused(
                f"front_end.f_min_hz, f_max_hz are {self.f_min_hz:g}, {self.f_max_hz:g}; expected "
                f"0 <= f_min_hz < f_max_hz <= {self.sample_rate_hz / 2:g} Hz, half the sample rate"
            )

    @property
    def frame_rate_hz(self) -> float:
        """Frames per second."""
        return self.sample_rate_hz / self.hop_samples

    @property
    def floor(self) -> float:
        """Log floor: log-mel of digital silence, in nat."""
        return float(np.log(self.log_offset))


def n_frames(n_samples: int, settings: FrontEnd) -> int:
    """Number of windows that fit into a waveform.

    Parameters
    ----------
    n_samples : int
    settings : FrontEnd

    Returns
    -------
    int

    Examples
    --------
    >>> [n_frames(n_samples, FrontEnd()) for n_samples in (15_599, 15_600)]
    [95, 96]
    """
    return max(0, 1 + (n_samples - settings.window_samples) // settings.hop_samples)


def band_edges_hz(settings: FrontEnd) -> np.ndarray:
    """Lower edge, centre and upper edge of each triangle (HTK: mel = 2595 log10(1 + Hz / 700)).

    Parameters
    ----------
    settings : FrontEnd

    Returns
    -------
    float64 [shape=(n_bands, 3)], in Hz

    Examples
    --------
    >>> band_edges_hz(FrontEnd())[0].round(1).tolist()
    [100.0, 115.1, 130.5]
    """
    low, high = (2595 * np.log10(1 + f / 700) for f in (settings.f_min_hz, settings.f_max_hz))
    points_hz = 700 * (10 ** (np.linspace(low, high, settings.n_bands + 2) / 2595) - 1)
    return np.stack([points_hz[:-2], points_hz[1:-1], points_hz[2:]], axis=1)


def mel_matrix(settings: FrontEnd) -> np.ndarray:
    """Triangular mel filters, HTK scale, peak 1, linear in Hz.

    Parameters
    ----------
    settings : FrontEnd

    Returns
    -------
    float64 [shape=(n_fft // 2 + 1, n_bands)]
        Filters in double precision. The single-precision matrix of torchaudio has errors of up to 1e-5, which would
        pass on to the log-mel.

    Examples
    --------
    >>> mel_matrix(FrontEnd()).shape
    (513, 64)
    """
    bins_hz = np.arange(settings.n_fft // 2 + 1)[:, None] * settings.sample_rate_hz / settings.n_fft
    lower, centre, upper = band_edges_hz(settings).T
    rising, falling = (bins_hz - lower) / (centre - lower), (upper - bins_hz) / (upper - centre)
    return np.maximum(0, np.minimum(rising, falling))


def bins_per_band(settings: FrontEnd) -> np.ndarray:
    """Count the FFT bins in each filter; a band with fewer than two is empty or a copy of another band.

    Parameters
    ----------
    settings : FrontEnd

    Returns
    -------
    int64 [shape=(n_bands,)]

    Examples
    --------
    >>> int((bins_per_band(FrontEnd(n_fft=512)) < 2).sum())
    23
    """
    return np.count_nonzero(mel_matrix(settings), axis=0)


def bands_table(settings: FrontEnd) -> "pd.DataFrame":
    """Tabulate the bands of a front end.

    Parameters
    ----------
    settings : FrontEnd

    Returns
    -------
    DataFrame
        A row per band: ``band`` (from 0 at the bottom), ``lower_hz, centre_hz, upper_hz`` and ``n_bins``, the number
        of FFT bins of the band.

    Examples
    --------
    >>> bands_table(FrontEnd()).loc[0].tolist()[::4]
    [0.0, 2.0]
    """
    import pandas as pd

    table = pd.DataFrame(band_edges_hz(settings), columns=["lower_hz", "centre_hz", "upper_hz"])
    table.insert(0, "band", range(len(table)))
    return table.assign(n_bins=bins_per_band(settings))


def log_mel(waveform: np.ndarray, settings: FrontEnd = FrontEnd()) -> np.ndarray:
    """Compute the log-mel of one waveform.

    Parameters
    ----------
    waveform : float32 [shape=(n_samples,)]
        Waveform at ``settings.sample_rate_hz``; full scale is 1.
    settings : FrontEnd

    Returns
    -------
    float32 [shape=(band, frame)], in nat
        Result of `LogMel`, with the axes of a patch; no frame if the waveform is shorter than a window.

    Raises
    ------
    Refused
        If the waveform is not one channel of finite floating-point samples.

    Examples
    --------
    >>> waveform = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    >>> log_mel(waveform).shape
    (64, 98)
    """
    waveform = np.asarray(waveform)
    if waveform.ndim != 1 or not np.issubdtype(waveform.dtype, np.floating):
        raise Refused(
            f"waveform is {waveform.dtype} of shape {waveform.shape}; expected one channel of floating-point "
            "samples with full scale 1, (n_samples,)"
        )
    n_bad = int(np.count_nonzero(~np.isfinite(waveform)))
    if n_bad:
        raise Refused(f"waveform has {n_bad} NaN or infinite samples of {len(waveform)}; expected finite ones")
    return LogMel(settings)(waveform).T


def dft_basis(settings: FrontEnd, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Basis of the discrete Fourier transform: some bins, under the window, with phase zero in its middle.

    Parameters
    ----------
    settings : FrontEnd
    bins : int64 [shape=(bin,)]

    Returns
    -------
    cosine, sine : float64 [shape=(sample, bin)]
        The magnitude spectrum of a frame is the root of ``(frame @ cosine) ** 2 + (frame @ sine) ** 2``.
    """
    sample = np.arange(settings.window_samples)[:, None]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * sample / settings.window_samples)
    angle = 2 * np.pi * (sample - settings.window_samples / 2) * bins / settings.n_fft
    return window * np.cos(angle), window * np.sin(angle)


class LogMel:
    """Log-mel front end that makes its basis and filters once.

    Only the bins that a filter uses are computed, as sums of products. By default they are a quarter of the FFT's,
    and this is faster than the FFT; for all bins it is slower. The window is symmetric about its middle: samples at
    the same distance are added for the cosine and subtracted for the sine, which halves the products.

    It uses NumPy alone, so that a worker process does not load torch.

    Parameters
    ----------
    settings : FrontEnd
    """

    def __init__(self, settings: FrontEnd):
        self.settings = settings
        matrix = mel_matrix(settings)
        used = np.flatnonzero(matrix.sum(axis=1))
        self.used_bins = np.arange(used[0], used[-1] + 1)
        self.filters = matrix[self.used_bins].astype(np.float32)
        cosine, sine = dft_basis(settings, self.used_bins)
        half = settings.window_samples // 2
        if 2 * half == settings.window_samples:  # the middle sample is added to itself
            cosine[half] /= 2
        self._cosine, self._sine = (wave[1 : half + 1].astype(np.float32) for wave in (cosine, sine))

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """Compute log-mel frames.

        Parameters
        ----------
        waveform : float32 [shape=(n_samples,)]
            Waveform at ``settings.sample_rate_hz``; full scale is 1.

        Returns
        -------
        float32 [shape=(frame, band)], in nat
            ``log(|rfft(frame * hann)| @ filters + log_offset)``; no frame if the waveform is shorter than a window.
        """
        settings, half = self.settings, len(self._cosine)
        out = np.empty((n_frames(len(waveform), settings), settings.n_bands), dtype=np.float32)
        if not len(out):
            return out
        windows = np.lib.stride_tricks.sliding_window_view(np.asarray(waveform, np.float32), settings.window_samples)
        frames = windows[:: settings.hop_samples]
        for first in range(0, len(frames), BLOCK_FRAMES):
            block = frames[first : first + BLOCK_FRAMES]
            before, after = block[:, 1 : half + 1], block[:, : -half - 1 : -1]  # the first sample has no weight
            power = ((before + after) @ self._cosine) ** 2
            power += ((before - after) @ self._sine) ** 2
            np.matmul(np.sqrt(power, out=power), self.filters, out=out[first : first + len(block)])
        out += np.float32(settings.log_offset)
        return np.log(out, out=out)

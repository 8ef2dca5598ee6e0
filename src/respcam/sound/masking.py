"""Split of a sound into two parts by a mask over mel bands and frames."""

import numpy as np

from respcam.sound.front_end import FrontEnd, band_edges_hz

OTHER_DB = -20.0  # level of the other part: silence is unlike any recording, and a network is not neutral to it


def split_sound(
    waveform: np.ndarray, is_inside: np.ndarray, front_end: FrontEnd, other_db: float = OTHER_DB
) -> tuple[np.ndarray, np.ndarray]:
    """Split a sound by masking its short-time Fourier transform (STFT).

    The window and hop of the STFT are those of the front end. A bin of the STFT belongs to the band with the nearest
    centre; bins below the lowest and above the highest band belong to the rest. The gain is that of the input: apart
    from a level of ``other_db``, both parts add up to the input.

    Parameters
    ----------
    waveform : float32 [shape=(n_samples,)]
        At the rate of the front end.
    is_inside : bool [shape=(band, frame)]
        Marks cells of the log-mel, for all bands of the front end.
    front_end : FrontEnd
    other_db : float
        Level of the rest in the first part and of the inside in the second, in dB.

    Returns
    -------
    inside, rest : float32 [shape=(n_samples,)]

    Examples
    --------
    >>> front_end = FrontEnd()
    >>> tone = np.sin(2 * np.pi * 400 * np.arange(16_000) / 16_000).astype(np.float32)
    >>> low = np.repeat(band_edges_hz(front_end)[:, 1:2] < 800, 98, axis=1)
    >>> inside, rest = split_sound(tone, low, front_end)
    >>> bool(np.std(rest) < 0.11 * np.std(inside))
    True
    """
    from scipy.signal import ShortTimeFFT  # takes a second to import
    from scipy.signal.windows import hann

    hop, length = front_end.hop_samples, front_end.window_samples
    transform = ShortTimeFFT(
        hann(length, sym=False), hop, front_end.sample_rate_hz, mfft=front_end.n_fft, fft_mode="onesided"
    )
    spectrum = transform.stft(waveform.astype(np.float64))
    # slice p has its centre at p * hop, frame t at t * hop + length / 2
    slices = np.arange(transform.p_min, transform.p_max(len(waveform)))
    frame = np.clip(np.round(slices - length / (2 * hop)).astype(int), 0, is_inside.shape[1] - 1)
    edges_hz = band_edges_hz(front_end)
    band = np.abs(transform.f[:, None] - edges_hz[:, 1]).argmin(axis=1)
    is_heard = (transform.f >= edges_hz[0, 0]) & (transform.f <= edges_hz[-1, 2])
    mask = is_inside[band][:, frame] & is_heard[:, None]
    quiet = 10 ** (other_db / 20)
    inside, rest = (
        transform.istft(spectrum * np.where(kept, 1.0, quiet), k1=len(waveform)).astype(np.float32)
        for kept in (mask, ~mask)
    )
    return inside, rest

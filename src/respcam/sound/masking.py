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
    hop, length = front_end.hop_samples, front_end.window_samples
    # NumPy's FFT and not SciPy's, which takes a fifth of a second to import
    front = length  # zeros before and after, so that every sample lies in as many frames as any other
    padded = np.pad(waveform.astype(np.float32), (front, front + hop))
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
    window = np.hanning(length + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(windows * window, front_end.n_fft)
    frame = (np.arange(len(windows)) * hop - front) / hop  # frame of the log-mel with the same samples
    place = np.clip(np.round(frame).astype(int), 0, is_inside.shape[1] - 1)
    f_hz, edges_hz = np.fft.rfftfreq(front_end.n_fft, 1 / front_end.sample_rate_hz), band_edges_hz(front_end)
    band = np.abs(f_hz[:, None] - edges_hz[:, 1]).argmin(axis=1)
    is_heard = (f_hz >= edges_hz[0, 0]) & (f_hz <= edges_hz[-1, 2])
    mask = is_inside[band][:, place].T & is_heard
    quiet = np.float32(10 ** (other_db / 20))
    share = _overlapped(np.broadcast_to(window**2, windows.shape), hop, len(padded))
    inside, rest = (
        _overlapped(
            np.fft.irfft(spectrum * np.where(kept, np.float32(1), quiet))[:, :length] * window, hop, len(padded)
        )
        for kept in (mask, ~mask)
    )
    kept_samples = slice(front, front + len(waveform))
    return tuple((part / share)[kept_samples].astype(np.float32) for part in (inside, rest))  # type: ignore[return-value]


def _overlapped(frames: np.ndarray, hop: int, n_samples: int) -> np.ndarray:
    """Add up frames at every hop: float32 [shape=(n_samples,)], at least the smallest number where there is none."""
    total = np.full(n_samples, np.finfo(np.float32).tiny, dtype=np.float32)
    for offset in range(0, frames.shape[1], hop):  # pieces of one hop lie side by side
        piece = frames[:, offset : offset + hop]
        padded = np.pad(piece, ((0, 0), (0, hop - piece.shape[1]))).ravel()
        end = min(n_samples, offset + len(padded))
        total[offset:end] += padded[: end - offset]
    return total

"""Hottest cells of a heat map."""

import numpy as np

HOT_SHARE = 0.9  # share of the heat that "what is hot" holds


def hot_cells(heat: np.ndarray, share: float = HOT_SHARE) -> np.ndarray:
    """Mark the hottest cells, which together hold a share of the heat.

    Parameters
    ----------
    heat : float32 [shape=(band, frame)]
        Not negative.
    share : float
        0 to 1.

    Returns
    -------
    bool [shape=(band, frame)]
        The fewest cells that hold at least the share; none if there is no heat.

    Examples
    --------
    >>> hot_cells(np.array([[6.0, 3.0], [1.0, 0.0]]), share=0.8).tolist()
    [[True, True], [False, False]]
    """
    if not heat.any():
        return np.zeros(heat.shape, dtype=bool)
    order = np.argsort(heat, axis=None)[::-1]
    total = np.cumsum(heat.ravel()[order], dtype=np.float64)
    n_cells = int(np.searchsorted(total, share * total[-1] * (1 - 1e-12))) + 1
    is_hot = np.zeros(heat.size, dtype=bool)
    is_hot[order[:n_cells]] = True
    return is_hot.reshape(heat.shape)

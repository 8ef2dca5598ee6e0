"""Units of made-up frames."""

import numpy as np

from respcam.data.patches import PatchSettings
from respcam.network.inputs import Units


def make_units(n=24, seed=0, kept=None):
    """Units of a few lengths; class 1 is louder in bands 10 to 15."""
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 2
    frames = [rng.standard_normal((length, 32)).astype(np.float32) for length in rng.integers(40, 300, n)]
    for own, k in zip(frames, target, strict=True):
        own[:, 10:16] += 1.5 * k
    return Units(frames, target, np.ones(32, bool) if kept is None else kept, PatchSettings(), -4.6)

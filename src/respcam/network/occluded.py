"""Occlusion of a network: its scores without some bands of the input."""

import numpy as np
import torch
from torch import nn

from respcam.heat.capabilities import PartialScores, shortcut


class Occlusion:
    """Scores of a batch of patches, repeatedly, each time with other bands removed.

    Removed bands change only the rows near them. A network with `respcam.heat.capabilities.PartialScores`
    computes only these rows again. Any other network computes the whole input again.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    patches, fill : float32 [shape=(patch, 1, band, frame)]
        Scaled patches, and the values that replace removed bands, on the device of the network.
    """

    def __init__(self, network: nn.Module, patches: torch.Tensor, fill: torch.Tensor):
        self.network, self.patches, self.fill = network, patches, fill
        partial = shortcut(network, PartialScores)  # type: ignore[type-abstract]
        self._score = self._score_anew if partial is None else partial.occluded(patches, fill)

    def scores(self, is_removed: np.ndarray) -> torch.Tensor:
        """Score the patches without some bands.

        Parameters
        ----------
        is_removed : bool [shape=(band,)]

        Returns
        -------
        float32 [shape=(patch, class)]
            Scores before softmax, equal to ``network(where(is_removed, fill, patches))`` up to rounding.
        """
        return self._score(is_removed)

    def _score_anew(self, is_removed: np.ndarray) -> torch.Tensor:
        removed = torch.from_numpy(is_removed).to(self.patches.device)[:, None]
        return self.network(torch.where(removed, self.fill, self.patches))


def log_odds(scores: torch.Tensor) -> torch.Tensor:
    """Log-odds of each class against all others together, from scores before softmax.

    Parameters
    ----------
    scores : float32 [shape=(..., class)]
        At least two classes.

    Returns
    -------
    float32 [shape=(..., class)]
    """
    n_classes = scores.shape[-1]
    is_other = ~torch.eye(n_classes, dtype=torch.bool, device=scores.device)
    others = scores[..., None, :].expand(*scores.shape, n_classes).masked_fill(~is_other, -torch.inf)
    return scores - others.logsumexp(dim=-1)

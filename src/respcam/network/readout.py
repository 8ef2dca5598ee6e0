"""Readout: from the scores of patches to the class scores of their unit, calibrated, and to a decision."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from respcam.metrics import Scoring, decide, metrics_from_confusion
from respcam.network.occluded import log_odds

POOLINGS = ("mean", "max", "logsumexp")

#: standard deviations of the prior of the log temperature and of the offsets: with few units, calibration stays mild
PRIOR_TEMPERATURE, PRIOR_OFFSET = 1.0, 2.0
#: weights of the normal class that `with_decision` tries, beside 1 for every other class
NORMAL_WEIGHTS = np.exp(np.arange(-30, 31) / 10)
UNCOUNTED_WEIGHT = 0.5  # of a class that the score leaves out: to name it wins nothing, and to name it wrongly costs
NO_GAIN = 0.005  # difference of the expected score that is not worth a weight other than 1


def pool(scores: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool patch scores into the score of their unit.

    Parameters
    ----------
    scores : float32 [shape=(..., patch, class)]
    pooling : str
        Pooling: mean, max, or logsumexp (a smooth maximum, minus the log of the number of patches).

    Returns
    -------
    float32 [shape=(..., class)]
    """
    if pooling == "mean":
        return scores.mean(dim=-2)
    if pooling == "max":
        return scores.amax(dim=-2)
    return scores.logsumexp(dim=-2) - float(np.log(scores.shape[-2]))


@dataclass(frozen=True)
class Readout:
    """How the scores of patches become class scores of their unit, and which class is decided for.

    Parameters
    ----------
    pooling : str
        mean, max or logsumexp, as `pool`.
    temperature : float
        Divides the pooled scores.
    offsets : tuple of float
        Added to the divided scores of each class; empty for none.
    decision : tuple of float
        Weight of the probability of each class in the decision (`respcam.metrics.decide`); empty for equal weights.

    Examples
    --------
    >>> Readout("mean", temperature=2.0)(torch.tensor([[1.0, 3.0], [3.0, 5.0]])).tolist()
    [1.0, 2.0]
    """

    pooling: str = "logsumexp"
    temperature: float = 1.0
    offsets: tuple[float, ...] = ()
    decision: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("offsets", "decision"):  # lists where it is read from a file
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Class scores of one unit: [shape=(..., patch, class)] to [shape=(..., class)], before softmax."""
        return self.calibrated(pool(scores, self.pooling))

    def calibrated(self, pooled: torch.Tensor) -> torch.Tensor:
        """Calibrate pooled scores [shape=(..., class)]."""
        scores = pooled if self.temperature == 1 else pooled / self.temperature
        return (
            scores + torch.tensor(self.offsets, dtype=scores.dtype, device=scores.device) if self.offsets else scores
        )

    def of_units(self, scores: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """Class scores of units from those of all their patches: [shape=(..., patch, class)] to (..., unit, class).

        Parameters
        ----------
        scores : float [shape=(..., patch, class)]
            Scores of the patches of all units, in order.
        counts : sequence of int
            Number of patches of each unit.
        """
        return torch.stack([self(of_unit) for of_unit in scores.split(list(counts), dim=-2)], dim=-2)

    def decide(self, probability: np.ndarray) -> np.ndarray:
        """Class decided for, from probabilities [shape=(..., class)]: int64 [shape=(...)]."""
        return decide(probability, self.decision)

    def with_calibration(self, pooled: torch.Tensor, target: np.ndarray) -> "Readout":
        """Choose temperature and offsets, so that probabilities fit these units.

        This is bias-corrected temperature scaling (Alexandari, Kundaje and Shrikumar 2020, arXiv 1901.06852): the
        largest likelihood of the classes, with normal priors on the log of the temperature and on the offsets. The
        offsets take back the weights of classes in the loss and the patches that are drawn on events.

        Parameters
        ----------
        pooled : float [shape=(unit, class)]
            Pooled scores of units that the network was not trained on.
        target : int64 [shape=(unit,)]
        """
        scores, classes = pooled.detach().double().cpu().clone(), torch.tensor(target)
        log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
        offsets = torch.zeros(scores.shape[1], dtype=torch.float64, requires_grad=True)
        search = torch.optim.LBFGS(
            [log_temperature, offsets], max_iter=500, tolerance_grad=1e-8, line_search_fn="strong_wolfe"
        )

        def loss() -> torch.Tensor:
            search.zero_grad()
            likelihood = torch.nn.functional.cross_entropy(
                scores / log_temperature.exp() + offsets, classes, reduction="sum"
            )
            prior = (log_temperature / PRIOR_TEMPERATURE).square() + (offsets / PRIOR_OFFSET).square().sum()
            total = likelihood + prior / 2
            total.backward()
            return total

        with torch.enable_grad():
            search.step(loss)
        temperature = round(float(log_temperature.detach().exp()), 6)
        return replace(self, temperature=temperature, offsets=tuple(np.round(offsets.detach().numpy(), 6).tolist()))

    def with_decision(self, probability: np.ndarray, scoring: Scoring) -> "Readout":
        """Choose the weight of the normal class that has the highest expected score on these units, or nearly so.

        Every unit counts as each class with the probability of that class. So the choice follows the published
        score, which punishes unequal sensitivity and specificity, and needs no labels: it varies less between
        patients than the score that is counted with labels.

        Parameters
        ----------
        probability : float [shape=(unit, class)]
            Calibrated probabilities of units that the network was not trained on.
        scoring : Scoring
            Without a normal class, the weights stay equal.
        """
        if scoring.normal is None:
            return self
        n_classes = probability.shape[1]
        expected, options = [], []
        for weight in NORMAL_WEIGHTS:
            weights = np.ones(n_classes)
            weights[list(scoring.uncounted)], weights[scoring.normal] = UNCOUNTED_WEIGHT, round(float(weight), 4)
            options.append(tuple(weights.tolist()))
            decided = decide(probability, options[-1])
            confusion = np.stack([probability[decided == k].sum(axis=0) for k in range(n_classes)], axis=1)
            expected.append(float(metrics_from_confusion(confusion, scoring)["score"]))
        is_best = np.array(expected) >= np.nanmax(expected) - NO_GAIN
        nearest = np.where(is_best, np.abs(np.log(NORMAL_WEIGHTS)), np.inf).argmin()
        return replace(self, decision=options[int(nearest)])


#: readout of a network before it is calibrated
UNCALIBRATED = Readout()


def score_gradient(
    scores: torch.Tensor, counts: Sequence[int], target: torch.Tensor, readout: Readout, score: str
) -> torch.Tensor:
    """Gradient of the explained score of each unit with respect to the scores of its patches.

    By the chain rule, the heat of a unit is the heat of its patches, each for the weighted sum of class scores that
    this gradient gives.

    Parameters
    ----------
    scores : float64 [shape=(patch, class)]
        Scores of the patches of all units, in order.
    counts : sequence of int
        Number of patches of each unit.
    target : int64 [shape=(unit,)]
        Explained class of each unit.
    readout : Readout
    score : str
        Explained score: log_odds of the class scores of the unit, or class_score.

    Returns
    -------
    float64 [shape=(patch, class)]
    """
    with torch.inference_mode(False), torch.enable_grad():
        patches = scores.detach().clone().requires_grad_()
        of_units = readout.of_units(patches, counts)
        explained = log_odds(of_units) if score == "log_odds" else of_units
        return torch.autograd.grad(explained.gather(1, target[:, None]).sum(), patches)[0]

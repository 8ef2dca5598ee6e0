"""Class activation mapping (CAM) methods: Grad-CAM and related methods, each with title, paper, equation and code.

A method is a function that computes a weight for every map of a layer. Its decorator `cam_method` enters it into
`METHODS` by the name of the function. Heat is the sum over k of weight times A_k. A_k is the map of channel k, S is
the class score before softmax, and G_k is the gradient of S with respect to A_k.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from respcam.heat.layers import outputs_of
from respcam.heat.resize import to_input

PLACE = (2, 3)  # axes of row and column


@dataclass(frozen=True)
class Method:
    """Method that turns the maps of a layer into heat.

    Attributes
    ----------
    title : str
    paper : str
        Publication, with the numbers of the equations.
    equation : str
        Heat of a patch, in A_k, G_k and S.
    is_signed : bool
        Whether negative heat (against the class) has a meaning.
    needs_gradient : bool
        False if the method takes a forward pass per channel instead.
    weights : callable
        With `needs_gradient`: ``weights(maps, gradient)``, both float32 [shape=(patch, channel, row, column)].
        Else ``weights(network, patches, layer, maps, scores, target)``: the network in evaluation mode,
        patches float32 [shape=(patch, 1, band, frame)], the dotted name of the layer and its maps, scores
        float32 [shape=(patch, class)] before softmax, target int64 [shape=(patch,)]. It is called without
        gradients and may run the network any number of times, also with changed outputs of a layer
        (`respcam.heat.layers.outputs_of`). It returns the weight of each map or of each cell: float32 that
        broadcasts to [shape=(patch, channel, row, column)].
    """

    title: str
    paper: str
    equation: str
    is_signed: bool
    needs_gradient: bool
    weights: Callable[..., torch.Tensor]


METHODS: dict[str, Method] = {}


def cam_method(
    title: str, paper: str, equation: str, *, is_signed: bool, needs_gradient: bool = True
) -> Callable[[Callable[..., torch.Tensor]], Method]:
    """Make a `Method` of a function that computes weights, and enter it into `METHODS` by its name.

    Parameters, and those of the function, are described in `Method`.
    """

    def enter(weights: Callable[..., torch.Tensor]) -> Method:
        method = METHODS[weights.__name__] = Method(title, paper, equation, is_signed, needs_gradient, weights)
        return method

    return enter


@cam_method("Grad-CAM", "Selvaraju et al. 2017, arXiv 1610.02391, eq. 1 and 2", "sum_k mean(G_k) A_k", is_signed=True)
def grad_cam(maps: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Weight a map by its mean gradient."""
    return gradient.mean(dim=PLACE, keepdim=True)


@cam_method(
    "Grad-CAM++",
    "Chattopadhay et al. 2018, arXiv 1710.11063, eq. 5, 10 and 19",
    "sum_k sum(G_k^2 / (2 G_k^2 + sum(A_k) G_k^3) ReLU(G_k)) A_k",
    is_signed=False,
)
def grad_cam_pp(maps: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Weight a map by its positive gradients, each multiplied by its share.

    The exponential of the class score, used in the paper, is left out: it cancels in the share, and would scale each
    patch differently.
    """
    total = maps.sum(dim=PLACE, keepdim=True)
    share = _quotient(gradient.square(), 2 * gradient.square() + total * gradient.pow(3))
    return (share * gradient.relu()).sum(dim=PLACE, keepdim=True)


@cam_method("HiResCAM", "Draelos and Carin 2020, arXiv 2011.08891, eq. 5", "sum_k G_k A_k", is_signed=True)
def hires_cam(maps: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Weight every cell by its gradient."""
    return gradient


@cam_method(
    "XGrad-CAM", "Fu et al. 2020, arXiv 2008.02312, eq. 8", "sum_k sum(G_k A_k) / sum(A_k) A_k", is_signed=True
)
def xgrad_cam(maps: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Weight a map by the mean of its gradients, each weighted by the map itself."""
    total = maps.sum(dim=PLACE, keepdim=True)
    return _quotient((gradient * maps).sum(dim=PLACE, keepdim=True), total)


@cam_method("LayerCAM", "Jiang et al. 2021, IEEE TIP 30, eq. 6 and 7", "sum_k ReLU(G_k) A_k", is_signed=False)
def layer_cam(maps: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Weight every cell by its gradient where it is positive."""
    return gradient.relu()


@cam_method(
    "Score-CAM",
    "Wang et al. 2020, arXiv 1910.01279, eq. 3 to 6",
    "sum_k softmax_k(S(input * minmax(resized A_k))) A_k",
    is_signed=False,
    needs_gradient=False,
)
def score_cam(
    network: nn.Module,
    patches: torch.Tensor,
    layer: str,
    maps: torch.Tensor,
    scores: torch.Tensor,
    target: torch.Tensor,
) -> torch.Tensor:
    """Weight a map by the class score of the input multiplied by the map."""
    masked_scores = []
    for channel in maps.unbind(dim=1):
        mask = to_input(channel, *patches.shape[2:])
        low, high = mask.amin(dim=(1, 2), keepdim=True), mask.amax(dim=(1, 2), keepdim=True)
        mask = _quotient(mask - low, high - low)
        masked_scores.append(network(patches * mask[:, None]).gather(1, target[:, None]))
    return torch.cat(masked_scores, dim=1).softmax(dim=1)[:, :, None, None]


@cam_method(
    "Ablation-CAM",
    "Desai and Ramaswamy 2020, WACV, eq. 1 and 2, without the division by S, which may be of either sign",
    "sum_k (S - S with A_k at zero) A_k",
    is_signed=True,
    needs_gradient=False,
)
def ablation_cam(
    network: nn.Module,
    patches: torch.Tensor,
    layer: str,
    maps: torch.Tensor,
    scores: torch.Tensor,
    target: torch.Tensor,
) -> torch.Tensor:
    """Weight a map by the drop of the class score when the map is set to zero."""
    intact = scores.gather(1, target[:, None])
    drops = []
    for channel in range(maps.shape[1]):

        def without(_layer: str, output: torch.Tensor, channel: int = channel) -> torch.Tensor:
            return output.index_fill(1, torch.tensor([channel], device=output.device), 0.0)

        with outputs_of(network, [layer], without):
            drops.append(intact - network(patches).gather(1, target[:, None]))
    return torch.cat(drops, dim=1)[:, :, None, None]


def _quotient(upper: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
    """Divide; zero where the divisor is zero."""
    return torch.where(lower == 0, 0.0, upper / lower)

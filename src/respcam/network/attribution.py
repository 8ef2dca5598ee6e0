"""Attribution for any network: heat of a score, and its drop when bands are removed (occlusion)."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from respcam.errors import Refused
from respcam.heat.bands import GroupedBands, HzGroups
from respcam.heat.cam import heat_maps
from respcam.heat.layers import checked_scores, in_evaluation
from respcam.heat.resize import to_input
from respcam.network.model import blocks_of
from respcam.network.occluded import Occlusion, log_odds
from respcam.sound.front_end import FrontEnd, band_edges_hz

BATCH_PATCHES = 64
Target = int | np.ndarray | None


def heat_of(
    network: nn.Module,
    patches: np.ndarray,
    layers: str | Sequence[str] | None = None,
    method: str = "hires_cam",
    target: Target = None,
) -> np.ndarray:
    """Compute the heat of patches: where in the input a class score comes from.

    The network is not changed: no hook, no parameter gradient, same mode.

    Parameters
    ----------
    network : nn.Module
        Maps float32 [shape=(patch, 1, band, frame)] to scores before softmax, float32 [shape=(patch, class)].
    patches : float32 [shape=(patch, band, frame)]
        Input of the network: scaled, if the network was trained on scaled patches.
    layers : str or sequence of str, optional
        Dotted names of modules whose output is a map; the maps of several are fused. None takes all blocks.
    method : str
        Key of `respcam.heat.cam.METHODS`.
    target : int or int64 [shape=(patch,)], optional
        Class whose score is explained, for all patches or per patch; None takes the highest score of each.

    Returns
    -------
    float32 [shape=(patch, band, frame)]
        Raw heat, not negative and never rescaled, at the resolution of the input. All zero if no cell of the map
        raises the score.

    Raises
    ------
    Refused
        If the patches have another shape or a value that is not finite; if the network names no blocks and no layers
        are set; or for the reasons of `respcam.heat.cam.heat_maps`.

    Examples
    --------
    >>> from respcam.network.band_cnn import BandCNN
    >>> patches = np.random.default_rng(0).standard_normal((3, 64, 96), np.float32)
    >>> heat_of(BandCNN(n_classes=2), patches, layers=["blocks.3"], target=1).shape
    (3, 64, 96)
    """
    patches = _checked(patches)
    layers = blocks_of(network) if layers is None else [layers] if isinstance(layers, str) else list(layers)
    heat = []
    for batch, classes in _batches(network, patches, target):
        maps = heat_maps(network, batch, layers, [method], classes)
        heat.append(to_input(maps.heat(method, layers), *patches.shape[1:]).cpu().numpy())
    return np.concatenate(heat)


def band_drops(
    network: nn.Module,
    patches: np.ndarray,
    front_end: FrontEnd = FrontEnd(),
    target: Target = None,
    fill: np.ndarray | float | None = None,
) -> pd.DataFrame:
    """Tabulate the drop of the class score when each group of Hz is removed: occlusion.

    Parameters
    ----------
    network : nn.Module
        Maps float32 [shape=(patch, 1, band, frame)] to scores before softmax, float32 [shape=(patch, class)].
    patches : float32 [shape=(patch, band, frame)]
        Input of the network: scaled, if the network was trained on scaled patches.
    front_end : FrontEnd
        Front end that made the bands.
    target : int or int64 [shape=(patch,)], optional
        Class whose score is examined, for all patches or per patch; None takes the highest score of each.
    fill : float, or float32 [shape=(band,)] or [shape=(patch, band, frame)], optional
        Values that replace a removed band; None takes the mean of the band over all patches and frames.

    Returns
    -------
    DataFrame
        A row per group that holds a band: ``hz`` (its name, such as 275-450), ``lower_hz, upper_hz, n_bands``, and
        ``drop``: log-odds of the target class with all bands minus log-odds without the group, mean over patches.

    Raises
    ------
    Refused
        If the patches have another shape, number of bands or a value that is not finite; if the fill does not fit
        them; if the target is not a class; or if the network returns anything but scores of two classes or more.

    Examples
    --------
    >>> from respcam.network.band_cnn import BandCNN
    >>> patches = np.random.default_rng(0).standard_normal((3, 64, 96), np.float32)
    >>> band_drops(BandCNN(n_classes=2), patches, target=1)["hz"].tolist()[:2]
    ['100-275', '275-450']
    """
    edges_hz = band_edges_hz(front_end)
    patches = _checked(patches, len(edges_hz))
    filled = _fill(patches, fill)
    groups = HzGroups().over(front_end)
    bands = GroupedBands.of(edges_hz, np.ones(len(edges_hz), dtype=bool), groups)
    conditions = [bands.group == group for group in bands.present]
    drops = np.zeros(len(conditions))
    done = 0
    with in_evaluation(network, is_frozen=False), torch.inference_mode():
        for batch, classes in _batches(network, patches, target):
            rows = slice(done, done + len(batch))
            fill_batch = torch.from_numpy(filled[rows][:, None].copy()).to(batch.device)
            drops += _summed_drops(network, batch, fill_batch, classes, conditions)
            done += len(batch)
    limits = [(groups.edges_hz[group], groups.edges_hz[group + 1]) for group in bands.present]
    return pd.DataFrame(
        {
            "hz": bands.names,
            "lower_hz": [low for low, _ in limits],
            "upper_hz": [high for _, high in limits],
            "n_bands": bands.bands_per_group.astype(int),
            "drop": drops / len(patches),
        }
    )


def _summed_drops(
    network: nn.Module,
    patches: torch.Tensor,
    fill: torch.Tensor,
    target: torch.Tensor | None,
    conditions: list[np.ndarray],
) -> np.ndarray:
    """Drop of the log-odds under each condition, summed over a batch: float64 [shape=(condition,)]."""
    scores = checked_scores(network(patches), len(patches), network).double()
    n_classes = scores.shape[1]
    if n_classes < 2:
        raise Refused(f"network {type(network).__name__} scores {n_classes} class; log-odds need 2 or more")
    if target is None:
        target = scores.argmax(dim=1)
    if not 0 <= int(target.min()) <= int(target.max()) < n_classes:
        raise Refused(f"target has classes {int(target.min())} to {int(target.max())}; expected 0 to {n_classes - 1}")
    occlusion = Occlusion(network, patches, fill)

    def of_target(scores: torch.Tensor) -> torch.Tensor:
        return log_odds(scores.double()).gather(1, target[:, None])[:, 0]

    intact = of_target(scores)
    return np.array([float((intact - of_target(occlusion.scores(removed))).sum()) for removed in conditions])


def _checked(patches: np.ndarray, n_bands: int | None = None) -> np.ndarray:
    patches = np.asarray(patches, dtype=np.float32)
    if patches.ndim != 3 or not len(patches) or n_bands not in (None, patches.shape[1]):
        bands = "" if n_bands is None else f" with {n_bands} bands, as the front end has"
        raise Refused(f"patches have the shape {patches.shape}; expected (patch, band, frame){bands}")
    if not np.isfinite(patches).all():
        raise Refused("patches hold NaN or infinite values; expected finite ones")
    return patches


def _fill(patches: np.ndarray, fill: np.ndarray | float | None) -> np.ndarray:
    """Values that replace bands: float32 [shape=(patch, band, frame)], a broadcast view."""
    values = patches.mean(axis=(0, 2)) if fill is None else np.asarray(fill, dtype=np.float32)
    try:
        return np.broadcast_to(values[:, None] if values.ndim == 1 else values, patches.shape)
    except ValueError as error:
        raise Refused(
            f"fill has the shape {values.shape}; expected one value, ({patches.shape[1]},) or {patches.shape}"
        ) from error


def _batches(
    network: nn.Module, patches: np.ndarray, target: Target
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Batches of patches with a channel axis, and their classes, on the device of the network."""
    first = next((tensor for tensors in (network.parameters(), network.buffers()) for tensor in tensors), None)
    device = torch.device("cpu") if first is None else first.device
    classes = None if target is None else np.asarray(target)
    if classes is not None and (classes.dtype.kind not in "iu" or classes.shape not in ((), patches.shape[:1])):
        raise Refused(
            f"target is {classes.dtype} of shape {classes.shape}; expected a class, or one for each of "
            f"{len(patches)} patches"
        )
    for start in range(0, len(patches), BATCH_PATCHES):
        batch = torch.from_numpy(np.ascontiguousarray(patches[start : start + BATCH_PATCHES])[:, None])
        of_batch = None
        if classes is not None:
            shared = np.broadcast_to(classes, patches.shape[:1])[start : start + BATCH_PATCHES]
            of_batch = torch.from_numpy(shared.astype(np.int64)).to(device)
        yield batch.to(device), of_batch

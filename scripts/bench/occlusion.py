"""Speed of occlusion of 12 sets of bands, compared with inference and with a naive loop.

python scripts/bench/occlusion.py [--patches 480] [model=timm model.name=resnet18 ...]

The sets are the 11 groups of Hz, and all bands above 1500 Hz together. All functions process the same patches of
noise, in recordings of 20 patches. Inference is in single precision, as for predictions. Occlusion is that of the
trust stage, in the precision of training. The naive loop runs the network once per recording and set, in single
precision, as a simple script would. The network has random weights, which take the same time as trained ones.
"""

import argparse

import measure
import numpy as np
import torch

from respcam.cli.composition import composed_settings
from respcam.heat.bands import GroupedBands
from respcam.network.inputs import Scaler
from respcam.network.machine import make_fabric
from respcam.network.model import build
from respcam.network.readout import Readout
from respcam.network.trained import TrainedModel
from respcam.sound.front_end import band_edges_hz

PER_RECORDING = 20


def rows(arguments: argparse.Namespace) -> list[measure.Row]:
    settings = composed_settings(arguments.overrides)
    recipe = settings.recipe
    torch.manual_seed(0)
    network = build(recipe.model, 2).to(memory_format=torch.channels_last).eval()
    edges_hz = band_edges_hz(settings.front_end)
    n_bands = len(edges_hz)
    groups = settings.hz_groups.over(settings.front_end)
    above = [number for number, low_hz in enumerate(groups.edges_hz[:-1]) if low_hz >= groups.mark_hz]
    sets = [frozenset([number]) for number in range(len(groups))] + [frozenset(above)]
    scaler = Scaler(np.zeros(n_bands, np.float32), np.ones(n_bands, np.float32))
    fabric = make_fabric(settings.device, recipe.training.precision, recipe.training.threads)
    model = TrainedModel(
        fabric.to_device(network),
        scaler,
        ["normal", "wheeze"],
        fabric,
        readout=Readout(recipe.training.pooling),
        batch_patches=settings.explain.batch_patches,
    )
    bands = GroupedBands.of(edges_hz, np.ones(n_bands, bool), groups)
    shape = (arguments.patches, n_bands, recipe.patches.length_frames)
    patches = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    fill = np.zeros_like(patches)
    conditions = [np.isin(bands.group, list(removed)) for removed in sets]

    @torch.inference_mode()
    def inference() -> None:
        for batch in model.batches(patches):
            model.network(batch)

    def occlusion() -> None:
        model.scores_without(patches, fill, conditions)

    seconds = measure.alternate(
        {"inference": inference, "occlusion": occlusion, "naive": lambda: naive(model, patches, bands, sets)},
        arguments.rounds,
    )
    on = f"{len(patches)} patches, {recipe.model.name}, {fabric._precision.precision}"
    what = f"{len(sets)} sets over inference"
    return [
        measure.ratio("occlusion", what, on, seconds["occlusion"], seconds["inference"], "<= 6"),
        measure.ratio("occlusion", "speed against the naive loop", on, seconds["naive"], seconds["occlusion"]),
    ]


@torch.no_grad()
def naive(model: TrainedModel, patches: np.ndarray, bands: GroupedBands, sets: list[frozenset[int]]) -> None:
    for recording in np.array_split(patches, len(patches) // PER_RECORDING):
        model.network(model.fabric.to_device(torch.from_numpy(recording[:, None])))
        for removed in sets:
            occluded = recording.copy()
            occluded[:, np.isin(bands.group, list(removed))] = 0
            model.network(model.fabric.to_device(torch.from_numpy(occluded[:, None])))


if __name__ == "__main__":
    parser = measure.parser(__doc__)
    parser.add_argument("--patches", type=int, default=480, help="number of patches")
    measure.main("occlusion", rows, parser.parse_args())

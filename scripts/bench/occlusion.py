"""Occlusion of 12 sets of bands against plain inference and against a loop over recordings and groups.

python scripts/bench/occlusion.py [--patches 480] [model=timm model.name=resnet18 ...]

The sets are the 11 groups of Hz and the bands above 1500 Hz together. All works go over the same patches of noise,
cut into recordings of 20. Inference is what predictions are made with, in single precision; occlusion is the trust
stage's own, in the precision of training; the naive loop runs the network once per recording and set, as a notebook
would, in single precision. The network has random weights, which cost the same.
"""

import argparse
import tempfile
from pathlib import Path

import measure
import numpy as np
import torch
from torch import nn

from configured import composed
from respcam.heat.bands import group_of_band
from respcam.network.model import build, stages
from respcam.network.training import Scaler, make_fabric
from respcam.sound.front_end import band_edges_hz
from respcam.stages.subject import Occluder, Subject

PER_RECORDING = 20


def rows(arguments: argparse.Namespace) -> list[measure.Row]:
    own = composed(arguments.overrides)
    torch.manual_seed(0)
    model = build(own.trained.model, 2).to(memory_format=torch.channels_last).eval()
    edges_hz = band_edges_hz(own.front_end)
    n_bands = len(edges_hz)
    groups = own.hz_groups
    above = [number for number, low_hz in enumerate(groups.edges_hz[:-1]) if low_hz >= groups.mark_hz]
    sets = [frozenset([number]) for number in range(len(groups))] + [frozenset(above)]
    scaler = Scaler(np.zeros(n_bands, np.float32), np.ones(n_bands, np.float32))
    fabric = make_fabric(own.device, own.trained.training.precision, own.trained.training.threads)
    subject = Subject(
        fabric.to_device(model), scaler, ["normal", "wheeze"], stages(model), own.explain, own.trained, own.trust,
        groups, np.ones(n_bands, bool), group_of_band(edges_hz[:, 1], groups), own.trained.bootstrap, None,
        fabric, None,
    )  # fmt: skip
    shape = (arguments.patches, n_bands, own.trained.patches.length_frames)
    pictures = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    fill = np.zeros_like(pictures)
    every_row = np.arange(len(pictures))

    @torch.inference_mode()
    def inference() -> None:
        for batch in subject.batches(pictures):
            subject.model(batch)

    def occlusion() -> None:
        with tempfile.TemporaryDirectory() as folder:
            occluder = Occluder(subject, pictures, fill, np.zeros((len(pictures), 2)), Path(folder) / "scores.npz")
            occluder.score(sets, every_row, "")

    seconds = measure.alternate(
        {"inference": inference, "occlusion": occlusion, "naive": lambda: naive(model, pictures, subject, sets)},
        arguments.rounds,
    )
    on = f"{len(pictures)} patches, {own.trained.model.name}, {fabric._precision.precision}"
    what = f"{len(sets)} sets over inference"
    return [
        measure.ratio("occlusion", what, on, seconds["occlusion"], seconds["inference"], "<= 6"),
        measure.ratio("occlusion", "speed against the naive loop", on, seconds["naive"], seconds["occlusion"]),
    ]  # fmt: skip


@torch.no_grad()
def naive(model: nn.Module, pictures: np.ndarray, subject: Subject, sets: list[frozenset[int]]) -> None:
    for recording in np.array_split(pictures, len(pictures) // PER_RECORDING):
        model(subject.fabric.to_device(torch.from_numpy(recording[:, None])))
        for gone in sets:
            hidden = recording.copy()
            hidden[:, np.isin(subject.group, list(gone))] = 0
            model(subject.fabric.to_device(torch.from_numpy(hidden[:, None])))


if __name__ == "__main__":
    parser = measure.parser(__doc__)
    parser.add_argument("--patches", type=int, default=480)
    measure.main("occlusion", rows, parser.parse_args())

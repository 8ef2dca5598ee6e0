"""Patches per second of the training loop, against a bare PyTorch loop and the convolutions alone.

python scripts/bench/training.py [dataset=sprsound2022 dataset.root=DIR dataset.missing=skip task=adventitious]

The bare loop has the same network, optimiser, precision and batches, all of them in memory: what it lacks is drawing
patches, scaling, augmentation, the running average of the weights and the schedule. The convolutions alone, with the
same shapes in the same precision and nothing else, are as fast as this machine trains such a network.
"""

import argparse
import copy
from collections.abc import Iterator

import measure
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader

from configured import composed
from respcam.network import training
from respcam.network.model import build
from respcam.network.training import Scaler, Units, make_fabric
from respcam.stages import train

STEPS = 12


def rows(arguments: argparse.Namespace) -> list[measure.Row]:
    settings = composed([*(arguments.overrides or ["training=quick", "training.batch_units=32"]), "seed=0"])
    own = settings.trained
    store, units, class_names = measure.units_of(settings)
    some = units[units["side"] == "train"]
    some = some.sample(min(len(some), STEPS * own.training.batch_units), random_state=0)
    data = train.load_units(store, some, own)
    scaler = Scaler.fit(data)
    fabric = make_fabric(settings.device, own.training.precision, own.training.threads)
    bench = Bench(data, scaler, own, len(class_names), fabric)
    works = {
        "own": bench.own_epoch,
        "bare": bench.bare_epoch,
        "loader": bench.load,
        "convolutions": bench.convolutions,
        "contiguous": Bench(data, scaler, own, len(class_names), fabric, torch.contiguous_format).bare_epoch,
    }
    if fabric._precision.precision != "32-true":
        single = make_fabric(settings.device, "32-true", own.training.threads)
        works["single"] = Bench(data, scaler, own, len(class_names), single).bare_epoch
    seconds = measure.alternate(works, arguments.rounds)
    on = (
        f"{bench.n_steps} steps of {len(bench.batches[0][0])} patches, {settings.dataset.name}, "
        f"{fabric._precision.precision}, {own.training.threads} threads"
    )
    per_second = [bench.n_steps * len(bench.batches[0][0]) / each for each in seconds["own"]]
    found = [
        measure.spread("training", "patches per second", on, per_second, "1/s"),
        measure.ratio("training", "time over a bare loop", on, seconds["own"], seconds["bare"], "<= 1.05"),
        measure.ratio("training", "share of time waiting for data", on, seconds["loader"], seconds["own"], "<= 0.03"),
        measure.ratio(
            "training", "convolutions alone, share of the loop", on, seconds["convolutions"], seconds["own"]
        ),
        measure.ratio("training", "bare loop, channels first over last", on, seconds["contiguous"], seconds["bare"]),
    ]
    if "single" in seconds:
        found.append(
            measure.ratio("training", "bare loop, single precision over own", on, seconds["single"], seconds["bare"])
        )
    return found


class Bench:
    """A network and its batches, and what is timed with them."""

    def __init__(
        self,
        data: Units,
        scaler: Scaler,
        own: train.TrainSettings,
        n_classes: int,
        fabric: Fabric,
        memory_format: torch.memory_format = torch.channels_last,
    ):
        torch.manual_seed(0)
        self.data, self.scaler, self.settings, self.fabric = data, scaler, own.training, fabric
        self.model, self.optimizer, self.averaged = training.prepare(
            lambda: build(own.model, n_classes), self.settings, fabric
        )
        self.model.to(memory_format=memory_format)
        self.criterion = nn.CrossEntropyLoss()
        self.batches = [
            (scaler(patches.flatten(0, 1)).contiguous(memory_format=memory_format), target)
            for patches, target in self.loader()
        ]
        self.n_steps = len(self.batches)
        self.shapes = list(self.convolution_shapes())

    def convolution_shapes(self) -> Iterator[tuple[nn.Conv2d, torch.Tensor, torch.Tensor]]:
        """Each convolution in the precision of training, with an input and a gradient of its output."""
        caught: list[tuple[nn.Conv2d, torch.Tensor]] = []
        layers = [each for each in self.model.modules() if isinstance(each, nn.Conv2d)]
        hooks = [each.register_forward_hook(lambda own, x, _y: caught.append((own, x[0]))) for each in layers]
        with self.fabric.autocast(), torch.no_grad():
            self.model.module(self.batches[0][0])
        for hook in hooks:
            hook.remove()
        precision = torch.bfloat16 if self.fabric._precision.precision == "bf16-mixed" else torch.float32
        for number, (layer, example) in enumerate(caught):
            alone = copy.deepcopy(layer).to(precision)
            example = (
                example.detach().to(precision).requires_grad_(number > 0)
            )  # nobody asks for the picture's gradient
            yield alone, example, torch.ones_like(alone(example))

    def loader(self) -> DataLoader:
        return training.loader_of(self.data, self.settings, 0, 0, self.fabric)

    def load(self) -> None:
        for _ in self.loader():
            pass

    def own_epoch(self) -> None:
        training.run_epoch(
            self.model, self.averaged, self.optimizer, self.criterion, self.loader(), self.scaler, self.settings, 0,
            self.fabric,
        )  # fmt: skip

    def bare_epoch(self) -> None:
        self.model.train()
        for pictures, target in self.batches:
            with self.fabric.autocast():
                scores = self.model.module(pictures)
            loss = self.criterion(scores.float().unflatten(0, (len(target), -1)).mean(dim=1), target)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def convolutions(self) -> None:
        for convolution, example, gradient in self.shapes:
            for _ in range(self.n_steps):
                out = convolution(example)
                out.backward(gradient)
                convolution.zero_grad()
                example.grad = None


if __name__ == "__main__":
    measure.main("training", rows, measure.parser(__doc__).parse_args())

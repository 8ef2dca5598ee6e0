"""Speed of the training loop, compared with a bare PyTorch loop and with the convolutions alone.

python scripts/bench/training.py [dataset=sprsound2022 dataset.root=DIR dataset.missing=skip task=adventitious]

The bare loop has the same network, optimiser and precision, and the same batches, in memory. It has no sampling of
patches, scaling, augmentation, running average of the weights or schedule. The convolutions alone have the same
shapes and precision. They are the lower limit of the training time on this machine.
"""

import argparse
import copy
from collections.abc import Iterator

import measure
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader

from respcam.cli.composition import composed_settings
from respcam.data.splits import TRAIN
from respcam.network.inputs import Scaler
from respcam.network.machine import make_fabric
from respcam.network.model import build
from respcam.network.training import Trainer, TrainingData, loader_of
from respcam.stages.train import Recipe

STEPS = 12


def rows(arguments: argparse.Namespace) -> list[measure.Row]:
    settings = composed_settings([*(arguments.overrides or ["training=quick", "training.batch_units=32"]), "seed=0"])
    recipe, loop = settings.recipe, settings.recipe.training
    train = measure.training_of(settings)
    prepared = train.prepare()
    units = prepared.of(TRAIN)
    units = units.sample(min(len(units), STEPS * loop.batch_units), random_state=0)
    of_train = train.data_of(units)
    data = TrainingData(of_train, of_train, Scaler.fit(of_train), len(prepared.class_names))
    fabric = make_fabric(settings.device, loop.precision, loop.threads)
    bench = Bench(data, recipe, fabric)
    works = {
        "respcam": bench.respcam_epoch,
        "bare": bench.bare_epoch,
        "loader": bench.load,
        "convolutions": bench.convolutions,
        "contiguous": Bench(data, recipe, fabric, torch.contiguous_format).bare_epoch,
    }
    precision = fabric._precision.precision
    if precision != "32-true":
        single = make_fabric(settings.device, "32-true", loop.threads)
        works["single"] = Bench(data, recipe, single).bare_epoch
    seconds = measure.alternate(works, arguments.rounds)
    n_units = len(bench.batches[0][0])
    on = f"{bench.n_steps} steps of {n_units} patches, {settings.dataset.name}, {precision}, {loop.threads} threads"
    respcam, bare = seconds["respcam"], seconds["bare"]
    per_second = [bench.n_steps * n_units / epoch_s for epoch_s in respcam]
    table = [
        measure.spread("training", "patches per second", on, per_second, "1/s"),
        measure.ratio("training", "time over a bare loop", on, respcam, bare, "<= 1.05"),
        measure.ratio("training", "share of time waiting for data", on, seconds["loader"], respcam, "<= 0.03"),
        measure.ratio("training", "convolutions alone, share of the loop", on, seconds["convolutions"], respcam),
        measure.ratio("training", "bare loop, channels first over last", on, seconds["contiguous"], bare),
    ]
    if "single" in seconds:
        what = "bare loop, single precision over own"
        table.append(measure.ratio("training", what, on, seconds["single"], bare))
    return table


class Bench:
    """A network with its batches, and the timed functions."""

    def __init__(
        self,
        data: TrainingData,
        recipe: Recipe,
        fabric: Fabric,
        memory_format: torch.memory_format = torch.channels_last,
    ):
        torch.manual_seed(0)
        self.data, self.settings, self.fabric = data, recipe.training, fabric
        self.trainer = Trainer(lambda: build(recipe.model, data.n_classes), data, self.settings, 0, fabric)
        self.criterion = nn.CrossEntropyLoss()
        self.trainer.criterion = self.criterion  # the same loss in both loops
        self.network = self.trainer.network
        self.network.to(memory_format=memory_format)
        self.batches = [
            (data.scaler(patches.flatten(0, 1)).contiguous(memory_format=memory_format), target)
            for patches, target, _ in self.loader()
        ]
        self.n_steps = len(self.batches)
        self.shapes = list(self.convolution_shapes())

    def convolution_shapes(self) -> Iterator[tuple[nn.Conv2d, torch.Tensor, torch.Tensor]]:
        """Each convolution in the precision of training, with an input and a gradient of its output."""
        caught: list[tuple[nn.Conv2d, torch.Tensor]] = []
        layers = [layer for layer in self.network.modules() if isinstance(layer, nn.Conv2d)]
        hooks = [
            layer.register_forward_hook(lambda layer, inputs, _: caught.append((layer, inputs[0])))
            for layer in layers
        ]
        with self.fabric.autocast(), torch.no_grad():
            self.network.module(self.batches[0][0])
        for hook in hooks:
            hook.remove()
        precision = torch.bfloat16 if self.fabric._precision.precision == "bf16-mixed" else torch.float32
        for number, (layer, example) in enumerate(caught):
            alone = copy.deepcopy(layer).to(precision)
            # training does not compute the gradient of the input of the network
            example = example.detach().to(precision).requires_grad_(number > 0)
            yield alone, example, torch.ones_like(alone(example))

    def loader(self) -> DataLoader:
        return loader_of(self.data, self.settings, 0, 0, self.fabric)

    def load(self) -> None:
        for _ in self.loader():
            pass

    def respcam_epoch(self) -> None:
        self.trainer.run_steps(self.loader(), 0)

    def bare_epoch(self) -> None:
        optimizer = self.trainer.optimizer
        self.network.train()
        for patches, target in self.batches:
            with self.fabric.autocast():
                scores = self.network.module(patches)
            loss = self.criterion(scores.float().unflatten(0, (len(target), -1)).mean(dim=1), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def convolutions(self) -> None:
        for convolution, example, gradient in self.shapes:
            for _ in range(self.n_steps):
                out = convolution(example)
                out.backward(gradient)
                convolution.zero_grad()
                example.grad = None


if __name__ == "__main__":
    measure.main("training", rows, measure.parser(__doc__).parse_args())

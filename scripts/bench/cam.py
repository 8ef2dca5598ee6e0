"""Speed of Grad-CAM, compared with inference, pytorch-grad-cam and captum on the same network and patches.

python scripts/bench/cam.py [model=timm model.name=resnet18 ...]

The network has random weights, which take the same time as trained ones. The heat is that of its last block. Patches
are noise. All results have the resolution of the layer, except that pytorch-grad-cam always resizes and scales.
"""

import argparse
import functools

import measure
import torch
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from respcam.cli.composition import composed_settings
from respcam.heat.cam import heat_maps, heat_maps_per_class
from respcam.network.model import blocks_of, build

BATCHES = (1, 32, 256)
N_CLASSES = 2


def rows(arguments: argparse.Namespace) -> list[measure.Row]:
    settings = composed_settings(arguments.overrides).recipe
    torch.set_num_threads(settings.training.threads)
    torch.manual_seed(0)
    model = build(settings.model, N_CLASSES).to(memory_format=torch.channels_last).eval()
    layer = blocks_of(model)[-1]
    module = dict(model.named_modules())[layer]
    captum = LayerGradCam(model, module)
    table = []
    for n in BATCHES:
        patches = torch.randn(n, 1, 64, settings.patches.length_frames)
        target = torch.ones(n, dtype=torch.int64)
        with GradCAM(model, [module]) as library:
            works = {
                "inference": functools.partial(infer, model, patches),
                "one class": lambda p=patches, t=target: heat_maps(model, p, [layer], ["grad_cam"], t),
                "all classes": lambda p=patches: heat_maps_per_class(model, p, [layer], ["grad_cam"]),
                "captum": lambda p=patches, t=target: captum.attribute(p, t, relu_attributions=True),
                "pytorch-grad-cam": lambda p=patches, lib=library: lib(p, [ClassifierOutputTarget(1)] * len(p)),
            }
            # many short rounds for calls of a millisecond, because the speed of the machine changes between long ones
            seconds = measure.alternate(works, arguments.rounds * (20 if n == 1 else 1), per_round_s=0.03)
        on = f"{n} patches, {settings.model.name}, {settings.training.threads} threads"
        one_class = seconds["one class"]
        table += [
            measure.ratio("Grad-CAM", "one class over inference", on, one_class, seconds["inference"], "<= 1.15"),
            measure.ratio(
                "Grad-CAM", "all classes over inference", on, seconds["all classes"], seconds["inference"], "<= 1.5"
            ),
            measure.ratio(
                "Grad-CAM", "speed against pytorch-grad-cam", on, seconds["pytorch-grad-cam"], one_class, ">= 1.8"
            ),
            measure.ratio("Grad-CAM", "speed against captum", on, seconds["captum"], one_class, ">= 1"),
        ]
    return table


@torch.no_grad()
def infer(model: torch.nn.Module, patches: torch.Tensor) -> torch.Tensor:
    return model(patches)


if __name__ == "__main__":
    measure.main("cam", rows, measure.parser(__doc__).parse_args())

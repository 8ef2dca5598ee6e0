"""Export: front end, network, pooling and heat of a trained model as one ONNX graph.

The gradient that heat needs is traced into the graph (`torch.fx.experimental.proxy_tensor.make_fx`), so any network
that torch can trace will do. The gradient of a convolution has no operator in ONNX; it is a transposed convolution.
"""

import base64
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from respcam.errors import Refused
from respcam.heat.cam import METHODS, Choice
from respcam.heat.layers import in_evaluation, outputs_of
from respcam.heat.resize import fuse, to_input
from respcam.network.closeup import EXPORTED_INFO, EXPORTED_OUTPUTS, EXPORTED_SCORES
from respcam.network.examiner import Examiner
from respcam.network.occluded import log_odds
from respcam.network.readout import pool
from respcam.sound.front_end import LogMel, dft_basis

N_TRIED = 5  # patches of the recording that the graph is traced with; the number is free afterwards

Core = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def export_onnx(examiner: Examiner, info: Mapping[str, Any], path: Path) -> None:
    """Write a model as one ONNX file.

    Its input is ``waveform``, float32 [shape=(n_samples,)] at the rate and level of the run. Its outputs are those of
    `respcam.network.closeup.Closeup`: ``probability``, ``start_frame``, ``log_odds``, ``log_mel`` and ``heat``.

    Parameters
    ----------
    examiner : Examiner
        Model on the CPU.
    info : mapping
        Plain data that is kept in the file.
    path : Path

    Raises
    ------
    Refused
        If heat explains single patches, or a method of heat has no gradient.
    """
    _check(examiner)
    import onnx
    import onnx.utils

    with warnings.catch_warnings(), _quiet("torch.onnx", "onnxscript", "onnx_ir"):
        warnings.simplefilter("ignore")
        core = _traced(examiner)
        heard = _Heard(examiner, core).eval()
        front_end = examiner.pipeline.front_end
        n_frames = examiner.pipeline.patches.length_frames + (N_TRIED - 1) * examiner.pipeline.patches.hop_frames
        waveform = torch.zeros(front_end.window_samples + (n_frames - 1) * front_end.hop_samples)
        n_samples = torch.export.Dim("n_samples", min=2 * len(waveform) // 3, max=2**28)
        program = torch.onnx.export(
            heard,
            (waveform,),
            dynamo=True,
            dynamic_shapes=({0: n_samples},),
            input_names=["waveform"],
            output_names=list(EXPORTED_OUTPUTS),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.producer_name, model.doc_string = "respcam", "Research use; not a medical device."
    scores = onnx.utils.Extractor(model).extract_model(["waveform"], ["probability"])
    kept = {
        EXPORTED_INFO: json.dumps(dict(info)),
        EXPORTED_SCORES: base64.b64encode(scores.SerializeToString()).decode("ascii"),
    }
    onnx.helper.set_model_props(model, kept)
    onnx.save(model, path)


def _check(examiner: Examiner) -> None:
    if not examiner.is_pooled:
        raise Refused(
            "export: this run explains single patches (explain.level=patch); expected explain.level=recording"
        )
    blind = [METHODS[choice.method].title for choice in examiner.choices if not METHODS[choice.method].needs_gradient]
    if blind:
        raise Refused(f"export: {blind[0]} takes a pass per channel; expected a method of gradients (explain.method)")


class _quiet:
    """Keep loggers of other libraries silent: their warnings are about their own progress."""

    def __init__(self, *names: str):
        self.loggers = [logging.getLogger(name) for name in names]

    def __enter__(self) -> None:
        self.levels = [logger.level for logger in self.loggers]
        for logger in self.loggers:
            logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        for logger, level in zip(self.loggers, self.levels, strict=True):
            logger.setLevel(level)


class _Heard(nn.Module):
    """From a waveform to scores and heat, in operations that ONNX has."""

    cosine: torch.Tensor
    sine: torch.Tensor
    filters: torch.Tensor
    fed: torch.Tensor
    is_masked: torch.Tensor
    mean: torch.Tensor
    rate: torch.Tensor

    def __init__(self, examiner: Examiner, core: nn.Module):
        super().__init__()
        pipeline, scaler = examiner.pipeline, examiner.model.scaler
        settings, self.core, self.patches = pipeline.front_end, core, pipeline.patches
        front_end = LogMel(settings)
        cosine, sine = dft_basis(settings, front_end.used_bins)
        buffers = {
            "cosine": cosine.T[:, None],
            "sine": sine.T[:, None],
            "filters": front_end.filters,
            "mean": scaler.mean[:, None],
            "rate": 1 / scaler.std[:, None],
        }
        for name, values in buffers.items():
            self.register_buffer(name, torch.from_numpy(np.array(values, dtype=np.float32)))
        self.register_buffer("fed", torch.tensor(pipeline.fed_bands))
        self.register_buffer("is_masked", torch.from_numpy(~np.isin(pipeline.fed_bands, pipeline.kept_bands)))
        self.hop, self.offset, self.floor = settings.hop_samples, settings.log_offset, float(settings.floor)

    def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Score float32 [shape=(n_samples,)]; returns what `EXPORTED_OUTPUTS` names."""
        frames, length = self._log_mel(waveform), self.patches.length_frames
        n_frames = frames.shape[0]
        last = torch.sym_max(n_frames - length, 0)
        n_patches = (last + self.patches.hop_frames - 1) // self.patches.hop_frames + 1
        place = torch.arange(last + length)
        starts = torch.minimum(torch.arange(n_patches) * self.patches.hop_frames, place[-1] - (length - 1))
        count = torch.ones_like(frames[:, 0], dtype=torch.int64).sum()  # n_frames as a value of the graph
        padded = frames[place % count]
        if self.patches.pad != "repeat":
            padded = torch.where((place < count)[:, None], padded, self.floor)
        index = starts[:, None] + torch.arange(length)
        patches = padded[index].transpose(1, 2)
        scores, pooled, heat = self.core(((patches - self.mean) * self.rate)[:, None])
        along = heat.new_zeros(heat.shape[0], heat.shape[1], heat.shape[3], last + length)
        by_band = heat.permute(0, 1, 3, 2, 4).flatten(3, 4)
        along = along.index_add(3, index.flatten(), by_band)
        return pooled.softmax(dim=-1), starts, log_odds(scores), padded.T, along

    def _log_mel(self, waveform: torch.Tensor) -> torch.Tensor:
        """Fed bands, masked ones at the floor: float32 [shape=(frame, band)]."""
        sound = waveform[None, None]
        real, imaginary = (functional.conv1d(sound, base, stride=self.hop)[0] for base in (self.cosine, self.sine))
        magnitude = (real.square() + imaginary.square()).sqrt()
        frames = torch.log(magnitude.T @ self.filters + self.offset)[:, self.fed]
        return torch.where(self.is_masked, self.floor, frames)


def _traced(examiner: Examiner) -> nn.Module:
    """Scores, pooled scores and heat of scaled patches, with its gradients, as a graph of plain operations."""
    from torch._decomp import core_aten_decompositions
    from torch.fx.experimental.proxy_tensor import make_fx

    table = {**core_aten_decompositions(), torch.ops.aten.convolution_backward.default: _convolution_backward}
    n_bands, length = len(examiner.pipeline.fed_bands), examiner.pipeline.patches.length_frames
    patches = torch.zeros(N_TRIED, 1, n_bands, length)
    network = examiner.model.network
    with in_evaluation(network, is_frozen=True):
        trace = make_fx(
            _core_of(examiner), decomposition_table=table, tracing_mode="symbolic", _allow_non_fake_inputs=True
        )
        return trace(patches)


def _core_of(examiner: Examiner) -> Core:
    """Function of scaled patches: scores, pooled scores, heat [shape=(choice, class, patch, band, frame)]."""
    network, readout = examiner.model.network, examiner.model.readout
    layers = list(dict.fromkeys(layer for choice in examiner.choices for layer in choice.layers))

    def core(patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        maps: dict[str, torch.Tensor] = {}

        def keep(layer: str, output: torch.Tensor) -> torch.Tensor:
            maps[layer] = output if maps else output.detach().requires_grad_()
            return maps[layer].clone()

        with torch.enable_grad(), outputs_of(network, layers, keep):
            scores = network(patches)
            pooled = readout.calibrated(_pooled(scores, readout.pooling))
            explained = {"log_odds": log_odds(pooled), "class_score": pooled}
            heat = [_heat_of_classes(explained[choice.score], maps, choice) for choice in examiner.choices]
        size = patches.shape[2:]
        spread = [torch.stack([to_input(of_class, *size) for of_class in of_choice]) for of_choice in heat]
        return readout.calibrated(scores).detach(), pooled.detach(), torch.stack(spread)

    return core


def _heat_of_classes(explained: torch.Tensor, maps: Mapping[str, torch.Tensor], choice: Choice) -> list[torch.Tensor]:
    """Heat of every patch for each class of the recording: float32 [shape=(patch, row, column)]."""
    if len(explained) == 2 and choice.score == "log_odds" and METHODS[choice.method].is_signed:
        signed = _signed(explained[0], maps, choice)  # what is for one of two classes is against the other
        return [functional.relu(signed), functional.relu(-signed)]
    return [functional.relu(_signed(score, maps, choice)) for score in explained]


def _signed(explained: torch.Tensor, maps: Mapping[str, torch.Tensor], choice: Choice) -> torch.Tensor:
    """Heat for (positive) and against the score: float32 [shape=(patch, row, column)]."""
    chosen = [maps[layer] for layer in choice.layers]
    gradients = torch.autograd.grad(explained, chosen, retain_graph=True)
    method = METHODS[choice.method]
    signed = [
        (method.weights(of.detach(), gradient) * of.detach()).sum(dim=1)
        for of, gradient in zip(chosen, gradients, strict=True)
    ]
    return fuse(signed)


def _pooled(scores: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool; without the log of the number of patches, which all classes have in common."""
    return scores.logsumexp(dim=0) if pooling == "logsumexp" else pool(scores, pooling)


def _convolution_backward(
    gradient: torch.Tensor, maps: torch.Tensor, weight: torch.Tensor, _bias: Any, *settings: Any
) -> tuple[torch.Tensor, None, None]:
    """Gradient of a convolution with respect to its input, as a transposed convolution."""
    stride, padding, dilation, is_transposed, _, groups, _ = settings
    if is_transposed:
        raise Refused("export: a transposed convolution lies above the layers of the heat; expected plain ones")
    cut = []
    for axis, step in enumerate(stride):
        kernel = dilation[axis] * (weight.shape[2 + axis] - 1) + 1
        reached = (gradient.shape[2 + axis] - 1) * step - 2 * padding[axis] + kernel
        cut.append(maps.shape[2 + axis] - reached)
    spread = torch.ops.aten.convolution.default(gradient, weight, None, stride, padding, dilation, True, cut, groups)
    return spread, None, None

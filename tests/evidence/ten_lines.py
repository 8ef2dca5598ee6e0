"""A network of ten lines that listens to one band, and recordings in which that band tells the classes apart."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from respcam.data.patches import PatchSettings
from respcam.heat.bands import GroupedBands, HzGroups
from respcam.metrics import BootstrapSettings
from respcam.network.inputs import Scaler, Units
from respcam.network.machine import make_fabric
from respcam.network.trained import TrainedModel

N_BANDS, BAND, QUIET, LOUD, FLOOR = 12, 7, 0.5, 3.0, -2.0
BOOTSTRAP = BootstrapSettings(n_resamples=100)
PATCHES = PatchSettings(length_frames=16, hop_frames=8)
GROUPS = HzGroups([0, 200, 400, 600, 800, 1000, 1200])  # two bands each
EDGES_HZ = np.stack([np.arange(N_BANDS) * 100.0 + shift for shift in (0, 50, 100)], axis=1)
TOP_HZ = "600-800"  # where BAND lies
STEM = ["unit_id", "recording_id", "patient_id", "target"]


class Listener(nn.Module):
    """Class 1 is loud in one band; nothing else counts."""

    feature_info = ({"module": "low"}, {"module": "high"})  # how timm names stages

    def __init__(self):
        super().__init__()
        self.low = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
        self.high = nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU())
        self.head = nn.Linear(2 * N_BANDS, 2)

    def forward(self, patches):
        return self.head(self.high(self.low(patches)).mean(dim=3).flatten(1))


def trained(**options) -> TrainedModel:
    """A listener whose weights are as if it had been trained."""
    network = Listener().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.low[0].weight.fill_(1)
        network.high[0].weight.fill_(0.5)
        network.head.weight[1, [BAND, N_BANDS + BAND]] = 1
        network.head.weight[0, [BAND, N_BANDS + BAND]] = -1
        network.head.bias[:] = torch.tensor([1.0, -1.0])
    scaler = Scaler(np.full(N_BANDS, QUIET, np.float32), np.ones(N_BANDS, np.float32))
    options = {"normal": "normal", "batch_patches": 5, **options}
    return TrainedModel(network, scaler, ["normal", "wheeze"], make_fabric("cpu"), **options)


def grouped(groups: HzGroups = GROUPS) -> GroupedBands:
    return GroupedBands.of(EDGES_HZ, np.ones(N_BANDS, bool), groups)


def recordings(n_patients: int = 8, part: str = "test", seed: int = 0) -> tuple[pd.DataFrame, Units]:
    """Two recordings of 48 to 80 frames per patient; in those of odd patients the band is loud in frames 16 to 31."""
    rng = np.random.default_rng(seed)
    rows, frames = [], []
    for patient in range(n_patients):
        for number in range(2):
            n_frames, target = int(rng.integers(48, 80)), patient % 2
            mel = rng.normal(QUIET, 0.1, (n_frames, N_BANDS)).astype(np.float32)
            mel[16:32, BAND] += target * (LOUD - QUIET)
            frames.append(mel)
            name = f"{patient}_{number}"
            rows.append((part, name, name, f"p{patient}", 0, n_frames, target))
    units = pd.DataFrame(rows, columns=["part", *STEM[:3], "first_frame", "n_frames", "target"])
    return units, units_of(frames, units["target"].to_numpy())


def units_of(frames: list[np.ndarray], target: np.ndarray, patches: PatchSettings = PATCHES) -> Units:
    return Units(frames, target, np.ones(N_BANDS, bool), patches, FLOOR)


class Memory:
    """Keeps arrays as a file would."""

    def __init__(self):
        self.arrays, self.n_saved = {}, 0

    def load(self):
        return {name: values.copy() for name, values in self.arrays.items()}

    def save(self, arrays):
        self.arrays = {name: values.copy() for name, values in arrays.items()}
        self.n_saved += 1

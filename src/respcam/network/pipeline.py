"""Pipeline: everything that turns a new recording into a score of a trained model, beside the weights."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from respcam.data import run_folder
from respcam.data.patches import PatchSettings, patch_starts
from respcam.errors import Refused
from respcam.heat.bands import BandSelection
from respcam.network.inputs import Units
from respcam.network.machine import make_fabric
from respcam.network.model import ModelSettings, network_source
from respcam.network.trained import TrainedModel
from respcam.sound.audio import AudioSettings
from respcam.sound.front_end import FrontEnd, log_mel
from respcam.store.artifact import plain


@dataclass(frozen=True)
class Pipeline:
    """From a recording to the score of its classes, as in the training of a model.

    Attributes
    ----------
    audio : AudioSettings
    front_end : FrontEnd
    patches : PatchSettings
        What is scored.
    bands : BandSelection
        Decided: no other model need be asked.
    fed_bands : list of int
        Bands that the network is fed, from 0 at the bottom of the front end.
    kept_bands : list of int
        Of these, the ones that are not blank.
    model : ModelSettings
    pooling : str
        How patch scores become the score of a recording: mean, max or logsumexp.
    class_names : list of str
        In the order of their numbers.
    normal : str, optional
        Name of the normal class.
    unit : str
        What the model was trained on: recording or event.
    network_source : str, optional
        SHA-256 of the file that a user's own network is written in.
    """

    audio: AudioSettings
    front_end: FrontEnd
    patches: PatchSettings
    bands: BandSelection
    fed_bands: list[int]
    kept_bands: list[int]
    model: ModelSettings
    pooling: str
    class_names: list[str]
    normal: str | None = None
    unit: str = "recording"
    network_source: str | None = None

    def write(self, folder: Path) -> None:
        """Write ``model.json``."""
        run_folder.MODEL.write(plain(self), folder)

    @staticmethod
    def read(folder: Path) -> "Pipeline":
        """Read what `write` wrote."""
        content = run_folder.MODEL.read(folder)
        typed = {
            "audio": AudioSettings,
            "front_end": FrontEnd,
            "patches": PatchSettings,
            "bands": BandSelection,
            "model": ModelSettings,
        }
        return Pipeline(**{**content, **{name: kind(**content[name]) for name, kind in typed.items()}})

    def load(self, folder: Path, device: str = "cpu", threads: int = 1) -> TrainedModel:
        """Read weights, scaler and class names, as `respcam.network.trained.TrainedModel.save` wrote them.

        Raises
        ------
        Refused
            If the class of a user's own network cannot be imported or has changed, or the device is not there.
        """
        if network_source(self.model) != self.network_source:
            raise Refused(
                f"{folder}: {self.model.name} is another since the run (its source, or the version of timm); "
                "restore it, or run again"
            )
        fabric = make_fabric(device, threads=threads)
        return TrainedModel.load(folder, self.model, fabric, normal=self.normal, pooling=self.pooling)

    def units(self, waveform: np.ndarray) -> Units:
        """Make one unit of a waveform: its frames as the model is fed them, before they are scaled.

        Parameters
        ----------
        waveform : float32 [shape=(n_samples,)]
            As `respcam.sound.audio.read_audio` gives it with the settings of ``audio``.

        Returns
        -------
        Units
            Of length one. Its class is not known and stands as 0.

        Raises
        ------
        Refused
            If no patch can be cut from the waveform.
        """
        frames = log_mel(waveform, self.front_end).T
        if not len(patch_starts(len(frames), self.patches)):
            needed = self.patches.length_frames if self.patches.pad == "none" else 1
            raise Refused(f"the recording has {len(frames)} frames of log-mel; expected at least {needed}")
        number = np.arange(self.front_end.n_bands)
        is_fed, is_masked = np.isin(number, self.fed_bands), ~np.isin(number, self.kept_bands)
        target = np.zeros(1, dtype=np.int64)
        return Units([frames], target, is_fed, self.patches, self.front_end.floor, masked=is_fed & is_masked)

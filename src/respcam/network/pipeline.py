"""Pipeline of a trained model: all settings, from a new recording to its score."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from respcam.data import run_folder
from respcam.data.patches import PatchSettings, check_length
from respcam.errors import Refused
from respcam.heat.bands import BandSelection
from respcam.network.inputs import Units
from respcam.network.machine import make_fabric
from respcam.network.model import ModelSettings, network_source
from respcam.network.readout import Readout
from respcam.network.trained import TrainedModel
from respcam.sound.audio import AudioSettings
from respcam.sound.front_end import FrontEnd, log_mel
from respcam.store.artifact import plain


@dataclass(frozen=True)
class Pipeline:
    """Settings from a recording to the scores of its classes, as in the training of a model.

    Attributes
    ----------
    audio : AudioSettings
    front_end : FrontEnd
    patches : PatchSettings
        Patches that are scored.
    bands : BandSelection
        Selection with its bands decided.
    fed_bands : list of int
        Numbers of the bands that the network is fed, from 0 at the lowest band of the front end.
    kept_bands : list of int
        Numbers of the fed bands that are not blank.
    model : ModelSettings
    readout : Readout
        From patch scores to the class scores of a recording, and to the decision for a class.
    class_names : list of str
        Names of the classes, in the order of their numbers.
    normal : str, optional
        Name of the normal class.
    unit : str
        Unit that the model was trained on: recording or event.
    network_source : str, optional
        Digest of the source of the network (`respcam.network.model.network_source`).
    """

    audio: AudioSettings
    front_end: FrontEnd
    patches: PatchSettings
    bands: BandSelection
    fed_bands: list[int]
    kept_bands: list[int]
    model: ModelSettings
    readout: Readout
    class_names: list[str]
    normal: str | None = None
    unit: str = "recording"
    network_source: str | None = None

    def write(self, folder: Path) -> None:
        """Write ``model.json``."""
        run_folder.MODEL.write(plain(self), folder)

    @staticmethod
    def read(folder: Path) -> "Pipeline":
        """Read ``model.json``."""
        content = run_folder.MODEL.read(folder)
        typed = {
            "audio": AudioSettings,
            "front_end": FrontEnd,
            "patches": PatchSettings,
            "bands": BandSelection,
            "model": ModelSettings,
            "readout": Readout,
        }
        return Pipeline(**{**content, **{name: kind(**content[name]) for name, kind in typed.items()}})

    def load(self, folder: Path, device: str = "cpu", threads: int = 1) -> TrainedModel:
        """Read weights, scaler and class names, as `respcam.network.trained.TrainedModel.save` wrote them.

        Raises
        ------
        Refused
            If the user's class cannot be imported or has changed, or the device is not available.
        """
        if network_source(self.model) != self.network_source:
            raise Refused(
                f"{folder}: {self.model.name} has changed since the run (its source, or the version of timm); "
                "restore it, or run again"
            )
        fabric = make_fabric(device, threads=threads)
        return TrainedModel.load(folder, self.model, fabric, normal=self.normal, readout=self.readout)

    def units(self, waveform: np.ndarray) -> Units:
        """Make one unit of a waveform: its frames, as the model is fed them before scaling.

        Parameters
        ----------
        waveform : float32 [shape=(n_samples,)]
            Result of `respcam.sound.audio.read_audio` with the settings of ``audio``.

        Returns
        -------
        Units
            One unit. Its class is not known and is set to 0.

        Raises
        ------
        Refused
            If no patch can be cut from the waveform.
        """
        frames = log_mel(waveform, self.front_end).T
        check_length(len(frames), self.patches)
        number = np.arange(self.front_end.n_bands)
        is_fed, is_masked = np.isin(number, self.fed_bands), ~np.isin(number, self.kept_bands)
        target = np.zeros(1, dtype=np.int64)
        return Units([frames], target, is_fed, self.patches, self.front_end.floor, masked=is_fed & is_masked)

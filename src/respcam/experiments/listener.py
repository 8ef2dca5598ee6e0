"""Listener: a model with all that stands beside its scores, from a run folder or an exported file."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from respcam.data.patches import PatchSettings, check_length
from respcam.data.trained_on import RecordingFacts, TrainedOn, blank_share
from respcam.experiments.standing import Standing
from respcam.heat.bands import HzGroups
from respcam.network.closeup import Closeup
from respcam.sound.audio import AudioSettings, read_raw, resample, rms
from respcam.sound.front_end import FrontEnd, log_mel

EXPORTED = ".onnx"  # suffix of an exported model
BAND_COLUMNS = ["band", "lower_hz", "centre_hz", "upper_hz"]


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model besides its weights.

    Attributes
    ----------
    name : str
        Name of its run.
    description : dict
        `respcam.experiments.finished.FinishedRun.description` of its run.
    class_names : list of str
    methods : list of str
        Titles of the heat of a close-up, the main one first.
    target : str
        Class whose heat the run computes; blank if it differs between recordings.
    audio : AudioSettings
    front_end : FrontEnd
    patches : PatchSettings
    fed_bands : list of int
        Numbers of the bands that the model is fed.
    bands : DataFrame
        These bands: ``band, lower_hz, centre_hz, upper_hz``.
    groups : HzGroups
    standings : list of Standing
    trained_on : TrainedOn
    """

    name: str
    description: dict[str, Any]
    class_names: list[str]
    methods: list[str]
    target: str
    audio: AudioSettings
    front_end: FrontEnd
    patches: PatchSettings
    fed_bands: list[int]
    bands: pd.DataFrame
    groups: HzGroups
    standings: list[Standing]
    trained_on: TrainedOn

    @property
    def plain(self) -> dict[str, Any]:
        """As plain data for JSON."""
        typed = {
            name: asdict(getattr(self, name)) for name in ("audio", "front_end", "patches", "groups", "trained_on")
        }
        plain = {name: getattr(self, name) for name in ("name", "description", "class_names", "methods", "target")}
        bands = self.bands[BAND_COLUMNS].to_dict("list")
        rows = [asdict(standing) for standing in self.standings]
        return {**plain, **typed, "fed_bands": self.fed_bands, "bands": bands, "standings": rows}

    @staticmethod
    def of_plain(content: dict[str, Any]) -> "ModelInfo":
        """Read what `plain` gave."""
        typed = {
            "audio": AudioSettings,
            "front_end": FrontEnd,
            "patches": PatchSettings,
            "groups": HzGroups,
            "trained_on": TrainedOn,
        }
        made = {name: kind(**content[name]) for name, kind in typed.items()}
        rows = [Standing(**row) for row in content["standings"]]
        return ModelInfo(**{**content, **made, "bands": pd.DataFrame(content["bands"]), "standings": rows})


class Listener:
    """A model that hears recordings.

    Attributes
    ----------
    info : ModelInfo
    """

    info: ModelInfo
    #: whether the heat of all methods costs little more than that of one
    is_quick: ClassVar[bool] = False

    def closeup(self, waveform: np.ndarray, is_brief: bool = False) -> Closeup:
        """Examine a recording.

        Parameters
        ----------
        waveform : float32 [shape=(n_samples,)]
            At the rate and level of the run.
        is_brief : bool
            Whether the heat of the first method is enough.
        """
        raise NotImplementedError

    def read(self, path: str | Path, device: str = "") -> tuple[np.ndarray, RecordingFacts]:
        """Read a recording as the run does.

        Parameters
        ----------
        path : str or Path
        device : str
            Name of the device; blank if unknown.

        Returns
        -------
        waveform : float32 [shape=(n_samples,)]
            At the rate and level of the run.
        facts : RecordingFacts

        Raises
        ------
        Unusable
            If the recording cannot be used.
        Refused
            If it is too short.
        """
        return self.prepared(*read_raw(path), device)

    def prepared(self, raw: np.ndarray, rate_hz: int, device: str = "") -> tuple[np.ndarray, RecordingFacts]:
        """Bring a decoded recording to the rate and level of the run; see `read`."""
        level_db, duration_s = 20 * float(np.log10(rms(raw))), len(raw) / rate_hz
        waveform = resample(raw, rate_hz, self.info.audio)
        frames = log_mel(waveform, self.info.front_end)
        check_length(frames.shape[1], self.info.patches)
        blank = blank_share(frames[self.info.fed_bands], self.info.front_end.floor)
        return waveform, RecordingFacts(float(rate_hz), duration_s, level_db, blank, device)

    def cautions(self, facts: RecordingFacts) -> list[str]:
        """Say in which respect a recording lies outside of the training recordings."""
        return self.info.trained_on.cautions(facts, float(self.info.bands["upper_hz"].max()))

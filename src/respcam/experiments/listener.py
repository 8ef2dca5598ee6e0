"""Listener: a model with all that stands beside its scores, from a run folder or an exported file."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from respcam.data.patches import PatchSettings, check_length
from respcam.data.trained_on import RecordingFacts, TrainedOn, blank_share
from respcam.experiments.standing import Standing
from respcam.heat.bands import HzGroups
from respcam.network.closeup import Closeup
from respcam.sound.audio import AudioSettings, resample, rms
from respcam.sound.front_end import FrontEnd, n_frames

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
    decision : list of float
        Weight of the probability of each class in the decision for one (`respcam.metrics.decide`).
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
    decision: list[float]
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
        plain = {
            name: getattr(self, name)
            for name in ("name", "description", "class_names", "decision", "methods", "target")
        }
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

    def examine(
        self, raw: np.ndarray, rate_hz: int, device: str = "", is_brief: bool = False
    ) -> tuple[Closeup, RecordingFacts]:
        """Bring a decoded recording to the rate and level of the run, and examine it.

        Parameters
        ----------
        raw : float32 [shape=(n_samples,)]
            Result of `respcam.sound.audio.read_raw`.
        rate_hz : int
        device : str
            Name of the device; blank if unknown.
        is_brief : bool
            Whether the heat of the first method is enough.

        Raises
        ------
        Refused
            If the recording is too short.
        """
        level_db, duration_s = 20 * float(np.log10(rms(raw))), len(raw) / rate_hz
        closeup = self.closeup(self.prepared(raw, rate_hz), is_brief)
        log_mel = closeup.log_mel[:, : n_frames(len(closeup.waveform), self.info.front_end)]
        blank = blank_share(log_mel, self.info.front_end.floor)
        return closeup, RecordingFacts(float(rate_hz), duration_s, level_db, blank, device)

    def prepared(self, raw: np.ndarray, rate_hz: int) -> np.ndarray:
        """Bring a decoded recording to the rate and level of the run: float32 [shape=(n_samples,)].

        Raises
        ------
        Refused
            If it is too short.
        """
        waveform = resample(raw, rate_hz, self.info.audio)
        check_length(n_frames(len(waveform), self.info.front_end), self.info.patches)
        return waveform

    def cautions(self, facts: RecordingFacts) -> dict[str, str]:
        """Say in which respect a recording lies outside of the training recordings."""
        return self.info.trained_on.cautions(facts, float(self.info.bands["upper_hz"].max()))

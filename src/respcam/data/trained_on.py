"""Range of the recordings that a model was trained on, and cautions about a recording outside of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from respcam.data import run_folder

EDGES = (0.005, 0.995)  # quantiles: a single odd recording does not widen the range
LEVEL_MARGIN_DB, DURATION_FACTOR, BLANK_MARGIN = 3.0, 1.5, 0.1


@dataclass(frozen=True)
class RecordingFacts:
    """What is known of a recording besides its sound.

    Attributes
    ----------
    source_rate_hz : float
    duration_s : float
    level_db : float
        RMS before any gain, in dB re full scale.
    blank : float
        Share of the cells of its log-mel that lie on the log floor, 0 to 1.
    device : str
        Blank if unknown.
    """

    source_rate_hz: float
    duration_s: float
    level_db: float
    blank: float
    device: str = ""


@dataclass(frozen=True)
class TrainedOn:
    """Range of the training recordings of a model.

    Attributes
    ----------
    source_rates_hz : list of float
        Every rate.
    duration_s, level_db, blank : list of float
        Lowest and highest value, without the outermost 0.5 % at either end.
    devices : list of str
        Names of the devices; empty if none is known.
    """

    source_rates_hz: list[float]
    duration_s: list[float]
    level_db: list[float]
    blank: list[float]
    devices: list[str]

    @staticmethod
    def of(facts: Sequence[RecordingFacts]) -> "TrainedOn":
        """Summarise training recordings.

        Examples
        --------
        >>> TrainedOn.of([RecordingFacts(8000.0, 9.2, -20.0, 0.1)]).source_rates_hz
        [8000.0]
        """
        table = pd.DataFrame([asdict(recording) for recording in facts])
        ranges = {
            name: [round(float(edge), 3) for edge in np.quantile(table[name], EDGES)]
            for name in ("duration_s", "level_db", "blank")
        }
        return TrainedOn(
            source_rates_hz=sorted(table["source_rate_hz"].unique().tolist()),
            devices=sorted(set(table["device"]) - {""}),
            **ranges,
        )

    def write(self, folder: Path) -> None:
        """Write ``trained_on.json``."""
        run_folder.TRAINED_ON.write(asdict(self), folder)

    @staticmethod
    def read(folder: Path) -> "TrainedOn":
        """Read ``trained_on.json``."""
        return TrainedOn(**run_folder.TRAINED_ON.read(folder))

    def cautions(self, recording: RecordingFacts, highest_hz: float) -> dict[str, str]:
        """Say in which respect a recording lies outside of the training recordings.

        Parameters
        ----------
        recording : RecordingFacts
        highest_hz : float
            Upper edge of the bands that the model is fed.

        Returns
        -------
        dict of str to str
            Sentences, by the name of the fact (`RecordingFacts`); empty if the recording is like those of the
            training.
        """
        sentences = {
            "source_rate_hz": self._about_rate(recording.source_rate_hz, highest_hz),
            "device": self._about_device(recording.device),
            "duration_s": self._about_duration(recording.duration_s),
            "level_db": self._about_level(recording.level_db),
            "blank": self._about_blank(recording.blank),
        }
        return {name: sentence for name, sentence in sentences.items() if sentence}

    def _about_rate(self, rate_hz: float, highest_hz: float) -> str:
        lowest = min(self.source_rates_hz)
        if rate_hz in self.source_rates_hz:
            return ""
        rates = ", ".join(f"{rate:g}" for rate in self.source_rates_hz)
        trained = f"source rate {rate_hz:g} Hz; the model was trained on {rates} Hz"
        if rate_hz / 2 < highest_hz * 1.05 and rate_hz < lowest:
            return f"{trained}. Near and above {rate_hz / 2:g} Hz this recording is empty, and those were not"
        return trained

    def _about_device(self, device: str) -> str:
        if not self.devices or device in self.devices:
            return ""
        names = ", ".join(self.devices)
        what = f"device {device}" if device else "device unknown"
        return f"{what}; the model was trained on {names}"

    def _about_duration(self, duration_s: float) -> str:
        low, high = self.duration_s
        if low / DURATION_FACTOR <= duration_s <= high * DURATION_FACTOR:
            return ""
        return f"duration {duration_s:.1f} s; the model was trained on {low:.1f} to {high:.1f} s"

    def _about_level(self, level_db: float) -> str:
        low, high = self.level_db
        if low - LEVEL_MARGIN_DB <= level_db <= high + LEVEL_MARGIN_DB:
            return ""
        level = f"level {level_db:.0f} dB re full scale before gain"
        return f"{level}; the model was trained on {low:.0f} to {high:.0f} dB"

    def _about_blank(self, blank: float) -> str:
        low, high = self.blank
        if low - BLANK_MARGIN <= blank <= high + BLANK_MARGIN:
            return ""
        share = f"{blank:.0%} of the input holds no sound (log floor)"
        return f"{share}; the model was trained on {low:.0%} to {high:.0%}"


def blank_share(log_mel: np.ndarray, floor: float) -> float:
    """Share of the cells of a log-mel on the log floor: the mel magnitude is below the offset of the logarithm.

    Parameters
    ----------
    log_mel : float32 [shape=(frame, band)]
    floor : float
        Log-mel of digital silence.
    """
    return float((np.asarray(log_mel) < floor + np.log(2)).mean())

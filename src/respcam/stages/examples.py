"""Examples: test recordings to look at and listen to, and the hottest place of every test recording."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import soundfile as sf
import torch
from tqdm import tqdm

from respcam.data import run_folder
from respcam.data.splits import TRAIN
from respcam.data.trained_on import RecordingFacts, TrainedOn, blank_share
from respcam.errors import Refused
from respcam.heat.bands import GroupedBands, HzGroups
from respcam.heat.cam import margins
from respcam.heat.resize import joined
from respcam.network.closeup import Closeup, HeardPart
from respcam.network.examiner import Examiner
from respcam.report.recordings import ExampleKind
from respcam.stages.explain import Explain
from respcam.store.integrity import verified
from respcam.store.stage import Stage

log = logging.getLogger(__name__)

AUDIO = ("flac", "none")


@dataclass(frozen=True)
class ExampleSettings:
    """Which recordings the page opens in its player.

    Parameters
    ----------
    number : int
        Number of recordings, over all explained parts: per class the surest hit, the surest miss, the most
        uncertain and one at random, again and again.
    seed : int
        Seed of the choice at random.
    audio : str
        Sound in the page: flac, or none (recordings are data of patients).
    """

    number: int = 24
    seed: int = 0
    audio: str = "flac"

    def __post_init__(self) -> None:
        if self.audio not in AUDIO:
            raise Refused(f"examples.audio is {self.audio!r}; expected one of {', '.join(AUDIO)}")
        if not 0 <= self.number <= 200:
            raise Refused(f"examples.number is {self.number}; expected 0 to 200")
        if self.seed < 0:
            raise Refused(f"examples.seed is {self.seed}; expected at least 0")


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples(Stage):
    """Close-ups of some test units, the hottest place of every explained unit, and the range of the training.

    Attributes
    ----------
    explain : Explain
    hz_groups : HzGroups
    examples : ExampleSettings
    """

    name: ClassVar[str] = "examples"
    schema: ClassVar[int] = 3

    explain: Explain
    hz_groups: HzGroups
    examples: ExampleSettings

    def write(self, folder: Path) -> None:
        """Write ``unit_heat.csv, examples.csv, trained_on.json`` and a close-up of every example, ``<n>.npz``."""
        self._trained_on().write(folder)
        run_folder.UNIT_HEAT.write(self._unit_heat(), folder)
        chosen = self._choose()
        run_folder.EXAMPLES.write(chosen, folder)
        units = self.explain.train.units().set_index("unit_id")
        examiner = self.examiner()
        for number, unit_id in enumerate(tqdm(chosen["unit_id"], desc="examples", unit="rec")):
            closeup = examiner.closeup(self.waveform(units.loc[unit_id]))
            np.savez(folder / f"{number}.npz", **_arrays(closeup))  # type: ignore[arg-type]

    def chosen(self) -> pd.DataFrame:
        """Examples: ``part, unit_id, kind, class``."""
        return run_folder.EXAMPLES.read(self.folder)

    def unit_heat(self) -> pd.DataFrame:
        """Hottest band and moment of every explained unit."""
        return run_folder.UNIT_HEAT.read(self.folder)

    def closeups(self) -> Iterator[Closeup]:
        """Close-ups of the examples, in their order."""
        for number in range(len(self.chosen())):
            with np.load(verified(self.folder / f"{number}.npz")) as saved:
                yield _closeup({name: saved[name] for name in saved})

    def waveform(self, unit: pd.Series) -> np.ndarray:
        """Sound of a unit, as the front end reads it: float32 [shape=(n_samples,)].

        Parameters
        ----------
        unit : Series
            Row of the units: ``recording_id, first_frame, n_frames``.
        """
        features = self.explain.train.features
        front_end = features.front_end
        start = int(unit["first_frame"]) * front_end.hop_samples
        n_samples = (int(unit["n_frames"]) - 1) * front_end.hop_samples + front_end.window_samples
        path = features.resample.path_of(unit["recording_id"])
        return sf.read(path, start=start, frames=n_samples, dtype="float32")[0]

    def examiner(self) -> Examiner:
        """Close-ups by the model of the run."""
        explain = self.explain
        model = explain.explain.prepared(explain.train.model())
        blocks = model.blocks
        return Examiner(
            pipeline=explain.train.pipeline(),
            model=model,
            choices=(explain.explain.choice(blocks), explain.explain.beside(blocks)),
            explained=explain.patches,
            is_pooled=explain.explain.level == "recording",
        )

    def _choose(self) -> pd.DataFrame:
        train = self.explain.train
        explained = set(self.explain.index()["part"])
        predictions = train.predictions()
        return choose_examples(predictions[predictions["part"].isin(explained)], train.class_names(), self.examples)

    def _unit_heat(self) -> pd.DataFrame:
        explain = self.explain
        index, maps, bands = explain.index(), explain.maps(), explain.train.grouped_bands(self.hz_groups)
        first_frame = explain.train.units().set_index("unit_id")["first_frame"]
        rows = []
        for unit_id, patches in index.groupby("unit_id", sort=False):
            heat = (
                np.asarray(maps[patches["patch"].to_numpy()]) * patches["weight"].to_numpy(np.float32)[:, None, None]
            )
            starts = patches["start_frame"].to_numpy() - first_frame[unit_id]
            hottest = _hottest(heat, starts, bands, explain.patches.length_frames)
            names = ["unit_id", "recording_id", "patient_id", "part", "target_class"]
            rows.append({**patches.iloc[0][names].to_dict(), "hottest_hz": "", "hottest_s": np.nan})
            if hottest is not None:
                rate_hz = explain.train.features.front_end.frame_rate_hz
                rows[-1] |= {"hottest_hz": hottest[0], "hottest_s": round(hottest[1] / rate_hz, 2)}
        return pd.DataFrame(rows)

    @cached_property
    def _fed(self) -> list[int]:
        return self.explain.train.pipeline().fed_bands

    def _trained_on(self) -> TrainedOn:
        train = self.explain.train
        resampled = train.features.resample.recordings().set_index("recording_id")
        manifest = train.labels.recordings.set_index("recording_id")
        device = manifest["device"] if "device" in manifest else pd.Series("", index=manifest.index)
        units = train.units([TRAIN])
        frames, floor = train.features.frames(), train.features.front_end.floor
        facts = []
        for unit in units.drop_duplicates("unit_id").itertuples():
            recording = resampled.loc[unit.recording_id]
            mel = frames.frames(unit.recording_id, unit.first_frame, unit.n_frames)
            duration_s = unit.n_frames / train.features.front_end.frame_rate_hz
            facts.append(
                RecordingFacts(
                    source_rate_hz=float(recording["source_rate_hz"]),
                    duration_s=duration_s,
                    level_db=float(recording["rms_db"]),
                    blank=blank_share(np.asarray(mel)[:, self._fed], floor),
                    device=str(device[unit.recording_id]),
                )
            )
        return TrainedOn.of(facts)


def _hottest(heat: np.ndarray, starts: np.ndarray, bands: GroupedBands, n_frames: int) -> tuple[str, int] | None:
    """Group of Hz with the most heat per band, and the hottest frame of a unit; None if it has no heat."""
    per_band, per_frame = (part.numpy() for part in margins(torch.from_numpy(heat), len(bands.group), n_frames))
    along = joined(per_frame[:, None], starts, int(starts.max()) + n_frames)[0]
    if not along.any():
        return None
    return bands.densest(bands.per_group(per_band.sum(axis=0))), int(along.argmax())


def choose_examples(predictions: pd.DataFrame, class_names: list[str], settings: ExampleSettings) -> pd.DataFrame:
    """Choose units to look at: per class the surest hit, the surest miss, the most uncertain and one at random.

    Parameters
    ----------
    predictions : DataFrame
        ``part, unit_id, true_class, predicted_class, p_<class>``.
    class_names : list of str
    settings : ExampleSettings

    Returns
    -------
    DataFrame
        ``part, unit_id, kind, class``; no unit twice. Rounds go on until the number is reached.
    """
    rng = np.random.default_rng(settings.seed)
    queues: list[tuple[tuple[ExampleKind, str], list[tuple[str, str]]]] = []
    for _, of_part in predictions.groupby("part", sort=True):
        p_predicted = of_part[[f"p_{name}" for name in class_names]].max(axis=1)
        for name in class_names:
            rows = of_part.assign(sure=p_predicted)[of_part["true_class"] == name].sort_values("unit_id")
            is_hit = rows["predicted_class"] == name
            orders = (
                rows[is_hit].sort_values("sure", ascending=False, kind="stable"),
                rows[~is_hit].sort_values("sure", ascending=False, kind="stable"),
                rows.sort_values("sure", kind="stable"),
                rows.iloc[rng.permutation(len(rows))],
            )
            for kind, order in zip(ExampleKind, orders, strict=True):
                keys = list(zip(order["part"], order["unit_id"], strict=True))
                queues.append(((kind, name), keys))
    chosen: dict[tuple[str, str], tuple[ExampleKind, str]] = {}
    while len(chosen) < settings.number and any(keys for _, keys in queues):
        for why, keys in queues:
            while keys and keys[0] in chosen:
                keys.pop(0)
            if keys and len(chosen) < settings.number:
                chosen[keys.pop(0)] = why
    rows = [(*key, str(kind), name) for key, (kind, name) in chosen.items()]
    return pd.DataFrame(rows, columns=["part", "unit_id", "kind", "class"])


ARRAYS = ("waveform", "log_mel", "probability", "predicted", "start_frame", "log_odds", "heat")


def _arrays(closeup: Closeup) -> dict[str, np.ndarray]:
    arrays = {name: np.asarray(getattr(closeup, name)) for name in ARRAYS}
    for name in ("hot", "rest"):
        part: HeardPart = getattr(closeup, name)
        arrays |= {f"{name}_waveform": part.waveform, f"{name}_probability": part.probability}
    return arrays


def _closeup(arrays: dict[str, np.ndarray]) -> Closeup:
    hot, rest = (HeardPart(arrays[f"{name}_waveform"], arrays[f"{name}_probability"]) for name in ("hot", "rest"))
    waveform, log_mel, probability, predicted, start_frame, log_odds, heat = (arrays[name] for name in ARRAYS)
    return Closeup(waveform, log_mel, probability, int(predicted), start_frame, log_odds, heat, hot, rest)

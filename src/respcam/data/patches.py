"""Patches: stretches of equal length cut from the frames of a recording or an event."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from respcam.errors import Refused
from respcam.sound.front_end import FrontEnd

PAD_RULES = ("repeat", "floor", "none")


@dataclass(frozen=True)
class PatchSettings:
    """How units are cut.

    Parameters
    ----------
    length_frames : int
        96 frames are 0.96 s at a hop of 10 ms.
    hop_frames : int
        Between the starts of neighbouring patches at evaluation.
    pad : str
        What a unit shorter than a patch becomes: ``repeat`` plays it again from its start until
        the patch is full, ``floor`` appends frames of digital silence, ``none`` drops the unit.

    Raises
    ------
    Refused
        If a value is out of its range.

    Examples
    --------
    >>> PatchSettings(hop_frames=96).pad
    'repeat'
    """

    length_frames: int = 96
    hop_frames: int = 48
    pad: str = "repeat"

    def __post_init__(self) -> None:
        for name in ("length_frames", "hop_frames"):
            if getattr(self, name) < 1:
                raise Refused(f"patches.{name} is {getattr(self, name)}; expected at least 1")
        if self.pad not in PAD_RULES:
            raise Refused(f"patches.pad is {self.pad!r}; expected one of {', '.join(PAD_RULES)}")


def patch_starts(n_frames: int, settings: PatchSettings) -> np.ndarray:
    """First frame of every patch of a unit: every ``hop_frames``, and one that ends with the unit.

    Parameters
    ----------
    n_frames : int
    settings : PatchSettings

    Returns
    -------
    int64 [shape=(patch,)]
        ``[0]`` for a unit shorter than a patch that the rule pads; empty where it is dropped.

    Examples
    --------
    >>> patch_starts(150, PatchSettings()).tolist()
    [0, 48, 54]
    """
    if n_frames < settings.length_frames:
        n_patches = 0 if settings.pad == "none" or n_frames == 0 else 1
        return np.zeros(n_patches, dtype=np.int64)
    last = n_frames - settings.length_frames
    starts = np.arange(0, last + 1, settings.hop_frames)
    return starts if starts[-1] == last else np.append(starts, last)


def check_length(n_frames: int, settings: PatchSettings) -> None:
    """Refuse a recording that is too short for a patch.

    Raises
    ------
    Refused
    """
    if not len(patch_starts(n_frames, settings)):
        needed = settings.length_frames if settings.pad == "none" else 1
        raise Refused(f"the recording has {n_frames} frames of log-mel; expected at least {needed}")


def padded(frames: np.ndarray, settings: PatchSettings, floor: float) -> np.ndarray:
    """Bring the frames of a short unit to one patch's length by the stated rule.

    Parameters
    ----------
    frames : float32 [shape=(frame, band)]
        At least one frame; returned as they are where they fill a patch.
    settings : PatchSettings
    floor : float
        Log-mel of digital silence.

    Returns
    -------
    float32 [shape=(max(frame, length_frames), band)]

    Raises
    ------
    ValueError
        If there is no frame to repeat.

    Examples
    --------
    >>> padded(np.zeros((50, 64), np.float32), PatchSettings(), floor=-4.6).shape
    (96, 64)
    """
    n_missing = settings.length_frames - len(frames)
    if n_missing <= 0:
        return frames
    if len(frames) == 0:
        raise ValueError("a unit without frames cannot be padded; drop it")
    if settings.pad == "repeat":
        return np.pad(frames, ((0, n_missing), (0, 0)), mode="wrap")
    return np.pad(frames, ((0, n_missing), (0, 0)), constant_values=floor)


def cut(frames: np.ndarray, starts: np.ndarray, length_frames: int) -> np.ndarray:
    """Cut patches out of a unit.

    Parameters
    ----------
    frames : float32 [shape=(frame, band)]
    starts : int64 [shape=(patch,)]
        First frame of each patch.
    length_frames : int

    Returns
    -------
    float32 [shape=(patch, band, frame)]

    Examples
    --------
    >>> cut(np.zeros((150, 64), np.float32), np.array([0, 48, 54]), 96).shape
    (3, 64, 96)
    """
    return np.lib.stride_tricks.sliding_window_view(frames, length_frames, axis=0)[starts]


def cut_patches(
    log_mel: np.ndarray, settings: PatchSettings = PatchSettings(), front_end: FrontEnd = FrontEnd()
) -> np.ndarray:
    """Cut the patches of one recording, a short one padded by the rule.

    Parameters
    ----------
    log_mel : float32 [shape=(band, frame)]
        As of `respcam.sound.front_end.log_mel`.
    settings : PatchSettings
    front_end : FrontEnd
        What made the log-mel; ``floor`` pads with its silence.

    Returns
    -------
    float32 [shape=(patch, band, frame)]
        No patch where the rule drops a short recording.

    Raises
    ------
    Refused
        If the input is not one log-mel with a frame.

    Examples
    --------
    >>> cut_patches(np.zeros((64, 150), np.float32)).shape
    (3, 64, 96)
    """
    log_mel = np.asarray(log_mel, dtype=np.float32)
    if log_mel.ndim != 2 or not log_mel.shape[1]:
        raise Refused(
            f"log-mel has the shape {log_mel.shape}; expected (band, frame) with a frame at least: "
            "a waveform as long as one window"
        )
    starts = patch_starts(log_mel.shape[1], settings)
    if not len(starts):
        return np.empty((0, len(log_mel), settings.length_frames), dtype=np.float32)
    return cut(padded(log_mel.T, settings, front_end.floor), starts, settings.length_frames)


def patch_table(units: pd.DataFrame, settings: PatchSettings) -> pd.DataFrame:
    """List the patches of units, in their order.

    Parameters
    ----------
    units : DataFrame
        ``unit_id, recording_id, patient_id, part, target, first_frame, n_frames``.
    settings : PatchSettings

    Returns
    -------
    DataFrame
        ``patch, part, unit_id, recording_id, patient_id, start_frame`` (in the recording), ``unit``
        (row of the unit), ``target``.
    """
    starts = [patch_starts(n, settings) for n in units["n_frames"]]
    unit = np.repeat(np.arange(len(units)), [len(of_unit) for of_unit in starts])
    rows = units.iloc[unit].reset_index(drop=True)
    return pd.DataFrame(
        {
            "patch": np.arange(len(rows)),
            "part": rows["part"],
            "unit_id": rows["unit_id"],
            "recording_id": rows["recording_id"],
            "patient_id": rows["patient_id"],
            "start_frame": rows["first_frame"] + np.concatenate(starts),
            "unit": unit,
            "target": rows["target"],
        }
    )


def patch_units(units: pd.DataFrame, settings: PatchSettings) -> pd.DataFrame:
    """Make a unit of each patch of some units.

    Parameters
    ----------
    units : DataFrame
        With the columns that `patch_table` reads.
    settings : PatchSettings

    Returns
    -------
    DataFrame
        A row per patch with the columns of its unit; ``first_frame, n_frames`` are those of the patch.
    """
    table = patch_table(units, settings)
    rows = units.iloc[table["unit"].to_numpy()].reset_index(drop=True)
    n_frames = np.minimum(settings.length_frames, rows["n_frames"])
    return rows.assign(first_frame=table["start_frame"], n_frames=n_frames)

"""Does heat lie, in time, where an expert heard the sound?"""

from collections.abc import Iterable

import numpy as np
import pandas as pd


def inside_events(events: Iterable[tuple[float, float]], n_frames: int, frame_rate_hz: float) -> np.ndarray:
    """Mark the frames of a recording that lie in one of its events.

    Parameters
    ----------
    events : iterable of (start_s, end_s)
    n_frames : int
    frame_rate_hz : float

    Returns
    -------
    bool [shape=(frame,)]
        A frame belongs to the event that its first sample lies in.
    """
    is_inside = np.zeros(n_frames, dtype=bool)
    for start_s, end_s in events:
        is_inside[int(start_s * frame_rate_hz) : int(np.ceil(end_s * frame_rate_hz))] = True
    return is_inside


def localise(weight: np.ndarray, is_inside: np.ndarray) -> tuple[float, float, float]:
    """Hold heat over time against events.

    Parameters
    ----------
    weight : float [shape=(frame,)]
        Heat, or any baseline; not below zero.
    is_inside : bool [shape=(frame,)]

    Returns
    -------
    hit : float
        Pointing game (Zhang et al. 2016, arXiv 1608.00507): 1 where the highest weight lies inside,
        0 where not, the share inside where several places are highest; NaN without weight.
    share : float
        Of the weight that lies inside; NaN without weight.
    distance : float
        Frames from the (first) highest weight to the nearest frame inside; NaN without weight.
    """
    total = weight.sum()
    if not total > 0 or not is_inside.any():
        return float("nan"), float("nan"), float("nan")
    hit = is_inside[weight == weight.max()].mean()
    distance = np.abs(np.flatnonzero(is_inside) - weight.argmax()).min()
    return float(hit), float(weight[is_inside].sum() / total), float(distance)


def annotated_events(events: pd.DataFrame, normal_labels: Iterable[str]) -> dict[str, list[tuple[float, float]]]:
    """Start and end of the events of each recording, those with a normal label left out.

    Parameters
    ----------
    events : DataFrame
        ``recording_id, start_s, end_s, label``.
    normal_labels : iterable of str

    Returns
    -------
    dict of recording_id to list of (start_s, end_s)
    """
    shown = events[~events["label"].isin(set(normal_labels))]
    return {
        str(name): list(zip(own["start_s"].astype(float), own["end_s"].astype(float), strict=True))
        for name, own in shown.groupby("recording_id")
    }

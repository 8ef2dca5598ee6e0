"""Localisation of heat in time: the pointing game and heat inside annotated events."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import nn
from tqdm import tqdm

from respcam.data.patches import PatchSettings, patch_starts
from respcam.evidence.faithfulness import interval_columns, randomised, resampled_mean, with_spread
from respcam.heat import resize
from respcam.heat.cam import Choice
from respcam.metrics import BootstrapSettings, weights_and_resamples
from respcam.network.inputs import Units
from respcam.network.trained import TrainedModel

LOUDEST_MOMENT = Choice("loudest_moment", (), "")  # a baseline without a model, in the same table as the methods
TRAINED, RANDOM, NO_WEIGHTS = "trained", "random", ""
ORIGIN = ["method", "layers", "score", "weights"]
MEASURES = ["pointing", "inside", "covered", "gain", "error_s"]
LEADS = ["pointing_lead", "inside_lead"]
COLUMNS = [*ORIGIN, "n_recordings", "n_patients", *MEASURES, *LEADS]


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
        A frame lies in an event if its first sample does.
    """
    is_inside = np.zeros(n_frames, dtype=bool)
    for start_s, end_s in events:
        is_inside[int(start_s * frame_rate_hz) : int(np.ceil(end_s * frame_rate_hz))] = True
    return is_inside


def localise(weight: np.ndarray, is_inside: np.ndarray) -> tuple[float, float, float]:
    """Compare heat over time with events.

    Parameters
    ----------
    weight : float [shape=(frame,)]
        Heat or a baseline; not negative.
    is_inside : bool [shape=(frame,)]

    Returns
    -------
    hit : float
        Pointing game (Zhang et al. 2016, arXiv 1608.00507): 1 if the highest weight lies inside an event, else 0.
        If several frames share the highest weight, the share of them inside. NaN if all weights are zero.
    share : float
        Share of the weight inside events; NaN if all weights are zero.
    distance : float
        Distance in frames from the (first) highest weight to the nearest frame inside; NaN if all are zero.
    """
    total = weight.sum()
    if not total > 0 or not is_inside.any():
        return float("nan"), float("nan"), float("nan")
    hit = is_inside[weight == weight.max()].mean()
    distance = np.abs(np.flatnonzero(is_inside) - weight.argmax()).min()
    return float(hit), float(weight[is_inside].sum() / total), float(distance)


def annotated_events(events: pd.DataFrame, normal_labels: Iterable[str]) -> dict[str, list[tuple[float, float]]]:
    """List start and end of the events of each recording; events with a normal label are left out.

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
        str(name): list(zip(rows["start_s"].astype(float), rows["end_s"].astype(float), strict=True))
        for name, rows in shown.groupby("recording_id")
    }


def event_units(
    units: pd.DataFrame, events: Mapping[str, Sequence[tuple[float, float]]], n_recordings: int, seed: int
) -> pd.DataFrame:
    """Sample the recordings whose heat is compared with their events.

    Parameters
    ----------
    units : DataFrame
        Recordings, with ``recording_id``.
    events : mapping of recording_id to list of (start_s, end_s)
        Result of `annotated_events`.
    n_recordings : int
        Largest number of recordings.
    seed : int

    Returns
    -------
    DataFrame
        The sampled rows of ``units``, in the same order, with a new index.
    """
    units = units[units["recording_id"].isin(list(events))]
    order = np.random.default_rng(seed).permutation(len(units))
    return units.iloc[np.sort(order[:n_recordings])].reset_index(drop=True)


@dataclass(frozen=True)
class AnnotatedUnits:
    """Recordings with annotated events.

    Attributes
    ----------
    units : DataFrame
        Recordings, with the columns that `respcam.data.patches.patch_table` reads.
    data : Units
        Frames of the same recordings, in the same order.
    events : mapping of recording_id to list of (start_s, end_s)
    patches : PatchSettings
        Length and hop of the patches for heat.
    frame_rate_hz : float
    is_pooled : bool
        Whether heat explains the score of a recording; else that of each patch by itself.
    """

    units: pd.DataFrame
    data: Units
    events: Mapping[str, Sequence[tuple[float, float]]]
    patches: PatchSettings
    frame_rate_hz: float
    is_pooled: bool = True

    def is_inside(self, unit: int) -> np.ndarray:
        """Mark the frames of a recording inside its events: bool [shape=(frame,)]."""
        row = self.units.iloc[unit]
        return inside_events(self.events[row["recording_id"]], int(row["n_frames"]), self.frame_rate_hz)


def localisation_table(
    model: TrainedModel, choices: Sequence[Choice], annotated: AnnotatedUnits, bootstrap: BootstrapSettings, seed: int
) -> pd.DataFrame:
    """Compute the pointing game and the heat inside annotated events, for every method and baseline.

    Parameters
    ----------
    model : TrainedModel
    choices : sequence of Choice
    annotated : AnnotatedUnits
    bootstrap : BootstrapSettings
    seed : int
        Seed of the random weights.

    Returns
    -------
    DataFrame
        ``method, layers, score, weights`` (trained or random; blank for `LOUDEST_MOMENT`), ``n_recordings,
        n_patients``. With intervals: ``pointing`` (share of recordings whose hottest moment lies in an event),
        ``inside`` (share of heat in events), ``covered`` (share of time in events), ``gain`` (inside minus
        covered), ``error_s`` (time from the hottest moment to the nearest event), ``pointing_lead`` and
        ``inside_lead`` (difference from Grad-CAM at the last block, on the same recordings). Empty if there is
        no recording.
    """
    if annotated.units.empty:
        return pd.DataFrame(columns=COLUMNS)
    rows = []
    for unit, heat in _heat_over_time(model, choices, annotated, seed):
        is_inside = annotated.is_inside(unit)
        patient = annotated.units["patient_id"].iloc[unit]
        for (choice, weights), weight in heat.items():
            hit, share, distance = localise(weight, is_inside)
            error_s = distance / annotated.frame_rate_hz
            measures = (hit, share, is_inside.mean(), share - is_inside.mean(), error_s)
            rows.append((choice.method, choice.place, choice.score, weights, unit, patient, *measures))
    table = pd.DataFrame(rows, columns=[*ORIGIN, "unit", "patient_id", *MEASURES])
    reference = Choice("grad_cam", tuple(model.blocks[-1:]), "class_score")
    origin = [reference.method, reference.place, reference.score, TRAINED]
    is_reference = (table[ORIGIN] == origin).all(axis=1)
    of_reference = table[is_reference].set_index("unit")
    for name in ("pointing", "inside"):
        table[f"{name}_lead"] = table[name] - table["unit"].map(of_reference[name].fillna(0))
    return _over_recordings(table, bootstrap)


def _heat_over_time(
    model: TrainedModel, choices: Sequence[Choice], annotated: AnnotatedUnits, seed: int
) -> Iterator[tuple[int, dict[tuple[Choice, str], np.ndarray]]]:
    """Heat [shape=(frame,)] of each recording by choice and weights, and the loudness."""
    networks: dict[str, nn.Module | None] = {TRAINED: None, RANDOM: randomised(model.network, seed)}
    target = annotated.units["target"].to_numpy()
    for unit in tqdm(range(len(annotated.units)), desc="compare heat with events", unit="rec", leave=False):
        patches = annotated.data.grid(unit, annotated.patches)
        starts = patch_starts(len(annotated.data.frames[unit]), annotated.patches)
        counts = [len(patches)] if annotated.is_pooled else [1] * len(patches)
        n_frames = int(annotated.units["n_frames"].iloc[unit])
        over_time = {}
        for weights, network in networks.items():
            heat = model.heat(patches, counts, np.full(len(counts), target[unit]), choices, network)
            for choice, maps in heat.items():
                per_frame = resize.margins(maps, *patches.shape[1:])[1].numpy()[:, None]
                along = resize.joined(per_frame, starts, n_frames, is_mean=not annotated.is_pooled)
                over_time[choice, weights] = along[0]
        loudness = np.exp(annotated.data.of(unit)[:n_frames].astype(np.float64)).sum(axis=1)
        yield unit, {**over_time, (LOUDEST_MOMENT, NO_WEIGHTS): loudness}


def _over_recordings(table: pd.DataFrame, bootstrap: BootstrapSettings) -> pd.DataFrame:
    """Mean over recordings, with intervals over patients, of each method and kind of weights."""
    rows = []
    for origin, of_origin in table.groupby(ORIGIN, sort=False):
        measured = of_origin.dropna(subset=MEASURES)
        if measured.empty:
            continue
        weights = weights_and_resamples(measured["patient_id"].to_numpy(), bootstrap)
        spread = resampled_mean(measured[MEASURES + LEADS].to_numpy(), weights)
        row: dict[str, object] = dict(zip(ORIGIN, origin, strict=True))
        row |= {"n_recordings": len(measured), "n_patients": measured["patient_id"].nunique()}
        for place, name in enumerate(MEASURES + LEADS):
            row |= interval_columns(name, with_spread(spread[:, place]))
        rows.append(row)
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else COLUMNS)

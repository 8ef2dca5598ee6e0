"""Heat held against what experts annotated."""

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from respcam.evidence.faithfulness import randomised_in_cascade, resampled_mean, with_spread
from respcam.evidence.localisation import annotated_events, inside_events, localise
from respcam.evidence.tables import columns
from respcam.heat import cam
from respcam.metrics import BootstrapSettings, weights_and_resamples
from respcam.network import training
from respcam.network.model import stages
from respcam.stages.dataset import Source
from respcam.stages.explain import patch_table
from respcam.stages.subject import Subject, name_of
from respcam.stages.train import load_units

FIGURES = ["pointing", "inside", "covered", "gain", "error_s", "pointing_lead", "inside_lead"]
COLUMNS = ["name", "n_recordings", "n_patients", *FIGURES]


def localisation_table(subject: Subject, units: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Play the pointing game and add up heat inside annotated events, for every method and baseline.

    Returns
    -------
    DataFrame
        ``name, n_recordings, n_patients``; ``pointing`` (share of recordings whose hottest moment lies
        in an event), ``inside`` (share of heat in events), ``covered`` (share of time), ``gain`` (inside
        minus covered), ``error_s`` (from the hottest moment to the nearest event), ``pointing_lead`` and
        ``inside_lead`` (minus Grad-CAM's on the last stage, same recordings), each with its interval.
        Empty where the data have no events, or the task is about events or names no normal class.
    """
    task = subject.trained.task
    if source.events is None or task.unit != "recording" or task.normal is None:
        return pd.DataFrame(columns=COLUMNS)
    normal = (task.classes or {}).get(task.normal, [task.normal])
    events = annotated_events(source.events, normal)
    units = units[units["recording_id"].isin(list(events))]
    order = np.random.default_rng(subject.settings.seed).permutation(len(units))
    units = units.iloc[np.sort(order[: subject.settings.event_recordings])].reset_index(drop=True)
    if units.empty:
        return pd.DataFrame(columns=COLUMNS)
    frame_rate_hz = subject.store.settings.frame_rate_hz
    data = load_units(subject.store, units, subject.trained)
    table = patch_table(units, subject.heat_patches)
    torch.manual_seed(subject.settings.seed)
    fresh = next(iter(randomised_in_cascade(subject.model, 1)))[1]
    rows, bar = [], tqdm(total=len(units), desc="hold heat against events", unit="rec", leave=False)
    patches_of_unit = table.groupby("unit").indices
    for batch in training.unit_batches(data, 4 * subject.explained.batch_patches):
        cut = {unit: data.grid(unit, subject.heat_patches) for unit in batch}
        pictures, index = np.concatenate(list(cut.values())), np.concatenate([patches_of_unit[u] for u in batch])
        target = table["target"].to_numpy()[index]
        both = {"": subject.heat(pictures, target), " (random weights)": subject.heat(pictures, target, fresh)}
        over_time = {
            name + kind: cam.margins(maps, *pictures.shape[1:])[1].numpy()
            for kind, heat in both.items()
            for name, maps in heat.items()
        }
        place = np.repeat(batch, [len(cut[unit]) for unit in batch])
        for unit in batch:
            row = units.iloc[unit]
            n_frames = int(row["n_frames"])
            inside = inside_events(events[row["recording_id"]], n_frames, frame_rate_hz)
            starts = table["start_frame"].to_numpy()[patches_of_unit[unit]] - row["first_frame"]
            weights = {
                name: cam.joined(own[place == unit][:, None], starts, n_frames)[0] for name, own in over_time.items()
            }
            weights["loudest moment"] = np.exp(data.of(unit)[:n_frames].astype(np.float64)).sum(axis=1)
            for name, weight in weights.items():
                hit, share, distance = localise(weight, inside)
                error_s = distance / frame_rate_hz
                rows.append(
                    (name, unit, row["patient_id"], hit, share, inside.mean(), share - inside.mean(), error_s)
                )
        bar.update(len(batch))
    bar.close()
    found = pd.DataFrame(rows, columns=["name", "unit", "patient_id", *FIGURES[:-2]])
    plain = found[found["name"] == name_of("grad_cam", stages(subject.model)[-1:])].set_index("unit")
    for name in ("pointing", "inside"):
        found[f"{name}_lead"] = found[name] - found["unit"].map(plain[name].fillna(0))
    return _over_recordings(found, subject.bootstrap)


def _over_recordings(found: pd.DataFrame, bootstrap: BootstrapSettings) -> pd.DataFrame:
    rows = []
    for name, own in found.groupby("name", sort=False):
        known = own.dropna(subset=FIGURES[:-2])
        if known.empty:
            continue
        weights = weights_and_resamples(known["patient_id"].to_numpy(), bootstrap)
        spread = resampled_mean(known[FIGURES].to_numpy(), weights)
        row = {"name": name, "n_recordings": len(known), "n_patients": known["patient_id"].nunique()}
        for place, label in enumerate(FIGURES):
            row |= columns(label, with_spread(spread[:, place]))
        rows.append(row)
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else COLUMNS)

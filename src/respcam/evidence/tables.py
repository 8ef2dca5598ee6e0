"""Tables of evidence about a model's heat: occlusion, agreement, controls, receptive fields."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from respcam.data.splits import VALIDATION
from respcam.evidence.faithfulness import (
    correlation,
    faithfulness,
    heat_similarity,
    masks_of,
    order_of,
    randomised_in_cascade,
    rank_correlation,
    resampled_mean,
    with_spread,
)
from respcam.evidence.occlusion import Condition, lowest_cutoff, sweep
from respcam.evidence.receptive import receptive_field
from respcam.heat import cam
from respcam.metrics import Interval, auroc
from respcam.network.model import stages
from respcam.stages.explain import chosen_units
from respcam.stages.subject import Occluder, Sample, Subject, draw, occluders_of

LOUDEST = "loudest band"
FIELD_PATCHES = 16


def own_falls(occluder: Occluder, sample: Sample, conditions: list[Condition]) -> np.ndarray:
    """Fall of each patch's own class with one group gone: float64 [shape=(patch, group)]."""
    rows = np.arange(len(sample.rows))
    singles = [each.gone for each in conditions if each.kind == "single"]
    return np.stack([occluder.fall(gone)[rows, sample.target] for gone in singles], axis=1)


def occlusion_table(
    subject: Subject, sample: Sample, occluders: dict[str, Occluder], conditions: list[Condition]
) -> pd.DataFrame:
    """Tabulate the fall of class scores and of AUROC for every fill and condition.

    Returns
    -------
    DataFrame
        ``fill, kind, hz`` (the group), ``cutoff_hz`` (of the curves), ``of`` (auroc, or a class
        whose log-odds over its own patches are meant), ``fall`` and its interval over patients.
    """
    groups, rows = subject.groups, []
    for rule, occluder in occluders.items():
        whole = auroc(sample.target, occluder.whole, sample.weights)
        for condition in conditions:
            group = subject.present[condition.group]
            low_hz, high_hz = groups.edges_hz[group], groups.edges_hz[group + 1]
            base = {
                "fill": rule,
                "kind": condition.kind,
                "hz": groups.names[group],
                "cutoff_hz": {"single": np.nan, "low_pass": low_hz, "high_pass": high_hz}[condition.kind],
            }
            loss = whole - auroc(sample.target, occluder.known[condition.gone], sample.weights)
            rows.append({**base, "of": "auroc", **columns("fall", with_spread(loss))})
            for target in sorted(set(sample.target)):
                is_own = sample.target == target
                fall = occluder.fall(condition.gone)[is_own, target]
                spread = resampled_mean(fall, sample.weights[:, is_own])
                rows.append({**base, "of": subject.class_names[target], **columns("fall", with_spread(spread))})
    return pd.DataFrame(rows)


def columns(name: str, figure: Interval) -> dict[str, float | None]:
    """Three columns for a figure and the ends of its interval."""
    return {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}


def profiles_of(sample: Sample, heat: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Add up the heat of judged patches over time, and their loudness, a baseline that knows no model.

    Returns
    -------
    dict of name to float64 [shape=(judged patch, band)]
    """
    pictures = sample.judged_pictures
    found = {name: cam.margins(own, *pictures.shape[1:])[0].double().numpy() for name, own in heat.items()}
    found[LOUDEST] = np.exp(pictures.astype(np.float64)).sum(axis=2)
    return found


def method_table(
    subject: Subject, sample: Sample, occluder: Occluder, profiles: dict[str, np.ndarray], effect: np.ndarray
) -> pd.DataFrame:
    """Hold every method and the loudness against occlusion, deletion and insertion.

    Parameters
    ----------
    subject : Subject
    sample : Sample
    occluder : Occluder
        Serves deletion and insertion.
    profiles : dict of name to float64 [shape=(judged patch, band)]
    effect : float64 [shape=(1 + resample, group)]
        Fall under occlusion.

    Returns
    -------
    DataFrame
        ``name, is_method, densest_hz`` (group of Hz with the most heat per band), ``peak_hz`` (centre
        of the band with the most); ``agreement`` (correlation of heat and fall under occlusion over
        the groups), ``rank_agreement`` (the same of ranks), ``over_random`` and ``over_loudest``
        (faithfulness of its order of groups minus that of random orders and of the loudest bands,
        log-odds), each with its interval.
    """
    n_groups, own, weights = len(subject.present), sample.judged_target, sample.weights[:, sample.judged]
    classes = sorted(set(own))
    per_group = {name: subject.per_group(each) for name, each in profiles.items()}
    rng = np.random.default_rng(subject.settings.seed)
    orders = {name: {k: order_of(each[own == k].sum(axis=0)) for k in classes} for name, each in per_group.items()}
    random = [f"random groups {number}" for number in range(subject.settings.random_orders)]
    orders |= {name: dict.fromkeys(classes, tuple(rng.permutation(n_groups).tolist())) for name in random}
    faith = {name: np.zeros(len(own)) for name in orders}
    for k in classes:
        rows = sample.judged[own == k]
        conditions = [gone for order in orders.values() for gone in masks_of(order[k], n_groups).values()]
        occluder.score(conditions, rows, f"delete and insert, {subject.class_names[k]}")
        falls = {gone: occluder.fall(gone)[rows, k] for gone in conditions}
        for name, order in orders.items():
            faith[name][own == k] = faithfulness(falls, order[k], n_groups)
    by_chance = np.mean([faith[name] for name in random], axis=0)
    return pd.DataFrame(
        [
            {
                "name": name,
                "is_method": name != LOUDEST,
                "densest_hz": subject.names[int((each.sum(axis=0) / subject.bands_per_group).argmax())],
                "peak_hz": float(subject.centre_hz[profiles[name].sum(axis=0).argmax()]),
                **columns("agreement", with_spread(correlation(resampled_mean(each, weights), effect))),
                **columns("rank_agreement", with_spread(rank_correlation(resampled_mean(each, weights), effect))),
                **columns("over_random", with_spread(resampled_mean(faith[name] - by_chance, weights))),
                **columns("over_loudest", with_spread(resampled_mean(faith[name] - faith[LOUDEST], weights))),
            }
            for name, each in per_group.items()
        ]
    )


def randomisation_table(subject: Subject, sample: Sample, heat: dict[str, torch.Tensor]) -> pd.DataFrame:
    """Compare heat with that of the network whose weights are drawn anew, from the top down.

    Returns
    -------
    DataFrame
        ``name, step, down_to`` (the lowest module with fresh weights), ``similarity``.
    """
    torch.manual_seed(subject.settings.seed)
    fresh = {
        down_to: subject.heat(sample.judged_pictures, sample.judged_target, model)
        for down_to, model in randomised_in_cascade(subject.model)
    }
    return pd.DataFrame(
        [
            {"name": name, "step": step, "down_to": down_to, "similarity": value}
            for name, maps in heat.items()
            for step, (down_to, value) in enumerate(
                zip(fresh, heat_similarity(maps.numpy(), [own[name].numpy() for own in fresh.values()]), strict=True),
                start=1,
            )
        ]
    )


def share_table(subject: Subject, sample: Sample, heat: dict[str, torch.Tensor]) -> pd.DataFrame:
    """Share of heat on the outermost rows of the map, on the log floor and on padding.

    Returns
    -------
    DataFrame
        By name of the method; beside each share what even heat would have there (``_even``).
    """
    pictures = sample.judged_pictures
    is_blank = torch.from_numpy(pictures < subject.store.settings.floor + np.log(2))
    length = pictures.shape[2]
    n_frames = np.array([len(own) for own in sample.data.frames])[sample.rows["unit"].to_numpy()[sample.judged]]
    is_padding = torch.from_numpy(np.arange(length) >= n_frames[:, None])[:, None].expand(is_blank.shape)
    found = {}
    for name, maps in heat.items():
        large = cam.to_input(maps, *pictures.shape[1:])
        edge = maps.new_zeros(maps.shape[1]).index_fill(0, torch.tensor([0, maps.shape[1] - 1]), 1.0)
        row = {}
        for place, own, mask in (
            ("border", maps, edge[:, None]),
            ("blank", large, is_blank.float()),
            ("padding", large, is_padding.float()),
        ):
            row[place] = float((own * mask).sum() / own.sum()) if own.sum() > 0 else np.nan
            row[f"{place}_even"] = float(mask.mean())
        found[name] = row
    return pd.DataFrame.from_dict(found, orient="index")


def control_similarity(
    subject: Subject, sample: Sample, profiles: dict[str, np.ndarray], control: nn.Module
) -> dict[str, float]:
    """Rank correlation of each profile with that of a model that learnt permuted labels."""
    model = subject.fabric.to_device(control)
    other = profiles_of(sample, subject.heat(sample.judged_pictures, sample.judged_target, model))
    return {
        name: float(rank_correlation(*(subject.per_group(each[name].sum(axis=0)) for each in (profiles, other))))
        for name in profiles
        if name != LOUDEST
    }


def profile_table(
    subject: Subject, profiles: dict[str, np.ndarray], by_fill: dict[str, np.ndarray], effect: np.ndarray
) -> pd.DataFrame:
    """Tabulate heat per group by every method, and the fall under occlusion by every fill and their median.

    Returns
    -------
    DataFrame
        ``name, hz``; for a method ``share`` and ``ratio`` to even heat; for occlusion ``fall`` and
        its interval.
    """
    even = subject.bands_per_group / subject.bands_per_group.sum()
    found = []
    for name, profile in profiles.items():
        share = subject.per_group(profile.sum(axis=0))
        share = share / (share.sum() if share.sum() > 0 else np.nan)
        found += [
            {"name": name, "hz": hz, "share": own, "ratio": own / uniform}
            for hz, own, uniform in zip(subject.names, share, even, strict=True)
        ]
    for name, spread in {"occlusion": effect, **{f"occlusion, {rule}": own for rule, own in by_fill.items()}}.items():
        for place, hz in enumerate(subject.names):
            found.append({"name": name, "hz": hz, **columns("fall", with_spread(spread[:, place]))})
    return pd.DataFrame(found)


def suggested_cutoff(subject: Subject, partial: Path) -> dict[str, Any]:
    """Find the lowest cut-off that costs no more than the margin.

    The validation patients decide: nothing is chosen on a test part.

    Returns
    -------
    dict
        ``cutoff_hz`` (None where every cut costs more), ``margin, fill, n_patches, n_patients`` and
        the ``curve``: cutoff_hz, fall of AUROC and its interval.
    """
    limits = subject.settings.limits
    units = chosen_units(subject.train.folder, [VALIDATION])
    sample = draw(subject, units, 2 * subject.settings.patches)
    occluders = occluders_of(subject, sample, partial / "occlusion-cutoff", subject.settings.fills)
    rule, occluder = next(iter(occluders.items()))
    conditions = sweep(len(subject.present), ["low_pass"])
    occluder.score([each.gone for each in conditions], np.arange(len(sample.rows)), "low-pass curve")
    table = occlusion_table(subject, sample, {rule: occluder}, conditions)
    curve = table.loc[table["of"] == "auroc", ["cutoff_hz", "fall", "fall_low", "fall_high"]]
    lowest = lowest_cutoff(curve["cutoff_hz"].tolist(), curve["fall_high"].astype(float).tolist(), limits.margin)
    return {
        "cutoff_hz": lowest,
        "margin": limits.margin,
        "fill": rule,
        "n_patches": len(sample.rows),
        "n_patients": int(sample.rows["patient_id"].nunique()),
        "curve": curve.astype(float).to_dict("records"),
    }


def fields(subject: Subject, sample: Sample) -> list[dict[str, Any]]:
    """Rows of the map and receptive field of every stage (`respcam.evidence.receptive.Field`)."""
    pictures = next(iter(subject.batches(sample.pictures[:FIELD_PATCHES])))
    names = dict.fromkeys([*stages(subject.model), *subject.layers])
    return [{"layer": name, **asdict(receptive_field(subject.model, name, pictures))} for name in names]

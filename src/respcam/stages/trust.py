"""A model's heat held against evidence, and the verdict."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from respcam.evidence import confounds
from respcam.evidence import tables as evidence
from respcam.evidence.annotations import localisation_table
from respcam.evidence.faithfulness import resampled_mean, with_spread
from respcam.evidence.occlusion import sweep
from respcam.evidence.verdict import UNCERTAIN, Evidence, Limits, against_method, against_model
from respcam.heat.bands import HzGroups
from respcam.heat.cam import METHODS
from respcam.metrics import BootstrapSettings, Interval
from respcam.sound.front_end import FrontEnd
from respcam.stages.dataset import Source
from respcam.stages.explain import ExplainSettings, chosen_units
from respcam.stages.features import FrameStore
from respcam.stages.subject import Sample, Subject, TrustSettings, draw, occluders_of
from respcam.stages.train import TrainSettings, load_model
from respcam.store.artifact import Artifact, write_atomically
from respcam.store.tables import write_table

log = logging.getLogger(__name__)

SCHEMA = 3


def plan(
    store: Path,
    explain: Artifact,
    source: Source,
    groups: HzGroups,
    settings: TrustSettings,
    bootstrap: BootstrapSettings,
    control: Artifact | None,
) -> Artifact:
    """Name the output before any work is done."""
    inputs = {"explain": explain.digest, "metadata": source.label_digest}
    if control is not None:
        inputs["control"] = control.digest
    own = {"trust": settings, "hz_groups": groups, "bootstrap": bootstrap}
    return Artifact(store, "trust", SCHEMA, own, inputs)


@dataclass(frozen=True)
class Upstream:
    """The finished work that evidence is gathered about; ``control`` learnt permuted labels."""

    resample: Artifact
    features: Artifact
    train: Artifact
    explain: Artifact
    control: Artifact | None


def run(
    artifact: Artifact,
    upstream: Upstream,
    source: Source,
    front_end: FrontEnd,
    trained: TrainSettings,
    explained: ExplainSettings,
    settings: TrustSettings,
    groups: HzGroups,
    bootstrap: BootstrapSettings,
    device: str,
) -> Path:
    """Gather the evidence and judge.

    Parameters
    ----------
    artifact : Artifact
        From `plan`.
    upstream : Upstream
    source : Source
    front_end : FrontEnd
    trained : TrainSettings
        What the model was trained with.
    explained : ExplainSettings
        What its heat was computed with: the method that the verdict is about.
    settings : TrustSettings
    groups : HzGroups
    bootstrap : BootstrapSettings
    device : str

    Returns
    -------
    Path
        Folder with ``trust.json`` (verdict, warnings, suggested cut-off, receptive fields), the tables
        ``occlusion, methods, profiles, randomisation, localisation, metadata, strata, blank`` (CSV, a
        row per part and ...), and every score under occlusion (``occlusion-*.npz``: log-odds
        [shape=(patch, class)] by the groups that are gone).
    """
    with artifact.building() as partial:
        if partial is None:
            return artifact.folder
        store = FrameStore.open(upstream.features.require(), front_end)
        subject = Subject.load(upstream.train, store, trained, explained, settings, groups, bootstrap, device)
        control = None if upstream.control is None else load_model(upstream.control.require(), trained.model)[0]
        metrics = json.loads((upstream.train.folder / "metrics.json").read_text(encoding="utf-8"))
        units = chosen_units(upstream.train.folder, explained.sides)
        tables: dict[str, list[pd.DataFrame]] = {}
        parts, fields = {}, None
        for part, rows in units.groupby("side"):
            own = rows.reset_index(drop=True)
            model = Interval(**metrics[part]["auroc"])
            sample = draw(subject, own, settings.patches)
            found, verdict = _examine(subject, sample, model, control, partial / f"occlusion-{part}")
            found["localisation"] = localisation_table(subject, own.iloc[sample.judged_units], source)
            audit, warnings = confounds.look(
                subject, source, upstream.resample, upstream.explain, own, model, verdict["top"]
            )
            for name, table in {**found, **audit}.items():
                tables.setdefault(name, []).append(table.assign(split=part))
            parts[str(part)] = {**verdict, "warnings": warnings}
            fields = fields or evidence.fields(subject, sample)
        for name, each in tables.items():
            table = pd.concat(each, ignore_index=True)
            write_table(table[["split", *table.columns.drop("split")]], partial / f"{name}.csv")
        summary = {
            "method": explained.method,
            "layers": subject.layers,
            "is_supported": all(each["is_supported"] for each in parts.values()),
            "parts": parts,
            "cutoff": evidence.suggested_cutoff(subject, partial),
            "fields": fields,
            "settings": asdict(settings),
        }
        write_atomically(partial / "trust.json", json.dumps(summary, indent=2) + "\n")
        for part, verdict in parts.items():
            log.info("trust: %s: %s", part, verdict["words"])
            for warning in verdict["warnings"]:
                log.warning("trust: %s: %s", part, warning)
    return artifact.folder


def fall_of_bands(artifact: Artifact, centre_hz: np.ndarray, groups: HzGroups) -> np.ndarray:
    """Fall of the score under occlusion, between the centres of groups by interpolation: float64 [shape=(band,)]."""
    profiles = pd.read_csv(artifact.require() / "profiles.csv")
    own = profiles[profiles["name"] == "occlusion"].set_index("hz")["fall"]
    centre_of = dict(zip(groups.names, groups.centres_hz, strict=True))
    return np.interp(centre_hz, [centre_of[name] for name in own.index], own)


def _examine(
    subject: Subject, sample: Sample, model: Interval, control: nn.Module | None, stem: Path
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Gather the evidence on one part and judge every method."""
    occluders = occluders_of(subject, sample, stem, subject.settings.fills)
    conditions = sweep(len(subject.present))
    for rule, occluder in occluders.items():
        occluder.score([each.gone for each in conditions], np.arange(len(sample.rows)), f"{stem.name}, {rule}")
    falls = {rule: evidence.own_falls(each, sample, conditions) for rule, each in occluders.items()}
    # classes weigh the same: a strange picture pushes every patch towards one class, which so cancels out;
    # and the median, since a fill that makes a picture too strange outweighs all others in a mean
    by_fill = {rule: resampled_mean(own, sample.weights, sample.target) for rule, own in falls.items()}
    effect = np.median(list(by_fill.values()), axis=0)
    top = int(effect[0].argmax())
    fall = with_spread(effect[:, top])
    against = against_model(model)

    heat = subject.heat(sample.judged_pictures, sample.judged_target)
    profiles = evidence.profiles_of(sample, heat)
    randomisation = evidence.randomisation_table(subject, sample, heat)
    last = randomisation[randomisation["step"] == randomisation["step"].max()].set_index("name")
    methods = evidence.method_table(subject, sample, next(iter(occluders.values())), profiles, effect)
    methods = methods.join(last["similarity"], on="name")
    methods = methods.join(evidence.share_table(subject, sample, heat), on="name")
    if control is not None:
        similarity = evidence.control_similarity(subject, sample, profiles, control)
        methods["control_similarity"] = methods["name"].map(similarity)
    reasons = [_against(row, subject.settings.limits) for row in methods.to_dict("records")]
    methods["is_supported"] = [is_method and not against and not own for is_method, own in zip(
        methods["is_method"], reasons, strict=True)]  # fmt: skip
    methods["against"] = ["; ".join(own) for own in reasons]
    verdict = {
        "is_supported": bool(methods["is_supported"].iloc[0]),
        "words": _words(subject, methods.iloc[0], against, subject.names[top]),
        "against_model": against,
        "supported_methods": methods.loc[methods["is_supported"], "name"].tolist(),
        "top": {"occlusion": subject.names[top], "heat": methods["densest_hz"].iloc[0]},
        "fall": asdict(fall),
        "n_patches": len(sample.rows),
        "n_judged": len(sample.judged),
        "n_patients": int(sample.rows["patient_id"].nunique()),
    }
    tables = {
        "occlusion": evidence.occlusion_table(subject, sample, occluders, conditions),
        "methods": methods,
        "profiles": evidence.profile_table(subject, profiles, by_fill, effect),
        "randomisation": randomisation,
    }
    return tables, verdict


def _against(row: dict[str, Any], limits: Limits) -> list[str]:
    def interval_of(name: str) -> Interval:
        values = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
        return Interval(*(None if pd.isna(value) else float(value) for value in values))

    similarity = None if pd.isna(row["similarity"]) else float(row["similarity"])
    agreement, over_random, over_loudest = map(interval_of, ("agreement", "over_random", "over_loudest"))
    return against_method(Evidence(agreement, over_random, over_loudest, similarity), limits)


def _words(subject: Subject, own: pd.Series, against: list[str], top: str) -> str:
    """The verdict on the method that the run was explained with."""
    title = f"{METHODS[subject.explained.method].title} at {' + '.join(subject.layers)}"
    if against:
        return f"Not supported: {'; '.join(against)}. No picture of this model's heat says anything."
    if not own["is_supported"]:
        reasons = own["against"].split("; ")
        word = "Undecided" if all(reason.startswith(UNCERTAIN) for reason in reasons) else "Not supported"
        return f"{word}: {title}: {own['against']}. Occlusion finds {top} Hz to matter most."
    if own["over_loudest_low"] > 0:
        beyond = "finds the bands that carry the score better than chance and better than loudness alone"
    else:
        beyond = "finds the bands that carry the score better than chance, though loudness alone does so as well"
    return (
        f"Supported: {title} agrees with occlusion (correlation {own['agreement']:.2f}), {beyond}, and is not "
        f"the heat of a network with random weights. It is densest at {own['densest_hz']} Hz; occlusion costs most "
        f"at {top} Hz."
    )

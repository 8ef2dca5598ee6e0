"""Examination of heat: all evidence on a patch sample, the verdict, and the suggested cut-off."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from respcam.data.patches import patch_table
from respcam.errors import Refused
from respcam.evidence.agreement import method_table, profile_table, profiles_of
from respcam.evidence.controls import control_similarity, randomisation_table, share_table
from respcam.evidence.faithfulness import resampled_mean, with_spread
from respcam.evidence.occlusion import (
    FILLS,
    OcclusionScores,
    ScoreStore,
    drops_of_target,
    lowest_cutoff,
    occlusion_scores,
    occlusion_table,
    sweep,
)
from respcam.evidence.sample import PatchSample, log_contributions, sample_patches
from respcam.evidence.verdict import (
    Evidence,
    Limits,
    Outcome,
    Verdict,
    joined_sentences,
    judge,
    objections_to_method,
    objections_to_model,
    verdict_sentence,
)
from respcam.heat.bands import GroupedBands
from respcam.heat.cam import METHODS, Choice
from respcam.metrics import BootstrapSettings, Interval
from respcam.network.inputs import Units
from respcam.network.trained import TrainedModel

SAMPLINGS = ("uniform", "by_contribution")
GRADIENT_METHODS = [name for name, method in METHODS.items() if method.needs_gradient]


@dataclass(frozen=True)
class TrustSettings:
    """Settings of the examination of heat.

    Parameters
    ----------
    patches : int
        Number of patches per evaluated part, spread evenly over classes and patients.
    sampling : str
        Sampling of the patches of a recording: uniform, or by_contribution (in proportion to their part in the
        score of the recording, the gradient of ``training.pooling``). Under log-sum-exp pooling most patches
        contribute almost nothing. Heat per band weighs all patches of a recording equally in both cases.
    event_recordings : int
        Largest number of sampled recordings whose heat is compared with annotated events.
    methods : list of str
        Keys of `respcam.heat.cam.METHODS` that are compared with occlusion, at every block of the network
        and fused (all blocks combined). Methods without gradients take a forward pass per channel and are
        compared at the last block only.
    fills : list of str
        Replacements of an occluded band: mean, floor, other. Deletion, insertion and the suggested cut-off
        use the first one.
    random_orders : int
        Number of random orders of groups of bands, the baseline of deletion and insertion.
    permuted_control : bool
        Whether the same model is also trained on permuted labels, and its heat compared.
    limits : Limits
    seed : int
        Seed of the sampled patches, replacements of bands, random orders and random weights.
    """

    patches: int = 56
    sampling: str = "uniform"
    event_recordings: int = 16
    methods: list[str] = field(default_factory=lambda: list(GRADIENT_METHODS))
    fills: list[str] = field(default_factory=lambda: list(FILLS))
    random_orders: int = 2
    permuted_control: bool = False
    limits: Limits = field(default_factory=Limits)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.patches < 8:
            raise Refused(f"trust.patches is {self.patches}; expected at least 8")
        if self.sampling not in SAMPLINGS:
            raise Refused(f"trust.sampling is {self.sampling!r}; expected one of {', '.join(SAMPLINGS)}")
        if self.event_recordings < 1:
            raise Refused(f"trust.event_recordings is {self.event_recordings}; expected at least 1")
        for name, legal in (("methods", METHODS), ("fills", FILLS)):
            values = getattr(self, name)
            if not values or set(values) - set(legal):
                raise Refused(f"trust.{name} is {values}; expected some of {', '.join(legal)}")
        if self.random_orders < 1:
            raise Refused(f"trust.random_orders is {self.random_orders}; expected at least 1")


def choices_of(explained: Choice, blocks: Sequence[str], methods: Sequence[str]) -> tuple[Choice, ...]:
    """List the compared methods and layers: each method at every block and at all blocks fused.

    A method without gradients is compared at the last block only.

    Parameters
    ----------
    explained : Choice
        Method and layers of the heat of the run; they come first.
    blocks : sequence of str
        Blocks of the network, from the input up.
    methods : sequence of str
        Keys of `respcam.heat.cam.METHODS`.

    Returns
    -------
    tuple of Choice
    """
    choices = [explained]
    for method in methods:
        places = [(block,) for block in blocks] + [tuple(blocks)]
        if not METHODS[method].needs_gradient:
            places = [tuple(blocks[-1:])]
        choices += [Choice(method, layers) for layers in places]
    return tuple(dict.fromkeys(choices))


@dataclass(frozen=True)
class Examination:
    """Model and settings of an examination.

    Attributes
    ----------
    model : TrainedModel
    bands : GroupedBands
    explained : Choice
        Method and layers of the heat of the run; the verdict is about them.
    settings : TrustSettings
    bootstrap : BootstrapSettings
    floor : float
        Log-mel of silence.
    """

    model: TrainedModel
    bands: GroupedBands
    explained: Choice
    settings: TrustSettings
    bootstrap: BootstrapSettings
    floor: float

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Compared methods and layers (`choices_of`)."""
        return choices_of(self.explained, self.model.blocks, self.settings.methods)

    def sample(self, units: pd.DataFrame, data: Units, n_patches: int) -> PatchSample:
        """Sample patches of the units of one part (`sample_patches`) according to the settings."""
        contributions = None
        if self.settings.sampling == "by_contribution":
            contributions = log_contributions(self.model, data, patch_table(units, data.settings))
        return sample_patches(
            units, data, self.model.judged_classes, n_patches, self.settings.seed, self.bootstrap, contributions
        )

    def scores(self, sample: PatchSample, stores: Callable[[str], ScoreStore]) -> dict[str, OcclusionScores]:
        """Prepare to occlude a sample (`occlusion_scores`) with the fills of the settings."""
        settings = self.settings
        return occlusion_scores(self.model, self.bands, sample, settings.fills, self.floor, settings.seed, stores)


def examine(
    examination: Examination,
    sample: PatchSample,
    auroc: Interval,
    stores: Callable[[str], ScoreStore],
    control: nn.Module | None = None,
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Gather the evidence on one part and decide on every method.

    Parameters
    ----------
    examination : Examination
    sample : PatchSample
        Patches of the part.
    auroc : Interval
        AUROC of the model on the part.
    stores : callable
        Takes a fill; returns the `respcam.evidence.occlusion.ScoreStore` of its scores.
    control : nn.Module, optional
        Network of the same shape, trained on permuted labels.

    Returns
    -------
    tables : dict of str to DataFrame
        ``occlusion`` (`occlusion_table`), ``methods`` (`method_table`, with similarity, shares and
        verdicts), ``profiles`` (`profile_table`) and ``randomisation`` (`randomisation_table`).
    verdict : dict
        Plain data: ``is_supported, outcome, words, objections_to_model, supported_methods, top, drop,
        n_patches, n_judged, n_patients``.
    """
    model, bands, settings = examination.model, examination.bands, examination.settings
    scores = examination.scores(sample, stores)
    conditions = sweep(len(bands.present))
    for fill, of_fill in scores.items():
        removed = [condition.removed for condition in conditions]
        of_fill.score(removed, np.arange(len(sample)), f"occlude {sample.part}, {fill}")
    # equal weight for each class: an unnatural input pushes every patch towards one class, and this cancels out
    # median over the fills: a fill that makes the input too unnatural would dominate a mean
    by_fill = {
        fill: resampled_mean(drops_of_target(of_fill, sample), sample.weights, sample.target)
        for fill, of_fill in scores.items()
    }
    effect = np.median(list(by_fill.values()), axis=0)

    heat = model.heat(sample.judged_patches, sample.judged_target, examination.choices)
    profiles = profiles_of(sample, heat)
    randomisation = randomisation_table(model, sample, heat, settings.seed)
    methods = method_table(
        sample, next(iter(scores.values())), profiles, effect, settings.random_orders, settings.seed
    )
    origin = ["method", "layers"]
    last = randomisation[randomisation["step"] == randomisation["step"].max()].set_index(origin)
    methods = methods.join(last["similarity"], on=origin)
    methods = methods.join(share_table(sample, heat, examination.floor).set_index(origin), on=origin)
    if control is not None:
        similarity = control_similarity(model, sample, profiles, control, bands)
        methods["control_similarity"] = [similarity.get(choice, np.nan) for choice in profiles]
    methods, verdict = _judged(examination, sample, methods, effect, auroc)
    tables = {
        "occlusion": occlusion_table(sample, scores, conditions),
        "methods": methods,
        "profiles": profile_table(profiles, by_fill, effect, bands),
        "randomisation": randomisation,
    }
    return tables, verdict


def _judged(
    examination: Examination, sample: PatchSample, methods: pd.DataFrame, effect: np.ndarray, auroc: Interval
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Add the verdict on every method to the table; return also that on the explained method as plain data."""
    to_model = objections_to_model(auroc)
    evidence = [_evidence_of(row) for row in methods.to_dict("records")]
    verdicts = [judge(objections_to_method(item, examination.settings.limits), to_model) for item in evidence]
    methods = methods.assign(**_verdict_columns(methods["is_method"].tolist(), verdicts))
    top = int(effect[0].argmax())
    top_hz, densest_hz = examination.bands.names[top], methods["densest_hz"].iloc[0]
    explained = verdicts[0]
    verdict = {
        "is_supported": explained.outcome is Outcome.SUPPORTED,
        "outcome": str(explained.outcome),
        "words": verdict_sentence(explained, examination.explained, evidence[0], densest_hz, top_hz),
        "objections_to_model": [objection.plain for objection in to_model],
        "supported_methods": [
            {"method": choice.method, "layers": list(choice.layers)}
            for choice, is_supported in zip(examination.choices, methods["is_supported"], strict=False)
            if is_supported
        ],
        "top": {"occlusion": top_hz, "heat": densest_hz},
        "drop": asdict(with_spread(effect[:, top])),
        "n_patches": len(sample),
        "n_judged": len(sample.judged),
        "n_patients": int(sample.rows["patient_id"].nunique()),
    }
    return methods, verdict


def _verdict_columns(is_method: Sequence[bool], verdicts: Sequence[Verdict]) -> dict[str, list[Any]]:
    """Columns ``is_supported, outcome`` (blank for a baseline) and ``objections`` (in words)."""
    pairs = list(zip(is_method, verdicts, strict=True))
    return {
        "is_supported": [is_judged and verdict.outcome is Outcome.SUPPORTED for is_judged, verdict in pairs],
        "outcome": [str(verdict.outcome) if is_judged else "" for is_judged, verdict in pairs],
        "objections": [joined_sentences(verdict.objections) for _, verdict in pairs],
    }


def _evidence_of(row: Mapping[Any, Any]) -> Evidence:
    """Read the evidence from a row of the table of methods."""

    def interval_of(name: str) -> Interval:
        values = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
        return Interval(*(None if pd.isna(value) else float(value) for value in values))

    similarity = None if pd.isna(row["similarity"]) else float(row["similarity"])
    return Evidence(interval_of("agreement"), interval_of("over_random"), interval_of("over_loudest"), similarity)


def suggested_cutoff(
    examination: Examination, sample: PatchSample, stores: Callable[[str], ScoreStore]
) -> dict[str, Any]:
    """Find the lowest cut-off that costs no more than the margin.

    Parameters
    ----------
    examination : Examination
    sample : PatchSample
        Patches of the validation part; nothing is chosen on a test part.
    stores : callable
        Takes a fill; returns the store of its scores.

    Returns
    -------
    dict
        ``cutoff_hz`` (None where every cut-off costs more), ``margin, fill, n_patches, n_patients`` and
        the ``curve``: cutoff_hz, drop of AUROC and its interval.
    """
    margin = examination.settings.limits.margin
    fill, scores = next(iter(examination.scores(sample, stores).items()))
    conditions = sweep(len(examination.bands.present), ["low_pass"])
    scores.score([condition.removed for condition in conditions], np.arange(len(sample)), "low-pass curve")
    table = occlusion_table(sample, {fill: scores}, conditions)
    curve = table.loc[table["of"] == "auroc", ["cutoff_hz", "drop", "drop_low", "drop_high"]]
    lowest = lowest_cutoff(curve["cutoff_hz"].tolist(), curve["drop_high"].astype(float).tolist(), margin)
    return {
        "cutoff_hz": lowest,
        "margin": margin,
        "fill": fill,
        "n_patches": len(sample),
        "n_patients": int(sample.rows["patient_id"].nunique()),
        "curve": curve.astype(float).to_dict("records"),
    }

"""Examination of heat: evidence on a growing sample of recordings, verdicts, and the suggested cut-off."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from respcam.data.run_folder import MEDIAN
from respcam.errors import Refused
from respcam.evidence.agreement import LOUDEST_BAND, Agreement, agreement
from respcam.evidence.controls import share_table
from respcam.evidence.faithfulness import correlation, interval_columns, randomised, resampled_mean, with_spread
from respcam.evidence.observation import INTACT, LOUDNESS, ArrayStore, Observer, Question
from respcam.evidence.occlusion import (
    FILLS,
    HIGH_PASS,
    LOW_PASS,
    SINGLE,
    class_effect,
    lowest_cutoff,
    occlusion_table,
    sweep,
)
from respcam.evidence.sample import order_of_units, sample_sizes
from respcam.evidence.verdict import (
    OUTCOMES,
    Evidence,
    Limits,
    Outcome,
    Verdict,
    joined_sentences,
    judge,
    objections_to,
    verdict_sentence,
)
from respcam.heat.bands import GroupedBands
from respcam.heat.cam import METHODS, Choice
from respcam.metrics import BootstrapSettings, Interval, weights_and_resamples
from respcam.network.inputs import Units
from respcam.network.trained import TrainedModel

log = logging.getLogger(__name__)

ALPHA = 0.05
CURVE_FILL = "mean"  # removed bands of the low-pass and high-pass curves are blank, as for a model without them
N_SHARES = 8  # recordings whose heat on borders, blank input and padding is tabulated
Stores = Callable[[str], ArrayStore]


@dataclass(frozen=True)
class TrustSettings:
    """Settings of the examination of heat.

    Parameters
    ----------
    first : int
        Number of recordings of each evaluated part that are looked at first. The number doubles until the verdict is
        decided or every recording was looked at. Curves and networks with random weights use these recordings alone.
    largest : int, optional
        Largest number of recordings; None sets no limit.
    budget_s : float, optional
        Time in s after which a part is not looked at further; None sets no limit. With a budget, the result depends
        on the machine.
    event_recordings : int
        Largest number of recordings whose heat is compared with annotated events.
    methods : list of str
        Keys of `respcam.heat.cam.METHODS` that are compared with occlusion, at the last block of the network and
        fused (all blocks combined). Methods without gradients take a forward pass per channel and are compared at
        the last block only.
    fills : list of str
        Replacements of an occluded group, of `respcam.evidence.occlusion.FILLS`; the median of their effects counts.
    random_networks : int
        Number of networks with random weights that the heat is compared with.
    permuted_control : bool
        Whether the same model is also trained on permuted labels, and its heat compared.
    limits : Limits
    seed : int
        Seed of the order of recordings, of the fills and of the random weights.
    """

    first: int = 32
    largest: int | None = None
    budget_s: float | None = None
    event_recordings: int = 16
    methods: list[str] = field(default_factory=lambda: ["grad_cam", "hires_cam"])
    fills: list[str] = field(default_factory=lambda: ["other"])
    random_networks: int = 2
    permuted_control: bool = False
    limits: Limits = field(default_factory=Limits)
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("first", 8), ("event_recordings", 1), ("random_networks", 1), ("largest", 8)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise Refused(f"trust.{name} is {value}; expected at least {least}")
        if self.budget_s is not None and self.budget_s <= 0:
            raise Refused(f"trust.budget_s is {self.budget_s:g}; expected above 0 s")
        for name, legal in (("methods", METHODS), ("fills", FILLS)):
            values = getattr(self, name)
            if not values or set(values) - set(legal):
                raise Refused(f"trust.{name} is {values}; expected some of {', '.join(legal)}")


def choices_of(
    explained: Choice, beside: Choice, blocks: Sequence[str], methods: Sequence[str]
) -> tuple[Choice, ...]:
    """List the compared methods and layers: each method at the last block and at all blocks fused.

    A method without gradients is compared at the last block only.

    Parameters
    ----------
    explained, beside : Choice
        Heat of the run, and the heat that stands beside it; they come first.
    blocks : sequence of str
        Blocks of the network, from the input up.
    methods : sequence of str
        Keys of `respcam.heat.cam.METHODS`.

    Returns
    -------
    tuple of Choice
    """
    choices = [explained, beside]
    for method in methods:
        places = [tuple(blocks[-1:]), tuple(blocks)] if METHODS[method].needs_gradient else [tuple(blocks[-1:])]
        choices += [Choice(method, layers) for layers in places]
    return tuple(dict.fromkeys(choices))


@dataclass(frozen=True)
class Examination:
    """Model and settings of an examination.

    Attributes
    ----------
    model : TrainedModel
    bands : GroupedBands
    explained, beside : Choice
        Heat of the run, which the verdict is about, and the heat that stands beside it.
    settings : TrustSettings
    bootstrap : BootstrapSettings
    floor : float
        Log-mel of silence.
    """

    model: TrainedModel
    bands: GroupedBands
    explained: Choice
    beside: Choice
    settings: TrustSettings
    bootstrap: BootstrapSettings
    floor: float

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Compared methods and layers (`choices_of`)."""
        return choices_of(self.explained, self.beside, self.model.blocks, self.settings.methods)

    def observer(
        self, part: "ExaminedPart", question: Question, store: ArrayStore, explained: np.ndarray | None = None
    ) -> Observer:
        """Prepare to observe the units of a part."""
        target = part.data.target if explained is None else explained
        order = order_of_units(part.units, self.settings.seed)
        return Observer(self.model, self.bands, part.data, target, order, question, self.settings.seed, store)


@dataclass(frozen=True)
class ExaminedPart:
    """Units of a part that is examined.

    Attributes
    ----------
    name : str
    units : DataFrame
        ``patient_id, target`` of each unit.
    data : Units
        Frames of the same units, in the same order.
    explained : int64 [shape=(unit,)]
        Class of each unit whose score heat explains.
    auroc : Interval
        AUROC of the model on the part.
    """

    name: str
    units: pd.DataFrame
    data: Units
    explained: np.ndarray
    auroc: Interval


@dataclass(frozen=True)
class Finding:
    """Evidence and verdict on the heat of one choice for one class."""

    evidence: Evidence
    verdict: Verdict
    heat: np.ndarray
    effect: np.ndarray
    random_correlation: float | None
    control_correlation: float | None

    @property
    def agreement(self) -> Agreement:
        """How heat agrees with occlusion."""
        return self.evidence.agreement


def examine(
    examination: Examination, part: ExaminedPart, stores: Stores, control: nn.Module | None = None
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Gather the evidence on one part, on as many recordings as the verdict needs, and decide on every method.

    Parameters
    ----------
    examination : Examination
    part : ExaminedPart
    stores : callable
        Takes a name; returns the `respcam.evidence.observation.ArrayStore` of what was observed.
    control : nn.Module, optional
        Network of the same shape, trained on permuted labels.

    Returns
    -------
    tables : dict of str to DataFrame
        ``occlusion`` (`respcam.evidence.occlusion.occlusion_table`), ``methods`` (a row per choice and class) and
        ``profiles`` (a row per choice, class and group of Hz).
    verdict : dict
        Plain data: ``outcome, is_supported, words, classes, beside, top, drop, n_units, n_looked, n_patients,
        looks``.
    """
    work = _Work(examination, part, stores, control)
    work.grow()
    return work.tables(), work.verdict()


class _Work:
    """The examination of one part."""

    def __init__(self, examination: Examination, part: ExaminedPart, stores: Stores, control: nn.Module | None):
        self.examination, self.part = examination, part
        settings, model = examination.settings, examination.model
        self.fills = [fill for fill in settings.fills if fill != "other" or part.units["target"].nunique() > 1]
        if len(self.fills) < len(settings.fills):
            log.warning("trust: %s has only one class; the fill 'other' is left out", part.name)
            self.fills = self.fills or [CURVE_FILL]
        n_groups = len(examination.bands.present)
        singles = sweep(n_groups, [SINGLE])
        self.curves = sweep(n_groups, [LOW_PASS, HIGH_PASS])
        question = Question(None, examination.choices, dict.fromkeys(self.fills, singles), has_loudness=True)
        self.trained = examination.observer(part, question, stores("trained"), part.explained)
        self.cut = examination.observer(part, Question(None, (), {CURVE_FILL: self.curves}), stores("curves"))
        others = {f"random{n}": randomised(model.network, settings.seed + n) for n in range(settings.random_networks)}
        if control is not None:
            others["permuted"] = model.fabric.to_device(control)
        shown = tuple(dict.fromkeys([examination.explained, examination.beside]))
        self.others = {
            name: examination.observer(
                part, Question(network, shown, dict.fromkeys(self.fills, singles)), stores(name), part.explained
            )
            for name, network in others.items()
        }
        self.sizes = sample_sizes(settings.first, len(part.units), settings.largest)
        self.classes = sorted(set(part.explained.tolist()))
        #: several looks and classes: each interval is so wide that all of them hold together (Bonferroni)
        self.alpha = ALPHA / (len(self.sizes) * len(self.classes))
        self.looks: list[int] = []
        self.findings: dict[tuple[Choice, int], Finding] = {}

    def grow(self) -> None:
        """Look at more and more recordings, until the verdict on the explained heat is decided."""
        start_s, settings = time.monotonic(), self.examination.settings
        for name, observer in {**self.others, "curves": self.cut}.items():
            observer.look(self.sizes[0], f"{self.part.name}, {name}")
        for size in self.sizes:
            self.trained.look(size, f"occlude {self.part.name}")
            self.looks.append(size)
            self.findings = self._findings(self.examination.explained)
            is_over = settings.budget_s is not None and time.monotonic() - start_s > settings.budget_s
            if self._outcome(self.examination.explained) is not Outcome.UNDECIDED or self._is_chance or is_over:
                break
        for choice in self.examination.choices[1:]:
            self.findings |= self._findings(choice)

    @property
    def _is_chance(self) -> bool:
        """Whether more recordings cannot change the verdict."""
        return self.part.auroc.low is None or self.part.auroc.low <= 0.5

    def _outcome(self, choice: Choice) -> Outcome:
        """Best outcome over the classes: heat for one class may show what heat for another cannot."""
        outcomes = [self.findings[choice, k].verdict.outcome for k in self.classes]
        return next(outcome for outcome in OUTCOMES if outcome in outcomes)

    def _rows(self, observer: Observer) -> np.ndarray:
        """Positions of the observed units."""
        return observer.order[: len(observer)]

    def _weights(self, observer: Observer) -> np.ndarray:
        patients = self.part.units["patient_id"].to_numpy()[self._rows(observer)]
        return weights_and_resamples(patients, self.examination.bootstrap)

    def _effect(self, observer: Observer, k: int, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Effect of each group for a class, by fill, and the median of the fills."""
        target = self.part.data.target[self._rows(observer)]
        by_fill = {fill: class_effect(observer.drop(fill), target, k, weights) for fill in self.fills}
        # a fill that makes the input too unnatural would dominate a mean
        return {MEDIAN: np.median(list(by_fill.values()), axis=0), **by_fill}

    def _heat(self, observer: Observer, per_band: np.ndarray, k: int, weights: np.ndarray) -> np.ndarray:
        """Heat for a class per group, mean over its recordings: [shape=(1 + resample, group)]."""
        is_class = self.part.explained[self._rows(observer)] == k
        per_group = self.examination.bands.per_group(per_band)
        return resampled_mean(per_group[is_class], weights[:, is_class])

    def _findings(self, choice: Choice) -> dict[tuple[Choice, int], Finding]:
        weights = self._weights(self.trained)
        return {(choice, k): self._finding(choice, k, self.trained.heat(choice), weights) for k in self.classes}

    def _finding(self, choice: Choice, k: int, per_band: np.ndarray, weights: np.ndarray) -> Finding:
        limits = self.examination.settings.limits
        effect = self._effect(self.trained, k, weights)[MEDIAN]
        heat = self._heat(self.trained, per_band, k, weights)
        compared = agreement(heat, effect, self.examination.bands, limits.min_effect, self.alpha)
        over_random, random_answer, random_correlation = self._against_random(choice, k)
        evidence = Evidence(compared, over_random, random_answer)
        verdict = judge(objections_to(evidence, self.part.auroc, limits))
        control = self._other(choice, k, "permuted") if "permuted" in self.others else None
        return Finding(evidence, verdict, heat, effect, random_correlation, control)

    def _against_random(self, choice: Choice, k: int) -> tuple[Interval, float | None, float | None]:
        """Agreement of heat over that of random weights, how alike the two answers are, and the latter agreement."""
        if choice not in self.others["random0"].question.choices:
            return Interval(None, None, None), None, None
        first = self.others["random0"]
        weights, n = self._weights(first), len(first)
        effect = self._first_effect(k, weights)
        of_trained = self._heat(first, self.trained.heat(choice)[:n], k, weights)
        networks = [observer for name, observer in self.others.items() if name.startswith("random")]
        of_random = np.mean(
            [correlation(self._heat(o, o.heat(choice), k, weights), effect) for o in networks], axis=0
        )
        answers = [correlation(self._size(o, weights), self._size(self.trained, weights))[0] for o in networks]
        over = with_spread(correlation(of_trained, effect) - of_random, self.alpha)
        return over, float(np.mean(answers)), float(of_random[0])

    def _first_effect(self, k: int, weights: np.ndarray) -> np.ndarray:
        """Effect in the trained network on the recordings that other networks have seen."""
        n = weights.shape[1]
        target = self.part.data.target[self.trained.order[:n]]
        drops = [class_effect(self.trained.drop(fill)[:n], target, k, weights) for fill in self.fills]
        return np.median(drops, axis=0)

    def _size(self, observer: Observer, weights: np.ndarray) -> np.ndarray:
        """Mean size of the change of the log-odds, without its sign: random weights have no side."""
        changes = [np.abs(observer.drop(fill)[: weights.shape[1]]).mean(axis=2) for fill in self.fills]
        return np.median([resampled_mean(change, weights) for change in changes], axis=0)

    def _other(self, choice: Choice, k: int, name: str) -> float | None:
        observer = self.others[name]
        if choice not in observer.question.choices:
            return None
        weights = self._weights(observer)
        heat = self._heat(observer, observer.heat(choice), k, weights)
        return float(correlation(heat, self._first_effect(k, weights))[0])

    def tables(self) -> dict[str, pd.DataFrame]:
        """Tables of `examine`."""
        shares = self._shares().set_index(["method", "layers", "score"])
        methods = pd.DataFrame([*self._method_rows(), *self._loudest_rows()])
        methods = methods.join(shares, on=["method", "layers", "score"])
        return {"occlusion": self._occlusion(), "methods": methods, "profiles": self._profiles()}

    def _method_rows(self) -> list[dict[str, Any]]:
        return [
            {
                **self._origin(choice, k),
                "is_method": True,
                **self._agreement_columns(finding.heat, finding.effect),
                "random_agreement": finding.random_correlation,
                "random_answer": finding.evidence.random_answer,
                "control_agreement": finding.control_correlation,
                "outcome": str(finding.verdict.outcome),
                "is_supported": finding.verdict.outcome is Outcome.SUPPORTED,
                "objections": joined_sentences(finding.verdict.objections),
            }
            for (choice, k), finding in self.findings.items()
        ]

    def _loudest_rows(self) -> list[dict[str, Any]]:
        weights, loudness = self._weights(self.trained), self.trained.observed[LOUDNESS]
        return [
            {
                **self._origin(LOUDEST_BAND, k),
                "is_method": False,
                **self._agreement_columns(
                    self._heat(self.trained, loudness, k, weights), self._effect(self.trained, k, weights)[MEDIAN]
                ),
                "outcome": "",
                "is_supported": False,
                "objections": "",
            }
            for k in self.classes
        ]

    def _origin(self, choice: Choice, k: int) -> dict[str, Any]:
        name = self.examination.model.class_names[k]
        return {"method": choice.method, "layers": choice.place, "score": choice.score, "class": name}

    def _agreement_columns(self, heat: np.ndarray, effect: np.ndarray) -> dict[str, Any]:
        """Columns of the table of methods, with intervals at 95 %."""
        bands = self.examination.bands
        compared = agreement(heat, effect, bands, self.examination.settings.limits.min_effect)
        return {
            **interval_columns("agreement", compared.correlation),
            "densest_hz": bands.names[compared.hottest],
            **interval_columns("densest_drop", compared.hottest_effect),
            "costliest_hz": bands.names[compared.costliest],
            **interval_columns("costliest_drop", compared.costliest_effect),
        }

    def _shares(self) -> pd.DataFrame:
        data, units = self.part.data, self.trained.order[:N_SHARES].tolist()
        grids = [data.grid(unit) for unit in units]
        counts = [len(grid) for grid in grids]
        patches = np.concatenate(grids)
        n_frames = np.repeat([len(data.frames[unit]) for unit in units], counts)
        heat = self.examination.model.heat(patches, counts, self.part.explained[units], self.examination.choices)
        return share_table(patches, n_frames, heat, self.examination.floor)

    def _occlusion(self) -> pd.DataFrame:
        bands, names = self.examination.bands, self.examination.model.class_names
        tables = []
        for observer, fills in ((self.trained, self.fills), (self.cut, [CURVE_FILL])):
            target = self.part.data.target[self._rows(observer)]
            weights, intact = self._weights(observer), observer.observed[INTACT]
            for fill in fills:
                conditions = observer.question.conditions[fill]
                scores = {fill: observer.log_odds(fill)}
                tables.append(occlusion_table(scores, intact, conditions, target, weights, bands, names))
        return pd.concat(tables, ignore_index=True)

    def _profiles(self) -> pd.DataFrame:
        """Heat per group for every choice and class, and the effect for every class and fill."""
        bands, weights = self.examination.bands, self._weights(self.trained)
        uniform = bands.bands_per_group / bands.bands_per_group.sum()
        heat = {key: finding.heat[0] for key, finding in self.findings.items()}
        loudness = self.trained.observed[LOUDNESS]
        heat |= {(LOUDEST_BAND, k): self._heat(self.trained, loudness, k, weights)[0] for k in self.classes}
        rows: list[dict[str, Any]] = []
        for (choice, k), per_group in heat.items():
            share = per_group / (per_group.sum() if per_group.sum() > 0 else np.nan)
            base = {**self._origin(choice, k), "fill": ""}
            rows += [
                {**base, "hz": hz, "share": of_group, "ratio": of_group / of_uniform}
                for hz, of_group, of_uniform in zip(bands.names, share, uniform, strict=True)
            ]
        for k in self.classes:
            for fill, effect in self._effect(self.trained, k, weights).items():
                base = {**self._origin(OCCLUSION, k), "fill": fill}
                rows += [
                    {**base, "hz": hz, **interval_columns("drop", with_spread(effect[:, place]))}
                    for place, hz in enumerate(bands.names)
                ]
        return pd.DataFrame(rows)

    def verdict(self) -> dict[str, Any]:
        """Plain data of `examine`."""
        explained = self._verdict_on(self.examination.explained)
        best = self.findings[self.examination.explained, explained.pop("class")]
        names = self.examination.bands.names
        return {
            **explained,
            "beside": {
                key: value for key, value in self._verdict_on(self.examination.beside).items() if key != "class"
            },
            "top": {"occlusion": names[best.agreement.costliest], "heat": names[best.agreement.hottest]},
            "drop": asdict(with_spread(best.effect[:, best.agreement.costliest])),
            "n_units": len(self.part.units),
            "n_looked": len(self.trained),
            "n_patients": int(self.part.units["patient_id"].iloc[self._rows(self.trained)].nunique()),
            "looks": self.looks,
            "alpha": self.alpha,
        }

    def _verdict_on(self, choice: Choice) -> dict[str, Any]:
        names, outcome = self.examination.model.class_names, self._outcome(choice)
        findings = {k: self.findings[choice, k] for k in self.classes}
        judged = self.examination.model.judged_classes
        order = sorted(findings, key=lambda k: (OUTCOMES.index(findings[k].verdict.outcome), k not in judged))
        words = {
            k: verdict_sentence(finding.verdict, choice, names[k], finding.agreement, self.examination.bands.names)
            for k, finding in findings.items()
        }
        return {
            "method": choice.method,
            "layers": list(choice.layers),
            "score": choice.score,
            "class": order[0],
            "outcome": str(outcome),
            "is_supported": outcome is Outcome.SUPPORTED,
            "words": words[order[0]],
            "classes": [
                {
                    "class": names[k],
                    "outcome": str(findings[k].verdict.outcome),
                    "words": words[k],
                    "objections": [objection.plain for objection in findings[k].verdict.objections],
                }
                for k in order
            ],
        }


OCCLUSION = Choice("occlusion", (), "")  # rows of the profiles that no heat made


def suggested_cutoff(examination: Examination, part: ExaminedPart, stores: Stores) -> dict[str, Any]:
    """Find the lowest cut-off that costs no more than the margin.

    Parameters
    ----------
    examination : Examination
    part : ExaminedPart
        The validation part; nothing is chosen on a test part.
    stores : callable
        Takes a name; returns the store of what was observed.

    Returns
    -------
    dict
        ``cutoff_hz`` (None where every cut-off costs more), ``margin, fill, n_units, n_patients`` and
        the ``curve``: cutoff_hz, drop of AUROC and its interval.
    """
    margin = examination.settings.limits.margin
    conditions = sweep(len(examination.bands.present), [LOW_PASS])
    observer = examination.observer(part, Question(None, (), {CURVE_FILL: conditions}), stores("cutoff"))
    observer.look(2 * examination.settings.first, "low-pass curve")
    rows = observer.order[: len(observer)]
    units = part.units.iloc[rows]
    table = occlusion_table(
        {CURVE_FILL: observer.log_odds(CURVE_FILL)},
        observer.observed[INTACT],
        conditions,
        part.data.target[rows],
        weights_and_resamples(units["patient_id"].to_numpy(), examination.bootstrap),
        examination.bands,
        examination.model.class_names,
    )
    curve = table.loc[table["of"] == "auroc", ["cutoff_hz", "drop", "drop_low", "drop_high"]]
    lowest = lowest_cutoff(curve["cutoff_hz"].tolist(), curve["drop_high"].astype(float).tolist(), margin)
    return {
        "cutoff_hz": lowest,
        "margin": margin,
        "fill": CURVE_FILL,
        "n_units": len(units),
        "n_patients": int(units["patient_id"].nunique()),
        "curve": curve.astype(float).to_dict("records"),
    }

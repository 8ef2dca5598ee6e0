"""The model under examination, the patches it is asked about, and its answers."""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from respcam.data.patches import PatchSettings
from respcam.evidence.occlusion import FILLS, fill_of
from respcam.evidence.verdict import Limits
from respcam.heat import cam
from respcam.heat.bands import HzGroups, fed_bands, group_of_band
from respcam.metrics import BootstrapSettings, weights_and_resamples
from respcam.network import training
from respcam.network.model import stages
from respcam.network.occluded import Occlusion, log_odds
from respcam.network.training import Scaler, Units
from respcam.stages.explain import ExplainSettings, patch_table
from respcam.stages.features import FrameStore
from respcam.stages.train import TrainSettings, load_model, load_units
from respcam.store.artifact import Artifact

if TYPE_CHECKING:
    from lightning_fabric import Fabric

log = logging.getLogger(__name__)

SAVE_EVERY_S = 10
PICKS = ("even", "by_part")
GRADIENT_METHODS = [name for name in cam.METHODS if name not in cam.GRADIENT_FREE]


@dataclass(frozen=True)
class TrustSettings:
    """How much evidence is gathered, and what it must reach.

    Parameters
    ----------
    patches : int
        Looked at per evaluated part, spread evenly over classes and patients.
    pick : str
        Which patches of a recording: even, or by_part in proportion to their part in its score (the
        gradient of ``training.pooling``; under log-sum-exp most patches have next to none). Heat per
        band counts all patches of a recording alike either way.
    event_recordings : int
        Of those that the patches come from, at most so many are held against annotated events whole.
    methods : list of str
        Keys of `respcam.heat.cam.METHODS` that are held against occlusion, at every stage of the network
        and fused. Those without gradients take a forward pass per channel and are looked at on the
        last stage only.
    fills : list of str
        What replaces an occluded band: mean, floor, other. The first one serves deletion, insertion
        and the suggested cut-off.
    random_orders : int
        Of groups of bands, as the baseline of deletion and insertion.
    permuted_control : bool
        Train the same model on permuted labels as well, and compare its heat.
    limits : Limits
    seed : int
        Of the draw of patches, of what replaces a band, of random orders and fresh weights.
    """

    patches: int = 56
    pick: str = "even"
    event_recordings: int = 16
    methods: list[str] = field(default_factory=lambda: list(GRADIENT_METHODS))
    fills: list[str] = field(default_factory=lambda: list(FILLS))
    random_orders: int = 2
    permuted_control: bool = False
    limits: Limits = field(default_factory=Limits)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.patches < 8:
            raise ValueError(f"trust.patches is {self.patches}; expected at least 8")
        if self.pick not in PICKS:
            raise ValueError(f"trust.pick is {self.pick!r}; expected one of {', '.join(PICKS)}")
        if self.event_recordings < 1:
            raise ValueError(f"trust.event_recordings is {self.event_recordings}; expected at least 1")
        for name, legal in (("methods", cam.METHODS), ("fills", FILLS)):
            given = getattr(self, name)
            if not given or set(given) - set(legal):
                raise ValueError(f"trust.{name} is {given}; expected some of {', '.join(legal)}")
        if self.random_orders < 1:
            raise ValueError(f"trust.random_orders is {self.random_orders}; expected at least 1")


@dataclass(frozen=True)
class Subject:
    """The model under examination and everything that is needed to ask it."""

    model: nn.Module
    scaler: Scaler
    class_names: list[str]
    layers: list[str]
    explained: ExplainSettings
    trained: TrainSettings
    settings: TrustSettings
    groups: HzGroups
    kept: np.ndarray  # bool, of all bands: whether the model is fed it
    group: np.ndarray  # of each band that the model is fed; -1 for none
    bootstrap: BootstrapSettings
    store: FrameStore
    fabric: "Fabric"
    train: Artifact

    @staticmethod
    def load(
        train: Artifact,
        store: FrameStore,
        trained: TrainSettings,
        explained: ExplainSettings,
        settings: TrustSettings,
        groups: HzGroups,
        bootstrap: BootstrapSettings,
        device: str,
    ) -> "Subject":
        """Read a trained model."""
        model, scaler, class_names = load_model(train.require(), trained.model)
        fabric = training.make_fabric(device, trained.training.precision, trained.training.threads)
        kept = fed_bands(store.edges_hz, trained.bands)
        group = group_of_band(store.edges_hz[kept, 1], groups)
        if (group < 0).all():
            raise ValueError(
                f"hz_groups.edges_hz is {groups.edges_hz}; none of the bands that the model is fed lies in a group"
            )
        return Subject(
            fabric.to_device(model), scaler, class_names, explained.layers or stages(model), explained,
            trained, settings, groups, kept, group, bootstrap, store, fabric, train,
        )  # fmt: skip

    @property
    def present(self) -> list[int]:
        """Groups that the model is fed at least one band of."""
        return sorted(set(self.group.tolist()) - {-1})

    @property
    def names(self) -> list[str]:
        """Names of these groups."""
        return [self.groups.names[group] for group in self.present]

    @property
    def counted(self) -> list[int]:
        """Classes whose heat is judged: all but the normal one, where one is named."""
        normal = self.trained.task.normal
        return [k for k, name in enumerate(self.class_names) if name != normal]

    @property
    def heat_patches(self) -> PatchSettings:
        """Where patches are cut for heat."""
        return self.explained.patches_of(self.trained.patches)

    def batches(self, pictures: np.ndarray) -> Iterable[torch.Tensor]:
        """Scaled pictures on the device."""
        for own in np.array_split(pictures, -(-len(pictures) // self.explained.batch_patches)):
            yield self.scaled(own)

    def scaled(self, pictures: np.ndarray) -> torch.Tensor:
        """Scale pictures on the device."""
        return self.scaler(self.fabric.to_device(torch.from_numpy(np.ascontiguousarray(pictures))))

    @torch.inference_mode()
    def scores(self, pictures: np.ndarray) -> torch.Tensor:
        """Score pictures, in the precision of training: float64 [shape=(patch, class)]."""
        with self.fabric.autocast():
            return torch.cat([self.model(batch) for batch in self.batches(pictures)]).double()

    def log_odds(self, pictures: np.ndarray) -> np.ndarray:
        """Score pictures as log-odds: float64 [shape=(patch, class)]."""
        return log_odds(self.scores(pictures)).cpu().numpy()

    @torch.inference_mode()
    def occlusion(self, pictures: np.ndarray, fill: np.ndarray) -> Occlusion:
        """Prepare to take bands of some pictures away."""
        with self.fabric.autocast():
            return Occlusion(self.model, self.scaled(pictures), self.scaled(fill))

    @torch.inference_mode()
    def log_odds_of(self, occlusion: Occlusion, is_gone: np.ndarray) -> np.ndarray:
        """Score pictures without some bands, in the precision of training: float64 [shape=(patch, class)]."""
        with self.fabric.autocast():
            scores = occlusion.scores(is_gone)
        return log_odds(scores.double()).cpu().numpy()

    def choices(self) -> list[tuple[str, list[str]]]:
        """Method and layers of everything that is compared, the one that was explained with first."""
        names = stages(self.model)
        own = (self.explained.method, self.layers)
        found = [own]
        for method in self.settings.methods:
            options = [names[-1:]] if method in cam.GRADIENT_FREE else [*([name] for name in names), names]
            found += [(method, layers) for layers in options if (method, layers) != own]
        return found

    def heat(
        self, pictures: np.ndarray, target: np.ndarray, model: nn.Module | None = None
    ) -> dict[str, torch.Tensor]:
        """Heat of pictures by every choice: float32 [shape=(patch, row, column)] by name."""
        parts: dict[str, list[torch.Tensor]] = {}
        done = 0
        for batch in self.batches(pictures):
            own = self.fabric.to_device(torch.from_numpy(target[done : done + len(batch)]))
            done += len(batch)
            for free in (False, True):
                choices = [each for each in self.choices() if (each[0] in cam.GRADIENT_FREE) == free]
                if not choices:
                    continue
                layers = list(dict.fromkeys(layer for _, each in choices for layer in each))
                methods = list(dict.fromkeys(method for method, _ in choices))
                maps = cam.heat_maps(model or self.model, batch, layers, methods, own)
                for method, each in choices:
                    parts.setdefault(name_of(method, each), []).append(maps.heat(method, each).cpu())
        return {name: torch.cat(each) for name, each in parts.items()}

    @property
    def centre_hz(self) -> np.ndarray:
        """Centres of the bands that the model is fed."""
        return self.store.edges_hz[self.kept, 1]

    @property
    def bands_per_group(self) -> np.ndarray:
        """Number of bands of each present group."""
        return self.per_group(np.ones(len(self.group)))

    def per_group(self, per_band: np.ndarray) -> np.ndarray:
        """Add up bands: float64 [shape=(..., band)] to [shape=(..., present group)]."""
        return per_band @ (self.group[:, None] == np.array(self.present)).astype(float)


def name_of(method: str, layers: Sequence[str]) -> str:
    """Name a method and where it looks: ``grad_cam @ blocks.3``."""
    return f"{method} @ {'+'.join(layers)}"


@dataclass
class Occluder:
    """Log-odds of a sample with groups of bands taken away; every condition is scored once and kept."""

    subject: Subject
    pictures: np.ndarray
    fill: np.ndarray
    whole: np.ndarray  # float64 [shape=(patch, class)]
    path: Path
    known: dict[frozenset[int], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.is_file():
            with np.load(self.path) as saved:
                self.known = {
                    frozenset(int(group) for group in name.split("_") if group): saved[name] for name in saved
                }

    def score(self, conditions: Iterable[frozenset[int]], rows: np.ndarray, progress: str) -> None:
        """Score conditions (groups by their place among those present) for some patches."""
        todo = []
        for gone in dict.fromkeys(conditions):
            found = self.known.setdefault(gone, np.full_like(self.whole, np.nan))
            if np.isnan(found[rows]).any():
                todo.append(gone)
        present = np.array(self.subject.present)
        saved = time.monotonic()
        bar = tqdm(total=len(todo) * len(rows), desc=progress, unit="patch", leave=False)
        for own in np.array_split(rows, -(-len(rows) // self.subject.explained.batch_patches)) if todo else ():
            occlusion = self.subject.occlusion(self.pictures[own], self.fill[own])
            for gone in todo:
                if np.isnan(self.known[gone][own]).any():
                    is_gone = np.isin(self.subject.group, present[sorted(gone)])
                    self.known[gone][own] = self.subject.log_odds_of(occlusion, is_gone)
                bar.update(len(own))
                if time.monotonic() - saved > SAVE_EVERY_S:
                    self._save()
                    saved = time.monotonic()
        bar.close()
        if todo:
            self._save()

    def _save(self) -> None:
        """Keep what is known; conditions not reached yet hold NaN and are scored when asked for again."""
        kept = {"_" + "_".join(map(str, sorted(gone))): values for gone, values in self.known.items()}
        partial = self.path.with_name(f".{self.path.stem}.partial.npz")
        np.savez(partial, **kept)  # type: ignore[arg-type]
        partial.replace(self.path)

    def fall(self, gone: frozenset[int]) -> np.ndarray:
        """Fall of the log-odds of every class: float64 [shape=(patch, class)]."""
        return self.whole - self.known[gone]


@dataclass(frozen=True)
class Sample:
    """Patches of one part that evidence is gathered on."""

    rows: pd.DataFrame
    pictures: np.ndarray
    data: Units
    weights: np.ndarray  # int64 [shape=(1 + resample, patch)], patients drawn with replacement
    judged: np.ndarray  # int64, places of the patches whose class counts for the verdict

    @property
    def target(self) -> np.ndarray:
        """Class of each patch."""
        return self.rows["target"].to_numpy()

    @property
    def judged_target(self) -> np.ndarray:
        """Class of each judged patch."""
        return self.target[self.judged]

    @property
    def judged_units(self) -> list[int]:
        """Rows of the units that judged patches come from."""
        return sorted(set(self.rows["unit"].to_numpy()[self.judged].tolist()))

    @property
    def judged_pictures(self) -> np.ndarray:
        """Pictures of the judged patches."""
        return self.pictures[self.judged]


def draw(subject: Subject, units: pd.DataFrame, n_patches: int) -> Sample:
    """Draw patches evenly over classes, and within a class over patients and then units."""
    rng = np.random.default_rng(subject.settings.seed)
    data = load_units(subject.store, units, subject.trained)
    table = patch_table(units, subject.trained.patches)
    table = table.iloc[rng.permutation(len(table))]
    if subject.settings.pick == "by_part":
        # the highest of log part plus Gumbel noise is a draw in proportion to the part
        drawn = _log_parts(subject, data, table.sort_values("patch"))[table["patch"]] + rng.gumbel(size=len(table))
        turn_of_unit = table.assign(drawn=drawn).groupby("unit_id")["drawn"].rank(ascending=False, method="first")
    else:
        turn_of_unit = table.groupby("unit_id").cumcount()
    table = table.assign(turn=turn_of_unit).sort_values("turn", kind="stable")
    table["turn"] = table.groupby("patient_id").cumcount()
    table = table.sort_values("turn", kind="stable")
    per_class = max(1, n_patches // table["target"].nunique())
    rows = table[table.groupby("target").cumcount() < per_class].sort_values("patch").reset_index(drop=True)
    length = subject.trained.patches.length_frames
    starts = rows["start_frame"].to_numpy() - units["first_frame"].to_numpy()[rows["unit"]]
    pictures = [data.of(unit)[start : start + length].T for unit, start in zip(rows["unit"], starts, strict=True)]
    weights = weights_and_resamples(rows["patient_id"].to_numpy(), subject.bootstrap)
    judged = np.flatnonzero(rows["target"].isin(subject.counted))
    if not len(judged):  # a part that holds the normal class alone
        judged = np.arange(len(rows))
    return Sample(rows, np.stack(pictures), data, weights, judged)


def _log_parts(subject: Subject, data: Units, table: pd.DataFrame) -> np.ndarray:
    """Part of each patch in the score of its recording for its own class: float64 [shape=(patch,)], a logarithm."""
    batches = training.patch_batches(data, subject.explained.batch_patches, subject.trained.patches)
    n = len(table)
    bar = tqdm(
        batches, total=-(-n // subject.explained.batch_patches), desc="weigh patches", unit="batch", leave=False
    )
    scores = torch.cat([subject.scores(pictures) for pictures in bar]).cpu().numpy()
    own = scores[np.arange(n), table["target"]]
    return training.log_part(own, table["unit"].to_numpy(), subject.trained.training.pooling)


def occluders_of(subject: Subject, sample: Sample, stem: Path, rules: Sequence[str]) -> dict[str, Occluder]:
    """Prepare to occlude a sample by each rule that it allows; answers are kept in files named after ``stem``."""
    rng = np.random.default_rng(subject.settings.seed)
    whole = subject.log_odds(sample.pictures)
    floor = subject.store.settings.floor
    found = {}
    for rule in rules:
        if rule == "other" and len(np.unique(sample.target)) < 2:
            log.warning("trust: %s has one class only; no other class's band to occlude with", stem.name)
            continue
        fill = fill_of(rule, sample.pictures, subject.scaler.mean, floor, sample.target, rng)
        found[rule] = Occluder(subject, sample.pictures, fill, whole, stem.with_name(f"{stem.name}-{rule}.npz"))
    return found

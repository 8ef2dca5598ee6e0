"""All stages of one run, each named before any is computed."""

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from respcam.data.splits import VALIDATION
from respcam.heat.bands import BandSelection, HzGroups, coldest
from respcam.sound.audio import AudioSettings
from respcam.sound.front_end import FrontEnd, band_edges_hz
from respcam.stages import explain, features, report, resample, train, trust
from respcam.stages import profile as bands
from respcam.stages.dataset import DatasetSettings, Source, open_dataset
from respcam.stages.explain import ExplainSettings
from respcam.stages.report import Upstream
from respcam.stages.subject import TrustSettings
from respcam.stages.train import TrainSettings
from respcam.store.artifact import Artifact
from respcam.store.shard import Shard

log = logging.getLogger(__name__)

STAGES = ("resample", "features", "train", "explain", "bands", "trust", "report")
SHARED_STAGES = ("resample", "features")


@dataclass(frozen=True)
class RunSettings:
    """Everything that one run is made from.

    Parameters
    ----------
    dataset, audio, front_end, trained, explain, trust, hz_groups
        Settings of the stages; ``trained`` holds task, split, patches, bands, model, training and
        bootstrap.
    seed : int
        Of weights and training order.
    device : str
        auto, cpu, cuda, ...
    workers : int
        Processes for resample and features; -1 takes every core.
    shard : Shard
        Share of the recordings that resample and features do.
    store : Path
        Folder of shared intermediate results.
    runs : Path
        Folder of run folders.
    config : str
        The composed configuration as YAML, kept beside the results.
    """

    dataset: DatasetSettings
    audio: AudioSettings
    front_end: FrontEnd
    trained: TrainSettings
    explain: ExplainSettings
    trust: TrustSettings
    hz_groups: HzGroups
    seed: int
    device: str
    workers: int
    shard: Shard
    store: Path
    runs: Path
    config: str


class Pipeline:
    """The stages of one run."""

    def __init__(self, settings: RunSettings):
        self.given = settings

    @cached_property
    def settings(self) -> RunSettings:
        """The settings with the bands decided: where a model of all bands is to be asked, it is trained first."""
        own = self.given
        selection = own.trained.bands
        if selection.asks:
            log.info("%s: asks a model of all bands for its %s first", selection.name, selection.asks)
            explained = replace(own.explain, target="true", sides=[VALIDATION])
            guide = Pipeline(replace(self.base, explain=explained, trust=replace(own.trust, permuted_control=False)))
            edges_hz = band_edges_hz(own.front_end)
            for stage in STAGES[: STAGES.index("report")]:
                if stage != "trust" or selection.asks == "occlusion":
                    guide.run(stage)
            if selection.asks == "heat":
                heat = bands.ratio_of_bands(guide.artifacts["bands"], own.trained.task.normal)
            else:
                heat = trust.fall_of_bands(guide.artifacts["trust"], edges_hz[:, 1], own.hz_groups)
            selection = coldest(heat, edges_hz, selection)
        return replace(
            own, trained=replace(own.trained, bands=selection), front_end=selection.front_end(own.front_end)
        )

    @property
    def base(self) -> RunSettings:
        """The same run with all bands: what a selection is compared with."""
        return replace(self.given, trained=replace(self.given.trained, bands=BandSelection()))

    @cached_property
    def source(self) -> Source:
        """The manifest and the state of its files."""
        return open_dataset(self.settings.dataset, self.settings.store, self.settings.workers)

    @cached_property
    def artifacts(self) -> dict[str, Artifact]:
        """The output of each stage, by name: known from settings and inputs alone."""
        own, store = self.settings, self.settings.store
        resampled = resample.plan(store, self.source, own.audio)
        framed = features.plan(store, resampled, own.front_end)
        trained = train.plan(store, framed, self.source, own.trained, own.seed)
        explained = explain.plan(store, trained, own.explain)
        banded = bands.plan(store, explained, own.hz_groups, own.trained.bootstrap)
        bootstrap = own.trained.bootstrap
        control = None
        if own.trust.permuted_control:
            control = train.plan(store, framed, self.source, self.control_settings, own.seed)
        trusted = trust.plan(store, explained, self.source, own.hz_groups, own.trust, bootstrap, control)
        upstream = Upstream(resampled, framed, trained, explained, banded, trusted)
        base_features = features.plan(store, resampled, self.base.front_end)
        base = train.plan(store, base_features, self.source, self.base.trained, own.seed)
        description = report.describe(own.dataset.name, own.trained, own.seed, base)
        stages = {**vars(upstream), "report": report.plan(own.runs, upstream, description)}
        return stages if control is None else {**stages, "control": control}

    @property
    def control_settings(self) -> TrainSettings:
        """The same training on permuted labels."""
        return replace(self.settings.trained, permute_labels=True)

    def check_is_whole(self) -> None:
        """Refuse a share of work that cannot be divided.

        Raises
        ------
        ValueError
        """
        if not self.given.shard.is_whole:
            commands = " and ".join(f"scripts/{name}.py" for name in SHARED_STAGES)
            raise ValueError(
                f"shard.count is {self.given.shard.count}; only {commands} divide their work: run the rest without"
            )

    def run(self, stage: str) -> Path:
        """Run one stage, or find it done; those before it must have run.

        Returns
        -------
        Path
            The stage's folder, or the page of the report.
        """
        own, of = self.settings, self.artifacts
        if stage not in SHARED_STAGES:
            self.check_is_whole()
        if stage == "resample":
            return resample.run(of["resample"], self.source, own.audio, own.workers, own.shard)
        if stage == "features":
            return features.run(of["features"], of["resample"], own.front_end, own.workers, own.shard)
        if stage == "train":
            return train.run(of["train"], of["features"], self.source, own.front_end, own.trained, own.device)
        if stage == "explain":
            return explain.run(
                of["explain"],
                of["train"],
                of["features"],
                own.front_end,
                own.trained,
                own.explain,
                own.device,
            )
        if stage == "bands":
            return bands.run(of["bands"], of["explain"], of["train"], own.hz_groups, own.trained.bootstrap)
        if stage == "trust":
            control = of.get("control")
            if control is not None:
                train.run(control, of["features"], self.source, own.front_end, self.control_settings, own.device)
            return trust.run(
                of["trust"],
                trust.Upstream(of["resample"], of["features"], of["train"], of["explain"], control),
                self.source,
                own.front_end,
                own.trained,
                own.explain,
                own.trust,
                own.hz_groups,
                own.trained.bootstrap,
                own.device,
            )
        upstream = Upstream(*(of[name] for name in STAGES[:-1]))
        return report.run(of["report"], upstream, own.audio, own.front_end, own.trained, own.hz_groups, own.config)

    def run_all(self) -> Path:
        """Run every stage that is not done; returns the page of the report."""
        self.check_is_whole()
        todo = [stage for stage in STAGES if not self.artifacts[stage].is_finished]
        if not todo:
            log.info("all %d stages were done before; nothing recomputed", len(STAGES))
            return self.artifacts["report"].folder / "report.html"
        log.info("to do: %s", ", ".join(todo))
        for stage in STAGES:
            page = self.run(stage)
        return page

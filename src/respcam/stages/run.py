"""One run: its stages, wired from settings, each named before any is computed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from respcam.data.splits import VALIDATION, settled
from respcam.data.units import expected_units
from respcam.errors import Refused, there_are
from respcam.evidence.examination import TrustSettings
from respcam.heat.bands import BandSelection, Guide, HzGroups
from respcam.sound.audio import AudioSettings
from respcam.sound.front_end import FrontEnd
from respcam.stages.choose import Choose
from respcam.stages.dataset import CheckedTables, Dataset, DatasetSettings, open_dataset, read_tables
from respcam.stages.examples import Examples, ExampleSettings
from respcam.stages.explain import Explain, ExplainSettings
from respcam.stages.features import Features
from respcam.stages.profile import Profile
from respcam.stages.report import Report, ReportSettings, RunDescription
from respcam.stages.resample import Resample
from respcam.stages.train import BandChoice, Recipe, Train, training_seed
from respcam.stages.trust import Trust
from respcam.store.artifact import check_writable
from respcam.store.integrity import Damaged, check_output
from respcam.store.shard import WHOLE, Shard
from respcam.store.stage import Stage, with_inputs

log = logging.getLogger(__name__)

STAGES = ("resample", "features", "train", "explain", "profile", "trust", "examples", "report")
DIVIDED = ("resample", "features")


@dataclass(frozen=True)
class RunSettings:
    """Everything that one run is made from.

    Parameters
    ----------
    dataset, audio, front_end, recipe, explain, trust, hz_groups, examples, report
        Settings of the stages; ``recipe`` holds task, split, patches, bands, model, training and bootstrap.
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
    until : str
        The stage to end after.
    """

    dataset: DatasetSettings
    audio: AudioSettings
    front_end: FrontEnd
    recipe: Recipe
    explain: ExplainSettings
    trust: TrustSettings
    hz_groups: HzGroups
    examples: ExampleSettings = ExampleSettings()
    report: ReportSettings = ReportSettings()
    seed: int = 0
    device: str = "auto"
    workers: int = 1
    shard: Shard = WHOLE
    store: Path = Path("outputs/store")
    runs: Path = Path("outputs/runs")
    config: str = ""
    until: str = "report"

    def __post_init__(self) -> None:
        if self.until not in STAGES:
            raise Refused(f"until is {self.until!r}; {there_are(STAGES, self.until)}")
        if not 0 <= self.seed < 2**32:
            raise Refused(f"seed is {self.seed}; expected 0 to {2**32 - 1}")
        out_hz, in_hz = self.audio.sample_rate_hz, self.front_end.sample_rate_hz
        if out_hz != in_hz:
            raise Refused(
                f"audio.sample_rate_hz is {out_hz} and front_end.sample_rate_hz is {in_hz}; expected one rate"
            )
        if not self.shard.is_whole and self.until not in DIVIDED:
            commands = " and ".join(f"until={name}" for name in DIVIDED)
            raise Refused(
                f"shard.count is {self.shard.count}; only {commands} divide their work: run the rest without"
            )


@dataclass(frozen=True)
class Run:
    """The stages of one run, by name in the order in which they are made."""

    stages: Mapping[str, Stage]
    until: str = "report"

    @classmethod
    def of(cls, settings: RunSettings) -> "Run":
        """Open the data set and wire the stages; nothing else is computed.

        Raises
        ------
        Refused
            If the data set's tables break a rule or recordings are missing.
        """
        for name, folder in (("store", settings.store), ("runs", settings.runs)):
            check_writable(folder, f"paths.{name}")
        tables = read_tables(settings.dataset, settings.store)
        settings = _settled(settings, tables)
        if settings.until not in DIVIDED and not tables.are_files_known(settings.store):
            recipe = settings.recipe  # before any audio is read
            expected_units(recipe.unit_rules, tables.recordings, tables.events, tables.same_patient_parts)
        dataset = open_dataset(settings.dataset, settings.store, settings.workers, tables)
        base = _train_on_all_bands(settings, dataset)
        train = base.with_bands(settings.recipe.bands, _choice_of_bands(settings, dataset, base))
        explain = Explain(store=settings.store, train=train, explain=settings.explain)
        profile = _profile(settings, explain)
        trust = _trust(settings, dataset, explain)
        examples = Examples(
            store=settings.store, explain=explain, hz_groups=settings.hz_groups, examples=settings.examples
        )
        report = Report(
            store=settings.runs,
            profile=profile,
            trust=trust,
            examples=examples,
            run=RunDescription.of(dataset.name, settings.seed, train, base, settings.dataset.licence),
            report=settings.report,
            config=settings.config,
        )
        stages = (train.features.resample, train.features, train, explain, profile, trust, examples, report)
        return cls(dict(zip(STAGES, stages, strict=True)), settings.until)

    def make(self, until: str | None = None) -> Path:
        """Make a stage and all that it needs, as far as it is not done.

        Parameters
        ----------
        until : str, optional
            Name of the stage; that of the settings unless given.

        Returns
        -------
        Path
            The stage's folder; of the report, its page.

        Raises
        ------
        KeyError
            If there is no such stage.
        Damaged
            If an output is damaged again after it was made anew; the first time it is made anew.
        """
        until = until or self.until
        repaired: set[Path] = set()
        while True:
            try:
                return self._made(until)
            except Damaged as damage:
                stages = {
                    stage.artifact.folder: stage for last in self.stages.values() for stage in with_inputs(last)
                }
                if damage.folder not in stages or damage.folder in repaired:
                    raise
                stages[damage.folder].artifact.set_aside(damage)
                repaired.add(damage.folder)

    def _made(self, until: str) -> Path:
        last = self.stages[until]
        stages = list(self.stages.values())[: list(self.stages).index(until) + 1]
        todo = {missing.digest: missing for stage in stages for missing in stage.missing()}
        if todo:
            log.info("to do: %s", ", ".join(stage.name for stage in todo.values()))
            for stage in todo.values():
                stage.check()
            for stage in stages:
                stage.make()
        else:
            check_output(last.folder)
            log.info("all %d stages were done before; nothing recomputed", len(stages))
        return last.page if isinstance(last, Report) else last.artifact.folder


def _settled(settings: RunSettings, tables: CheckedTables) -> RunSettings:
    """Settle what follows from the data and from other settings: the split, and the groups of Hz."""
    recipe = settings.recipe
    split = settled(recipe.split, tables.recordings)
    if split != recipe.split:
        log.warning("split: %s publishes none; patients are held out (split=%s)", tables.source, split.name)
    return replace(
        settings, recipe=replace(recipe, split=split), hz_groups=settings.hz_groups.over(settings.front_end)
    )


def _train_on_all_bands(settings: RunSettings, dataset: Dataset) -> Train:
    place = {"store": settings.store, "workers": settings.workers, "shard": settings.shard}
    resample = Resample(**place, files=dataset.files, audio=settings.audio)  # type: ignore[arg-type]
    features = Features(**place, resample=resample, front_end=settings.front_end)  # type: ignore[arg-type]
    return Train.of(
        features,
        dataset.labels,
        replace(settings.recipe, bands=BandSelection()),
        store=settings.store,
        seed=training_seed(settings.seed, settings.recipe.split),
        device=settings.device,
    )


def _choice_of_bands(settings: RunSettings, dataset: Dataset, base: Train) -> BandChoice | None:
    """The stage that asks a model of all bands about its validation patients, where the bands are left to one."""
    bands = settings.recipe.bands
    if bands.guide is None:
        return None
    log.info("%s: a model of all bands decides, by its %s", bands.name, bands.guide)
    on_validation = replace(settings.explain, target="true", parts=[VALIDATION])
    explain = Explain(store=settings.store, train=base, explain=on_validation)
    guides: Mapping[Guide, Profile | Trust] = {
        Guide.HEAT: _profile(settings, explain),
        Guide.OCCLUSION: _trust(
            replace(settings, trust=replace(settings.trust, permuted_control=False)), dataset, explain
        ),
    }
    return Choose(store=settings.store, bands=bands, guide=guides[bands.guide])


def _profile(settings: RunSettings, explain: Explain) -> Profile:
    return Profile(
        store=settings.store,
        explain=explain,
        hz_groups=settings.hz_groups,
        bootstrap=settings.recipe.bootstrap,
    )


def _trust(settings: RunSettings, dataset: Dataset, explain: Explain) -> Trust:
    return Trust(
        store=settings.store,
        explain=explain,
        labels=dataset.labels,
        trust=settings.trust,
        hz_groups=settings.hz_groups,
        bootstrap=settings.recipe.bootstrap,
        control=explain.train.on_permuted_labels() if settings.trust.permuted_control else None,
    )

"""Report: everything of one run in one folder, with a page to read it by."""

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from respcam.data import run_folder
from respcam.data.manifest import safe_id
from respcam.errors import Refused
from respcam.report.player import PlayerAxes
from respcam.report.recordings import ExampleCloseup, ExampleKind, RecordingTables
from respcam.report.run_page import PrintedSettings, RunContent, RunHeat, RunTables, method_words, write_run_page
from respcam.report.saved import FORMATS
from respcam.report.trust_section import TrustTables
from respcam.stages.examples import Examples
from respcam.stages.profile import Profile
from respcam.stages.train import Train
from respcam.stages.trust import Trust
from respcam.store.artifact import incidental, write_atomically
from respcam.store.integrity import verified
from respcam.store.stage import Stage
from respcam.store.tables import Document, Table

TRAIN_FILES: tuple[Table | Document, ...] = (
    run_folder.METRICS,
    run_folder.PREDICTIONS,
    run_folder.HISTORY,
    run_folder.UNITS,
    run_folder.REMARKS,
    run_folder.SCALER,
    run_folder.CLASSES,
    run_folder.MODEL,
)
EXAMPLE_FILES: tuple[Table | Document, ...] = (run_folder.UNIT_HEAT, run_folder.EXAMPLES, run_folder.TRAINED_ON)


@dataclass(frozen=True)
class ReportSettings:
    """Settings of the report.

    Parameters
    ----------
    formats : list of str
        Formats of the figures beside the page: png, svg, pdf. What they show is always written as CSV.

    Raises
    ------
    Refused
        If there is no such format.
    """

    formats: list[str] = field(default_factory=lambda: list(FORMATS))

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown:
            raise Refused(f"report.formats has {unknown[0]!r}; expected some of {', '.join(FORMATS)}")


@dataclass(frozen=True)
class RunDescription:
    """What a run is, in a few words.

    Attributes
    ----------
    dataset, task, split, bands, model : str
        Names.
    fold : int or None
        Where the split has folds.
    seed : int
        Seed of the run; that of its training also depends on the fold.
    task_settings : dict
        unit, normal, score, column, classes, drop.
    band_selection : dict
        As it was requested.
    apart_from_bands : str
        Digest that runs share which differ in their bands alone.
    experiment : str
        Digest that runs share which differ in bands, seed and fold alone.
    licence : str
        Licence and source of the recordings; blank if not known.
    """

    dataset: str
    task: str
    split: str
    fold: int | None
    bands: str
    model: str
    seed: int
    task_settings: dict[str, Any]
    band_selection: dict[str, Any]
    apart_from_bands: str
    experiment: str
    licence: str = ""

    @staticmethod
    def of(dataset: str, seed: int, train: Train, base: Train, licence: str = "") -> "RunDescription":
        """Describe the run of a training; ``base`` is the same training on all bands."""
        recipe = train.recipe
        task, split = recipe.task, recipe.split
        return RunDescription(
            dataset=dataset,
            task=task.name,
            split=split.name,
            fold=split.fold if split.has_folds else None,
            bands=recipe.bands.name,
            model=recipe.model.name,
            seed=seed,
            task_settings={
                name: getattr(task, name)
                for name in ("unit", "normal", "score", "uncounted", "column", "classes", "drop")
            },
            band_selection=asdict(recipe.bands),
            apart_from_bands=base.digest,
            experiment=base.experiment,
            licence=licence,
        )

    @property
    def title(self) -> str:
        """Name of the run's folder, without its digest."""
        fold = "" if self.fold is None else str(self.fold)
        names = [self.dataset, self.task, f"{self.split}{fold}", self.bands, self.model, f"seed{self.seed}"]
        return safe_id("-".join(names))


@dataclass(frozen=True, kw_only=True, eq=False)
class Report(Stage):
    """A run's folder: results of all stages, figures and page.

    Attributes
    ----------
    profile : Profile
    trust : Trust
    examples : Examples
    run : RunDescription
    report : ReportSettings
    config : str
        The composed configuration, as YAML.
    """

    name: ClassVar[str] = "report"
    schema: ClassVar[int] = run_folder.SCHEMA

    profile: Profile
    trust: Trust
    examples: Examples
    run: RunDescription
    report: ReportSettings = field(default_factory=ReportSettings)
    config: str = incidental("")

    @property
    def title(self) -> str:
        """Name of the run's folder, without its digest."""
        return self.run.title

    @property
    def page(self) -> Path:
        """The page of the finished run."""
        return self.artifact.folder / run_folder.PAGE

    def write(self, folder: Path) -> None:
        """Write ``report.html, figures/, config.yaml`` and copies of the results of every stage.

        These are ``metrics.json, predictions.csv, history.csv, units.csv, remarks.json, model.safetensors,
        model.json, classes.json, scaler.csv`` of train, ``band_heat.csv, band_heat_beside.csv, heat_summary.json`` of
        profile, ``trust.json`` and the tables of trust, ``unit_heat.csv, examples.csv, trained_on.json`` of
        examples, and ``rejected.csv`` of resample.
        """
        train = self.trust.explain.train
        resample = train.features.resample
        names: dict[Stage, list[str]] = {
            train: [run_folder.WEIGHTS, *(file.name for file in TRAIN_FILES)],
            self.profile: [run_folder.BAND_HEAT.name, run_folder.BAND_HEAT_BESIDE.name, run_folder.HEAT.name],
            self.trust: [run_folder.TRUST.name, *(table.name for table in run_folder.EVIDENCE.values())],
            self.examples: [file.name for file in EXAMPLE_FILES],
            resample: [run_folder.REJECTED.name],
        }
        for stage, files in names.items():
            for name in files:
                shutil.copy2(verified(stage.folder / name), folder)
        write_atomically(folder / run_folder.CONFIGURATION, self.config)
        content = RunContent(
            name=self.artifact.folder.name,  # the folder that is written still has another
            description=asdict(self.run),
            settings=self._settings(train),
            tables=RunTables(
                metrics=train.metrics(),
                history=train.history(),
                predictions=train.predictions(),
                units=train.units(),
                class_names=train.class_names(),
                readout=train.pipeline().readout,
                remarks=train.remarks(),
                rejected=resample.rejected(),
                bands=train.features.bands(),
            ),
            heat=RunHeat(
                band_heat=self.profile.band_heat(),
                summary=self.profile.summary(),
                band_heat_beside=self.profile.band_heat_beside(),
            ),
            trust=TrustTables(summary=self.trust.summary(), tables=self.trust.tables()),
            recordings=self._recordings(),
            provenance={"run": self.digest, **{name: stage.digest for name, stage in self._stages().items()}},
        )
        write_run_page(content, folder, self.report.formats)

    def _recordings(self) -> RecordingTables:
        """Tested units, with the close-ups of the examples."""
        explain, examples = self.trust.explain, self.examples
        train, front_end = explain.train, explain.train.features.front_end
        predictions, summary = train.predictions(), self.profile.summary()
        chosen = examples.chosen()
        rows = zip(chosen["unit_id"], chosen["kind"], chosen["class"], examples.closeups(), strict=True)
        return RecordingTables(
            predictions=predictions[predictions["part"].isin(set(examples.unit_heat()["part"]))],
            unit_heat=examples.unit_heat(),
            units=train.units(),
            events=train.labels.events,
            examples=[
                ExampleCloseup(unit_id=unit_id, kind=ExampleKind(kind), class_name=name, closeup=closeup)
                for unit_id, kind, name, closeup in rows
            ],
            axes=PlayerAxes.of(
                train.class_names(),
                [method_words(summary), method_words(summary["beside"])],
                train.bands(),
                front_end,
                train.recipe.patches.length_frames,
            ),
            unit=train.recipe.task.unit,
            has_sound=examples.examples.audio != "none",
        )

    def _settings(self, train: Train) -> PrintedSettings:
        recipe = train.recipe
        return PrintedSettings(
            audio=train.features.resample.audio,
            front_end=train.features.front_end,
            task=recipe.task,
            split=recipe.split,
            patches=recipe.patches,
            bands=train.selection(),
            model=recipe.model,
            training=recipe.training,
            hz_groups=self.profile.hz_groups,
        )

    def _stages(self) -> dict[str, Stage]:
        """The stages of the run, in their order."""
        train = self.trust.explain.train
        stages = (
            train.features.resample,
            train.features,
            train,
            self.trust.explain,
            self.profile,
            self.trust,
            self.examples,
        )
        return {stage.name: stage for stage in stages}

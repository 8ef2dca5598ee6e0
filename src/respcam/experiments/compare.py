"""Comparison of arms (selections of bands) over seeds, folds and patients."""

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from respcam.data.manifest import RECORDING_STRATA
from respcam.data.splits import VALIDATION
from respcam.errors import Refused, there_are
from respcam.experiments.differences import (
    FEWEST_REPLICATES,
    Design,
    Difference,
    Pair,
    conclusion,
    corrected,
    differences,
)
from respcam.experiments.finished import DESCRIPTION, FinishedRun
from respcam.experiments.pooled import Pool, pooled, scoring_of
from respcam.experiments.side_by_side import side_by_side
from respcam.metrics import METRICS, BootstrapSettings, Predictions, Scoring
from respcam.report.comparison_page import (
    ComparisonContent,
    ExperimentTables,
    Measure,
    PartTables,
    metric_title,
    write_comparison_page,
)
from respcam.store.artifact import incidental
from respcam.store.stage import Stage
from respcam.store.tables import Table

log = logging.getLogger(__name__)

RUNS, DIFFERENCES, COMPARISON_PAGE = Table("comparison.csv"), Table("differences.csv"), "comparison.html"
FOLDS = "held-out folds"
EVERYONE = "all recordings"
COLUMNS = [
    "experiment",
    "part",
    "stratum",
    "metric",
    "arm",
    "base",
    *(column.name for column in fields(Difference)),
    "interval_over",
    "p_corrected",
    "verdict",
    "sentence",
]
FEWEST_PATIENTS = 10  # least number of patients of a stratum that is compared
WITHOUT_HEAT: dict[str, Any] = {"is_supported": None, "top": {"heat": None, "occlusion": None}, "classes": []}


@dataclass(frozen=True)
class ComparisonSettings:
    """Settings of a comparison.

    Parameters
    ----------
    bootstrap : BootstrapSettings
    design : Design
    metric : str
        Metric of verdicts and figures, one of `respcam.metrics.METRICS`.
    base : str
        Name of the arm that every other arm is compared with.
    """

    bootstrap: BootstrapSettings = field(default_factory=BootstrapSettings)
    design: Design = field(default_factory=Design)
    metric: str = "auroc"
    base: str = "all"

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise Refused(f"metric is {self.metric!r}; expected one of {', '.join(METRICS)}")

    @property
    def measure(self) -> Measure:
        """The settings that the page shows."""
        return Measure(
            metric=self.metric,
            base=self.base,
            margin=self.design.margin,
            alpha=self.design.alpha,
            power=self.design.power,
            fewest_replicates=FEWEST_REPLICATES,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison(Stage):
    """Comparison of finished runs.

    Runs that differ only in seed and fold form one arm. Arms that differ only in their bands form one experiment.
    Within an experiment, every arm is compared with the base arm.

    Attributes
    ----------
    store : Path
        Folder of comparisons.
    identities : list of [name, digest]
        Name and digest of each run.
    settings : ComparisonSettings
    runs : tuple of FinishedRun
        Sorted by folder.
    """

    name: ClassVar[str] = "compare"
    schema: ClassVar[int] = 8

    identities: list[list[str]]
    settings: ComparisonSettings
    runs: tuple[FinishedRun, ...] = incidental()

    @staticmethod
    def of(store: Path, folders: Iterable[Path], settings: ComparisonSettings) -> "Comparison":
        """Open run folders for a comparison; nothing is computed.

        Raises
        ------
        Refused
            If a folder is not a finished run or was made by an earlier version; if no run has the base arm; or if
            two arms have one name or the same bands.
        """
        opened: dict[str, FinishedRun] = {}
        for run in map(FinishedRun.of, sorted(folders)):
            run.check_version()
            same = opened.setdefault(run.digest(), run)
            if same is not run:
                log.warning("compare: %s is the same run as %s; counted once", run.folder, same.folder)
        runs = tuple(opened.values())
        arms = sorted({_arm(run) for run in runs})
        if settings.base not in arms:
            raise Refused(f"--base {settings.base}: no run has this arm; {there_are(arms, settings.base)}")
        for name, members in _experiments(runs).items():
            _check_arms(name, members, settings.base)
        identities = [[run.name, run.digest()] for run in runs]
        return Comparison(store=store, identities=identities, settings=settings, runs=runs)

    @property
    def title(self) -> str:
        """Name of the comparison's folder, without its digest."""
        return "comparison"

    @property
    def page(self) -> Path:
        """The page of the finished comparison."""
        return self.artifact.folder / COMPARISON_PAGE

    def table(self) -> pd.DataFrame:
        """A row per run and part."""
        return RUNS.read(self.folder)

    def differences(self) -> pd.DataFrame:
        """A row per arm, part, stratum and metric, with verdict and sentence."""
        return DIFFERENCES.read(self.folder)

    def write(self, folder: Path) -> None:
        """Write tables and page.

        Parameters
        ----------
        folder : Path
            Gets ``comparison.csv`` (a row per run and part), ``differences.csv`` (a row per arm, part, stratum and
            metric, with verdict and sentence), ``comparison.html`` and ``figures/``.
        """
        runs = pd.DataFrame([row for run in self.runs for row in _rows(run)])
        RUNS.write(runs, folder)
        experiments = _experiments(self.runs)
        rows = [
            {"experiment": name, **row}
            for name, members in experiments.items()
            for row in _differences(members, self.settings)
        ]
        compared = pd.DataFrame(rows, columns=COLUMNS)
        DIFFERENCES.write(compared, folder)
        content = ComparisonContent(
            measure=self.settings.measure,
            experiments=[
                _tables_of(name, members, runs, compared, self.settings) for name, members in experiments.items()
            ],
            notes=_notes(self.runs),
            # the finished folder will have the same parent, so the links stay valid
            links={run.name: os.path.relpath(run.page, folder) for run in self.runs},
            player=side_by_side(_one_per_arm(experiments, self.settings.base)),
        )
        write_comparison_page(content, folder)


def _one_per_arm(experiments: Mapping[str, Sequence[FinishedRun]], base: str) -> dict[str, FinishedRun]:
    """A run of every arm, that of the lowest seed and fold, by a title that tells them apart."""
    titled = {}
    for name, members in experiments.items():
        for arm in _arms(members, base):
            of_arm = [run for run in members if _arm(run) == arm]
            run = min(of_arm, key=lambda run: (run.description()["seed"], run.description()["fold"] or 0))
            titled[arm if len(experiments) == 1 else f"{name}, {arm}"] = run
    return titled


def _rows(run: FinishedRun) -> list[dict[str, Any]]:
    """One row per evaluated part of a run."""
    description, rows = run.description(), []
    for part, values in run.metrics().items():
        row = {
            "run": run.name,
            **{name: description[name] for name in DESCRIPTION},
            "n_bands": run.heat()["n_bands"],
            "part": part,
            "note": values["note"],
            **{name: values[name] for name in ("n_units", "n_recordings", "n_patients")},
        }
        for name in METRICS:
            row[name], row[f"{name}_low"], row[f"{name}_high"] = (
                values[name][end] for end in ("value", "low", "high")
            )
        verdict = run.verdicts().get(part, WITHOUT_HEAT)
        row["heat_is_supported"] = verdict["is_supported"]
        row["heat_densest_hz"], row["occlusion_most_hz"] = verdict["top"]["heat"], verdict["top"]["occlusion"]
        row["heat_class"] = verdict["classes"][0]["class"] if verdict["classes"] else ""
        rows.append(row)
    return rows


def _experiments(runs: Iterable[FinishedRun]) -> dict[str, list[FinishedRun]]:
    """Groups of runs that differ only in bands, seed and fold; named by the settings that differ between groups."""
    groups: dict[str, list[FinishedRun]] = {}
    for run in runs:
        groups.setdefault(run.description()["experiment"], []).append(run)
    first = {digest: members[0].description() for digest, members in groups.items()}
    common = ["dataset", "task", "split", "model"]
    varying = [name for name in common if len({description[name] for description in first.values()}) > 1]
    names = {
        digest: ", ".join(f"{name} {description[name]}" for name in (varying or common))
        for digest, description in first.items()
    }
    if len(set(names.values())) < len(names):
        numbers = {digest: number for number, digest in enumerate(sorted(groups), start=1)}
        names = {
            digest: f"{name}, group {numbers[digest]} (other settings: see config.yaml of {groups[digest][0].name})"
            for digest, name in names.items()
        }
    return {names[digest]: members for digest, members in groups.items()}


def _arms(runs: Iterable[FinishedRun], base: str) -> list[str]:
    """Names of the arms, the base arm first, then by name with 500 before 1000."""

    def place(name: str) -> tuple[bool, str]:
        return name != base, re.sub(r"\d+", lambda digits: digits[0].zfill(9), name)

    return sorted({_arm(run) for run in runs}, key=place)


def _arm(run: FinishedRun) -> str:
    return run.description()["bands"]


def _check_arms(experiment: str, runs: Sequence[FinishedRun], base: str) -> None:
    """Refuse one arm with two selections of bands, and two arms with one selection."""
    by_name: dict[str, tuple[FinishedRun, dict[str, Any]]] = {}
    for run in runs:
        # a random arm removes other bands with every seed
        bands = {
            key: value for key, value in run.description()["band_selection"].items() if key not in ("name", "draw")
        }
        same, of_arm = by_name.setdefault(_arm(run), (run, bands))
        if bands != of_arm:
            raise Refused(
                f"arm {_arm(run)} has other bands in {run.name} than in {same.name}; give one of them another name "
                "(bands.name=NAME), or compare them separately"
            )
    for (arm, (_, bands)), (other, (_, of_other)) in combinations(by_name.items(), 2):
        if bands == of_other:
            raise Refused(f"arms {arm} and {other} are fed the same bands, so they cannot be compared; leave one out")
    if len(by_name) == 1:
        log.warning("compare: every run of %s is of the arm %s: there is nothing to compare", experiment, *by_name)
    elif base not in by_name:
        log.warning("compare: %s has no run of the base arm %s; its arms are listed alone", experiment, base)


def _parts(runs: Iterable[FinishedRun]) -> list[str]:
    """Test parts of the runs; all test folds of a cross-validation form one part."""
    return list(dict.fromkeys(_part(run, name) for run in runs for name in run.metrics() if name != VALIDATION))


def _part(run: FinishedRun, name: str) -> str:
    is_fold = run.description()["fold"] is not None and name != VALIDATION
    return FOLDS if is_fold else name


def _differences(runs: Sequence[FinishedRun], settings: ComparisonSettings) -> list[dict[str, Any]]:
    """Each arm minus the base arm: a row per part, stratum and metric."""
    bases = {run.description()["apart_from_bands"]: run for run in runs if _arm(run) == settings.base}
    rows = []
    for part in _parts(runs) if bases else ():
        by_arm: dict[tuple[str, str], dict[str, Difference]] = {}
        for arm in _arms(runs, settings.base)[1:]:
            paired = _paired([run for run in runs if _arm(run) == arm], bases, part)
            for stratum, pairs in paired.strata().items():
                compared = differences(pairs, paired.scoring, settings.bootstrap, settings.design)
                for metric, difference in compared.items():
                    by_arm.setdefault((stratum, metric), {})[arm] = difference
        for (stratum, metric), of_arms in by_arm.items():
            rows += [
                {"part": part, "stratum": stratum, "metric": metric, **row}
                for row in _judged(of_arms, metric, settings)
            ]
    return rows


def _judged(of_arms: Mapping[str, Difference], metric: str, settings: ComparisonSettings) -> list[dict[str, Any]]:
    """Differences of several arms with verdict and sentence; p values are corrected for the number of arms."""
    p = corrected([difference.p for difference in of_arms.values()])
    rows = []
    for (arm, difference), p_arm in zip(of_arms.items(), p, strict=True):
        verdict, sentence = conclusion(
            arm, settings.base, metric_title(metric), difference, p_arm, len(of_arms), settings.design
        )
        rows.append(
            {
                "arm": arm,
                "base": settings.base,
                **asdict(difference),
                "interval_over": difference.interval_over,
                "p_corrected": p_arm,
                "verdict": verdict,
                "sentence": sentence,
            }
        )
    return rows


@dataclass(frozen=True)
class _Paired:
    """Predictions of an arm and of the base arm for the same units.

    Attributes
    ----------
    pairs : list of Pair
        One per seed and fold.
    units : list of DataFrame
        Predictions of the arm in the order of each pair, with the `RECORDING_STRATA` in the manifest.
    scoring : Scoring
    """

    pairs: list[Pair]
    units: list[pd.DataFrame]
    scoring: Scoring

    def strata(self) -> dict[str, list[Pair]]:
        """All recordings, then those of each device and source rate with enough patients."""
        strata = {EVERYONE: (self.pairs, 1)}
        for name, is_inside in self._masks().items():
            strata[name] = ([p.of(rows) for p, rows in zip(self.pairs, is_inside, strict=True)], FEWEST_PATIENTS)
        sufficient = {}
        for name, (pairs, fewest) in strata.items():
            filled = [pair for pair in pairs if len(pair.patients)]
            if len({patient for pair in filled for patient in pair.patients}) >= fewest:
                sufficient[name] = filled
        return sufficient

    def _masks(self) -> dict[str, list[np.ndarray]]:
        masks = {}
        for column in RECORDING_STRATA if self.units else ():
            if all(column in table for table in self.units):
                values = sorted(set(pd.concat([table[column] for table in self.units]).dropna()))
                for value in values if len(values) > 1 else ():
                    stratum = f"{column.removesuffix('_hz').replace('_', ' ')} {value}"
                    masks[stratum] = [(table[column] == value).to_numpy() for table in self.units]
        return masks


def _paired(runs: Iterable[FinishedRun], bases: Mapping[str, FinishedRun], part: str) -> _Paired:
    """Pair the predictions of an arm with those of the base arm of the same seed and fold."""
    pairs, units = [], []
    scoring = Scoring()
    for run in runs:
        description = run.description()
        base = bases.get(description["apart_from_bands"])
        if base is None:
            log.warning("compare: %s has no run of the base arm with its seed and fold; left out", run.name)
            continue
        names = [name for name in run.metrics() if name != VALIDATION and _part(run, name) == part]
        of_arm, of_base = (_predictions(member, names) for member in (run, base))
        if of_arm.empty:
            continue
        if not of_arm.index.equals(of_base.index):
            raise Refused(f"{run.name} and {base.name} were tested on different units of {part}")
        classes = run.metrics()[names[0]]["confusion"]["classes"]
        scoring = scoring_of(description["task_settings"], classes)
        both = (Predictions.of(table, classes) for table in (of_arm, of_base))
        pairs.append(Pair(description["seed"], description["fold"] or 0, of_arm["patient_id"].to_numpy(), *both))
        units.append(of_arm)
    return _Paired(pairs, units, scoring)


def _predictions(run: FinishedRun, parts: Sequence[str]) -> pd.DataFrame:
    predictions = run.predictions()
    return predictions[predictions["part"].isin(parts)].set_index("unit_id")


def _notes(runs: Iterable[FinishedRun]) -> list[tuple[str, str]]:
    return sorted(
        {(part, values["note"]) for run in runs for part, values in run.metrics().items() if values["note"]}
    )


def _tables_of(
    name: str,
    members: Sequence[FinishedRun],
    runs: pd.DataFrame,
    compared: pd.DataFrame,
    settings: ComparisonSettings,
) -> ExperimentTables:
    """Tables of one experiment, for the page."""
    descriptions = [run.description() for run in members]
    runs = runs[runs["run"].isin([run.name for run in members])]
    compared = compared[compared["experiment"] == name]
    band_heat = pd.concat([_heat_of_bands(run) for run in members], ignore_index=True)
    return ExperimentTables(
        name=name,
        key=descriptions[0]["experiment"][:8],
        arms=_arms(members, settings.base),
        selections={description["bands"]: description["band_selection"] for description in descriptions},
        n_runs=len(members),
        n_seeds=len({description["seed"] for description in descriptions}),
        n_folds=len({description["fold"] for description in descriptions} - {None}),
        parts=[_tables_of_part(part, members, runs, compared, settings) for part in _parts(members)],
        band_heat=band_heat,
        mark_hz=members[0].heat()["hz_groups"]["mark_hz"],
    )


def _tables_of_part(
    part: str,
    members: Sequence[FinishedRun],
    runs: pd.DataFrame,
    compared: pd.DataFrame,
    settings: ComparisonSettings,
) -> PartTables:
    is_in_part = runs["fold"].notna() & (runs["part"] != VALIDATION) if part == FOLDS else runs["part"] == part
    rows = compared[compared["part"] == part]
    is_main, is_everyone = rows["metric"] == settings.metric, rows["stratum"] == EVERYONE
    values, roc = pooled(_pools(part, members, settings.base), settings.metric, settings.bootstrap)
    return PartTables(
        name=part,
        runs=runs[is_in_part],
        pooled=values,
        pooled_roc=roc,
        differences=rows[is_main & is_everyone],
        other_metrics=rows[~is_main & is_everyone],
        strata=rows[is_main & ~is_everyone],
    )


def _pools(part: str, members: Sequence[FinishedRun], base: str) -> dict[str, Pool]:
    """Predictions of the trainings of each arm on a part."""
    pools: dict[str, Pool] = {}
    for arm in _arms(members, base):
        for run in (run for run in members if _arm(run) == arm):
            names = [name for name in run.metrics() if name != VALIDATION and _part(run, name) == part]
            if names:
                classes = run.metrics()[names[0]]["confusion"]["classes"]
                pool = pools.setdefault(arm, Pool(run.description()["task_settings"], classes))
                pool.tables.append(_predictions(run, names).reset_index())
    return pools


def _heat_of_bands(run: FinishedRun) -> pd.DataFrame:
    bands = run.band_heat()
    bands = bands[bands["scope"] == "band"]
    return bands.assign(arm=_arm(run), part=[_part(run, name) for name in bands["part"]])

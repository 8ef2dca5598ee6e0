"""Report of a comparison: arms of an experiment, their differences, and their heat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from respcam.metrics import METRICS, defined
from respcam.report import charts, figures
from respcam.report.charts import Chart
from respcam.report.page import embedded, render
from respcam.report.saved import FigureFolder, InlineFigure, file_stem
from respcam.store.artifact import write_atomically

LOWEST_CUT_HZ = 100  # a range that starts no higher is a low-pass


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Metric of a comparison, and the settings of its verdicts.

    Attributes
    ----------
    metric : str
        Metric of verdicts and figures, one of `respcam.metrics.METRICS`.
    base : str
        Name of the arm that every other arm is compared with.
    margin : float
        Loss of the metric up to which an arm counts as no worse.
    alpha : float
        One minus the confidence level of the intervals.
    power : float
        Power at which the smallest detectable difference is stated.
    fewest_replicates : int
        Number of seeds or folds from which a verdict is about the arms.
    """

    metric: str
    base: str
    margin: float
    alpha: float
    power: float
    fewest_replicates: int


@dataclass(frozen=True, kw_only=True)
class PartTables:
    """Results of an experiment on one part.

    Attributes
    ----------
    name : str
    runs : DataFrame
        A row per run: ``bands`` (name of the arm), ``n_bands, n_patients``, every metric, ``heat_is_supported,
        heat_class, heat_densest_hz, occlusion_most_hz``.
    differences : DataFrame
        A row per arm for the metric of the page and all recordings: ``arm, value, low, high, interval_over,
        p_corrected, detectable, n_trainings, n_patients, verdict, sentence``.
    other_metrics : DataFrame
        The same for every other metric, named in ``metric``.
    strata : DataFrame
        The same for the metric of the page and some of the recordings, named in ``stratum``.
    pooled : DataFrame
        The metric of the page over all trainings of an arm together: ``arm, n_trainings, n_units, n_patients, value,
        low, high``.
    pooled_roc : DataFrame
        Their ROC curves: ``arm`` and the columns of `respcam.report.curves.roc`; empty with more than two classes.
    """

    name: str
    runs: pd.DataFrame
    differences: pd.DataFrame
    other_metrics: pd.DataFrame
    strata: pd.DataFrame
    pooled: pd.DataFrame
    pooled_roc: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class ExperimentTables:
    """Results of an experiment: runs that differ only in bands, seed and fold.

    Attributes
    ----------
    name : str
    key : str
        First digits of the digest of the experiment, for file names.
    arms : sequence of str
        Names of the arms, the base arm first.
    selections : mapping of str to mapping
        By arm: the settings of its bands (`respcam.heat.bands.BandSelection` as plain data).
    n_runs, n_seeds, n_folds : int
        ``n_folds`` is 0 without cross-validation.
    parts : sequence of PartTables
    band_heat : DataFrame
        Heat per band of every run: ``arm, part, target_class, centre_hz, ratio``.
    mark_hz : float
        Frequency of a vertical line.
    """

    name: str
    key: str
    arms: Sequence[str]
    selections: Mapping[str, Mapping[str, Any]]
    n_runs: int
    n_seeds: int
    n_folds: int
    parts: Sequence[PartTables]
    band_heat: pd.DataFrame
    mark_hz: float


@dataclass(frozen=True, kw_only=True)
class ComparisonContent:
    """Content of the page of a comparison.

    Attributes
    ----------
    measure : Measure
    experiments : sequence of ExperimentTables
    notes : sequence of (part, note)
        Parts that are not patient-independent, and why.
    links : mapping of str to str
        Address of the page of each run, by its name.
    player : mapping or None
        Content of the player, with a picture per model; None where runs cannot be laid side by side.
    """

    measure: Measure
    experiments: Sequence[ExperimentTables]
    notes: Sequence[tuple[str, str]]
    links: Mapping[str, str]
    player: Mapping[str, Any] | None = None


def write_comparison_page(content: ComparisonContent, folder: Path) -> None:
    """Write the page of a comparison.

    Parameters
    ----------
    content : ComparisonContent
    folder : Path
        Gets ``comparison.html``, with every figure inside it, and ``figures/`` (PNG, SVG, PDF, CSV).
    """
    measure = content.measure
    experiments = [_experiment(tables, measure, FigureFolder(folder / "figures")) for tables in content.experiments]
    page = render(
        "comparison.html",
        charts=[chart for experiment in experiments for part in experiment["parts"] for chart in part["pooled"]],
        scripts=["player.js"] if content.player else [],
        player_data=embedded(content.player) if content.player else None,
        title=f"respcam: {len(content.links)} runs compared",
        warnings=[f"{part}: {note}. These metrics are not patient-independent." for part, note in content.notes],
        metric=metric_title(measure.metric),
        metric_names=defined(
            arm for experiment in experiments for part in experiment["parts"] for arm in part["arms"]
        ),
        margin=measure.margin,
        power=measure.power,
        fewest_replicates=measure.fewest_replicates,
        experiments=experiments,
        runs=[{"name": name, "link": link} for name, link in content.links.items()],
    )
    write_atomically(folder / "comparison.html", page)


def metric_title(metric: str) -> str:
    """Name of a metric in sentences."""
    return "AUROC" if metric == "auroc" else metric.replace("_", " ")


def _experiment(tables: ExperimentTables, measure: Measure, saved: FigureFolder) -> dict[str, Any]:
    trainings = f"{tables.n_seeds} seed{'s' if tables.n_seeds > 1 else ''}"
    if tables.n_folds:
        trainings += f" of {tables.n_folds} folds"
    return {
        "name": tables.name,
        "summary": f"{tables.n_runs} runs: {len(tables.arms)} arms, {trainings}.",
        "base": measure.base,
        "parts": [
            {
                "name": part.name,
                "arms": _means_of_arms(part.runs, tables.arms),
                "differences": part.differences.to_dict("records"),
                "others": part.other_metrics.to_dict("records"),
                "strata": part.strata.to_dict("records"),
                "heat": _heat_of_arms(part.runs, tables.arms),
                "figures": _figures(part, tables, measure, saved),
                "pooled": _pooled(part, tables, measure, saved),
            }
            for part in tables.parts
        ],
        "profiles": _profiles(tables, saved),
    }


def _means_of_arms(runs: pd.DataFrame, arms: Sequence[str]) -> list[dict[str, Any]]:
    """Every metric of each arm, the mean over its runs."""
    by_arm = runs.groupby("bands")
    means, n_runs = by_arm[[*METRICS, "n_bands", "n_patients"]].mean(), by_arm.size()
    return [
        {"arm": arm, "n_runs": int(n_runs[arm]), **{name: means.loc[arm, name] for name in means}}
        for arm in arms
        if arm in means.index
    ]


def _heat_of_arms(runs: pd.DataFrame, arms: Sequence[str]) -> list[dict[str, Any]]:
    """Count the trainings of each arm with supported heat, and the groups where heat and occlusion are largest."""
    tested = runs.dropna(subset="heat_is_supported")
    rows = []
    for arm in arms:
        of_arm = tested[tested["bands"] == arm]
        if len(of_arm):
            row = {"arm": arm, "n_runs": len(of_arm), "n_supported": int(of_arm["heat_is_supported"].sum())}
            row["class"] = ", ".join(sorted(set(of_arm["heat_class"])))
            for name in ("heat_densest_hz", "occlusion_most_hz"):
                row[name] = [f"{group} ({n})" for group, n in of_arm[name].value_counts().items()]
            rows.append(row)
    return rows


def _figures(part: PartTables, tables: ExperimentTables, measure: Measure, saved: FigureFolder) -> list[InlineFigure]:
    defined = part.differences.dropna(subset="low")
    if defined.empty:
        return []
    metric, base = metric_title(measure.metric), measure.base
    forest = figures.forest(defined, metric, base, measure.margin)
    interval = f"{1 - measure.alpha:.0%} interval over {' or '.join(defined['interval_over'].unique())}"
    caption = (
        f"{part.name}: {metric} of each arm minus {metric} of {base}, with its {interval}. Right of zero: arm higher."
    )
    shown = [saved.save_figure(forest, file_stem("forest", part.name, tables.key), caption, defined)]
    cutoffs_hz = {arm: _cutoff_hz(selection) for arm, selection in tables.selections.items()}
    curve = defined.assign(cutoff_hz=defined["arm"].map(cutoffs_hz)).dropna(subset="cutoff_hz")
    if len(curve) > 2:
        caption = (
            f"{part.name}: {metric} with the bands above a cut-off removed, minus {metric} of {base}, with its "
            f"{interval}."
        )
        figure = figures.cutoff_curve(curve, metric, base, measure.margin)
        shown.append(saved.save_figure(figure, file_stem("cutoffs", part.name, tables.key), caption, curve))
    return shown


def _pooled(part: PartTables, tables: ExperimentTables, measure: Measure, saved: FigureFolder) -> list[Chart]:
    """The metric and the ROC curve of each arm over all its trainings."""
    if part.pooled.empty:
        return []
    metric = metric_title(measure.metric)
    rows = part.pooled.iloc[0]
    trainings = f"{rows.n_trainings} training{'s' if rows.n_trainings > 1 else ''}"
    size = f"{trainings}, {rows.n_units} tested, {rows.n_patients} patients in {rows.arm}"
    words = (
        f"{part.name}: the predictions of all trainings of an arm together ({size}). A recording counts once per "
        "training that tested it"
    )
    if tables.n_folds:
        words += "; with folds, each is tested by a model that has not heard its patient"
    caption = (
        f"{words}. {metric} with its 95 % interval over patients. It does not say what new trainings would give."
    )
    shown = [charts.values_of_arms(file_stem("pooled", part.name, tables.key), caption, part.pooled, metric)]
    if not part.pooled_roc.empty:
        caption = f"{words}. ROC with its 95 % interval over patients. Click on an arm to bring it forward."
        name = file_stem("pooled_roc", part.name, tables.key)
        shown.append(charts.roc(name, caption, part.pooled_roc, "arm"))
    return [saved.save_chart(chart) for chart in shown]


def _cutoff_hz(selection: Mapping[str, Any]) -> float | None:
    """Frequency above which bands were removed; None where the selection does anything else."""
    keep = selection["keep_hz"]
    is_plain = selection["choose"] == "ranges" and selection["how"] == "crop" and selection["spread_hz"] is None
    is_low_pass = is_plain and keep is not None and len(keep) == 1 and keep[0][0] <= LOWEST_CUT_HZ
    return keep[0][1] if is_low_pass else None


def _profiles(tables: ExperimentTables, saved: FigureFolder) -> list[InlineFigure]:
    """Heat per band of every arm, the mean over its trainings."""
    shown: list[InlineFigure] = []
    for (part, class_name), rows in tables.band_heat.groupby(["part", "target_class"]):
        profiles = {}
        for arm in tables.arms:
            of_arm = rows[rows["arm"] == arm].groupby("centre_hz")["ratio"]
            if of_arm.ngroups:
                ends = {"ratio": of_arm.mean(), "ratio_low": of_arm.min(), "ratio_high": of_arm.max()}
                profiles[arm] = pd.DataFrame(ends).reset_index()
        figure = figures.profiles_of_arms(profiles, tables.mark_hz, f"{part}: heat for class {class_name}")
        caption = (
            f"{tables.name}, {part}, class {class_name}: heat per band, divided by uniform heat over the bands of "
            f"the arm. Curve: mean over trainings; shading: lowest to highest. Grey: {tables.arms[0]}. "
            f"Dotted: {tables.mark_hz:g} Hz."
        )
        stem = file_stem("profiles", str(part), str(class_name), str(len(shown)), tables.key)
        table = pd.concat([bands.assign(arm=arm) for arm, bands in profiles.items()], ignore_index=True)
        shown.append(saved.save_figure(figure, stem, caption, table))
    return shown

"""Test of heat on sounds whose answer is known: does each method find it, and is the verdict right?

python scripts/bench/planted.py [--workers 2] [--cases 43] [--seed 1]

Trains a small model per case: a plant at the centre of every group of Hz and at every edge between two groups, and
cases in which two plants stand in for one another, or the evidence is an exclusive or, an absence, a ratio of levels
or a rhythm (`respcam.sound.synthetic`). The trust stage examines the model. The answer of every method is compared
with the truth. When it is started again, it continues. With --permuted the labels are permuted: nothing is supported.
"""

import argparse
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed

from respcam.cli.composition import composed_settings
from respcam.data import run_folder
from respcam.evidence.agreement import LOUDEST_BAND
from respcam.evidence.localisation import LOUDEST_MOMENT, NO_WEIGHTS, TRAINED
from respcam.heat.bands import HzGroups
from respcam.stages.run import Run, RunSettings

LOW_HUM_HZ, HIGH_HUM_HZ = 300, 1200
FAR_HZ = 700  # plants below it get the high hum, so that no plant is in the group of the hum
#: numbers of the two groups of Hz; plants are spread by 60 Hz about the centre of a group and stay inside it
PAIRS = {
    "redundant": [(2, 7), (4, 6), (2, 9), (3, 8)],
    "xor": [(5, 7), (4, 6), (6, 8), (7, 9)],
    "ratio": [(3, 4), (4, 6), (6, 8), (2, 9)],
}
ABSENT = range(2, 10)
N_RHYTHMS = 2
ORDER = ("supported", "undecided", "not_supported", "")  # from the best outcome on
ORIGIN = ["method", "layers", "score"]
OUTPUT = Path("outputs/bench/planted")


@dataclass(frozen=True)
class Case:
    """One data set: its evidence and where the plants are.

    Attributes
    ----------
    evidence : str
    plant_hz, second_hz : float
    number : int
        Number among the cases of this evidence, added to the seed.
    """

    evidence: str
    plant_hz: float
    second_hz: float
    number: int

    def truth(self, groups: HzGroups) -> set[str]:
        """Groups of Hz in which the answer lies; at an edge between two groups, both."""
        if self.evidence == "rhythm":  # the whole breath pulsates
            return set(groups.names)
        planted = [self.plant_hz] if self.evidence in {"presence", "absence"} else [self.plant_hz, self.second_hz]
        edges = zip(groups.names, groups.edges_hz[:-1], groups.edges_hz[1:], strict=True)
        return {name for name, low, high in edges if any(low <= hz <= high for hz in planted)}


def cases_of(groups: HzGroups) -> list[Case]:
    """All cases."""
    centres = [(low + high) / 2 for low, high in zip(groups.edges_hz[:-1], groups.edges_hz[1:], strict=True)]
    present = [("presence", hz, 1240.0) for hz in sorted(centres + list(groups.edges_hz[1:-1]))]
    absent = [("absence", centres[group], 1240.0) for group in ABSENT]
    pairs = [(evidence, centres[a], centres[b]) for evidence, both in PAIRS.items() for a, b in both]
    rhythms = [("rhythm", 890.0, 1240.0)] * N_RHYTHMS
    return [Case(*case, number) for number, case in enumerate([*present, *absent, *pairs, *rhythms])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="number of models trained at the same time"
    )
    parser.add_argument("--cases", type=int, default=None, help="number of cases, spread evenly; default: all")
    parser.add_argument("--plant", default="wheeze", choices=["wheeze", "crackle"], help="kind of plant")
    parser.add_argument("--seed", type=int, default=1, help="seed of sounds and weights")
    parser.add_argument("--permuted", action="store_true", help="train on permuted labels: nothing is to be found")
    arguments, overrides = parser.parse_known_args()
    groups = composed_settings([]).hz_groups.over(composed_settings([]).front_end)
    cases = cases_of(groups)
    if arguments.cases:
        step = (len(cases) - 1) / max(1, arguments.cases - 1)
        cases = [cases[round(number * step)] for number in range(arguments.cases)]
    jobs = (delayed(run)(arguments, case, overrides) for case in cases)
    scored = []
    for case, folder in zip(cases, Parallel(n_jobs=arguments.workers, return_as="generator")(jobs), strict=True):
        rows = score(Path(folder), case, groups)
        scored += rows
        own = rows[0]
        print(
            f"{case.evidence} {case.plant_hz:g} Hz: AUROC {own['auroc']:.3f}, occlusion {own['occlusion_hz']}, "
            f"heat {own['says_hz']}, {own['outcome']}",
            file=sys.stderr,
        )
    table = pd.DataFrame(scored)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    name = f"{arguments.plant}_seed{arguments.seed}{'_permuted' if arguments.permuted else ''}.csv"
    table.to_csv(OUTPUT / name, index=False)
    print(summary(table, is_null=arguments.permuted))
    print(OUTPUT / name)


def settings(arguments: argparse.Namespace, case: Case, overrides: list[str]) -> RunSettings:
    is_far = min(case.plant_hz, case.second_hz) > FAR_HZ or case.evidence == "rhythm"
    synthetic = {
        "plants": f"[{arguments.plant}]",
        "evidence": case.evidence,
        "plant_hz": case.plant_hz,
        "second_hz": case.second_hz,
        "hum_hz": LOW_HUM_HZ if is_far or case.evidence in PAIRS else HIGH_HUM_HZ,
        "snr_db": 3 if arguments.plant == "wheeze" else 15,
        "n_patients": 64,
        "seed": 1000 * arguments.seed + case.number,
    }
    sounds = [f"dataset.synthetic.{name}={value}" for name, value in synthetic.items()]
    seed = f"seed={1000 * arguments.seed + case.number}"
    # recordings alone: the heat is tested against events that the network was not told
    base = ["training=quick", "training.epochs=24", "training.event_weight=0", seed, "workers=1"]
    base.append(f"permute_labels={arguments.permuted}")
    return composed_settings([*base, *sounds, *overrides])


def run(arguments: argparse.Namespace, case: Case, overrides: list[str]) -> str:
    logging.disable(logging.WARNING)
    return str(Run.of(settings(arguments, case, overrides)).make().parent)


def score(folder: Path, case: Case, groups: HzGroups) -> list[dict]:
    """One row per method, the explained one first: what it says, whether that is true, and its verdict."""
    metrics = run_folder.METRICS.read(folder)["test"]
    methods = run_folder.EVIDENCE["methods"].read(folder).fillna(dict.fromkeys([*ORIGIN, "outcome"], ""))
    profiles = run_folder.EVIDENCE["profiles"].read(folder).fillna(dict.fromkeys([*ORIGIN, "fill"], ""))
    in_time = run_folder.EVIDENCE["localisation"].read(folder).fillna(dict.fromkeys([*ORIGIN, "weights"], ""))
    in_time = in_time[in_time["weights"].isin([TRAINED, NO_WEIGHTS])].set_index(ORIGIN)
    truth = case.truth(groups)
    rows = []
    for origin, of_classes in methods.groupby(ORIGIN, sort=False):
        # the heat for the class whose verdict is best: that for the other may show nothing, as nothing is there
        rank = of_classes["outcome"].map(ORDER.index)
        best = of_classes.loc[rank.idxmin()] if rank.nunique() > 1 else of_classes.iloc[-1]
        own = profiles[(profiles[ORIGIN] == list(origin)).all(axis=1) & (profiles["class"] == best["class"])]
        is_true = own["hz"].isin(truth)
        is_loudest = origin[0] == LOUDEST_BAND.method
        moment = (LOUDEST_MOMENT.method, "", "") if is_loudest else origin
        rows.append(
            {
                "evidence": case.evidence,
                "plant_hz": case.plant_hz,
                "second_hz": case.second_hz,
                "method": ", ".join(word for word in origin if word),
                "is_method": bool(best["is_method"]),
                "auroc": metrics["auroc"]["value"],
                "class": best["class"],
                "says_hz": best["densest_hz"],
                "is_hit": best["densest_hz"] in truth,
                "inside": own.loc[is_true, "share"].sum(),
                "uniform": (own["share"] / own["ratio"])[is_true].sum(),
                "agreement": best["agreement"],
                "pointing": in_time["pointing"].get(moment),
                "covered": in_time["covered"].get(moment),
                "outcome": best["outcome"],
                "occlusion_hz": best["costliest_hz"],
                "is_occlusion_right": best["costliest_hz"] in truth,
            }
        )
    return rows


def summary(table: pd.DataFrame, is_null: bool = False) -> str:
    """Table in Markdown: one row per method, for the cases whose model learnt the task; then what was missed."""
    learnt = table if is_null else table[table["auroc"] >= 0.95]
    case = ["evidence", "plant_hz", "second_hz"]
    own = learnt[learnt["method"] == learnt["method"].iloc[0]]
    lines = [
        f"{len(own)} of {len(table[table['method'] == table['method'].iloc[0]])} models count"
        f"{'' if is_null else ' (test AUROC of 0.95 or more)'}. Occlusion is right in "
        f"{own['is_occlusion_right'].sum()} of {len(own)}.",
        "",
        "| method, at layer, score | right and supported | right and undecided | right and not supported "
        "| wrong and supported | wrong and undecided | wrong and not supported | heat inside (uniform) "
        "| hottest moment in an event (time covered) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, rows in learnt.groupby("method", sort=False):
        cells = [
            str(((rows["is_hit"] == is_hit) & (rows["outcome"] == outcome)).sum())
            for is_hit in (True, False)
            for outcome in ORDER[:3]
        ]
        if not rows["is_method"].all():
            cells = [f"{rows['is_hit'].sum()} right", *["-"] * 5]
        moment = f"{rows['pointing'].mean():.2f} ({rows['covered'].mean():.2f})"
        inside = f"{rows['inside'].mean():.0%} ({rows['uniform'].mean():.0%})"
        lines.append(f"| {name} | {' | '.join(cells)} | {inside} | {moment if rows['pointing'].any() else '-'} |")
    missed = own[~(own["is_occlusion_right"] & own["is_hit"] & (own["outcome"] == "supported"))]
    columns = [*case, "auroc", "class", "says_hz", "occlusion_hz", "agreement", "outcome"]
    return "\n".join([*lines, "", "Not right and supported:", "", missed[columns].to_string(index=False)])


if __name__ == "__main__":
    main()

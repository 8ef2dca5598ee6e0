"""Test of heat that one can hear: does the hot part of a sound keep the class, and does the rest lose it?

python scripts/bench/audible.py --seed 4 --recordings 6
python scripts/bench/audible.py --run dataset=sprsound2022 dataset.root=DIR dataset.missing=skip task=adventitious
    training.event_weight=0

The first takes the models of planted.py with this seed, and trains them where they are missing.

For every recognised test recording, the sound is split into the cells that hold 90 % of the heat for its class, and
the rest, each with the other part 20 dB quieter (`respcam.network.closeup`). The model scores both.
"""

import argparse
import logging

import numpy as np
import pandas as pd
from planted import cases_of, settings
from tqdm import tqdm

from respcam.cli.composition import composed_settings
from respcam.heat.bands import HzGroups
from respcam.stages.run import Run, RunSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--cases", type=int, default=43)
    parser.add_argument("--recordings", type=int, default=1000, help="most recordings per model and class")
    parser.add_argument("--run", action="store_true", help="one run with these overrides instead")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    arguments.plant, arguments.permuted = "wheeze", False
    logging.disable(logging.WARNING)
    if arguments.run:
        rows = parts_of(composed_settings(arguments.overrides), "run", arguments.recordings)
    else:
        groups = composed_settings(arguments.overrides).hz_groups
        groups = groups if groups.edges_hz else HzGroups().over(composed_settings(arguments.overrides).front_end)
        cases = cases_of(groups)[: arguments.cases]
        rows = [
            row
            for case in tqdm(cases, unit="model")
            for row in parts_of(settings(arguments, case, arguments.overrides), case.evidence, arguments.recordings)
        ]
    print(summary(pd.DataFrame(rows)))


def parts_of(run_settings: RunSettings, evidence: str, most: int) -> list[dict]:
    """Log-odds of the true class for the whole, the hot part and the rest of every recognised test recording."""
    run = Run.of(run_settings)
    run.make("explain")
    examples, train = run.stages["examples"], run.stages["train"]
    examiner, names = examples.examiner(), train.class_names()
    predictions = train.predictions()
    is_test = (predictions["part"] != "validation") & (predictions["true_class"] == predictions["predicted_class"])
    units = train.units().set_index("unit_id")
    auroc = train.metrics()["test" if "test" in train.metrics() else list(train.metrics())[-1]]["auroc"]["value"]
    rows = []
    for row in predictions[is_test].groupby("true_class").head(most).itertuples():
        closeup = examiner.closeup(examples.waveform(units.loc[row.unit_id]))
        true_class = names.index(row.true_class)
        whole, hot, rest = (
            examiner.pooled_log_odds(waveform)[true_class]
            for waveform in (closeup.waveform, closeup.hot.waveform, closeup.rest.waveform)
        )
        rows.append(
            {"evidence": evidence, "class": row.true_class, "auroc": auroc, "whole": whole, "hot": hot, "rest": rest}
        )
    return rows


def summary(table: pd.DataFrame) -> str:
    """Table in Markdown, a row per kind of evidence and class."""
    lines = [
        "| evidence | class | recognised recordings | hot part keeps 80 % of the log-odds | hot part keeps the class "
        "| rest loses the class | median log-odds: whole, hot, rest |",
        "|---|---|---|---|---|---|---|",
    ]
    learnt = table[table["auroc"] >= 0.95] if len(set(table["evidence"])) > 1 else table
    for (evidence, name), rows in learnt.groupby(["evidence", "class"], sort=False):
        kept = (rows["hot"] >= 0.8 * rows["whole"]).mean()
        medians = ", ".join(f"{np.median(rows[column]):.1f}" for column in ("whole", "hot", "rest"))
        lines.append(
            f"| {evidence} | {name} | {len(rows)} | {kept:.0%} | {(rows['hot'] > 0).mean():.0%} "
            f"| {(rows['rest'] < 0).mean():.0%} | {medians} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

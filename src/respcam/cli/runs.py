"""List every requested run: respcam runs bands=below_1500hz --sort test.auroc --csv FILE

``respcam runs --check`` compares every file of every finished output under outputs with its checksum.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from respcam.cli.refusals import reports_refusals
from respcam.errors import Refused, there_are
from respcam.experiments import records
from respcam.store.integrity import PROVENANCE_NAME, damages, is_aside

SHOWN = ("state", "dataset", "task", "split", "fold", "bands", "seed", "duration_s", "attempts", "overrides", "error")


@reports_refusals
def list_runs(arguments: argparse.Namespace) -> None:
    """Print the chosen rows and columns, and the number of runs of each state; or check the outputs."""
    if arguments.check is not None:
        check(arguments.check)
        return
    table = _chosen(records.table(arguments.records), arguments)
    if arguments.csv:
        table.to_csv(arguments.csv, index=False)
    columns = [name for name in table if name in SHOWN or name.endswith(".auroc") or name == arguments.sort]
    has_content = table[columns].notna() & (table[columns].astype(str) != "")
    printed = table[columns].loc[:, has_content.any()].convert_dtypes()
    print(printed.to_string(index=False, na_rep="", float_format="{:.3f}".format) if len(table) else "no runs")
    counts = table["state"].value_counts()
    print(", ".join(f"{n} {state}" for state, n in counts.items()), file=sys.stderr)


def check(root: Path) -> None:
    """Print what is damaged under a folder.

    Raises
    ------
    Refused
        If anything is, or there is no finished output.
    """
    folders = [path.parent for path in sorted(root.rglob(PROVENANCE_NAME)) if not is_aside(path.parent)]
    if not folders:
        raise Refused(f"{root}: no finished output under this folder; expected paths.store, paths.runs or one above")
    n_damaged = 0
    for folder in tqdm(folders, desc="check", unit="output", leave=False):
        for damage in damages(folder):
            n_damaged += 1
            print(damage.finding)
    if n_damaged:
        raise Refused(
            f"{n_damaged} files of {len(folders)} outputs are damaged; the command of a run makes again "
            "what it needs (respcam runs lists the overrides of every run)"
        )
    print(f"{len(folders)} outputs are as they were written", file=sys.stderr)


def _chosen(table: pd.DataFrame, arguments: argparse.Namespace) -> pd.DataFrame:
    for condition in arguments.where:
        name, _, value = condition.partition("=")
        if name not in table:
            raise Refused(f"{condition}: no column {name}; {there_are(table, name)}")
        if name == "state" and value not in records.STATES:
            raise Refused(f"{condition}: no such state; {there_are(records.STATES, value)}")
        table = table[table[name].astype(str).str.removesuffix(".0") == value]
    if arguments.sort:
        if arguments.sort not in table:
            raise Refused(f"--sort {arguments.sort}: no such column; {there_are(table, arguments.sort)}")
        table = table.sort_values(arguments.sort, ascending=not arguments.descending, kind="stable")
    return table


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("where", nargs="*", help="column=value: rows to show")
    parser.add_argument("--records", type=Path, default=Path("outputs/records"), help="folder of the records")
    parser.add_argument("--sort", help="column, such as test.auroc or duration_s")
    parser.add_argument("--descending", action="store_true", help="highest first")
    parser.add_argument("--csv", type=Path, help="write every column there")
    parser.add_argument(
        "--check",
        type=Path,
        nargs="?",
        const=Path("outputs"),
        metavar="DIR",
        help="check all finished outputs under this folder (outputs) instead",
    )
    list_runs(parser.parse_args())

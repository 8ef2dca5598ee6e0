"""List every requested run: respcam runs bands=below_1500hz --sort test.auroc --csv FILE"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from respcam.cli.refusals import reports_refusals
from respcam.errors import Refused, there_are
from respcam.experiments import records

SHOWN = ("state", "dataset", "task", "split", "fold", "bands", "seed", "duration_s", "attempts", "overrides", "error")


@reports_refusals
def list_runs(arguments: argparse.Namespace) -> None:
    """Print the chosen rows and columns, and the number of runs of each state."""
    table = _chosen(records.table(arguments.records), arguments)
    if arguments.csv:
        table.to_csv(arguments.csv, index=False)
    columns = [name for name in table if name in SHOWN or name.endswith(".auroc") or name == arguments.sort]
    has_content = table[columns].notna() & (table[columns].astype(str) != "")
    printed = table[columns].loc[:, has_content.any()].convert_dtypes()
    print(printed.to_string(index=False, na_rep="", float_format="{:.3f}".format) if len(table) else "no runs")
    counts = table["state"].value_counts()
    print(", ".join(f"{n} {state}" for state, n in counts.items()), file=sys.stderr)


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
    list_runs(parser.parse_args())

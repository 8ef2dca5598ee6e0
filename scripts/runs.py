"""List every run that was asked for: python scripts/runs.py bands=below_1500hz --sort test.auroc --csv FILE"""

import argparse
import sys
from pathlib import Path

from edge import one_line_errors
from respcam.experiments import records

SHOWN = ("state", "dataset", "task", "split", "fold", "bands", "seed", "duration_s", "attempts", "overrides", "error")


@one_line_errors
def main(arguments: argparse.Namespace) -> None:
    table = records.table(arguments.records)
    for condition in arguments.where:
        name, _, value = condition.partition("=")
        if name not in table:
            raise SystemExit(f"{condition}: no column {name}; there are {', '.join(table)}")
        table = table[table[name].astype(str).str.removesuffix(".0") == value]
    if arguments.sort:
        if arguments.sort not in table:
            raise SystemExit(f"--sort {arguments.sort}: no such column; there are {', '.join(table)}")
        table = table.sort_values(arguments.sort, ascending=not arguments.descending, kind="stable")
    if arguments.csv:
        table.to_csv(arguments.csv, index=False)
    shown = [name for name in table if name in SHOWN or name.endswith(".auroc") or name == arguments.sort]
    has_content = table[shown].notna() & (table[shown].astype(str) != "")
    told = table[shown].loc[:, has_content.any()].convert_dtypes()
    print(told.to_string(index=False, na_rep="", float_format="{:.3f}".format) if len(table) else "no runs")
    counts = table["state"].value_counts()
    print(", ".join(f"{n} {state}" for state, n in counts.items()), file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("where", nargs="*", help="column=value: rows to show")
    parser.add_argument("--records", type=Path, default=Path("outputs/records"), help="folder of the records")
    parser.add_argument("--sort", help="column, such as test.auroc or duration_s")
    parser.add_argument("--descending", action="store_true", help="highest first")
    parser.add_argument("--csv", type=Path, help="write every column there")
    main(parser.parse_args())

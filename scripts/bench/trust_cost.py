"""Time of the explain and trust stages, as a ratio to inference on the same recordings.

python scripts/bench/trust_cost.py dataset=sprsound2022 dataset.root=DIR dataset.missing=skip task=adventitious

First makes the stages up to training if needed. Then it runs, in turn and several times: inference on the test
recordings, the explain stage, the trust stage. The limit of the trust stage is 10 times inference.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from respcam.cli.composition import composed_settings
from respcam.stages.run import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="number of counted rounds")
    arguments, overrides = parser.parse_known_args()
    run = Run.of(composed_settings(overrides))
    run.make("train")
    train, explain, trust = (run.stages[name] for name in ("train", "explain", "trust"))

    def inference() -> None:
        train.model().predict(train.data_of(train.units(explain.explain.parts)))

    def measure(store: Path) -> tuple[float, ...]:
        explain_anew = replace(explain, store=store)
        trust_anew = replace(trust, store=store, explain=explain_anew, control=None)
        plain_s = seconds(inference)
        explain_s = seconds(explain_anew.make)
        trust_s = seconds(trust_anew.make)
        return plain_s, explain_s, trust_s, trust_s / plain_s, (explain_s + trust_s) / plain_s

    rows = []
    for repeat in range(arguments.repeats + 1):
        with tempfile.TemporaryDirectory() as folder:
            row = measure(Path(folder))
        if repeat:  # the first round is a warm-up
            rows.append(row)
            print(
                "plain {:.2f}, explain {:.2f}, trust {:.2f} s, ratios {:.2f} and {:.2f}".format(*row), file=sys.stderr
            )
    plain_s, explain_s, trust_s, of_trust, of_both = (statistics.median(column) for column in zip(*rows, strict=True))
    print(
        f"median of {len(rows)}: plain inference {plain_s:.2f} s, explain {explain_s:.2f} s, trust {trust_s:.2f} s; "
        f"trust costs {of_trust:.2f} times plain inference (limit 10), explain and trust together {of_both:.2f} times"
    )


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

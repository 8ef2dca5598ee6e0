"""What explanation and trust cost beside plain inference over the same recordings, as a ratio.

python scripts/bench/trust_cost.py dataset=sprsound2022 dataset.root=DIR dataset.missing=skip task=adventitious

Runs the stages up to training where they are not done, then, in turn and several times: plain inference over the test
recordings, the explain stage, the trust stage. The limit is 3 times plain inference.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from configured import composed
from respcam.network import training
from respcam.stages import explain, trust
from respcam.stages.features import FrameStore
from respcam.stages.run import Pipeline
from respcam.stages.train import load_model, load_units


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    arguments, overrides = parser.parse_known_args()
    own = composed(overrides)
    pipeline = Pipeline(own)
    for stage in ("resample", "features", "train"):
        pipeline.run(stage)
    of = pipeline.artifacts

    def inference() -> None:
        store = FrameStore.open(of["features"].folder, own.front_end)
        model, scaler, _ = load_model(of["train"].folder, own.trained.model)
        fabric = training.make_fabric(own.device, threads=own.trained.training.threads)
        units = load_units(store, explain.chosen_units(of["train"].folder, own.explain.sides), own.trained)
        training.predict(fabric.to_device(model), units, scaler, own.trained.training.pooling, fabric)

    def measure(store: Path) -> tuple[float, float, float, float]:
        explained, trusted = replace(of["explain"], store=store), replace(of["trust"], store=store)
        upstream = trust.Upstream(of["resample"], of["features"], of["train"], explained, None)
        plain_s = seconds(inference)
        explain_s = seconds(
            lambda: explain.run(
                explained, of["train"], of["features"], own.front_end, own.trained, own.explain, own.device
            )
        )
        trust_s = seconds(
            lambda: trust.run(
                trusted, upstream, pipeline.source, own.front_end, own.trained, own.explain, own.trust,
                own.hz_groups, own.trained.bootstrap, own.device,
            )
        )  # fmt: skip
        return plain_s, explain_s, trust_s, (explain_s + trust_s) / plain_s

    rows = []
    for repeat in range(arguments.repeats + 1):
        with tempfile.TemporaryDirectory() as folder:
            row = measure(Path(folder))
        if repeat:  # the first round warms caches up
            rows.append(row)
            print("plain {:.2f} s, explain {:.2f} s, trust {:.2f} s, ratio {:.2f}".format(*row), file=sys.stderr)
    plain_s, explain_s, trust_s, ratio = (statistics.median(column) for column in zip(*rows, strict=True))
    print(
        f"median of {len(rows)}: plain inference {plain_s:.2f} s, explain {explain_s:.2f} s, trust {trust_s:.2f} s; "
        f"explain and trust cost {ratio:.2f} times plain inference (limit 3)"
    )


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

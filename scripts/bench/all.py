"""Every benchmark of speed in one run: python scripts/bench/all.py [--rounds 7] [--skip growth]

Every benchmark gets the options. With a data set (dataset=sprsound2022 dataset.root=DIR dataset.missing=skip
task=adventitious), benchmarks that need recordings read it; else sounds are generated. growth with 100 hours writes
32 GB; --skip growth leaves it out. Longer benchmarks have their own commands: time_to_auroc.py (training to a given
AUROC) and sweep.py.
"""

import cam
import extraction
import front_end
import growth
import measure
import occlusion
import start_up
import training

BENCHES = {
    "start_up": start_up,
    "front_end": front_end,
    "extraction": extraction,
    "training": training,
    "cam": cam,
    "occlusion": occlusion,
    "growth": growth,
}


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("--skip", nargs="+", default=[], choices=list(BENCHES), help="benchmarks to leave out")
    parser.add_argument(
        "--hours", type=float, nargs="+", default=[1, 10, 100], help="corpus sizes of growth, in hours"
    )
    parser.add_argument("--patches", type=int, default=480, help="number of patches of occlusion")
    arguments = parser.parse_args()
    where = measure.machine()
    rows = []
    for name, bench in BENCHES.items():
        if name not in arguments.skip:
            measure.say(f"bench: {name}")
            of_bench = bench.rows(arguments)
            measure.write(name, of_bench, where)  # saved at once, in case a later benchmark fails
            rows += of_bench
    measure.write("all", rows, where)


if __name__ == "__main__":
    main()

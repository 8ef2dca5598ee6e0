"""Make a run again from its folder and say which figures are the same: python scripts/rerun.py outputs/runs/RUN"""

import argparse
import json
import logging
from pathlib import Path

from omegaconf import OmegaConf

from edge import one_line_errors

EXACT = ("model.safetensors", "predictions.csv", "metrics.json", "band_heat.csv", "units.csv")


@one_line_errors
def main(arguments: argparse.Namespace) -> None:
    from configured import pipeline_of  # imports torch, which takes seconds: not for --help
    from respcam.artifact import file_sha256, git_state

    if not (arguments.run / "config.yaml").is_file():
        raise SystemExit(f"{arguments.run}: not a finished run (it has no config.yaml)")
    out = arguments.out / arguments.run.name
    if any(out.glob("runs/*/provenance.json")):
        raise SystemExit(f"{out}: made again before; remove it, or name another folder with --out")
    cfg = OmegaConf.load(arguments.run / "config.yaml")
    cfg.paths.store, cfg.paths.runs = str(out / "store"), str(out / "runs")
    again = pipeline_of(cfg).run_all().parent
    made, now = (json.loads((folder / "provenance.json").read_text()) for folder in (arguments.run, again))
    print(again)
    print(f"digest: {'the same' if made['digest'] == now['digest'] else 'another: settings or inputs changed'}")
    for name in ("libraries", "python", "platform"):
        if made[name] != now[name]:
            print(f"{name}: was {made[name]}, is {now[name]}")
    if made["git"] != git_state():
        print(f"code: was {made['git']}, is {git_state()}")
    for name in EXACT:
        is_same = file_sha256(arguments.run / name) == file_sha256(again / name)
        print(f"{name}: {'identical' if is_same else 'differs'}")
    before, after = (json.loads((folder / "metrics.json").read_text()) for folder in (arguments.run, again))
    for part, values in before.items():
        for name, own in values.items():
            if isinstance(own, dict) and "value" in own:
                found = after[part][name]["value"]
                word = "identical" if found == own["value"] else "differs"
                print(f"{part} {name}: was {own['value']}, is {found}: {word}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--out", type=Path, default=Path("outputs/rerun"), help="where it is made again")
    logging.basicConfig(level=logging.INFO, format="[%(asctime)s][%(name)s][%(levelname)s] - %(message)s")
    main(parser.parse_args())

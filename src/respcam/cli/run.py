"""Run the stages of one experiment: respcam run dataset=sprsound2022 dataset.root=DIR task=adventitious

``until=features`` ends after a stage and prints its folder. A sweep is ``-m seed=0,1,2 bands=all,below_1500hz``.
"""

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from respcam.cli.mistakes import check_config_dir, in_one_line
from respcam.cli.places import CONF
from respcam.cli.refusals import fails_alone, is_sweep, reports_refusals
from respcam.errors import Refused


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
@fails_alone
def job(cfg: DictConfig) -> None:
    """Make what is not done, keep a record of a whole run, and print where the answer lies."""
    from respcam.cli.composition import Paths, identity_of, settings_of, typed  # imports torch: not for --help
    from respcam.experiments.records import keeping_record
    from respcam.experiments.tracking import TrackerSettings, track
    from respcam.stages.run import Run

    _check_sweep()
    for source in HydraConfig.get().runtime.config_sources:
        if source.provider == "command-line":  # --config-dir
            check_config_dir(Path(source.path))
    settings = settings_of(cfg)
    if settings.until != "report":
        print(Run.of(settings).make())
        return
    identity, tracker = identity_of(cfg), typed(TrackerSettings, cfg, "tracker")
    records = Path(typed(Paths, cfg, "paths").records)
    overrides = HydraConfig.get().overrides.task
    with keeping_record(records, OmegaConf.to_yaml(identity), overrides) as attempt:
        page = Run.of(settings).make()
        attempt.run = page.parent
        track(tracker, page.parent, identity)
    print(page)


def _check_sweep() -> None:
    """Refuse an experiment of several runs that is started as one."""
    config = HydraConfig.get()
    swept = list(config.sweeper.get("params") or {})
    if swept and not is_sweep():
        experiment = config.runtime.choices.get("experiment")
        raise Refused(
            f"experiment={experiment} makes a run for each value of {', '.join(swept)}; start it with -m: "
            f"respcam run -m experiment={experiment} ..."
        )


@reports_refusals
def main() -> None:
    """Read the command line."""
    if not {"-h", "--help", "--hydra-help"} & set(sys.argv):
        import respcam.cli.composition  # noqa: F401  has every key that can be set
    keys = [word.partition("=")[0] for word in sys.argv[1:] if word[:1] != "-" and "=" in word]
    if repeated := [key for key in keys if keys.count(key) > 1]:
        raise Refused(f"{repeated[0]} is set twice on the command line; expected once")
    # Hydra takes all overrides in one row
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda word: word[:1] != "-" and "=" in word)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on instead of printing them
    with in_one_line():
        job()

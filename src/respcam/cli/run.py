"""Run the stages of one experiment: python scripts/run.py dataset=sprsound2022 dataset.root=DIR task=adventitious

``until=features`` ends after a stage and prints its folder. A sweep is ``-m seed=0,1,2 bands=all,below_1500hz``.
"""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from respcam.cli.refusals import CONF, reports_refusals


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
@reports_refusals
def main(cfg: DictConfig) -> None:
    """Make what is not done, keep a record of a whole run, and print where the answer lies."""
    from respcam.cli.composition import identity_of, settings_of, typed  # imports torch: not for --help
    from respcam.experiments.records import keeping_record
    from respcam.experiments.tracking import TrackerSettings, track
    from respcam.stages.run import Run

    settings = settings_of(cfg)
    if settings.until != "report":
        print(Run.of(settings).make())
        return
    identity, tracker = identity_of(cfg), typed(TrackerSettings, cfg, "tracker")
    overrides = HydraConfig.get().overrides.task
    with keeping_record(Path(cfg.paths.records), OmegaConf.to_yaml(identity), overrides) as attempt:
        page = Run.of(settings).make()
        attempt.run = page.parent
        track(tracker, page.parent, identity)
    print(page)

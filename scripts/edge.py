"""Where errors become one line, and work is loaded only once a command has work to do."""

import functools
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

import respcam

log = logging.getLogger("respcam")

PROJECT = Path(__file__).resolve().parent.parent
# conf/hydra/launcher/ray.yaml has the name of the plugin's own on purpose
warnings.filterwarnings("ignore", message="\\s*'hydra/launcher/ray' is validated against ConfigStore schema")
OmegaConf.register_new_resolver("project", lambda: str(PROJECT), replace=True)


class JobFailedError(Exception):
    """A job of a sweep that was refused; the sweep goes on with the others and fails at its end."""


def one_line_errors(main: Callable[[Any], None]) -> Callable[[Any], None]:
    """End a command with one line where our own code refused something; defects keep their traceback."""

    @functools.wraps(main)
    def guarded(cfg: Any) -> None:
        if is_sweep():  # the workers of Ray start elsewhere
            os.chdir(HydraConfig.get().runtime.cwd)
        try:
            main(cfg)
        except (ValueError, FileNotFoundError) as error:
            if not was_raised_by_us(error):
                raise
            log.debug("refused", exc_info=error)
            print(f"error: {error}", file=sys.stderr)
            if is_sweep():
                raise JobFailedError(str(error)) from None
            raise SystemExit(1) from None
        except SystemExit as error:
            if is_sweep():
                raise JobFailedError(str(error)) from None
            raise

    return guarded


def was_raised_by_us(error: BaseException) -> bool:
    """True where the innermost frame is ours: the message was written for the user."""
    innermost = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(innermost).is_relative_to(Path(respcam.__file__).parent)


def is_sweep() -> bool:
    """True within a job of a multirun."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def run_stage(cfg: DictConfig, stage: str) -> None:
    """Run one stage and print where its output lies."""
    from configured import pipeline_of  # imports torch, which takes seconds: not for --help

    print(pipeline_of(cfg).run(stage))


def run_all(cfg: DictConfig) -> None:
    """Run every stage that is not done, keep a record of it and print where the report lies."""
    from configured import asked, pipeline_of, typed
    from respcam.experiments.records import recording
    from respcam.experiments.tracking import TrackerSettings, track

    config, tracker = asked(cfg), typed(TrackerSettings, cfg, "tracker")
    with recording(Path(cfg.paths.records), OmegaConf.to_yaml(config), HydraConfig.get().overrides.task) as attempt:
        page = pipeline_of(cfg).run_all()
        attempt.run = page.parent
        track(tracker, page.parent, config)
    print(page)

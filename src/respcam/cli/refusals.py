"""Refusals: a user's mistake becomes one line; a defect keeps its traceback."""

import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from respcam.errors import Refused

log = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parents[3]
CONF = PROJECT / "conf"
LOG_FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"
# conf/hydra/launcher/ray.yaml has the name of the plugin's own on purpose
warnings.filterwarnings("ignore", message="\\s*'hydra/launcher/ray' is validated against ConfigStore schema")
OmegaConf.register_new_resolver("project", lambda: str(PROJECT), replace=True)


class JobFailedError(Exception):
    """A job of a sweep that was refused; the sweep goes on with the others and fails at its end."""


def reports_refusals(main: Callable[[Any], None]) -> Callable[[Any], None]:
    """End a command with one line and exit status 1 where something was refused.

    A job of a sweep fails instead, and the sweep goes on with the others.
    """

    @functools.wraps(main)
    def guarded(arguments: Any) -> None:
        if is_sweep():  # the workers of Ray start elsewhere
            os.chdir(HydraConfig.get().runtime.cwd)
        try:
            main(arguments)
        except Refused as refusal:
            log.debug("refused", exc_info=refusal)
            print(f"error: {refusal}", file=sys.stderr)
            if is_sweep():
                raise JobFailedError(str(refusal)) from None
            raise SystemExit(1) from None
        except SystemExit as error:  # of code that a job imports: one job fails, not the sweep
            if is_sweep():
                raise JobFailedError(str(error)) from None
            raise

    return guarded


def is_sweep() -> bool:
    """True within a job of a multirun."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN

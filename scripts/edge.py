"""Where errors become one line, and work is loaded only once a command has work to do."""

import functools
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

import respcam

log = logging.getLogger("respcam")

PROJECT = Path(__file__).resolve().parent.parent
OmegaConf.register_new_resolver("project", lambda: str(PROJECT), replace=True)


def one_line_errors(main: Callable[[Any], None]) -> Callable[[Any], None]:
    """End a command with one line where our own code refused something; defects keep their traceback."""

    @functools.wraps(main)
    def guarded(cfg: Any) -> None:
        try:
            main(cfg)
        except (ValueError, FileNotFoundError) as error:
            if not was_raised_by_us(error):
                raise
            log.debug("refused", exc_info=error)
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None

    return guarded


def was_raised_by_us(error: BaseException) -> bool:
    """True where the innermost frame is ours: the message was written for the user."""
    innermost = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(innermost).is_relative_to(Path(respcam.__file__).parent)


def run_stage(cfg: DictConfig, stage: str) -> None:
    """Run one stage and print where its output lies."""
    from configured import pipeline_of  # imports torch, which takes seconds: not for --help

    print(pipeline_of(cfg).run(stage))


def run_all(cfg: DictConfig) -> None:
    """Run every stage that is not done and print where the report lies."""
    from configured import pipeline_of

    print(pipeline_of(cfg).run_all())

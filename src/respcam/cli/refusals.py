"""Refusals: a user's mistake becomes one line; a defect keeps its traceback."""

import argparse
import errno
import functools
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, ParamSpec

from respcam.cli.main import INTERRUPTED
from respcam.errors import Refused

if TYPE_CHECKING:  # takes a tenth of a second, which commands without Hydra need not wait
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

LOG_FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"
KEPT = "every finished stage and the last complete epoch are kept; the same command goes on"
#: errors of the machine, not of the code or the data
MACHINE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EIO,
    errno.ENOMEM,
    errno.ESTALE,
)
#: torch on a CPU and threads raise a bare RuntimeError; its text is all that tells it from a defect
TOO_LITTLE_MEMORY = ("can't allocate memory", "can't start new thread")
# conf/hydra/launcher/ray.yaml has the name of the plugin's own on purpose
warnings.filterwarnings("ignore", message="\\s*'hydra/launcher/ray' is validated against ConfigStore schema")

Parameters = ParamSpec("Parameters")


class JobFailedError(Exception):
    """A job of a sweep that was refused; the sweep goes on with the others and fails at its end."""


def reports_refusals(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """End a command with one line and exit status 1 where something was refused, 130 where it was interrupted."""

    @functools.wraps(command)
    def guarded(*arguments: Parameters.args, **named: Parameters.kwargs) -> None:
        try:
            command(*arguments, **named)
        except JobFailedError:
            _end("error: a job of the sweep failed, see above; the same command tries it again", 1)
        except (Refused, OSError, MemoryError, RuntimeError) as error:
            line = line_of(error)
            if not line:
                raise
            log.debug("refused", exc_info=error)
            _end(line, 1)
        except KeyboardInterrupt as error:
            traceback.clear_frames(error.__traceback__)  # ends progress bars before the line is printed
            _end(f"interrupted: {KEPT}", INTERRUPTED)

    return guarded


def line_of(error: BaseException | None) -> str:
    """Line for a refusal, or for what the machine could not do, such as a full disk; blank for a defect."""
    if isinstance(error, Refused | SystemExit):  # SystemExit of code that a job imports
        return f"error: {error}"
    while error is not None:
        is_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # that of torch
        if is_memory or any(words in str(error) for words in TOO_LITTLE_MEMORY):
            return f"error: not enough memory; {KEPT}"
        if isinstance(error, OSError) and error.errno in MACHINE:
            place = f": {error.filename}" if error.filename else ""
            return f"error: {error.strerror}{place}; {KEPT}"
        error = error.__cause__ or error.__context__
    return ""


def _end_usage(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    _end(f"error: {parser.prog}: {message}; see {parser.prog} --help", 2)


# argparse offers no setting for this, and Hydra makes its parser itself
argparse.ArgumentParser.error = _end_usage  # type: ignore[assignment, method-assign]


def _end(line: str, status: int) -> NoReturn:
    print(" ".join(line.split()), file=sys.stderr)
    raise SystemExit(status) from None


def fails_alone(job: Callable[["DictConfig"], None]) -> Callable[["DictConfig"], None]:
    """End a refused job with its line; in a sweep only this job fails, and the sweep goes on with the others."""

    @functools.wraps(job)
    def guarded(cfg: "DictConfig") -> None:
        if is_sweep():
            from hydra.core.hydra_config import HydraConfig

            os.chdir(HydraConfig.get().runtime.cwd)  # the workers of Ray start elsewhere
        try:
            job(cfg)
        except (Refused, SystemExit, OSError, MemoryError, RuntimeError) as error:
            line = line_of(error)
            if not line:
                raise
            log.debug("refused", exc_info=error)
            if not is_sweep():
                _end(line, 1)
            print(line, file=sys.stderr)
            raise JobFailedError(line) from None

    return guarded


def is_sweep() -> bool:
    """True within a job of a multirun."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN

"""Mistakes on the command line: what Hydra says of them in many lines, in one with the nearest right name."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from respcam.errors import Refused, there_are

SCHEMA = "schema/nodes.yaml"  # in Hydra's store: every key at its default, see composition.py


@contextmanager
def in_one_line() -> Iterator[None]:
    """Refuse in one line what Hydra and OmegaConf refuse in many."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise Refused(sentence_of(error)) from error


def sentence_of(error: Exception) -> str:
    """Say in one line what is wrong with the command line, and what would be right."""
    text = " ".join(str(error).split())
    if isinstance(error, OverrideParseException):
        return _unparsed(error.override)
    if isinstance(error, MissingConfigException) and error.options is not None:
        return _no_option(error, list(error.options))
    if match := re.match(r"Could not override '([^']+)'\.", text):
        return _no_setting(match[1])
    if match := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '([^']+)'", text):
        return f"{match[1]} names several values; add -m for a run of each, or brackets for a list: key=[a,b]"
    if match := re.match(r"Could not append to config.*'([^']+)'", text):
        return _no_setting(match[1].lstrip("+"))
    return text


def _unparsed(override: str) -> str:
    key, equals, value = override.partition("=")
    if not equals:
        return f"{override}: expected key=value, such as seed=1, or group=option, such as task=labels"
    quoted = value.strip("'\"").replace('"', '\\"')
    return f"{override}: the value has special characters; quote it twice, for the shell and for Hydra: " + (
        f"'{key}=\"{quoted}\"'"
    )


def _no_option(error: MissingConfigException, options: list[str]) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    return f"{group}={option}: no such option; {there_are(sorted(options), option)}"


def _no_setting(key: str) -> str:
    names = list(_leaves(OmegaConf.to_container(ConfigStore.instance().load(SCHEMA).node), ""))
    close = get_close_matches(key, names, n=1)
    node = key.rpartition(".")[0]
    inside = [name.removeprefix(f"{node}.") for name in names if name.startswith(f"{node}.")]
    hint = f"; did you mean {close[0]}?" if close else f"; {node} has {', '.join(inside)}" if inside else ""
    return f"{key}: no such setting{hint}"


def _leaves(content: Any, name: str) -> Iterator[str]:
    if not isinstance(content, dict):
        yield name
        return
    for key, value in content.items():
        yield from _leaves(value, f"{name}.{key}" if name else str(key))

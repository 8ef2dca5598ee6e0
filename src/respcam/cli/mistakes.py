"""Mistakes on the command line: what Hydra says of them in many lines, in one with the nearest right name."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from respcam.cli.places import CONF
from respcam.errors import Refused, there_are

FREE_MAPPINGS = ("task.classes", "task.events")  # their keys are the user's own
SCHEMA = "schema/nodes.yaml"  # in Hydra's store: every key at its default, see composition.py


@contextmanager
def in_one_line() -> Iterator[None]:
    """Refuse in one line what Hydra and OmegaConf refuse in many."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise Refused(sentence_of(error)) from error
    except YAMLError as error:
        raise Refused(f"a settings file is not YAML: {' '.join(str(error).split())}") from error


def sentence_of(error: Exception) -> str:
    """Say in one line what is wrong with the command line, and what would be right."""
    text = " ".join(str(error).split())
    if isinstance(error, OverrideParseException):
        return _unparsed(error.override)
    if isinstance(error, MissingConfigException) and error.options is not None:
        return _no_option(error, list(error.options))
    if "@experiment." in text:
        return f"{text.split(':')[0]}: expected '# @package _global_' as the first line of an experiment's file"
    if match := re.match(r"Could not override '([^']+)'\.", text):
        of_cause = getattr(error.__cause__, "full_key", None) or ""
        return _no_setting(of_cause if of_cause.startswith(f"{match[1]}.") else match[1])  # the key inside a mapping
    if match := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '([^']+)'", text):
        return f"{match[1]} names several values; add -m for a run of each, or brackets for a list: key=[a,b]"
    if match := re.match(r"Could not append to config.*'([^']+)'", text):
        return _no_setting(match[1].lstrip("+"))
    return text


def _unparsed(override: str) -> str:
    key, equals, value = override.partition("=")
    if not equals:
        return f"{override}: expected key=value, such as seed=1, or group=option, such as task=labels"
    if set(value) & set("[{") and not set(value) & set("(\\^"):
        return f"{override}: the value cannot be read; a list is [a,b], a mapping {{class:[label,label],...}}"
    key = key.strip()
    quoted = value.strip().strip("'\"").replace('"', '\\"')
    return f"{override}: the value has special characters; quote it twice, for the shell and for Hydra: " + (
        f"'{key}=\"{quoted}\"'"
    )


def _no_option(error: MissingConfigException, options: list[str]) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if group.startswith("experiment/"):
        group = group.removeprefix("experiment/")
        return f"experiment: expected 'override /{group}: {option}' in its defaults, under '# @package _global_'"
    return f"{group}={option}: no such option; {there_are(sorted(options), option)}"


def _no_setting(key: str) -> str:
    schema = OmegaConf.to_container(ConfigStore.instance().load(SCHEMA).node)
    names = [*map(str, cast(dict, schema)), *_leaves(schema, "")]
    close = [name for name in names if name.endswith(f".{key}")] or get_close_matches(key, names, n=1)
    node = key.rpartition(".")[0]
    if node in FREE_MAPPINGS:
        return (
            f"{node} has other keys than {key.rpartition('.')[2]}; to replace them all: '~{node}' '+{node}={{...}}'"
        )
    inside = [name.removeprefix(f"{node}.") for name in names if name.startswith(f"{node}.")]
    hint = f"; did you mean {close[0]}?" if close else f"; {node} has {', '.join(inside)}" if inside else ""
    return f"{key}: no such setting{hint}"


def _leaves(content: Any, name: str) -> Iterator[str]:
    if not isinstance(content, dict):
        yield name
        return
    for key, value in content.items():
        yield from _leaves(value, f"{name}.{key}" if name else str(key))


def wrong_value(key: str, value: object, reason: str) -> str:
    """Say what a setting is and what is expected, from the reason that OmegaConf gives."""
    kinds = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}
    if match := re.search(r"could not be converted to (\w+)", reason):
        return f"{key} is {value!r}; expected {kinds.get(match[1], match[1])}"
    if "is not a ListConfig" in reason or "type hint 'typing.List" in reason:
        return f"{key} is {value!r}; expected a list: {key}=[{value}]"
    if match := re.search(r"missing mandatory value: (\w+)", reason):
        return f"{key} is not set; expected {match[1]}: VALUE in its file, or {key}=VALUE"
    return f"{key}: {reason}"


def check_config_dir(config_dir: Path) -> None:
    """Refuse a user's file that has the name of one that ships with respcam, which would be taken instead.

    Raises
    ------
    Refused
    """
    for path in sorted(config_dir.rglob("*.yaml")):
        if (CONF / path.relative_to(config_dir)).is_file():
            raise Refused(f"{path}: respcam has a file of this name, which would be taken; give it another name")

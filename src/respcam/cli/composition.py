"""Composition: the configuration tree becomes the typed settings that each module owns."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from respcam.cli.mistakes import check_config_dir, in_one_line, wrong_value
from respcam.cli.places import CONF
from respcam.data.patches import PatchSettings
from respcam.data.splits import SplitSettings
from respcam.data.tasks import Task
from respcam.errors import Refused, there_are
from respcam.evidence.examination import TrustSettings
from respcam.experiments.tracking import TrackerSettings
from respcam.heat.bands import BandSelection, HzGroups
from respcam.metrics import BootstrapSettings
from respcam.network.model import ModelSettings
from respcam.network.training import Training
from respcam.sound.audio import AudioSettings
from respcam.sound.front_end import FrontEnd
from respcam.stages.dataset import DatasetSettings
from respcam.stages.examples import ExampleSettings
from respcam.stages.explain import ExplainSettings
from respcam.stages.report import ReportSettings
from respcam.stages.run import RunSettings
from respcam.stages.train import Recipe
from respcam.store.shard import Shard

Settings = TypeVar("Settings")

PLACE = ("paths", "device", "workers", "shard", "tracker", "until")  # where and on what a run is made, not what it is


@dataclass(frozen=True)
class Paths:
    """Folders of results. ``~`` is the home folder, as in dataset.root."""

    store: str = "outputs/store"
    runs: str = "outputs/runs"
    records: str = "outputs/records"

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value or "\0" in value:
                raise Refused(f"paths.{name} is {value!r}; expected a folder")
            object.__setattr__(self, name, os.path.expanduser(value))


#: node of the configuration -> the settings that it becomes
NODES: Mapping[str, type] = {
    "dataset": DatasetSettings,
    "task": Task,
    "split": SplitSettings,
    "audio": AudioSettings,
    "front_end": FrontEnd,
    "patches": PatchSettings,
    "bands": BandSelection,
    "model": ModelSettings,
    "training": Training,
    "explain": ExplainSettings,
    "trust": TrustSettings,
    "tracker": TrackerSettings,
    "hz_groups": HzGroups,
    "examples": ExampleSettings,
    "report": ReportSettings,
    "bootstrap": BootstrapSettings,
    "shard": Shard,
    "paths": Paths,
}


@dataclass(frozen=True)
class Scalars:
    """Settings of a run that stand in no group."""

    until: str
    seed: int
    permute_labels: bool
    device: str
    workers: int


SCALARS = [field.name for field in fields(Scalars)]


def _schema() -> DictConfig:
    """Every key at its default, so that a short file of a user's own has them all."""
    nodes = {name: OmegaConf.to_container(OmegaConf.structured(cls)) for name, cls in NODES.items()}
    return OmegaConf.create({**nodes, **dict.fromkeys(SCALARS, "???")})


# conf/config.yaml starts from it; absent for --help, which must not wait for these imports
ConfigStore.instance().store(group="schema", name="nodes", node=_schema(), package="_global_")


def typed(cls: type[Settings], cfg: DictConfig | ListConfig, name: str) -> Settings:
    """Turn one node of the configuration into the settings that a module owns.

    Raises
    ------
    Refused
        If a key is misspelt, a value is missing or of the wrong type.
    """
    return _typed(cls, cfg[name], name)  # type: ignore[index]


def _typed(cls: type[Settings], node: DictConfig | ListConfig, name: str) -> Settings:
    schema = OmegaConf.structured(cls)
    for child in (schema._get_node(key) for key in schema):
        if OmegaConf.is_config(child):  # a frozen dataclass inside another would refuse the user's values
            OmegaConf.set_readonly(child, False)
    try:
        # resolved while it still hangs in the tree that it may refer to
        content = OmegaConf.to_container(node, resolve=True)
        _check_kinds(schema, content, name)
        merged = OmegaConf.merge(schema, _as_text(content, name) if cls is Task else content)
        return cast(Settings, OmegaConf.to_object(merged))
    except ConfigKeyError as error:
        node_of, _, key = (error.full_key or "").rpartition(".")
        names = list(OmegaConf.select(schema, node_of) if node_of else schema)
        node_name = ".".join(part for part in (name, node_of) if part)
        raise Refused(f"{node_name}.{key}: no such setting; {there_are(names, key)}") from error
    except OmegaConfBaseException as error:
        key = ".".join(part for part in (name, error.full_key) if part)
        value = OmegaConf.select(node, error.full_key or "", throw_on_missing=False)
        raise Refused(wrong_value(key, value, str(error).splitlines()[0])) from error


def _check_kinds(schema: DictConfig, content: Any, name: str) -> None:
    """Refuse lists and mappings in each other's place, which OmegaConf refuses without the name of the key."""
    for key, value in content.items() if isinstance(content, dict) else ():
        child = schema._get_node(key) if key in schema else None
        if isinstance(child, ListConfig):
            is_text = child._metadata.element_type is str
            if isinstance(value, dict) or (is_text and isinstance(value, list) and any(map(_is_nested, value))):
                raise Refused(f"{name}.{key} is {value!r}; expected a list" + " of text" * is_text)
        elif isinstance(child, DictConfig) and not child._is_none():
            _check_kinds(child, value, f"{name}.{key}")


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | dict)


def _as_text(content: Any, name: str) -> Any:
    """Labels and classes are text, also where they look like numbers."""
    if isinstance(content, dict):
        return {str(key): _as_text(value, f"{name}.{key}") for key, value in content.items()}
    if isinstance(content, list):
        return [_as_text(value, name) for value in content]
    if isinstance(content, bool):
        raise Refused(f"{name}: YAML reads a label as {content}; put it in quotes, such as '{name}=[\"no\"]'")
    return str(content) if isinstance(content, int | float) else content


def scalars_of(cfg: DictConfig | ListConfig) -> Scalars:
    """Settings that stand in no group; errors are those of `typed`."""
    return _typed(Scalars, OmegaConf.create({name: cfg[name] for name in SCALARS}), "")  # type: ignore[index]


@in_one_line()  # a value may refer to one that is not there
def settings_of(cfg: DictConfig | ListConfig) -> RunSettings:
    """Turn the whole configuration into the settings of a run."""
    names = [*NODES, *SCALARS]
    wrong = next((str(key) for key in cfg if key not in names), None)
    if wrong is not None:
        raise Refused(f"{wrong}: no such setting; {there_are(names, wrong)}")
    scalars = scalars_of(cfg)
    node: dict[str, Any] = {name: typed(cls, cfg, name) for name, cls in NODES.items() if name != "tracker"}
    paths = node.pop("paths")
    of_recipe = ("task", "split", "patches", "bands", "model", "training", "bootstrap")
    recipe = Recipe(**{name: node.pop(name) for name in of_recipe}, permute_labels=scalars.permute_labels)
    return RunSettings(
        **node,
        recipe=recipe,
        until=scalars.until,
        seed=scalars.seed,
        device=scalars.device,
        workers=scalars.workers,
        store=Path(paths.store),
        runs=Path(paths.runs),
        config=_without_home(OmegaConf.to_yaml(cfg, resolve=True)),
    )


def _without_home(text: str) -> str:
    """Write the home folder as ``~``: its path has the name of the user, and the text is kept in every run folder."""
    home = str(Path.home())
    return re.sub(rf"(?<![\w/]){re.escape(home)}(?=[/'\"\s])", "~", text) if len(home) > 1 else text


def identity_of(cfg: DictConfig) -> dict[str, Any]:
    """What tells a run from others: the configuration without its place."""
    tree = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    del tree["training"]["threads"]
    return {name: content for name, content in tree.items() if name not in PLACE}


def composed(overrides: Sequence[str], config_dir: Path | None = None) -> DictConfig:
    """Compose the configuration tree as the command line would.

    Parameters
    ----------
    overrides : sequence of str
        As on the command line: ``group=option``, ``key=value``.
    config_dir : Path, optional
        Folder of a user's own options.

    Raises
    ------
    Refused
        If an override names what is not there.
    """
    path = []
    if config_dir is not None:
        check_config_dir(config_dir)
        path = [f"hydra.searchpath=[file://{config_dir.absolute()}]"]
    with in_one_line(), initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", [*path, *overrides])


def composed_settings(overrides: Sequence[str]) -> RunSettings:
    """Settings of a run as the command line would have them, for programs that measure runs."""
    return settings_of(composed(overrides))

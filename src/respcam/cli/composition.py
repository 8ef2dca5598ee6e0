"""Composition: the configuration tree becomes the typed settings that each module owns."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from respcam.cli.refusals import CONF
from respcam.data.patches import PatchSettings
from respcam.data.splits import SplitSettings
from respcam.data.tasks import Task
from respcam.errors import Refused
from respcam.evidence.examination import TrustSettings
from respcam.heat.bands import BandSelection, HzGroups
from respcam.metrics import BootstrapSettings
from respcam.network.model import ModelSettings
from respcam.network.training import Training
from respcam.sound.audio import AudioSettings
from respcam.sound.front_end import FrontEnd
from respcam.stages.dataset import DatasetSettings
from respcam.stages.explain import ExplainSettings
from respcam.stages.run import RunSettings
from respcam.stages.train import Recipe
from respcam.store.shard import Shard

Settings = TypeVar("Settings")

PLACE = ("paths", "device", "workers", "shard", "tracker", "until")  # where and on what a run is made, not what it is


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
        merged = OmegaConf.merge(schema, OmegaConf.to_container(node, resolve=True))
        return cast(Settings, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        key = ".".join(part for part in (name, error.full_key) if part)
        raise Refused(f"{key}: {reason}") from error


@dataclass(frozen=True)
class Scalars:
    """Settings of a run that stand in no group."""

    until: str
    seed: int
    permute_labels: bool
    device: str
    workers: int


def settings_of(cfg: DictConfig | ListConfig) -> RunSettings:
    """Turn the whole configuration into the settings of a run."""
    names = [field.name for field in fields(Scalars)]
    scalars = _typed(Scalars, OmegaConf.create({name: cfg[name] for name in names}), "")  # type: ignore[index]
    return RunSettings(
        dataset=typed(DatasetSettings, cfg, "dataset"),
        audio=typed(AudioSettings, cfg, "audio"),
        front_end=typed(FrontEnd, cfg, "front_end"),
        recipe=Recipe(
            task=typed(Task, cfg, "task"),
            split=typed(SplitSettings, cfg, "split"),
            patches=typed(PatchSettings, cfg, "patches"),
            bands=typed(BandSelection, cfg, "bands"),
            model=typed(ModelSettings, cfg, "model"),
            training=typed(Training, cfg, "training"),
            bootstrap=typed(BootstrapSettings, cfg, "bootstrap"),
            permute_labels=scalars.permute_labels,
        ),
        explain=typed(ExplainSettings, cfg, "explain"),
        trust=typed(TrustSettings, cfg, "trust"),
        hz_groups=typed(HzGroups, cfg, "hz_groups"),
        until=scalars.until,
        seed=scalars.seed,
        device=scalars.device,
        workers=scalars.workers,
        shard=typed(Shard, cfg, "shard"),
        store=Path(cfg.paths.store),
        runs=Path(cfg.paths.runs),
        config=OmegaConf.to_yaml(cfg, resolve=True),
    )


def identity_of(cfg: DictConfig) -> dict[str, Any]:
    """What tells a run from others: the configuration without its place."""
    tree = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    del tree["training"]["threads"]
    return {name: content for name, content in tree.items() if name not in PLACE}


def composed(overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration tree as the command line would.

    Raises
    ------
    Refused
        If an override names what is not there.
    """
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", list(overrides))
    except HydraException as error:
        raise Refused(" ".join(str(error).split())) from error


def composed_settings(overrides: Sequence[str]) -> RunSettings:
    """Settings of a run as the command line would have them, for programs that measure runs."""
    return settings_of(composed(overrides))

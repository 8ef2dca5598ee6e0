"""Where configuration becomes typed settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from edge import PROJECT
from respcam.data.patches import PatchSettings
from respcam.data.splits import SplitSettings
from respcam.data.tasks import Task
from respcam.heat.bands import BandSelection, HzGroups
from respcam.metrics import BootstrapSettings
from respcam.network.model import ModelSettings
from respcam.network.training import Training
from respcam.sound.audio import AudioSettings
from respcam.sound.front_end import FrontEnd
from respcam.stages.dataset import DatasetSettings
from respcam.stages.explain import ExplainSettings
from respcam.stages.run import Pipeline, RunSettings
from respcam.stages.subject import TrustSettings
from respcam.stages.train import TrainSettings
from respcam.store.shard import Shard

Settings = TypeVar("Settings")

PLACE = ("paths", "device", "workers", "shard", "tracker")  # where and on what a run is made, not what it is


def typed(cls: type[Settings], cfg: DictConfig, name: str) -> Settings:
    """Turn one node of the configuration into the settings that a core module owns."""
    schema = OmegaConf.structured(cls)
    for child in (schema._get_node(key) for key in schema):
        if OmegaConf.is_config(child):  # a frozen dataclass inside another would refuse the user's values
            OmegaConf.set_readonly(child, False)
    try:
        # resolved while it still hangs in the tree that it may refer to
        return OmegaConf.to_object(OmegaConf.merge(schema, OmegaConf.to_container(cfg[name], resolve=True)))
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        key = f"{name}.{error.full_key}" if error.full_key else name
        raise SystemExit(f"{key}: {reason}") from error


def settings_of(cfg: DictConfig) -> RunSettings:
    """Turn the whole configuration into the settings of a run."""
    return RunSettings(
        dataset=typed(DatasetSettings, cfg, "dataset"),
        audio=typed(AudioSettings, cfg, "audio"),
        front_end=typed(FrontEnd, cfg, "front_end"),
        trained=TrainSettings(
            task=typed(Task, cfg, "task"),
            split=typed(SplitSettings, cfg, "split"),
            patches=typed(PatchSettings, cfg, "patches"),
            bands=typed(BandSelection, cfg, "bands"),
            model=typed(ModelSettings, cfg, "model"),
            training=typed(Training, cfg, "training"),
            bootstrap=typed(BootstrapSettings, cfg, "bootstrap"),
            permute_labels=cfg.permute_labels,
        ),
        explain=typed(ExplainSettings, cfg, "explain"),
        trust=typed(TrustSettings, cfg, "trust"),
        hz_groups=typed(HzGroups, cfg, "hz_groups"),
        seed=cfg.seed,
        device=cfg.device,
        workers=cfg.workers,
        shard=typed(Shard, cfg, "shard"),
        store=Path(cfg.paths.store),
        runs=Path(cfg.paths.runs),
        config=OmegaConf.to_yaml(cfg, resolve=True),
    )


def asked(cfg: DictConfig) -> dict[str, Any]:
    """What tells a run from others: the configuration without its place."""
    plain = OmegaConf.to_container(cfg, resolve=True)
    del plain["training"]["threads"]
    return {name: own for name, own in plain.items() if name not in PLACE}


def pipeline_of(cfg: DictConfig) -> Pipeline:
    """Make the pipeline that a configuration describes."""
    return Pipeline(settings_of(cfg))


def composed(overrides: Sequence[str]) -> RunSettings:
    """Settings of a run as the command line would have them, for programs that measure runs."""
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return settings_of(compose("config", list(overrides)))

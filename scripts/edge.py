"""Where configuration becomes typed settings, and errors become one line."""

import functools
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import respcam
from respcam.audio import AudioSettings
from respcam.bands import BandSelection, HzGroups
from respcam.front_end import FrontEnd
from respcam.metrics import BootstrapSettings
from respcam.model import ModelSettings
from respcam.patches import PatchSettings
from respcam.splits import SplitSettings
from respcam.stages.dataset import DatasetSettings
from respcam.stages.explain import ExplainSettings
from respcam.stages.pipeline import Pipeline, RunSettings
from respcam.stages.subject import TrustSettings
from respcam.stages.train import TrainSettings
from respcam.tasks import Task
from respcam.training import Training

log = logging.getLogger("respcam")
Settings = TypeVar("Settings")

PROJECT = Path(__file__).resolve().parent.parent
OmegaConf.register_new_resolver("project", lambda: str(PROJECT), replace=True)


def typed(cls: type[Settings], cfg: DictConfig, name: str) -> Settings:
    """Turn one node of the configuration into the settings that a core module owns."""
    schema = OmegaConf.structured(cls)
    for child in (schema._get_node(key) for key in schema):
        if OmegaConf.is_config(child):  # a frozen dataclass inside another would refuse the user's values
            OmegaConf.set_readonly(child, False)
    try:
        return OmegaConf.to_object(OmegaConf.merge(schema, cfg[name]))
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
        store=Path(cfg.paths.store),
        runs=Path(cfg.paths.runs),
        config=OmegaConf.to_yaml(cfg, resolve=True),
    )


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
    print(Pipeline(settings_of(cfg)).run(stage))

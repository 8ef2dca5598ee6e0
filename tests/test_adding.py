"""What a contributor adds: a CAM method, a stage, an arm; each is written in one place. A data set: tests/data."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from conftest import PROJECT
from hydra import compose, initialize_config_dir

from respcam.cli.composition import settings_of
from respcam.evidence.examination import TrustSettings
from respcam.heat.bands import kept_bands
from respcam.heat.cam import METHODS, heat_maps
from respcam.heat.methods import cam_method
from respcam.network.model import BandCNN
from respcam.sound.front_end import band_edges_hz
from respcam.stages.explain import Explain, ExplainSettings
from respcam.stages.profile import Profile
from respcam.store.stage import Stage
from respcam.store.tables import Document


@pytest.fixture
def added():
    """A CAM method as a contributor writes one: HiResCAM without the sign of the maps."""

    @cam_method("Absolute HiResCAM", "a test, eq. 1", "sum_k G_k |A_k|", is_signed=True)
    def absolute_hires_cam(maps: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * maps.sign()

    yield "absolute_hires_cam"
    del METHODS["absolute_hires_cam"]


def test_a_cam_method_is_one_object_and_nothing_else_names_it(added, stages, tmp_path):
    torch.manual_seed(0)
    patches = torch.randn(2, 1, 64, 96)
    maps = heat_maps(BandCNN(2).eval(), patches, ["blocks.3"], [added, "hires_cam"])
    # the maps of a block end in a ReLU and are never below zero, so both agree there
    np.testing.assert_allclose(maps.signed[added, "blocks.3"], maps.signed["hires_cam", "blocks.3"], atol=1e-6)
    explain = Explain(store=tmp_path, train=stages["train"], explain=ExplainSettings(method=added))
    explain.make()
    assert explain.method()["method"] == added
    assert added in TrustSettings(methods=[added]).methods
    assert METHODS[added].title == "Absolute HiResCAM"


@dataclass(frozen=True, kw_only=True, eq=False)
class HottestBand(Stage):
    """A stage as a contributor writes one: its own module, its test, and a line where a run is wired."""

    name: ClassVar[str] = "hottest_band"
    schema: ClassVar[int] = 1
    BAND: ClassVar[Document] = Document("band.json")

    profile: Profile

    def write(self, folder: Path) -> None:
        self.BAND.write(int(self.profile.importance().argmax()), folder)

    def band(self) -> int:
        return self.BAND.read(self.folder)


def test_a_stage_is_its_own_module_and_a_line_in_the_wiring(stages, tmp_path):
    stage = HottestBand(store=tmp_path, profile=stages["profile"])
    assert stage.inputs == {"profile": stages["profile"]}
    stage.make()
    assert stage.band() == stages["profile"].importance().argmax()
    assert (stage.folder / "provenance.json").is_file()


def test_an_arm_is_one_file(tmp_path):
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    (tmp_path / "conf/bands/middle.yaml").write_text("name: middle\nkeep_hz: [[400, 1200]]\nrule: centre\n")
    with initialize_config_dir(str(tmp_path / "conf"), version_base="1.3"):
        settings = settings_of(compose("config", ["bands=middle"]))
    edges_hz = band_edges_hz(settings.front_end)
    is_kept = kept_bands(edges_hz, settings.recipe.bands)
    assert settings.recipe.bands.name == "middle"
    assert (is_kept == ((edges_hz[:, 1] >= 400) & (edges_hz[:, 1] <= 1200))).all()

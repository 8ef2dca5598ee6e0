"""What ``import respcam`` offers a notebook."""

import os
import re
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
import soundfile as sf
from conftest import PROJECT

import respcam
from respcam.experiments.opened_run import OpenedRun

SCRIPT = """\
import respcam
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 8, 5), nn.Linear(8, 2)
    def forward(self, patches):
        return self.head(self.conv(patches).relu().mean(dim=(2, 3)))

log_mel = respcam.log_mel(respcam.read_audio("breath.wav"))
patches = respcam.cut_patches(log_mel)
heat = respcam.heat_of(Net(), patches, layers=["conv"])
print(log_mel.shape, patches.shape, heat.shape)
print(respcam.band_profile(heat))
"""
SLOW = {"torch", "numpy", "pandas", "scipy", "soundfile", "soxr", "matplotlib", "lightning_fabric"}


def python(*arguments, folder):
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=True, env=environment
    )


def test_importing_takes_milliseconds_and_nothing_heavy(tmp_path):
    lines = python("-X", "importtime", "-c", "import respcam", folder=tmp_path).stderr.splitlines()
    rows = [line.removeprefix("import time:").split("|") for line in lines if "|" in line]
    cumulative_us = {name.strip(): cumulative for _, cumulative, name in rows}
    assert not {name.split(".")[0] for name in cumulative_us} & SLOW
    assert int(cumulative_us["respcam"]) < 300_000


@pytest.mark.parametrize("name", respcam.__all__)
def test_every_name_has_an_example_and_a_line_in_the_list(name):
    value = getattr(respcam, name)
    assert value.__name__ == name
    assert ">>> " in value.__doc__
    assert f"`{name}`: " in respcam.__doc__


def test_the_names_are_listed_and_no_others_are_there():
    assert set(re.findall(r"`(\w+)`: ", respcam.__doc__)) == set(respcam.__all__) <= set(dir(respcam))
    assert respcam.__version__ == version("respcam")
    with pytest.raises(AttributeError, match="no_such_name"):
        respcam.no_such_name  # noqa: B018


def test_a_few_lines_give_log_mel_heat_and_profile_of_a_network_of_the_users_own(tmp_path, noise):
    assert len(SCRIPT.splitlines()) <= 15
    assert SCRIPT in (PROJECT / "README.md").read_text().replace("\n    ", "\n")
    sf.write(tmp_path / "breath.wav", np.tile(noise, (2, 2)).T, 8000)  # stereo, and another rate
    (tmp_path / "script.py").write_text(SCRIPT)
    shapes, header, *rows = python("script.py", folder=tmp_path).stdout.splitlines()
    assert shapes == "(64, 398) (8, 64, 96) (8, 64, 96)"
    assert header.split()[:2] == ["scope", "name"]
    assert len(rows) >= 10


@pytest.mark.parametrize("example", [respcam.open_run, OpenedRun.explain])
def test_the_examples_of_an_opened_run_run(example, finished, capsys):
    folder = finished[1]
    path = next(finished[0].glob("**/*.wav"))
    block = re.search(r"::\n\n((?: {4,}.*\n)+)", example.__doc__)[1]
    code = "\n".join(line.strip() for line in block.splitlines())
    exec(code, {"respcam": respcam, "folder": folder, "path": path})
    assert "adventitious" in capsys.readouterr().out

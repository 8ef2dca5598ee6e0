"""The wheel: it holds settings and manifests, and its command works in an empty folder with a user's own settings."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from conftest import PROJECT

PACKAGES = PROJECT / "src" / "respcam"
EXPERIMENT = """# @package _global_
defaults:
  - override /task: labels
training: {epochs: 1}
trust: {first: 8}
explain: {layers: [blocks.3]}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that the wheel, built from what git would hold, is unpacked to."""
    pytest.importorskip("setuptools", reason="the wheel is built with setuptools, which is not installed here")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("conf", "data_manifests", "src"):
        shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        source,
    ]
    subprocess.run(command, check=True, timeout=200)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def test_every_package_is_named():
    """A package that pyproject.toml does not name would be missing from the wheel."""
    named = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {".".join(path.parent.relative_to(PACKAGES.parent).parts) for path in PACKAGES.rglob("*.py")}
    assert set(named) == found | {"respcam.conf", "respcam.data_manifests"}


def test_the_wheel_has_settings_manifests_and_templates(installed):
    for folder, inside in (("conf", "conf"), ("data_manifests", "data_manifests"), ("src/respcam/report", "report")):
        for path in (PROJECT / folder).rglob("*"):
            if path.suffix in (".yaml", ".csv", ".html"):
                assert (installed / "respcam" / inside / path.relative_to(PROJECT / folder)).is_file(), path
    entry = next(installed.glob("*.dist-info/entry_points.txt")).read_text()
    assert "respcam = respcam.cli.main:main" in entry


def test_the_installed_command_works_in_an_empty_folder_with_settings_of_ones_own(installed, tmp_path):
    def respcam(*words):
        return subprocess.run(
            [sys.executable, "-c", "from respcam.cli.main import main; main()", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    where = subprocess.run(
        [sys.executable, "-c", "import respcam; print(respcam.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(installed)
    assert respcam("--version").stdout.startswith("respcam 0.")
    sounds = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "data" / ("wheeze" if number % 2 else "normal") / f"p{number // 2 % 12}{number % 2}_1.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, sounds.normal(0, 0.1, 8000), 4000)
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/short.yaml").write_text(EXPERIMENT)
    run = respcam(
        "run", "--config-dir", "mine", "experiment=short", "dataset=folder", "dataset.root=data", "workers=1"
    )
    assert run.returncode == 0, run.stderr
    page = tmp_path / run.stdout.strip()
    assert page.name == "report.html"
    assert page.is_file()
    assert "layers:\n  - blocks.3" in (page.parent / "config.yaml").read_text()
    check = respcam("manifest", "check", "dataset=sprsound2022", "dataset.root=data")
    assert check.returncode == 1  # the manifest is in the wheel, the recordings are not here
    assert check.stdout.count("missing") == 2683


def test_the_wheel_says_what_it_is_made_of(installed):
    assert (installed / "respcam/bill_of_materials.cdx.json").is_file()
    licences = next(installed.glob("respcam-*.dist-info/licenses"))
    assert (licences / "LICENSE").is_file()
    assert next(licences.rglob("vega.js.LICENSES.txt"))

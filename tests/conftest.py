"""Small named sounds, and settings small enough for a test."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from filelock import FileLock

RATE_HZ = 16_000
PROJECT = Path(__file__).resolve().parent.parent
LONG = {"test_golden", "test_truths", "test_launchers", "test_export"}
SMALL = [  # a run of a few seconds
    "training=quick",
    "training.epochs=1",
    "trust.first=8",
    "examples.number=2",
    "report.formats=[]",
    "dataset.synthetic.n_patients=20",
    "dataset.synthetic.recordings_per_patient=1",
    "dataset.synthetic.duration_s=2",
    "workers=1",
]


def pytest_collection_modifyitems(items):
    """Start with the tests that take a minute, so that no process waits for one at the end."""
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture
def tone():
    """Make 1 s of a sine at any frequency and rate."""

    def make(f_hz: float, rate_hz: int = RATE_HZ, duration_s: float = 1.0, level: float = 0.5) -> np.ndarray:
        time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
        return (level * np.sin(2 * np.pi * f_hz * time_s)).astype(np.float32)

    return make


@pytest.fixture
def noise():
    """One second of white noise at 16 kHz."""
    return (0.1 * np.random.default_rng(0).standard_normal(RATE_HZ)).astype(np.float32)


@pytest.fixture
def recordings():
    """A small table that keeps every rule: 8 patients, 2 recordings each."""
    rows = []
    for patient in range(8):
        for number in range(2):
            rows.append(
                {
                    "recording_id": f"p{patient}_{number}",
                    "path": f"audio/p{patient}_{number}.wav",
                    "sha256": f"{patient * 2 + number:064x}",
                    "sample_rate_hz": "8000",
                    "n_samples": "16000",
                    "patient_id": f"p{patient}",
                    "label": "wheeze" if patient % 2 else "normal",
                    "split": "test" if patient >= 6 else "train",
                }
            )
    return pd.DataFrame(rows)


@pytest.fixture
def write_sound(tmp_path):
    """Write a sound and return its path."""

    def write(name: str, waveform: np.ndarray, rate_hz: int = RATE_HZ, **options: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, waveform, rate_hz, **options)
        return path

    return write


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Call respcam in this process, in an empty working folder: what a process of its own would return.

    A process of its own takes seconds to import torch; tests/test_installed.py and some of tests/cli start one.
    """
    monkeypatch.chdir(tmp_path)
    handlers, level = logging.root.handlers[:], logging.root.level

    def call(*arguments: str) -> subprocess.CompletedProcess:
        from respcam.cli.main import main

        monkeypatch.setattr(sys, "argv", ["respcam", *arguments])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code
        finally:
            logging.root.handlers[:], logging.root.level = handlers, level  # Hydra sets its own
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Make a folder in the first of the processes of pytest-xdist that needs it; the others wait and read it."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, is_made = base / name, base / f"{name}.made"
        with FileLock(base / f"{name}.lock"):
            if not is_made.exists():
                make(folder)
                is_made.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def finished(made_once, tmp_path_factory):
    """A finished run that tests of several stages look at: folder of store and runs, and folder of the run."""
    from stages.small_runs import settings_in  # imports torch

    from respcam.stages.run import Run

    original = made_once("finished", lambda folder: Run.of(settings_in(folder)).make())
    folder = tmp_path_factory.mktemp("finished") / "copy"  # every process adds runs of its own
    shutil.copytree(original, folder, copy_function=os.link)
    return folder, Run.of(settings_in(folder)).stages["report"].folder


@pytest.fixture(scope="session")
def brief(tmp_path_factory):
    """Folder of store and runs of `stages.small_runs.short_settings_in`; their sounds are not those of ``finished``."""
    return tmp_path_factory.mktemp("brief")


@pytest.fixture
def stages(finished):
    """The finished run's stages by name."""
    from stages.small_runs import settings_in

    from respcam.stages.run import Run

    return Run.of(settings_in(finished[0])).stages

"""Checks on real recordings: RESPCAM_DATA=DIR with sprsound2022/ and icbhi2017/ in it; skipped without."""

import os
from pathlib import Path

import pandas as pd
import pytest

from respcam.cli.composition import composed_settings
from respcam.sound import audio
from respcam.stages import dataset

DATA = Path(os.environ.get("RESPCAM_DATA", "/nonexistent"))
NAMES = ["sprsound2022", "icbhi2017"]


def settings_of(name: str, tmp_path: Path):
    if not (DATA / name).is_dir():
        pytest.skip(f"no {name} under RESPCAM_DATA")
    overrides = [f"dataset={name}", f"dataset.root={DATA / name}", "dataset.missing=skip"]
    return composed_settings([*overrides, f"paths.store={tmp_path}", "workers=1"])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_there_is_what_was_published(name, tmp_path):
    settings = settings_of(name, tmp_path)
    problems = dataset.validate(settings.dataset, tmp_path, workers=1)
    assert not [line for line in problems if not line.endswith(": missing")]


@pytest.mark.parametrize("name", NAMES)
def test_real_headers_widths_and_rates_are_read(name, tmp_path):
    settings = settings_of(name, tmp_path)
    files = dataset.open_dataset(settings.dataset, tmp_path, workers=1).files
    rows = files.table[~files.table["content"].isin(dataset.ABSENT)][:20].to_dict("records")
    (tmp_path / "out").mkdir()
    table = pd.DataFrame(audio.resample_files(rows, files.root, tmp_path / "out", settings.audio))
    assert "reason" not in table
    expected = table["source_samples"] * 16_000 / table["source_rate_hz"]
    assert (table["n_samples"] - expected).abs().max() <= 1

"""A new data set is at most five files: layout, settings, two tables and a test."""

import importlib
import sys

import pytest
import yaml

from respcam.data import layouts, manifest
from respcam.store.artifact import file_sha256

NAME = "lungs2030"
LAYOUT = '''"""LUNGS 2030: a data set that somebody contributes.

Source: the authors of LUNGS.
Licence: Creative Commons Attribution.
"""

from pathlib import Path

import pandas as pd

from respcam.data.listing import Listing, required


def list_tables(root: Path) -> Listing:
    """List LUNGS from its one table of annotations."""
    table = pd.read_csv(required(root / "annotations.csv"), dtype=str)
    recordings = [
        {
            "recording_id": row.file,
            "path": f"sounds/{row.file}.flac",
            "patient_id": row.subject,
            "label": row.finding,
            "split": row.set,
            "device": row.stethoscope,
        }
        for row in table.itertuples(index=False)
    ]
    events = [
        (row.file, float(row.onset_s), float(row.offset_s), row.finding)
        for row in table[table["finding"] != "clear"].itertuples(index=False)
    ]
    return Listing.of(recordings, events)
'''
SETTINGS = f"""name: {NAME}
layout: manifest
root: ???
manifest: data_manifests/{NAME}.csv
events: data_manifests/{NAME}_events.csv
labels: [clear, wheeze]
event_labels: [wheeze]
"""
ANNOTATIONS = """file,subject,set,stethoscope,finding,onset_s,offset_s
b_1,bea,test,steel,clear,,
a_1,abe,train,steel,wheeze,0.2,0.7
a_2,abe,train,wood,clear,,
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """What a contributor adds by hand: a layout and its settings. No other file is touched."""
    for path, text in ((f"layouts/{NAME}.py", LAYOUT), (f"conf/dataset/{NAME}.yaml", SETTINGS)):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(layouts, "__path__", [*layouts.__path__, str(tmp_path / "layouts")])  # the folder, as if here
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop(f"{layouts.__name__}.{NAME}", None)
    vars(layouts).pop(NAME, None)


@pytest.fixture
def root(tmp_path, write_sound, noise):
    """The data set as its authors publish it."""
    for name in ("a_1", "a_2", "b_1"):
        write_sound(f"published/sounds/{name}.flac", noise[:8000], 8000)
    (tmp_path / "published/annotations.csv").write_text(ANNOTATIONS)
    return tmp_path / "published"


def test_a_new_data_set_is_five_files_and_its_manifest_keeps_the_rules(checkout, root):
    assert NAME in layouts.layout_names()
    path = layouts.write_manifest(NAME, root, checkout / "data_manifests")
    written = {
        file.relative_to(checkout).as_posix() for file in checkout.rglob(f"{NAME}*.*") if file.suffix != ".pyc"
    }
    assert written == {
        f"layouts/{NAME}.py",
        f"conf/dataset/{NAME}.yaml",
        f"data_manifests/{NAME}.csv",
        f"data_manifests/{NAME}_events.csv",
    }  # the fifth is its test
    settings = yaml.safe_load((checkout / f"conf/dataset/{NAME}.yaml").read_text())
    recordings = manifest.read_recordings(path, settings["labels"])
    assert checkout / settings["manifest"] == path
    assert recordings["recording_id"].tolist() == ["a_1", "a_2", "b_1"]
    assert recordings["sha256"].tolist() == [
        file_sha256(root / f"sounds/{name}.flac") for name in recordings["recording_id"]
    ]
    assert recordings["sample_rate_hz"].tolist() == ["8000"] * 3
    assert recordings["device"].tolist() == ["steel", "wood", "steel"]
    manifest.check_patients_apart(recordings, path.name)
    events = manifest.read_events(checkout / settings["events"], recordings, settings["event_labels"])
    assert events.to_numpy().tolist() == [["a_1", 0.2, 0.7, "wheeze"]]


def test_its_absent_annotations_are_named(checkout, tmp_path):
    with pytest.raises(ValueError, match=r"annotations\.csv: not there"):
        layouts.write_manifest(NAME, tmp_path, tmp_path)

"""Files of a finished run change, shrink, go or are exchanged: the next start notices, and ends as if nothing was."""

import hashlib
import json
import os
import shutil
from itertools import count

import pytest
from small_runs import short_settings_in

from respcam.cli.main import main
from respcam.experiments import records
from respcam.experiments.finished import FinishedRun
from respcam.stages.run import STAGES, Run
from respcam.store import integrity
from respcam.store.integrity import Damaged, check_output, is_aside

PROVENANCE = "provenance.json"
#: files that another stage reads, one of each kind
READ_LATER = {
    "resample": ["recordings.csv", "rejected.csv", "audio/first"],
    "features": ["index.csv", "bands.csv", "mel-000.npy"],
    "train": ["model.safetensors", "model.json", "classes.json", "scaler.csv", "predictions.csv", "units.csv",
              "metrics.json", "history.csv", "remarks.json"],
    "explain": ["index.csv", "heat-map.npy", "heat-band.npy", "method.json"],
    "profile": ["band_heat.csv", "heat_summary.json"],
    "trust": ["trust.json", "occlusion.csv", "profiles.csv"],
    "examples": ["examples.csv", "unit_heat.csv", "trained_on.json", "0.npz"],
    "report": ["report.html", "metrics.json", "config.yaml"],
}  # fmt: skip
KINDS = ("flipped", "cut", "emptied", "gone", "swapped")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage")
    Run.of(short_settings_in(folder)).make()
    return folder


@pytest.fixture
def damaged(template, tmp_path):
    """A copy of the finished run in which the files of a stage can be changed."""
    shutil.copytree(template, tmp_path / "copy", copy_function=os.link)
    return tmp_path / "copy"


def change(path, kind):
    """Damage one file; other hard links keep their content."""
    content, stat = path.read_bytes(), path.stat()
    integrity._COMPARED.clear()  # as in another process
    path.unlink()
    if kind == "gone":
        return
    half = len(content) // 2
    changed = {
        "flipped": content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :],
        "cut": content[:half],
        "emptied": b"",
        "swapped": (path.parent / PROVENANCE).read_bytes() if (path.parent / PROVENANCE).exists() else content[::-1],
    }[kind]
    path.write_bytes(changed)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def contents(run):
    """SHA-256 of every file of a run folder that does not contain a time."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.iterdir())
        if path.suffix in (".csv", ".json", ".safetensors", ".yaml") and path.name != PROVENANCE
    }


def start_again(folder, stage):
    """Make a stage and all after it anew from what lies in the folder, as a changed setting would."""
    run = Run.of(short_settings_in(folder))
    for name in STAGES[STAGES.index(stage) + 1 :]:
        shutil.rmtree(run.stages[name].folder)
    return Run.of(short_settings_in(folder)).make().parent


ALL_CASES = [(stage, name, KINDS[number % len(KINDS)]) for stage, names in READ_LATER.items()
             for number, name in enumerate([*names, PROVENANCE])]  # fmt: skip
#: the first file of each stage and its provenance; soak.py tries all
CASES = ALL_CASES if os.environ.get("RESPCAM_SOAK") else [
    case for case in ALL_CASES if case[1] in (PROVENANCE, READ_LATER[case[0]][0])
]  # fmt: skip


@pytest.mark.parametrize(("stage", "name", "kind"), CASES)
def test_damage_is_noticed_and_the_run_ends_as_if_nothing_was(damaged, template, stage, name, kind, caplog):
    original = Run.of(short_settings_in(template)).stages["report"].folder
    folder = Run.of(short_settings_in(damaged)).stages[stage].folder
    path = sorted((folder / "audio").iterdir())[0] if name == "audio/first" else folder / name
    change(path, kind)
    if (stage, name) == ("resample", "rejected.csv"):  # nothing reads it later
        with pytest.raises(Damaged, match=r"rejected\.csv has changed"):
            check_output(folder)
        return
    again = start_again(damaged, stage)
    assert contents(again) == contents(original)
    check_output(folder)
    if (name, kind) != (PROVENANCE, "gone"):
        assert path.name in caplog.text or PROVENANCE in caplog.text
        assert "it is made again" in caplog.text
    assert [aside for aside in folder.parent.iterdir() if is_aside(aside)]


def test_damage_that_is_not_needed_is_found_by_the_check(damaged, capsys, monkeypatch):
    folder = Run.of(short_settings_in(damaged)).stages["features"].folder
    command = ["respcam", "runs", "--check", str(damaged)]
    monkeypatch.setattr("sys.argv", command)
    main()
    assert "9 outputs are as they were written" in capsys.readouterr().err
    change(folder / "mel-000.npy", "flipped")
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit):
        main()
    printed = capsys.readouterr()
    assert printed.out == f"{folder / 'mel-000.npy'} has changed since it was written\n"
    assert "error: 1 files of 9 outputs are damaged" in printed.err


def test_a_run_folder_that_was_damaged_is_refused_and_listed(damaged, tmp_path):
    run = Run.of(short_settings_in(damaged)).stages["report"].folder
    change(run / "predictions.csv", "flipped")
    with pytest.raises(Damaged, match="predictions.csv has changed since it was written; the command of its run"):
        FinishedRun.of(run).predictions()
    change(run / "metrics.json", "cut")
    record = records.RunRecord("a", state=records.FINISHED, run=str(run))
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.json").write_text(json.dumps(vars(record)))
    (tmp_path / "records" / "b.json").write_text("{")
    table = records.table(tmp_path / "records")
    assert table["state"].tolist() == [records.DAMAGED]
    assert "metrics.json has changed" in table["error"][0]


def test_an_output_that_is_damaged_again_is_refused(tmp_path, monkeypatch):
    Run.of(short_settings_in(tmp_path)).make("resample")
    integrity._COMPARED.clear()
    numbers = count()
    monkeypatch.setattr("respcam.store.artifact.remember", lambda folder, files: None)
    monkeypatch.setattr("respcam.store.integrity.file_checksum", lambda path: str(next(numbers)))  # a disk that lies
    with pytest.raises(Damaged, match="has changed since it was written"):
        Run.of(short_settings_in(tmp_path)).make("features")

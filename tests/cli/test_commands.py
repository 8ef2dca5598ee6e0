"""The command line: every option composes, mistakes end in one line, the README's commands exist."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PROJECT, SMALL

from respcam.cli import composition
from respcam.cli.composition import composed_settings as composed
from respcam.errors import Refused
from respcam.heat.bands import kept_bands
from respcam.sound.front_end import band_edges_hz
from respcam.stages.run import Run

CONF = PROJECT / "conf"
OPTIONS = [
    f"{path.parent.name}={path.stem}"
    for path in sorted(CONF.glob("*/*.yaml"))
    if path.parent.name not in ("experiment", "dataset")
]
NEEDS = {
    "bands=ranges": ["bands.keep_hz=[[100,600],[900,1500]]"],
    "model=custom": ["model.name=my_module:MyClass"],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_becomes_typed_settings(option):
    composed([option, *NEEDS.get(option, [])])


@pytest.mark.parametrize("path", sorted((CONF / "dataset").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_dataset_becomes_typed_settings(path):
    extra = ["dataset.root=/data"] if "root:" in path.read_text() else []
    extra += ["dataset.manifest=/data/m.csv"] if path.stem == "csv" else []
    settings = composed([f"dataset={path.stem}", *extra])
    assert settings.dataset.name == path.stem
    if settings.dataset.manifest and path.stem != "csv":
        assert settings.dataset.manifest.is_file()


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_experiments_are_short_and_compose(path):
    assert len(path.read_text().splitlines()) <= 10
    composed([f"experiment={path.stem}"])


def test_the_default_is_the_front_end_of_the_field():
    settings = composed([])
    front_end = settings.front_end
    assert (front_end.window_samples, front_end.hop_samples, front_end.n_bands) == (400, 160, 64)
    assert (front_end.f_min_hz, front_end.f_max_hz, front_end.log_offset) == (100, 2000, 0.01)
    assert settings.recipe.patches.length_frames == 96
    below = composed(["bands=below_1500hz"]).recipe.bands
    assert kept_bands(band_edges_hz(front_end), below).sum() == 54
    assert composed(["front_end=vggish"]).front_end.n_fft == 512


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+front_end.n_ffft=512", "front_end.n_ffft: no such setting; did you mean n_fft?"),
        (
            "training.epochs=many",
            "training.epochs is 'many'; expected a whole number",
        ),
    ],
)
def test_a_misspelt_key_and_a_wrong_type_are_refused(override, message):
    with pytest.raises(Refused, match=re.escape(message)):
        composed([override])


def test_a_missing_root_is_asked_for():
    with pytest.raises(Refused, match="dataset.root is not set; name the folder of the recordings"):
        Run.of(composed(["dataset=sprsound2022"]))


def run(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(PROJECT / "scripts" / script), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200, check=False)


def imported_by(*command: str) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True
    )
    return {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if line.startswith("import time")}


COMMANDS = sorted(path.name for path in (PROJECT / "scripts").glob("*.py"))


@pytest.mark.parametrize("script", COMMANDS)
def test_help_does_not_wait_for_heavy_imports(script):
    found = imported_by(str(PROJECT / "scripts" / script), "--help")
    assert "respcam" in found
    assert not found & {"torch", "sklearn", "scipy.stats", "matplotlib", "lightning_fabric"}


def test_naming_what_is_done_needs_no_heavy_import_but_torch():
    found = imported_by("-c", "import respcam.stages.run")
    assert "torch" in found
    assert not found & {"sklearn", "scipy.stats", "scipy.signal", "matplotlib", "lightning_fabric", "timm"}


def test_worker_processes_start_light():
    found = imported_by("-c", "import respcam.sound.audio, respcam.sound.front_end, respcam.sound.frames")
    assert "respcam.sound.front_end" in found
    assert not found & {"torch", "pandas"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["dataset=sprsound2022", "dataset.root=/nowhere"],
            "dataset.root is /nowhere, which is not a folder",
        ),
        (["training.epochs=0"], "training.epochs is 0; expected at least 1"),
        (
            ["model=timm", "model.name=resnet1", "dataset.synthetic.n_patients=3"],
            "n_patients is 3; expected at least 20",
        ),
    ],
)
def test_a_mistake_ends_with_one_line(tmp_path, arguments, message):
    result = run("run.py", *arguments, cwd=tmp_path)
    assert result.returncode in (1, 2)
    assert "Traceback" not in result.stderr
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_stage_alone_prints_where_it_lies(command, tmp_path):
    for stage in ("features", "resample"):  # features makes what it needs
        result = command("run", f"until={stage}", *SMALL)
        assert result.returncode == 0, result.stderr
        assert (tmp_path / result.stdout.strip() / "provenance.json").is_file()
    assert "already done" in result.stderr or "nothing recomputed" in result.stderr
    result = command("run", *SMALL)
    assert result.returncode == 0, result.stderr
    page = tmp_path / result.stdout.strip()
    assert page.name == "report.html"
    assert page.is_file()
    again = command("run", *SMALL)
    assert again.stdout == result.stdout
    assert "nothing recomputed" in again.stderr


def test_an_interruption_ends_with_one_line_and_the_same_command_goes_on(tmp_path):
    command = [
        sys.executable,
        str(PROJECT / "scripts" / "run.py"),
        *(word for word in SMALL if word != "training.epochs=1"),
        "training.epochs=500",
        "training.patience=500",
        "until=train",
    ]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # a shell starts its background jobs with the signal ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("outputs/store/train/*/checkpoint.pt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert (
        err.strip().splitlines()[-1].startswith("interrupted: every finished stage and the last complete epoch are")
    )
    again = run("run.py", *SMALL, "until=features", cwd=tmp_path)
    assert "nothing recomputed" in again.stderr


def test_a_setting_has_one_default(monkeypatch):
    """What a dataclass takes without a word is what the configuration says."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cfg = composition.composed([])
    for name, cls in composition.NODES.items():
        if name not in ("dataset", "task"):  # which have no default
            assert composition.typed(cls, cfg, name) == cls(), name


def test_a_folder_becomes_a_manifest_that_validates(command, tmp_path, write_sound, noise):
    for name in ("data/crackle/ann_1.wav", "data/normal/bob_1.wav"):
        write_sound(name, noise)
    made = command("manifest", "make", "folder", "data", "--out", "m")
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == "m/data.csv"
    check = ["dataset=csv", "dataset.root=data", "dataset.manifest=m/data.csv"]
    assert command("manifest", "check", *check).returncode == 0
    (tmp_path / "data/normal/bob_1.wav").unlink()
    gone = command("manifest", "check", *check)
    assert gone.returncode == 1
    assert "normal/bob_1.wav: missing" in gone.stdout


def test_mlflows_own_client_lists_a_sweep(command, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: pip install -e '.[mlflow]'")
    sweep = ["-m", "tracker=mlflow", *SMALL, "seed=0,1"]
    made = command("run", *sweep)
    assert made.returncode == 0, made.stderr
    plain = command("run", "-m", *SMALL, "seed=0,1")
    assert plain.stdout.splitlines()[-1] == made.stdout.splitlines()[-1]  # tracking makes no other run
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/outputs/mlflow.db")
    found = client.search_runs([client.get_experiment_by_name("respcam").experiment_id])
    assert sorted(each.data.params["seed"] for each in found) == ["0", "1"]
    for each in found:
        metrics = json.loads((tmp_path / "outputs/runs" / each.info.run_name / "metrics.json").read_text())
        assert each.data.metrics["test.auroc"] == metrics["test"]["auroc"]["value"]


def test_a_sweep_goes_on_after_a_failure_and_resumes(command, tmp_path):
    sweep = ["-m", *SMALL, "bands=below", "bands.keep_hz=[[0,9000]],[[0,50]],[[0,1500]]"]
    first = command("run", *sweep)
    assert first.returncode == 1
    assert "bands.keep_hz [[0.0, 50.0]] keeps no band" in first.stderr
    listed = command("runs", "--csv", "runs.csv")
    assert "2 finished, 1 failed" in listed.stderr
    models = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/store/train/*/model.safetensors")}
    assert len(models) == 2
    assert len(list(tmp_path.glob("outputs/store/features/[!.]*"))) == 1
    again = command("run", *sweep)
    assert again.returncode == 1
    assert models == {path: path.stat().st_mtime_ns for path in models}
    failed = command("runs", "state=failed")
    assert "keeps no band" in failed.stdout
    assert "[[0,50]]" in failed.stdout
    runs = sorted(str(path) for path in (tmp_path / "outputs/runs").glob("[!.]*"))
    compared = command("compare", "--base", "below_9000hz", *runs)
    assert compared.returncode == 0, compared.stderr
    page = tmp_path / compared.stdout.strip()
    assert "below_1500hz" in (page.parent / "differences.csv").read_text()
    same = command("rerun", runs[0])
    assert "model.safetensors: identical" in same.stdout
    assert "test auroc" in same.stdout
    assert "differs" not in same.stdout
    assert "holds an earlier repetition" in command("rerun", runs[0]).stderr  # no comparison with itself


def test_a_tilde_in_a_path_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = composed(["paths.store='~/store'", "paths.runs='~/runs'"])
    assert (settings.store, settings.runs) == (tmp_path / "store", tmp_path / "runs")
    assert str(tmp_path) not in settings.config


def test_the_name_of_the_user_is_not_kept_and_the_data_are_still_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = composed([f"dataset.root={tmp_path}/sounds", f"paths.store={tmp_path}-2/store", "dataset=folder"])
    assert "root: ~/sounds" in settings.config
    assert f"store: {tmp_path}-2/store" in settings.config  # another folder that only begins alike
    assert settings.dataset.root == tmp_path / "sounds"
    assert composed(["dataset.root='~/sounds'", "dataset=folder"]).dataset.root == tmp_path / "sounds"

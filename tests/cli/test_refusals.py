"""What the machine cannot do ends in one line, and a plain start of the same command goes on as if nothing was."""

import errno
import hashlib
import os
import signal
import subprocess
import sys

import pytest
from conftest import PROJECT, SMALL

from respcam.cli.main import main
from respcam.cli.refusals import line_of, reports_refusals
from respcam.errors import Refused

RUN = [sys.executable, str(PROJECT / "scripts" / "run.py"), *SMALL]


def chained(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Refused("seed is -1"), "error: seed is -1"),
        (OSError(errno.ENOSPC, "No space left on device"), "error: No space left on device; every finished stage"),
        (PermissionError(errno.EACCES, "Permission denied", "a.csv"), "error: Permission denied: a.csv; every"),
        (chained(RuntimeError("writer"), OSError(errno.EIO, "Input/output error")), "error: Input/output error; every"),
        (MemoryError(), "error: not enough memory; every"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "error: not enough memory; every"),
    ],
)  # fmt: skip
def test_trouble_of_the_machine_is_one_line(error, line, capsys):
    assert line_of(error).startswith(line)

    @reports_refusals
    def command():
        raise error

    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(line)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), FileNotFoundError(errno.ENOENT, "No such file"), OSError("x")]
)
def test_a_defect_keeps_its_traceback(error):
    assert line_of(error) == ""

    @reports_refusals
    def command():
        raise error

    with pytest.raises(type(error)):
        command()


def contents(folder):
    """SHA-256 of the tables and weights of the run."""
    run = next(folder.glob("outputs/runs/synthetic*"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(run.iterdir())
            if path.suffix in (".csv", ".safetensors")}  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(RUN, cwd=folder, check=True, capture_output=True)
    return contents(folder)


LITTLE_MEMORY = """
import re, resource, sys
import lightning_fabric, scipy.signal, sklearn.metrics, respcam.report.run_page, respcam.stages.run
from respcam.cli.main import main
held = 1024 * int(re.search(r"VmSize:\\s*(\\d+)", open("/proc/self/status").read())[1])
resource.setrlimit(resource.RLIMIT_AS, (held + 80 * 2**20, -1))
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits are those of Linux")
def test_what_the_machine_cannot_do_stops_a_run_in_a_line_and_the_same_command_goes_on(tmp_path, undisturbed):
    obeying = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []  # root may write everywhere
    for command, words in (
        ([*obeying, *RUN], "Permission denied"),
        ([sys.executable, "-c", LITTLE_MEMORY, "run", *SMALL], "not enough memory"),
        (["bash", "-c", f"ulimit -f 500; exec {' '.join(RUN)}"], "File too large"),
    ):
        tmp_path.chmod(0o555 if words == "Permission denied" else 0o755)
        stopped = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert stopped.returncode == 1, stopped.stderr
        assert f"error: {words}" in stopped.stderr
        assert "the same command goes on" in stopped.stderr
        assert "Traceback" not in stopped.stderr
    subprocess.run(RUN, cwd=tmp_path, check=True, capture_output=True)
    assert contents(tmp_path) == undisturbed


def test_neither_home_nor_a_language_nor_many_files_are_needed(tmp_path, undisturbed):
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "TMPDIR", "LANG")}
    command = f"ulimit -n 64; exec {' '.join(RUN)}"
    environment = {**kept, "LC_ALL": "C", "LANG": "C"}
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, capture_output=True, env=environment)
    assert contents(tmp_path) == undisturbed


def test_sigterm_ends_a_command_as_ctrl_c_does(monkeypatch, capsys):
    """A scheduler sends it; the command that is tested here sends it to itself."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("sys.argv", ["respcam", "runs"])
    monkeypatch.setattr(
        "respcam.cli.runs.list_runs", reports_refusals(lambda _: os.kill(os.getpid(), signal.SIGTERM))
    )
    try:
        with pytest.raises(SystemExit) as ended:
            main()
        after = signal.getsignal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert after == signal.SIG_DFL  # a second one, while Python ends, gives no traceback
    assert ended.value.code == 130
    assert capsys.readouterr().err.startswith("interrupted: every finished stage")

"""Sweeps beyond one process: a Ray cluster that loses a node, shares of a stage, Slurm's queue."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from conftest import PROJECT, SMALL


def command(script: str, *arguments: str) -> list[str]:
    return [sys.executable, str(PROJECT / "scripts" / script), *arguments]


def wait_until(is_so, what: str, timeout_s: float = 300):
    end = time.monotonic() + timeout_s
    while not (found := is_so()):
        assert time.monotonic() < end, f"no {what} after {timeout_s} s"
        time.sleep(0.1)
    return found


def family(pid: int) -> set[int]:
    """A process and its descendants: what stops when a machine does."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # gone by now
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            parents[int(fields["Pid"])] = int(fields["PPid"])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def switch_off(node: subprocess.Popen) -> None:
    if node.poll() is None:
        for pid in family(node.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    node.wait()


def read_records(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("outputs/records/[!.]*.json"))]


@pytest.fixture
def cluster(tmp_path):
    """Two Ray nodes with a core each, as two machines would be: address, environment, the second node."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="Ray is not installed: pip install -e '.[ray]'")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "of-this-test",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # beside other tests, polite workers would starve
    }
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--num-cpus=1", "--block", "--disable-usage-stats"]
    nodes, place = [], tempfile.mkdtemp(prefix="ray-")  # its sockets' names must be short

    def start(*options: str) -> subprocess.Popen:
        log = tmp_path / f"node{len(nodes)}.log"
        with log.open("w") as file:
            node = subprocess.Popen(
                [*ray, *options], env=environment, stdout=file, stderr=file, cwd="/", start_new_session=True
            )
        nodes.append(node)
        wait_until(lambda: node.poll() is not None or "Ray runtime started" in log.read_text(), "Ray node")
        assert node.poll() is None, log.read_text()
        return node

    try:
        start(
            "--head", f"--port={address.rpartition(':')[2]}", "--node-ip-address=127.0.0.1",
            "--include-dashboard=false", f"--temp-dir={place}",
        )  # fmt: skip
        yield address, environment, start(f"--address={address}", "--node-ip-address=127.0.0.1")
    finally:
        for node in nodes:
            switch_off(node)
        shutil.rmtree(place, ignore_errors=True)


def test_a_sweep_survives_the_loss_of_a_ray_node(tmp_path, cluster):
    address, environment, second = cluster
    sweep = command(
        "run.py", "-m", "hydra/launcher=ray", f"hydra.launcher.ray.init.address={address}", *SMALL, "seed=0,1,2,3"
    )
    log = tmp_path / "sweep.log"

    def jobs_on_the_second_node() -> list[str]:
        own = family(second.pid)
        return [each["key"] for each in read_records(tmp_path) if each["state"] == "running" and each["pid"] in own]

    with log.open("w") as file:
        jobs = subprocess.Popen(sweep, cwd=tmp_path, env=environment, stdout=file, stderr=file)
        try:
            lost = wait_until(jobs_on_the_second_node, "job on the second node")
            switch_off(second)
            assert jobs.wait(timeout=400) == 0, log.read_text()[-3000:]
        finally:
            jobs.kill()
    records = read_records(tmp_path)
    assert [record["state"] for record in records] == ["finished"] * 4
    assert all(Path(tmp_path, record["run"], "report.html").is_file() for record in records)
    assert {record["key"] for record in records if record["attempts"] > 1} == set(lost)
    assert len(list(tmp_path.glob("outputs/store/features/[!.]*"))) == 1


SLURM = {
    "sbatch": """#!/bin/bash
# every task of the array runs here, one after the other
(for task in $(grep -oP -- '--array=\\K[0-9]+-[0-9]+' "$1" | tr - ' ' | xargs seq); do
    export SLURM_JOB_ID=12 SLURM_ARRAY_JOB_ID=12 SLURM_ARRAY_TASK_ID=$task SLURM_LOCALID=0 SLURM_PROCID=0
    export SLURM_NTASKS=1 SLURM_NODEID=0 SLURM_JOB_NUM_NODES=1 SLURM_JOB_NODELIST=here
    export SLURM_CPUS_PER_TASK=$(grep -oP -- '--cpus-per-task=\\K[0-9]+' "$1")
    bash "$1"
done) > sbatch.log 2>&1 &
echo "Submitted batch job 12"
""",
    "srun": '#!/bin/bash\nwhile [[ "$1" == -* ]]; do case "$1" in *=*|--unbuffered) shift;; *) shift 2;; esac; done; "$@"\n',
    "sacct": "#!/bin/bash\necho 'JobID|State|NodeList'\n",
    "scontrol": "#!/bin/bash\necho here\n",
}


def test_a_sweep_goes_through_slurms_queue(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="no submitit: pip install -e '.[slurm]'")
    queue = tmp_path / "bin"
    queue.mkdir()
    for name, text in SLURM.items():
        (queue / name).write_text(text)
        (queue / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{queue}:{os.environ['PATH']}"}
    shares = command(
        "run.py", "-m", "until=resample", "hydra/launcher=slurm", *SMALL, "shard.count=2", "shard.index=0,1"
    )
    done = subprocess.run(
        shares, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:] + (tmp_path / "sbatch.log").read_text()[-3000:]
    assert len(list(tmp_path.glob("outputs/store/resample/[!.]*/audio/*.wav"))) == 20
    (script,) = tmp_path.glob("outputs/logs/*/*/.submitit/*/*_submission.sh")
    assert "OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK" in script.read_text()

import json
import multiprocessing
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from respcam.store.artifact import Artifact, canonical, digest_of, file_sha256


@dataclass(frozen=True)
class Setting:
    value: float = 1.0


def test_digest_covers_every_part_of_the_identity(tmp_path):
    base = Artifact(tmp_path, "train", 1, {"model": Setting()}, {"features": "a"}, 0)
    others = [
        Artifact(tmp_path, "explain", 1, {"model": Setting()}, {"features": "a"}, 0),
        Artifact(tmp_path, "train", 2, {"model": Setting()}, {"features": "a"}, 0),
        Artifact(tmp_path, "train", 1, {"model": Setting(2.0)}, {"features": "a"}, 0),
        Artifact(tmp_path, "train", 1, {"model": Setting()}, {"features": "b"}, 0),
        Artifact(tmp_path, "train", 1, {"model": Setting()}, {"features": "a"}, 1),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 6


def test_digest_does_not_depend_on_order_or_place(tmp_path):
    here = Artifact(tmp_path / "a", "train", 1, {"x": 1, "y": 2})
    there = Artifact(tmp_path / "b", "train", 1, {"y": 2, "x": 1})
    assert here.digest == there.digest


def test_canonical_form_is_stable():
    assert canonical({"b": Setting(), "a": Path("x/y")}) == '{"a":"x/y","b":{"value":1.0}}'
    assert digest_of({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_canonical_form_refuses_what_has_none():
    with pytest.raises(TypeError, match="no canonical form"):
        canonical({"a": object()})


def test_finished_work_is_not_done_again(tmp_path, caplog):
    artifact = Artifact(tmp_path, "features", 1)
    with artifact.building() as partial:
        (partial / "result.txt").write_text("first")
    assert artifact.is_finished
    with caplog.at_level("INFO"), artifact.building() as partial:
        assert partial is None
    assert "already done, nothing recomputed" in caplog.text
    assert (artifact.folder / "result.txt").read_text() == "first"
    provenance = json.loads((artifact.folder / "provenance.json").read_text())
    assert provenance["digest"] == artifact.digest
    assert provenance["libraries"]["torch"]


def test_an_error_leaves_partial_work_for_the_next_attempt(tmp_path):
    artifact = Artifact(tmp_path, "features", 1)
    with pytest.raises(RuntimeError, match="boom"), artifact.building() as partial:
        (partial / "half.txt").write_text("half")
        raise RuntimeError("boom")
    assert not artifact.is_finished
    with artifact.building() as partial:
        assert (partial / "half.txt").read_text() == "half"


def _build_slowly(store: Path, log: Path) -> None:
    with Artifact(store, "features", 1).building() as partial:
        if partial is not None:
            time.sleep(0.3)
            with log.open("a") as file:
                file.write("built\n")


def test_two_processes_that_need_the_same_artifact_compute_it_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=_build_slowly, args=(tmp_path, tmp_path / "log")) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert [job.exitcode for job in jobs] == [0, 0]
    assert (tmp_path / "log").read_text() == "built\n"


def test_file_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a").startswith("ba7816bf8f01cfea")


def test_the_whole_waits_for_shares_under_way(tmp_path):
    artifact, order = Artifact(tmp_path, "features", 1), []
    is_begun, may_end = threading.Event(), threading.Event()

    def share():
        with artifact.contributing("0-of-2") as partial:
            is_begun.set()
            may_end.wait(20)
            (partial / "piece").write_text("of the share")
            order.append("share")

    def whole():
        with artifact.building() as partial:
            order.append((partial / "piece").is_file())

    jobs = [threading.Thread(target=share)]
    jobs[0].start()
    assert is_begun.wait(20)
    jobs.append(threading.Thread(target=whole))
    jobs[1].start()
    jobs[1].join(0.5)
    assert order == []
    may_end.set()
    for job in jobs:
        job.join(20)
    assert order == ["share", True]
    with artifact.contributing("1-of-2") as partial:
        assert partial is None

import os
import time

import pytest
from loky import get_reusable_executor

from respcam.store.processes import number_of, results


def pid_after(seconds):
    time.sleep(seconds)
    return os.getpid()


def fail_at(number, bad):
    if number == bad:
        raise ValueError(f"piece {number}")
    return number


@pytest.mark.parametrize("workers", [1, 3, -1])
def test_every_piece_is_done_once_and_named(workers):
    found = list(results(divmod, ((number, 3) for number in range(20)), 20, workers))
    assert sorted(found) == [(number, divmod(number, 3)) for number in range(20)]


def test_the_calling_process_is_one_of_the_workers():
    pids = [pid for _, pid in results(pid_after, [(0.05,)] * 40, 40, 2)]
    assert os.getpid() in pids
    assert len(set(pids)) == 2


def test_a_single_piece_starts_no_process():
    assert list(results(pid_after, [(0,)], 1, 4)) == [(0, os.getpid())]
    assert list(results(pid_after, [], 0, 4)) == []


def test_an_error_reaches_the_caller_and_the_next_work_goes_on():
    with pytest.raises(ValueError, match="piece 7"):
        list(results(fail_at, [(number, 7) for number in range(30)], 30, 2))
    assert len(list(results(fail_at, [(number, -1) for number in range(30)], 30, 2))) == 30


def test_other_processes_compute_on_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    list(results(pid_after, [(0.01,)] * 4, 4, 2))
    assert get_reusable_executor(reuse=True).submit(os.getenv, "OMP_NUM_THREADS").result() == "1"


def test_workers_count_processes():
    assert number_of(3) == 3
    assert number_of(-1) >= 1
    for wrong in (0, -2):
        with pytest.raises(ValueError, match=f"workers is {wrong}; expected at least 1, or -1 for every core"):
            number_of(wrong)

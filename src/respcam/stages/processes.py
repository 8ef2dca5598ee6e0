"""Pieces of work for several processes, of which the calling one is the first."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

from loky import cpu_count, get_reusable_executor
from threadpoolctl import threadpool_limits

T = TypeVar("T")

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
AHEAD = 2  # pieces that each other process has: one at work, one that waits


def number_of(workers: int) -> int:
    """Turn a setting into a number of processes: -1 stands for every core that this process may use."""
    if workers == 0 or workers < -1:
        raise ValueError(f"workers is {workers}; expected at least 1, or -1 for every core")
    return cpu_count() if workers == -1 else workers


def results(function: Callable[..., T], pieces: Iterable[tuple[Any, ...]], workers: int) -> Iterator[tuple[int, T]]:
    """Call a function for every piece of work and hand the results out as they come.

    Every process computes on one thread. The calling process takes its share, for it is there
    while the others start: that takes each of them about a second.

    Parameters
    ----------
    function : callable
    pieces : iterable of tuple
        Arguments of each call; a call should take some tens of milliseconds at least.
    workers : int
        Processes, the calling one included; -1 takes every core.

    Yields
    ------
    int
        Place of the piece.
    object
        What the function returned for it.
    """
    todo = deque(enumerate(pieces))
    n_others = min(number_of(workers), len(todo)) - 1
    running: dict[Future[T], int] = {}
    with threadpool_limits(1):
        try:
            while todo or running:
                while todo and len(running) < AHEAD * n_others:
                    number, piece = todo.popleft()
                    executor = get_reusable_executor(n_others, env=ONE_THREAD)
                    running[executor.submit(function, *piece)] = number
                if todo:
                    number, piece = todo.popleft()
                    yield number, function(*piece)
                else:
                    wait(running, return_when=FIRST_COMPLETED)
                for future in [each for each in running if each.done()]:
                    yield running.pop(future), future.result()
        finally:
            for future in running:
                future.cancel()

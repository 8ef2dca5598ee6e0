"""Processes: pieces of work for several of them, of which the calling one is the first."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from typing import Any, TypeVar

from loky import cpu_count, get_reusable_executor
from threadpoolctl import threadpool_limits

from respcam.errors import Refused

T = TypeVar("T")

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
AHEAD = 2  # pieces that each other process has: one at work, one that waits


def number_of(workers: int) -> int:
    """Turn a setting into a number of processes: -1 stands for every core that this process may use."""
    if workers == 0 or workers < -1:
        raise Refused(f"workers is {workers}; expected at least 1, or -1 for every core")
    return cpu_count() if workers == -1 else workers


def results(
    function: Callable[..., T], pieces: Iterable[tuple[Any, ...]], n_pieces: int, workers: int
) -> Iterator[tuple[int, T]]:
    """Call a function for every piece of work and hand the results out as they come.

    Every process computes on one thread. The calling process takes its share, for it is there
    while the others start: that takes each of them up to a second.

    Parameters
    ----------
    function : callable
    pieces : iterable of tuple
        Arguments of each call, asked for as they are needed; a call should take some tens of
        milliseconds at least.
    n_pieces : int
        Number of pieces; more processes than that are not started.
    workers : int
        Processes, the calling one included; -1 takes every core.

    Yields
    ------
    int
        Place of the piece.
    object
        What the function returned for it.
    """
    n_others = min(number_of(workers), n_pieces) - 1
    waiting = enumerate(pieces)
    running: dict[Future[T], int] = {}
    with threadpool_limits(1):
        try:
            current = next(waiting, None)
            while current or running:
                for number, piece in islice(waiting, max(0, AHEAD * n_others - len(running))):
                    executor = get_reusable_executor(n_others, env=ONE_THREAD)
                    running[executor.submit(function, *piece)] = number
                if current:
                    number, piece = current
                    yield number, function(*piece)
                    current = next(waiting, None)
                else:
                    wait(running, return_when=FIRST_COMPLETED)
                for future in [future for future in running if future.done()]:
                    yield running.pop(future), future.result()
        finally:
            for future in running:
                future.cancel()

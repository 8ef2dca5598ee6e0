"""Parallel work: pieces of work for the calling process and several others."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from respcam.errors import Refused

T = TypeVar("T")

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
AHEAD = 2  # pieces per worker process: one in work, one waiting


def number_of(workers: int) -> int:
    """Turn a setting into a number of processes; -1 is the number of cores available to this process."""
    if workers == 0 or workers < -1:
        raise Refused(f"workers is {workers}; expected at least 1, or -1 for every core")
    if workers != -1:
        return workers
    from loky import cpu_count  # takes a tenth of a second to import

    return cpu_count()


def results(
    function: Callable[..., T], pieces: Iterable[tuple[Any, ...]], n_pieces: int, workers: int
) -> Iterator[tuple[int, T]]:
    """Call a function for every piece of work and yield the results in order of completion.

    Every process computes on one thread. The calling process works too, because the others take up to a second to
    start.

    Parameters
    ----------
    function : callable
    pieces : iterable of tuple
        Arguments of each call, read when needed; a call should take at least some tens of milliseconds.
    n_pieces : int
        Number of pieces, which is also the largest number of processes.
    workers : int
        Number of processes, including the calling one; -1 takes every core.

    Yields
    ------
    int
        Index of the piece.
    object
        Result of the function for the piece.
    """
    n_others = min(number_of(workers), n_pieces) - 1
    waiting = enumerate(pieces)
    running: dict[Future[T], int] = {}
    with threadpool_limits(1):
        try:
            current = next(waiting, None)
            while current or running:
                for number, piece in islice(waiting, max(0, AHEAD * n_others - len(running))):
                    from loky import get_reusable_executor

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

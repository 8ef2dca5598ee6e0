"""Divided stages: work in pieces, done by several processes or jobs, and continued after an interruption."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tqdm import tqdm

from respcam.errors import Refused
from respcam.store.artifact import incidental
from respcam.store.journal import Journal
from respcam.store.processes import results
from respcam.store.shard import WHOLE, Shard
from respcam.store.stage import Stage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Piece:
    """Piece of the work of a stage.

    Attributes
    ----------
    key : str
        Name of the content of the piece, not its number: pieces of another size have other names.
    size : int
        Number of recordings.
    arguments : tuple
        Arguments of `Divided.work`.
    """

    key: str
    size: int
    arguments: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Divided(Stage):
    """Stage whose work consists of independent pieces.

    A subclass defines `work`, `pieces` and `finish`. Several processes do the pieces. Jobs with other shards fill the
    same folder at the same time; the job that does the last piece finishes the stage. A journal lists the finished
    pieces, so an interrupted stage continues.

    Attributes
    ----------
    workers : int
        Number of processes; -1 takes every core.
    shard : Shard
        Share of the pieces that this job does.
    """

    #: called in a worker process with the arguments of a piece; returns plain data for JSON
    work: ClassVar[Callable[..., Any]]

    workers: int = incidental(1)
    shard: Shard = incidental(WHOLE)

    def prepare(self, folder: Path) -> None:
        """Make the files that the pieces write into; several jobs may call this at the same time."""

    def pieces(self, folder: Path) -> Iterator[Piece]:
        """List the pieces, always in the same order."""
        raise NotImplementedError

    def is_intact(self, piece: Piece, outcome: Any) -> bool:
        """Whether what `work` wrote for a finished piece of an earlier attempt is still there."""
        return True

    def finish(self, folder: Path, outcomes: list[Any]) -> None:
        """Write the output that needs all pieces.

        Parameters
        ----------
        folder : Path
        outcomes : list
            Results of `work`, one per piece, in any order.
        """
        raise NotImplementedError

    def make(self) -> Path:
        """Do the share of this job; the output is complete when every share is done."""
        if self.shard.is_whole or self.is_finished:
            return super().make()
        self.make_inputs()
        with self.artifact.contributing(str(self.shard)) as partial:
            if partial is None:
                return self.artifact.folder
            n_left = self._work_on(partial, self.shard)
        if n_left:
            log.info("%s: %d recordings are left to other shards", self.name, n_left)
            return self.artifact.folder
        return super().make()

    def make_inputs(self) -> None:
        """Make the missing inputs; the shares of other jobs must be finished.

        Raises
        ------
        Refused
            If other shards of an input are unfinished.
        """
        super().make_inputs()
        for stage in self.inputs.values():
            if not stage.is_finished:
                raise Refused(
                    f"{self.name}: shard {self.shard} needs all of {stage.name}, which other shards have not "
                    f"finished; run until={stage.name} with every shard.index first"
                )

    def write(self, folder: Path) -> None:
        """Do all remaining pieces, and finish."""
        self._work_on(folder, WHOLE)
        journal = Journal(folder, WHOLE)
        self.finish(folder, list(journal.outcomes().values()))
        journal.remove()

    def _work_on(self, folder: Path, shard: Shard) -> int:
        """Do a share of the pieces; return the number of recordings that are not done by any share."""
        self.prepare(folder)
        journal = Journal(folder, shard)
        finished, sizes, done = journal.outcomes(), {}, set()
        for piece in self.pieces(folder):
            sizes[piece.key] = piece.size
            if piece.key in finished and self.is_intact(piece, finished[piece.key]):
                done.add(piece.key)
        damaged = (finished.keys() & sizes.keys()) - done
        if damaged:
            log.warning("%s: %d finished pieces are damaged and are done again", self.name, len(damaged))
        keys = [key for number, key in enumerate(sizes) if shard.holds(number)]
        waiting = dict.fromkeys(key for key in keys if key not in done)
        arguments = (piece.arguments for piece in self.pieces(folder) if piece.key in waiting)
        order = list(waiting)
        n_all, n_waiting = (sum(sizes[key] for key in names) for names in (keys, waiting))
        bar = tqdm(total=n_all, initial=n_all - n_waiting, desc=self.name, unit="rec")
        with bar, journal:
            for number, outcome in results(type(self).work, arguments, len(order), self.workers):
                journal.append(order[number], outcome)
                bar.update(sizes[order[number]])
        done = set(journal.outcomes())
        return sum(size for key, size in sizes.items() if key not in done)

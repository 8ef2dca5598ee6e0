"""Divided stages: work in pieces, for several processes, several jobs, and after an interruption."""

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
    """A part of a stage's work that is done or not.

    Attributes
    ----------
    key : str
        Names what is in the piece, not its number: pieces of another size are other pieces.
    size : int
        Number of recordings.
    arguments : tuple
        Of `Divided.work`.
    """

    key: str
    size: int
    arguments: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Divided(Stage):
    """A stage whose work is made of pieces that do not depend on one another.

    A subclass says `work`, `pieces` and `finish`. Pieces go to several processes; jobs with other shards
    fill the same folder at the same time, and whoever does the last piece finishes. A journal keeps what is
    done, so a stage that was killed goes on where it was.

    Attributes
    ----------
    workers : int
        Processes; -1 takes every core.
    shard : Shard
        Share of the pieces that this job does.
    """

    #: called in a worker process with the arguments of a piece; returns what JSON can hold
    work: ClassVar[Callable[..., Any]]

    workers: int = incidental(1)
    shard: Shard = incidental(WHOLE)

    def prepare(self, folder: Path) -> None:
        """Make what the pieces write into; several jobs may do so at once."""

    def pieces(self, folder: Path) -> Iterator[Piece]:
        """List the pieces, always in one order."""
        raise NotImplementedError

    def finish(self, folder: Path, outcomes: list[Any]) -> None:
        """Write what is made of all pieces together.

        Parameters
        ----------
        folder : Path
        outcomes : list
            What `work` returned for each piece, in no order.
        """
        raise NotImplementedError

    def make(self) -> Path:
        """Do this job's share; the output is there once every share is done."""
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
        """Make what is missing below; shares of it that other jobs do must be done.

        Raises
        ------
        Refused
            If an input is left unfinished by its other shards.
        """
        super().make_inputs()
        for stage in self.inputs.values():
            if not stage.is_finished:
                raise Refused(
                    f"{self.name}: shard {self.shard} needs all of {stage.name}, which other shards have not "
                    f"finished; run until={stage.name} with every shard.index first"
                )

    def write(self, folder: Path) -> None:
        """Do every piece that no share has done, and finish."""
        self._work_on(folder, WHOLE)
        journal = Journal(folder, WHOLE)
        self.finish(folder, list(journal.outcomes().values()))
        journal.remove()

    def _work_on(self, folder: Path, shard: Shard) -> int:
        """Do a share of the pieces; returns the number of recordings that no share has done by now."""
        self.prepare(folder)
        journal = Journal(folder, shard)
        done = set(journal.outcomes())
        sizes = {piece.key: piece.size for piece in self.pieces(folder)}
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

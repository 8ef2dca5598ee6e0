from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from respcam.store.divided import Divided, Piece
from respcam.store.shard import WHOLE, Shard
from respcam.store.tables import Document

CALLS: list[int] = []


def square(number: int) -> int:
    CALLS.append(number)
    if number == STOP_AT[0]:
        raise KeyboardInterrupt
    return number * number


STOP_AT = [-1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Squares(Divided):
    name: ClassVar[str] = "squares"
    schema: ClassVar[int] = 1
    work = staticmethod(square)
    SUM: ClassVar[Document] = Document("sum.json")

    count: int

    def pieces(self, folder: Path) -> Iterator[Piece]:
        for number in range(self.count):
            yield Piece(f"number {number}", 1, (number,))

    def finish(self, folder: Path, outcomes: list[int]) -> None:
        self.SUM.write(sum(outcomes), folder)


@pytest.fixture(autouse=True)
def calls():
    CALLS.clear()
    STOP_AT[0] = -1
    return CALLS


def test_what_was_damaged_since_is_done_again(tmp_path, calls, monkeypatch, caplog):
    STOP_AT[0] = 3
    with pytest.raises(KeyboardInterrupt):
        squares(tmp_path).make()
    STOP_AT[0] = -1
    calls.clear()
    monkeypatch.setattr(Squares, "is_intact", lambda _, piece, outcome: (piece.key, outcome) != ("number 1", 1))
    squares(tmp_path).make()
    assert calls == [1, 3, 4, 5]
    assert total(squares(tmp_path)) == 55
    assert "squares: 1 finished pieces are damaged and are done again" in caplog.text


def squares(tmp_path, shard=WHOLE, workers=1):
    return Squares(store=tmp_path, count=6, shard=shard, workers=workers)


def total(stage):
    return stage.SUM.read(stage.folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_piece_is_done_once(tmp_path, workers, calls):
    stage = squares(tmp_path, workers=workers)
    stage.make()
    assert total(stage) == 55
    assert len(calls) == len(set(calls))
    assert not list(stage.folder.glob("journal*"))


def test_neither_workers_nor_shards_change_the_identity(tmp_path):
    assert squares(tmp_path, Shard(1, 3), workers=2).digest == squares(tmp_path).digest


def test_whoever_does_the_last_share_finishes(tmp_path, calls):
    for index in (2, 0):
        squares(tmp_path, Shard(index, 3)).make()
        assert not squares(tmp_path).is_finished
    assert sorted(calls) == [0, 2, 3, 5]
    squares(tmp_path, Shard(1, 3)).make()
    assert sorted(calls) == [0, 1, 2, 3, 4, 5]
    assert total(squares(tmp_path)) == 55


def test_an_interrupted_stage_goes_on_where_it_was(tmp_path, calls):
    STOP_AT[0] = 3
    with pytest.raises(KeyboardInterrupt):
        squares(tmp_path).make()
    STOP_AT[0] = -1
    calls.clear()
    squares(tmp_path).make()
    assert calls == [3, 4, 5]
    assert total(squares(tmp_path)) == 55


def test_the_undivided_stage_takes_over_what_shares_left(tmp_path, calls):
    squares(tmp_path, Shard(0, 2)).make()
    calls.clear()
    squares(tmp_path).make()
    assert calls == [1, 3, 5]
    squares(tmp_path, Shard(0, 2)).make()
    assert calls == [1, 3, 5]

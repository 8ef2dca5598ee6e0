"""A stage is named before any work, makes what it needs once, and adding one touches its own file and the wiring."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from respcam.errors import Refused
from respcam.store.artifact import incidental
from respcam.store.stage import Digested, Stage
from respcam.store.tables import Document


@dataclass(frozen=True)
class Count:
    up_to: int = 3
    threads: int = incidental(1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers(Stage):
    """A stage as a contributor writes one."""

    name: ClassVar[str] = "numbers"
    schema: ClassVar[int] = 1
    VALUES: ClassVar[Document] = Document("values.json")

    count: Count
    seed: int = 0
    device: str = incidental("auto")

    def write(self, folder: Path) -> None:
        self.VALUES.write(list(range(self.count.up_to)), folder)

    def values(self) -> list[int]:
        return self.VALUES.read(self.folder)


@dataclass(frozen=True, kw_only=True, eq=False)
class Total(Stage):
    name: ClassVar[str] = "total"
    schema: ClassVar[int] = 1
    VALUE: ClassVar[Document] = Document("value.json")

    numbers: Numbers
    extra: Numbers | None = None

    def write(self, folder: Path) -> None:
        self.VALUE.write(sum(self.numbers.values()), folder)


@pytest.fixture
def total(tmp_path):
    return Total(store=tmp_path, numbers=Numbers(store=tmp_path, count=Count()))


def test_a_stage_makes_what_it_reads(total):
    assert not total.is_finished
    folder = total.make()
    assert total.VALUE.read(folder) == 3
    assert total.numbers.is_finished
    assert folder == total.folder


def test_naming_a_stage_computes_nothing(total, tmp_path):
    assert len(total.digest) == 64
    assert total.inputs == {"numbers": total.numbers}
    assert not list(tmp_path.iterdir())


def test_what_is_finished_is_left_alone_even_without_its_inputs(total):
    total.make()
    stamp = (total.folder / "value.json").stat().st_mtime_ns
    (total.numbers.folder / "provenance.json").unlink()
    total.make()
    assert (total.folder / "value.json").stat().st_mtime_ns == stamp
    assert not total.numbers.is_finished


def test_every_setting_and_input_is_part_of_the_identity(total):
    numbers = total.numbers
    stages = [
        numbers,
        replace(numbers, count=Count(4)),
        replace(numbers, seed=1),
        total,
        replace(total, numbers=replace(numbers, seed=1)),
        replace(total, extra=numbers),
    ]
    assert len({stage.digest for stage in stages}) == len(stages)


def test_incidental_fields_and_the_place_are_not(total, tmp_path):
    numbers = total.numbers
    faster = replace(numbers, device="cuda", count=replace(numbers.count, threads=9), store=tmp_path / "elsewhere")
    assert faster.digest == numbers.digest
    assert faster.artifact.folder != numbers.artifact.folder
    assert numbers.artifact.identity["settings"] == {"count": {"up_to": 3}}
    assert numbers.artifact.identity["seed"] == 0


def test_reading_what_is_not_made_names_the_command(total):
    with pytest.raises(Refused, match=r"numbers: no output .* start respcam run until=numbers"):
        total.numbers.values()


def test_a_stage_stands_for_its_content(total):
    assert isinstance(total, Digested)
    assert not isinstance("text", Digested)


def test_another_version_of_what_computes_is_another_output(total, monkeypatch):
    """Results are named by code as well as by settings: old ones are not taken for those of new code."""
    before = total.digest
    monkeypatch.setattr("respcam.store.stage.version", lambda name: "99+cpu" if name == "respcam" else "1")
    changed = replace(total).digest
    assert changed != before
    monkeypatch.setattr("respcam.store.stage.version", lambda name: "99+cuda" if name == "respcam" else "1")
    assert replace(total).digest == changed  # the same version, built for another machine
    monkeypatch.setattr(Total, "computed_with", ("numpy",))
    monkeypatch.setattr("respcam.store.stage.version", lambda name: "99" if name == "respcam" else "2")
    assert replace(total).digest != changed

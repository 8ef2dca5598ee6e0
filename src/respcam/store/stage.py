"""Stages: steps of a run as frozen objects, which write a folder named by a digest and read it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from respcam.errors import Refused
from respcam.store.artifact import Artifact, incidental


@runtime_checkable
class Digested(Protocol):
    """Object whose digest identifies its content: a stage, or tables that were read."""

    @property
    def digest(self) -> str:
        """SHA-256 of the content, 64 hex digits."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """One step of a run: its fields are its settings and the stages that it reads.

    The digest of the fields names the output, so the name is known before the work starts. Only `make` computes;
    attributes do not. The stage also has the methods that read its output. A subclass is a frozen dataclass with a
    ``name``, the ``schema`` of its output (raised when equal settings give other content) and `write`. A field marked
    with `respcam.store.artifact.incidental` changes speed but not results, and is left out of the digest.

    Attributes
    ----------
    store : Path
        Folder of all outputs.
    """

    name: ClassVar[str]
    schema: ClassVar[int]
    computed_with: ClassVar[tuple[str, ...]] = ()  # packages, besides respcam, whose version changes the output
    made_until: ClassVar[str] = ""  # for a stage that is not a stage of a run: the stage of a run that needs it

    store: Path = incidental()

    def write(self, folder: Path) -> None:
        """Compute the output and write it into an existing folder."""
        raise NotImplementedError

    def check(self) -> None:
        """Refuse errors in settings and tables before anything is computed.

        Raises
        ------
        Refused
        """

    def make(self) -> Path:
        """Make the missing inputs, then this stage; nothing is done if it is finished.

        Returns
        -------
        Path
            Folder of the output.
        """
        if not self.is_finished:
            self.make_inputs()
        with self.artifact.building() as partial:
            if partial is not None:
                self.write(partial)
        return self.artifact.folder

    def make_inputs(self) -> None:
        """Make every unfinished stage that this one reads."""
        for stage in self.inputs.values():
            if not stage.is_finished:
                stage.make()

    def missing(self) -> Iterator["Stage"]:
        """Stages that `make` would make, in order; none if this one is finished."""
        if not self.is_finished:
            for stage in self.inputs.values():
                yield from stage.missing()
            yield self

    @property
    def title(self) -> str:
        """Folder name of output that people open; blank for ``<name>/<digest>``."""
        return ""

    @property
    def inputs(self) -> Mapping[str, "Stage"]:
        """Stages that this one reads, by the name of the field."""
        return {name: value for name, value in self._covered().items() if isinstance(value, Stage)}

    @cached_property
    def artifact(self) -> Artifact:
        """Identity and folder of the output."""
        covered = self._covered()
        digests = {name: value.digest for name, value in covered.items() if isinstance(value, Digested)}
        settings = {name: value for name, value in covered.items() if name not in digests and name != "seed"}
        versions = {name: version(name).partition("+")[0] for name in ("respcam", *self.computed_with)}
        return Artifact(
            self.store, self.name, self.schema, settings, digests, covered.get("seed"), versions, title=self.title
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of name, schema, versions, settings and the digests of the inputs: 64 hex digits."""
        return self.artifact.digest

    @property
    def is_finished(self) -> bool:
        """Whether the output is complete."""
        return self.artifact.is_finished

    @property
    def folder(self) -> Path:
        """Folder of the finished output.

        Raises
        ------
        Refused
            If the stage is not finished; the message names the command that makes it.
        """
        if not self.is_finished:
            raise Refused(
                f"{self.name}: no output for these settings under {self.artifact.folder.parent}; "
                f"start respcam run until={self.made_until or self.name} with the same overrides first"
            )
        return self.artifact.folder

    def _covered(self) -> dict[str, Any]:
        """Fields that the digest covers; an absent stage (None) is left out."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if not f.metadata.get("incidental")}
        return {name: value for name, value in values.items() if value is not None}


def with_inputs(stage: Stage) -> Iterator[Stage]:
    """A stage, and every stage that it reads, directly or not."""
    yield stage
    for read in stage.inputs.values():
        yield from with_inputs(read)

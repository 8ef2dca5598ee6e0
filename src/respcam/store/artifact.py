"""Artifacts: results on disk, named by a digest of settings, inputs and versions; complete or absent."""

import hashlib
import json
import logging
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from respcam.errors import Refused
from respcam.store.integrity import FILES, PROVENANCE_NAME, Damaged, damages, remember, set_aside, with_checksums

log = logging.getLogger(__name__)

LIBRARIES = ("respcam", "numpy", "pandas", "scikit-learn", "soundfile", "soxr", "torch", "torchaudio", "timm")


def incidental(default: Any = MISSING) -> Any:
    """Mark a dataclass field that changes speed but not results; it is left out of digests."""
    return field(default=default, metadata={"incidental": True})


def canonical(value: Any) -> str:
    """Write plain data or a dataclass as JSON, identical for equal content; incidental fields are left out."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def plain(value: Any) -> Any:
    """Turn dataclasses, paths and containers of them into plain data; incidental fields are left out.

    Raises
    ------
    TypeError
        If a value has no plain form.
    """
    if is_dataclass(value) and not isinstance(value, type):
        covered = (field.name for field in fields(value) if not field.metadata.get("incidental"))
        return {name: plain(getattr(value, name)) for name in covered}
    if isinstance(value, Mapping):
        return {str(name): plain(content) for name, content in value.items()}
    if isinstance(value, list | tuple):
        return [plain(content) for content in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} has no canonical form: {value!r}")


def digest_of(value: Any) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of plain data or a dataclass."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_writable(folder: Path, setting: str) -> None:
    """Refuse a folder that cannot be made or written to; ``setting`` is what names it.

    Raises
    ------
    Refused
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise Refused(f"{setting} is {folder}: {error.strerror}; expected a folder that can be written to") from error


def write_atomically(path: Path, text: str) -> None:
    """Write a UTF-8 text file so that a reader sees the complete old or new content."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")  # two processes may write the same file
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)


@dataclass(frozen=True)
class Artifact:
    """Identity of the output of one stage, known before the work starts.

    The digest is SHA-256 over canonical {stage, schema, versions, settings, inputs, seed}. Two artifacts
    with the same digest are interchangeable; a changed setting gives another artifact.

    Parameters
    ----------
    store : Path
        Folder of all artifacts; this one lies in ``store/stage/<first 16 digits of the digest>``.
    stage : str
    schema : int
        Version of the output of the stage; raised when the same settings give other content.
    settings : mapping
        User settings that the output depends on (dataclasses or plain data).
    inputs : mapping of str to str
        Digest of each input, by name.
    seed : int, optional
    versions : mapping of str to str
        Version of every package whose change may give other content.
    title : str
        Title of output that people open; the folder is then ``store/<title>-<first 8 digits>``.
    """

    store: Path
    stage: str
    schema: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    title: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        """Content that the digest covers."""
        return {
            "stage": self.stage,
            "schema": self.schema,
            "versions": dict(self.versions),
            "settings": plain(self.settings),
            "inputs": dict(self.inputs),
            "seed": self.seed,
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the identity, 64 hex digits."""
        return digest_of(self.identity)

    @property
    def folder(self) -> Path:
        """Folder of the finished artifact."""
        if self.title:
            return self.store / f"{self.title}-{self.digest[:8]}"
        return self.store / self.stage / self.digest[:16]

    @property
    def is_finished(self) -> bool:
        """Whether the output is complete."""
        return (self.folder / PROVENANCE_NAME).is_file()

    @contextmanager
    def building(self) -> Iterator[Path | None]:
        """Lock the artifact and yield the folder to fill, or None if the artifact is finished.

        The folder keeps its name between attempts, so an interrupted stage finds its earlier files. When the block
        ends without an error, ``provenance.json`` is written last and the folder gets its final name. Another
        process that needs the same artifact waits for the lock.
        """
        with self._locked():
            for path in sorted(self.folder.parent.glob(f".{self.folder.name}.share-*.lock")):
                with FileLock(path):  # wait for all shares; a new share would need the lock held here
                    pass
            if self.is_finished:
                log.info("%s: already done, nothing recomputed (%s)", self.stage, self.folder)
                yield None
                return
            partial = self._partial()
            started, start_s = datetime.now(UTC), time.monotonic()
            yield partial
            described = {**self.identity, "digest": self.digest, **surroundings(started, time.monotonic() - start_s)}
            provenance = with_checksums(plain(described), partial)
            write_atomically(partial / PROVENANCE_NAME, json.dumps(provenance, indent=2) + "\n")
            if os.path.lexists(self.folder):  # without a provenance
                log.warning(
                    "%s: %s is incomplete; it lies in %s now", self.stage, self.folder, set_aside(self.folder)
                )
            partial.replace(self.folder)
            remember(self.folder, provenance[FILES])
            log.info("%s: done in %.1f s (%s)", self.stage, provenance["duration_s"], self.folder)

    @contextmanager
    def contributing(self, share: str) -> Iterator[Path | None]:
        """Yield the folder to fill with a share of the work, or None if the artifact is finished.

        Processes with other shares fill the same folder at the same time; a process with the same share waits. The
        next call of `building` finds their files and finishes the artifact.
        """
        with ExitStack() as locks:
            with self._locked():
                if self.is_finished:
                    log.info("%s: already done, nothing recomputed (%s)", self.stage, self.folder)
                    yield None
                    return
                locks.enter_context(FileLock(self.folder.with_name(f".{self.folder.name}.share-{share}.lock")))
                partial = self._partial()
            yield partial

    def set_aside(self, damage: Damaged) -> None:
        """Put the damaged output away, so that it is made again; the caller was refused with ``damage``."""
        with self._locked():
            still = next(damages(self.folder), None)
            if still is None or not os.path.lexists(self.folder):  # another process makes it again, or has
                return
            aside = set_aside(self.folder)
        log.warning("%s: %s; it is made again, and what is damaged lies in %s", self.stage, damage.finding, aside)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder.with_name(f".{self.folder.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("%s: another process works on %s; waiting", self.stage, self.folder.name)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _partial(self) -> Path:
        partial = self.folder.with_name(f"{self.folder.name}.partial")
        if partial.is_dir():
            log.info("%s: continues in %s", self.stage, partial)
        else:
            partial.unlink(missing_ok=True)
        partial.mkdir(exist_ok=True)
        return partial


def surroundings(started: datetime, duration_s: float) -> dict[str, Any]:
    """Describe date, machine and versions of a result (not part of any digest)."""
    return {
        "git": git_state(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "duration_s": round(duration_s, 3),  # not the difference of the two, because clocks are set
    }


def git_state() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout of this code; None if the code is installed."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # an installed package may lie in the checkout of another project
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return {"commit": git("rev-parse", "HEAD"), "is_dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None

"""Integrity of finished outputs: their files are compared with checksums before they are used."""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import xxhash

from respcam.errors import Refused

PROVENANCE_NAME = "provenance.json"  # written last: the output is complete
FILES, CHECKSUM = "files", "checksum"
ASIDE = ".damaged"
CHUNK_BYTES = 2**20
#: folder, name, checksum and state of files that this process has compared or written
_COMPARED: set[tuple[Path, str, str, tuple[int, int] | None]] = set()


class Damaged(Refused):
    """A file of a finished output is not what was written.

    Parameters
    ----------
    folder : Path
        Folder of the output.
    name : str
        Path of the file in it.
    trouble : str
        What is wrong with it.
    """

    def __init__(self, folder: Path, name: str, trouble: str):
        super().__init__(folder, name, trouble)  # all three, so that a worker process can hand it on
        self.folder, self.name, self.trouble = folder, name, trouble

    @property
    def finding(self) -> str:
        """What was found, without a remedy."""
        return f"{self.folder / self.name} {self.trouble} since it was written"

    def __str__(self) -> str:
        return f"{self.finding}; the command of its run makes it again (respcam runs --check lists all damage)"


def with_checksums(provenance: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Add the checksum of every file of a folder, and one of the provenance itself."""
    complete = {**provenance, FILES: checksums_of(folder)}
    return {**complete, CHECKSUM: _checksum_of(complete)}


def checksums_of(folder: Path) -> dict[str, str]:
    """Checksum of every file under a folder but its provenance, by relative path."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / PROVENANCE_NAME]
    with ThreadPoolExecutor() as threads:
        return {
            path.relative_to(folder).as_posix(): value
            for path, value in zip(paths, threads.map(file_checksum, paths), strict=True)
        }


def file_checksum(path: Path, first_byte: int = 0, n_bytes: int = sys.maxsize) -> str:
    """XXH3 of the bytes of a file, or of a stretch of them, 32 hex digits: finds damage, much faster than SHA-256."""
    checksum = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        file.seek(first_byte)
        while chunk := file.read(min(n_bytes, CHUNK_BYTES)):
            checksum.update(chunk)
            n_bytes -= len(chunk)
    return checksum.hexdigest()


def is_unchanged(path: Path, checksum: str, first_byte: int = 0, n_bytes: int = sys.maxsize) -> bool:
    """Whether a file, or a stretch of it, can be read and has this checksum."""
    try:
        return file_checksum(path, first_byte, n_bytes) == checksum
    except OSError:
        return False


def verified(path: Path) -> Path:
    """Return a path whose content is what was written; a file outside finished outputs is not checked.

    A file is read once per process and state.

    Raises
    ------
    Damaged
        If its checksum differs from that in ``provenance.json`` beside or above it, or the file is gone.
    """
    folder = next((above for above in list(path.parents)[:2] if (above / PROVENANCE_NAME).exists()), None)
    if folder is None:
        return path
    name = path.relative_to(folder).as_posix()
    expected = listed_files(folder).get(name)
    if expected is not None:
        _compare(folder, name, expected, _state(path))
    return path


def remember(folder: Path, files: dict[str, str]) -> None:
    """Remember files of an output that this process has just written, so that they are not read for a comparison."""
    _COMPARED.update((folder, name, checksum, _state(folder / name)) for name, checksum in files.items())


def check_output(folder: Path) -> None:
    """Compare every file of a finished output.

    Raises
    ------
    Damaged
        At the first one that differs.
    """
    for damage in damages(folder):
        raise damage


def damages(folder: Path) -> Iterator[Damaged]:
    """Compare every file of a finished output; yield what differs."""
    try:
        files = listed_files(folder)
    except Damaged as damage:
        yield damage
        return
    with ThreadPoolExecutor() as threads:
        yield from filter(None, threads.map(lambda file: _damage(folder, *file), files.items()))


def listed_files(folder: Path) -> dict[str, str]:
    """Checksums in the provenance of a finished output, by relative path.

    Raises
    ------
    Damaged
        If the provenance cannot be read or is not what was written.
    """
    return _listed(folder, _state(folder / PROVENANCE_NAME))


def set_aside(folder: Path) -> Path:
    """Rename a damaged output, or whatever has its name, so that it can be made again; return the new place."""
    aside = folder.with_name(f".{folder.name}{ASIDE}")
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside)
    else:
        aside.unlink(missing_ok=True)
    return folder.rename(aside)


def is_aside(folder: Path) -> bool:
    """Whether `set_aside` made a folder."""
    return folder.name.startswith(".") and folder.name.endswith(ASIDE)


@lru_cache(maxsize=1024)
def _listed(folder: Path, state: tuple[int, int] | None) -> dict[str, str]:
    try:
        provenance = json.loads((folder / PROVENANCE_NAME).read_text(encoding="utf-8"))
        provenance["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(folder, PROVENANCE_NAME, "cannot be read") from error
    checksum = provenance.pop(CHECKSUM, None)
    if checksum is None:  # of an earlier version, which listed nothing
        return {}
    if checksum != _checksum_of(provenance):
        raise Damaged(folder, PROVENANCE_NAME, "has changed")
    return provenance[FILES]


def _damage(folder: Path, name: str, expected: str) -> Damaged | None:
    try:
        _compare(folder, name, expected, _state(folder / name))
    except Damaged as damage:
        return damage
    return None


def _compare(folder: Path, name: str, expected: str, state: tuple[int, int] | None) -> None:
    """Compare one file, unless it was compared or written in this state before, by this process."""
    if (folder, name, expected, state) in _COMPARED:
        return
    if state is None:
        raise Damaged(folder, name, "has gone")
    try:
        content = file_checksum(folder / name)
    except OSError as error:
        raise Damaged(folder, name, "cannot be read") from error
    if content != expected:
        raise Damaged(folder, name, "has changed")
    _COMPARED.add((folder, name, expected, state))


def _state(path: Path) -> tuple[int, int] | None:
    """Size and modification time of a regular file; None if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_size, stat.st_mtime_ns) if path.is_file() else None


def _checksum_of(provenance: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(provenance, sort_keys=True).encode()).hexdigest()

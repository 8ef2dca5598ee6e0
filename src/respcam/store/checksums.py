"""Checksums of files, with a cache: an unchanged file is not read again."""

import json
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from respcam.errors import Reason
from respcam.store.artifact import digest_of, file_sha256, write_atomically
from respcam.store.processes import number_of


def are_remembered(root: Path, paths: Sequence[str], store: Path) -> bool:
    """Whether the cache holds the checksum of every existing file.

    Parameters are those of `content_of_files`.
    """
    memory = _memory(root, store)
    remembered = _remembered(memory)
    return all(_stamp(root / path) in (None, remembered.get(path, [[]])[0]) for path in paths)


def content_of_files(root: Path, paths: Sequence[str], store: Path, workers: int) -> list[str]:
    """Find the SHA-256 of every file.

    Parameters
    ----------
    root : Path
    paths : sequence of str
        Paths relative to the root.
    store : Path
        Folder of the cache, which also holds size and modification time of each file.
    workers : int
        Number of threads that read files.

    Returns
    -------
    list of str
        For each file: 64 hex digits, or missing or unreadable (`respcam.errors.Reason`).
    """
    memory = _memory(root, store)
    memory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(memory.with_suffix(".lock")):  # so that jobs of a sweep read the files only once
        remembered = _remembered(memory)

        def state(relative: str) -> tuple[list[int], str]:
            return _state(root / relative, remembered.get(relative))

        with ThreadPoolExecutor(number_of(workers)) as threads:
            jobs = threads.map(state, paths)
            states = list(tqdm(jobs, total=len(paths), desc="check files", unit="file", leave=False, delay=1))
        readable = {path: file_state for path, file_state in zip(paths, states, strict=True) if file_state[0]}
        write_atomically(memory, json.dumps({**remembered, **readable}))
    return [content for _, content in states]


def _memory(root: Path, store: Path) -> Path:
    return store / "checksums" / f"{digest_of(str(root.resolve()))[:16]}.json"


def _remembered(memory: Path) -> dict[str, tuple[list[int], str]]:
    """Content of the cache; blank if there is none or it is damaged."""
    try:
        remembered = json.loads(memory.read_text(encoding="utf-8"))
        return {path: (list(stamp), str(content)) for path, (stamp, content) in remembered.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _stamp(path: Path) -> list[int] | None:
    """Size and modification time of a file; None if it cannot be accessed."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _state(path: Path, before: tuple[list[int], str] | None) -> tuple[list[int], str]:
    """Size and modification time of a file, and its SHA-256; an empty list if it cannot be read."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device would be read for ever
            return [], Reason.UNREADABLE.value
        stamp = [status.st_size, status.st_mtime_ns]
        if before is not None and before[0] == stamp:
            return stamp, before[1]
        return stamp, file_sha256(path)
    except FileNotFoundError:
        return [], Reason.MISSING.value
    except OSError:
        return [], Reason.UNREADABLE.value

"""Journals: lists of the finished pieces of a stage, for its next attempt and for jobs with other shares."""

import json
import zlib
from pathlib import Path
from typing import Any

from respcam.store.shard import Shard


class Journal:
    """List of finished pieces of work, one per line, in the unfinished folder of a stage.

    Parameters
    ----------
    folder : Path
    shard : Shard
        Shard whose pieces are appended; the pieces of all shards are read.
    """

    def __init__(self, folder: Path, shard: Shard):
        self.folder, self.path = folder, folder / f"journal-{shard}.jsonl"

    def outcomes(self) -> dict[str, Any]:
        """Results of all finished pieces of all shards and attempts, by key; a damaged line does not count."""
        outcomes = {}
        for path in sorted(self.folder.glob("journal-*.jsonl")):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                checksum, _, content = line.partition(" ")
                if checksum == _checksum(content):
                    piece, outcome = json.loads(content)
                    outcomes[piece] = outcome
        return outcomes

    def __enter__(self) -> "Journal":
        self.file = self.path.open("a", encoding="utf-8")
        self.file.write("\n")  # ends a line that an interruption left incomplete
        return self

    def append(self, piece: str, outcome: Any) -> None:
        """Add a finished piece with its result."""
        content = json.dumps([piece, outcome])
        self.file.write(f"{_checksum(content)} {content}\n")
        self.file.flush()

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def remove(self) -> None:
        """Delete the journals of all shards, because the stage is finished."""
        for path in self.folder.glob("journal-*.jsonl"):
            path.unlink()


def _checksum(content: str) -> str:
    return f"{zlib.crc32(content.encode()):08x}"

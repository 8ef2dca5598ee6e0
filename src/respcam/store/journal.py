"""Journals: lists of the finished pieces of a stage, for its next attempt and for jobs with other shares."""

import json
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
        """Results of all finished pieces of all shards and attempts, by key; an incomplete line does not count."""
        texts = [path.read_text(encoding="utf-8") for path in sorted(self.folder.glob("journal-*.jsonl"))]
        lines = [json.loads(line) for text in texts for line in text[: text.rfind("\n") + 1].splitlines()]
        return {line["piece"]: line["outcome"] for line in lines}

    def __enter__(self) -> "Journal":
        if self.path.is_file():
            text = self.path.read_text(encoding="utf-8")
            self.path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")
        self.file = self.path.open("a", encoding="utf-8")
        return self

    def append(self, piece: str, outcome: Any) -> None:
        """Add a finished piece with its result."""
        self.file.write(json.dumps({"piece": piece, "outcome": outcome}) + "\n")
        self.file.flush()

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def remove(self) -> None:
        """Delete the journals of all shards, because the stage is finished."""
        for path in self.folder.glob("journal-*.jsonl"):
            path.unlink()

"""Journals: the pieces of a stage that are done, for its next attempt and for those who do other shares."""

import json
from pathlib import Path
from typing import Any

from respcam.store.shard import Shard


class Journal:
    """Finished pieces of work, a line each, kept in the folder that a stage is filling.

    Parameters
    ----------
    folder : Path
    shard : Shard
        Whose pieces are appended; the pieces of all shards are read.
    """

    def __init__(self, folder: Path, shard: Shard):
        self.folder, self.path = folder, folder / f"journal-{shard}.jsonl"

    def outcomes(self) -> dict[str, Any]:
        """What any shard or earlier attempt has finished, by the key of the piece; a line cut off does not count."""
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
        """Note a piece as finished, with what came of it."""
        self.file.write(json.dumps({"piece": piece, "outcome": outcome}) + "\n")
        self.file.flush()

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def remove(self) -> None:
        """Forget the pieces of all shards: the stage is finished."""
        for path in self.folder.glob("journal-*.jsonl"):
            path.unlink()

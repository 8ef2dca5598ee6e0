"""What a stage has finished so far, a line per piece: read by the next attempt, and by those who do other shares."""

import json
from pathlib import Path
from typing import Any

from respcam.store.shard import Shard


class Journal:
    """Finished pieces of work, kept in the folder that a stage is filling.

    Parameters
    ----------
    folder : Path
    shard : Shard
        Whose pieces are appended; the pieces of all shards are read.
    """

    def __init__(self, folder: Path, shard: Shard):
        self.folder, self.path = folder, folder / f"journal-{shard}.jsonl"

    def read(self) -> list[Any]:
        """Pieces that any shard or earlier attempt has finished; a last line that was cut off does not count."""
        texts = [path.read_text(encoding="utf-8") for path in sorted(self.folder.glob("journal-*.jsonl"))]
        return [json.loads(line) for text in texts for line in text[: text.rfind("\n") + 1].splitlines()]

    def __enter__(self) -> "Journal":
        if self.path.is_file():
            text = self.path.read_text(encoding="utf-8")
            self.path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")
        self.file = self.path.open("a", encoding="utf-8")
        return self

    def append(self, *pieces: Any) -> None:
        """Note pieces as finished."""
        self.file.writelines(json.dumps(piece) + "\n" for piece in pieces)
        self.file.flush()

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def remove(self) -> None:
        """Forget the pieces of all shards: the stage is finished."""
        for path in self.folder.glob("journal-*.jsonl"):
            path.unlink()

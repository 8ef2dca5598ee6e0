"""Shards: shares of the work of one stage, for several jobs."""

from dataclasses import dataclass

from respcam.errors import Refused


@dataclass(frozen=True)
class Shard:
    """One of several equal shares; by default all the work.

    Parameters
    ----------
    index : int
        Number of the share, from 0.
    count : int
        Number of shares.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise Refused(f"shard.count is {self.count}; expected at least 1")
        if not 0 <= self.index < self.count:
            raise Refused(
                f"shard.index is {self.index}; expected 0 to {self.count - 1}, as shard.count is {self.count}"
            )

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"

    @property
    def is_whole(self) -> bool:
        """Whether the share is all the work."""
        return self.count == 1

    def holds(self, number: int) -> bool:
        """Whether piece ``number`` of the work is in this share."""
        return number % self.count == self.index


WHOLE = Shard()

"""Labels: what is known of recordings beside their sound."""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from respcam.store.artifact import digest_of


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of recordings beside their sound: the only door for labels.

    Attributes
    ----------
    recordings : DataFrame
        The manifest: text columns, blank where not known.
    events : DataFrame or None
        ``recording_id, start_s, end_s, label``.
    same_patient_parts : list of str
        Parts that are published as sharing their patients with train.
    content : Series of str
        SHA-256 of each file that is there, by recording_id: the same file under two names is one recording.
    """

    recordings: pd.DataFrame
    events: pd.DataFrame | None
    same_patient_parts: list[str]
    content: pd.Series

    @cached_property
    def digest(self) -> str:
        """Digest of both tables, of the parts and of the content."""
        events = "" if self.events is None else self.events.to_csv(index=False)
        tables = [self.recordings.to_csv(index=False), events, self.content.to_csv()]
        return digest_of([*tables, self.same_patient_parts])

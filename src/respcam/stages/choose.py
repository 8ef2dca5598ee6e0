"""Guided choice of bands: those that a model of all bands needs least."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from respcam.heat.bands import BandSelection, least_important
from respcam.stages.profile import Profile
from respcam.stages.train import BandChoice
from respcam.stages.trust import Trust
from respcam.store.tables import Document


@dataclass(frozen=True, kw_only=True, eq=False)
class Choose(BandChoice):
    """As many bands as a selection would remove, chosen by what a model of all bands needs least.

    Attributes
    ----------
    bands : BandSelection
        Says how many bands are removed.
    guide : Profile or Trust
        What is known of the model of all bands on its validation patients; its ``importance`` decides.
    """

    name: ClassVar[str] = "choose"
    schema: ClassVar[int] = 1
    made_until: ClassVar[str] = "train"
    REMOVED: ClassVar[Document] = Document("removed.json")

    bands: BandSelection
    guide: Profile | Trust

    def write(self, folder: Path) -> None:
        """Write ``removed.json``: the numbers of the bands, from 0 at the bottom."""
        edges_hz = self.guide.explain.train.features.frames().edges_hz
        self.REMOVED.write(least_important(self.guide.importance(), edges_hz, self.bands).removed, folder)

    def selection(self) -> BandSelection:
        """The selection with the bands that are removed named."""
        return replace(self.bands, removed=self.REMOVED.read(self.folder))

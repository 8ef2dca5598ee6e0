"""Resampling: foreign audio to 16 kHz mono, and a list of the recordings that cannot be used."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from respcam.data import run_folder
from respcam.sound import audio
from respcam.sound.audio import AudioSettings
from respcam.stages.dataset import AudioFiles
from respcam.store.divided import Divided, Piece
from respcam.store.integrity import is_unchanged, verified
from respcam.store.tables import Table

log = logging.getLogger(__name__)

RECORDING_COLUMNS = ["recording_id", "n_samples", "source_rate_hz", "source_samples", "rms_db", "peak_db"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Resample(Divided):
    """Every recording that can be read, as ``audio/<recording_id>.wav`` of one rate and one channel.

    Attributes
    ----------
    files : AudioFiles
    audio : AudioSettings
    """

    name: ClassVar[str] = "resample"
    computed_with: ClassVar[tuple[str, ...]] = ("soxr",)
    schema: ClassVar[int] = 3
    work = staticmethod(audio.resample_files)
    piece_recordings: ClassVar[int] = 8
    RECORDINGS: ClassVar[Table] = Table("recordings.csv", {"recording_id": str})

    files: AudioFiles
    audio: AudioSettings

    def prepare(self, folder: Path) -> None:
        """Make the folder of the recordings."""
        (folder / "audio").mkdir(exist_ok=True)

    def pieces(self, folder: Path) -> Iterator[Piece]:
        """List a few recordings at a time, in the order of the manifest."""
        rows = (row._asdict() for row in self.files.table.itertuples(index=False))
        for batch in iter(lambda: list(islice(rows, self.piece_recordings)), []):
            arguments = (batch, self.files.root, folder / "audio", self.audio)
            yield Piece(f"{batch[0]['recording_id']} {len(batch)}", len(batch), arguments)

    def is_intact(self, piece: Piece, outcome: list[dict[str, Any]]) -> bool:
        """Compare the files with the checksums of what was written."""
        folder = piece.arguments[2]
        usable = [row for row in outcome if "reason" not in row]
        return all(is_unchanged(folder / f"{row['recording_id']}.wav", row["checksum"]) for row in usable)

    def finish(self, folder: Path, outcomes: list[list[dict[str, Any]]]) -> None:
        """Write ``recordings.csv`` and ``rejected.csv``."""
        outcome = {row["recording_id"]: row for rows in outcomes for row in rows}
        rows = [outcome[name] for name in self.files.table["recording_id"]]
        usable = pd.DataFrame([row for row in rows if "reason" not in row], columns=RECORDING_COLUMNS)
        rejected = pd.DataFrame([row for row in rows if "reason" in row], columns=list(run_folder.REJECTED_COLUMNS))
        self.RECORDINGS.write(usable, folder)
        run_folder.REJECTED.write(rejected, folder)
        log.info("resample: %d recordings usable, %d rejected", len(usable), len(rejected))

    def recordings(self) -> pd.DataFrame:
        """Usable recordings: ``recording_id, n_samples, source_rate_hz, source_samples, rms_db, peak_db``."""
        return self.RECORDINGS.read(self.folder)

    def rejected(self) -> pd.DataFrame:
        """Unusable recordings: ``recording_id, path, reason, detail``."""
        return run_folder.REJECTED.read(self.folder)

    @property
    def audio_folder(self) -> Path:
        """Folder of the usable recordings, ``<recording_id>.wav``."""
        return self.folder / "audio"

    def path_of(self, recording_id: str) -> Path:
        """File of a usable recording: mono 32-bit float WAV at ``audio.sample_rate_hz``."""
        return verified(self.audio_folder / f"{recording_id}.wav")

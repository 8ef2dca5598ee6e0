"""Log-mel frames of all recordings in one array, with an index of where each recording lies."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import soundfile as sf

from respcam.data import run_folder
from respcam.data.manifest import named
from respcam.errors import Refused
from respcam.sound import frames
from respcam.sound.frames import FrameStore
from respcam.sound.front_end import FrontEnd, bands_table
from respcam.stages.resample import Resample
from respcam.store.divided import Divided, Piece
from respcam.store.integrity import check_output, is_unchanged, verified
from respcam.store.tables import Table

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Features(Divided):
    """Log-mel frames: ``mel-*.npy``, float32 [shape=(frame, band)], at most 512 MiB each.

    Attributes
    ----------
    resample : Resample
    front_end : FrontEnd
    """

    name: ClassVar[str] = "features"
    schema: ClassVar[int] = 4
    work = staticmethod(frames.write_frames)
    piece_recordings: ClassVar[int] = 16
    INDEX: ClassVar[Table] = Table("index.csv", {"recording_id": str})
    BANDS: ClassVar[Table] = Table("bands.csv")

    resample: Resample
    front_end: FrontEnd

    def prepare(self, folder: Path) -> None:
        """Announce bands that mean nothing, compare the audio with its checksums, and allocate the arrays."""
        announce_weak_bands(bands_table(self.front_end))
        check_output(self.resample.folder)
        for shard, rows in self._layout().groupby("shard"):
            shape = (int(rows["n_frames"].sum()), self.front_end.n_bands)
            frames.allocate_frames(folder / _array_name(shard), shape)

    def pieces(self, folder: Path) -> Iterator[Piece]:
        """List some recordings at a time, the audio written last first.

        That audio is in the page cache still, where all of it does not fit.
        """
        pieces, size, audio = [], self.piece_recordings, self.resample.audio_folder
        for shard, rows in self._layout().groupby("shard"):
            names, first_frames = rows["recording_id"].tolist(), rows["first_frame"].tolist()
            for start in range(0, len(names), size):
                paths = [audio / f"{name}.wav" for name in names[start : start + size]]
                arguments = (folder / _array_name(shard), first_frames[start], paths, self.front_end)
                pieces.append(Piece(f"{names[start]} {len(paths)}", len(paths), arguments))
        return reversed(pieces)

    def is_intact(self, piece: Piece, outcome: list[Any]) -> bool:
        """Compare the frames with the checksum of what was written."""
        return is_unchanged(piece.arguments[0], *outcome)

    def finish(self, folder: Path, outcomes: list[Any]) -> None:
        """Write ``index.csv`` and ``bands.csv``."""
        self.BANDS.write(bands_table(self.front_end), folder)
        self.INDEX.write(self._layout(), folder)

    def bands(self) -> pd.DataFrame:
        """Every band of the front end: ``band, lower_hz, centre_hz, upper_hz, n_bins``."""
        return self.BANDS.read(self.folder)

    def frames(self) -> FrameStore:
        """Frames of all recordings, memory-mapped."""
        return self._frames

    @cached_property
    def _frames(self) -> FrameStore:
        index = self.INDEX.read(self.folder).set_index("recording_id")
        paths = [self.folder / _array_name(shard) for shard in range(index["shard"].max() + 1)]
        shards = [np.load(verified(path), mmap_mode="r") for path in paths]
        return FrameStore(shards, index, self.bands(), self.front_end)

    def _layout(self) -> pd.DataFrame:
        """Place of each recording: ``recording_id, shard, first_frame, n_frames``.

        Raises
        ------
        Refused
            If no recording is usable or long enough, or the audio has another rate than the front end expects.
        """
        recordings = self.resample.recordings()
        if recordings.empty:
            listed = self.resample.folder / run_folder.REJECTED.name
            raise Refused(f"features: no recording is usable; {listed} says why")
        rate_hz = sf.info(self.resample.path_of(recordings["recording_id"].iloc[0])).samplerate
        if rate_hz != self.front_end.sample_rate_hz:
            raise Refused(
                f"front_end.sample_rate_hz is {self.front_end.sample_rate_hz}, but audio.sample_rate_hz made "
                f"{rate_hz} Hz; set both to one value"
            )
        places = frames.lay_out(recordings["recording_id"], recordings["n_samples"], self.front_end)
        if not any(place.n_frames for place in places):
            n_samples = self.front_end.window_samples
            raise Refused(f"features: no recording is as long as one window of {n_samples} samples")
        return pd.DataFrame(places)


def _array_name(shard: int) -> str:
    return f"mel-{shard:03d}.npy"


def announce_weak_bands(bands: pd.DataFrame) -> None:
    """Warn about filters that rest on one FFT bin or none: those rows are copies or empty."""
    weak = bands[bands["n_bins"] < 2]
    if len(weak):
        log.warning(
            "features: %d of %d filters rest on fewer than two FFT bins (bands %s, up to %.0f Hz); heat per "
            "band means nothing there: raise front_end.n_fft",
            len(weak),
            len(bands),
            named([str(band) for band in weak["band"]], limit=30),
            weak["upper_hz"].max(),
        )

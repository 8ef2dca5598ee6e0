"""16 kHz audio to log-mel frames in one array, with an index of where each recording lies."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
from tqdm import tqdm

from respcam.data.manifest import named
from respcam.sound import front_end
from respcam.sound.front_end import FrontEnd
from respcam.store.artifact import Artifact
from respcam.store.journal import Journal
from respcam.store.processes import results
from respcam.store.shard import WHOLE, Shard
from respcam.store.tables import write_table

log = logging.getLogger(__name__)

SCHEMA = 2
SHARD_BYTES = 512 * 2**20
PIECE_RECORDINGS = 16


def plan(store: Path, resampled: Artifact, settings: FrontEnd) -> Artifact:
    """Name the output before any work is done."""
    return Artifact(store, "features", SCHEMA, {"front_end": settings}, {"resample": resampled.digest})


def run(artifact: Artifact, resampled: Artifact, settings: FrontEnd, workers: int, shard: Shard = WHOLE) -> Path:
    """Compute the log-mel frames of every resampled recording.

    Parameters
    ----------
    artifact : Artifact
        From `plan`.
    resampled : Artifact
    settings : FrontEnd
    workers : int
        Processes.
    shard : Shard
        Share of the recordings to do; whoever does the last of them finishes the output.

    Returns
    -------
    Path
        Folder with ``mel-*.npy`` (float32 [shape=(frame, band)], at most 512 MiB each),
        ``index.csv`` (recording_id, shard, first_frame, n_frames) and ``bands.csv`` (band,
        lower_hz, centre_hz, upper_hz, n_bins); it is there once every share is done.

    Raises
    ------
    ValueError
        If the audio has another rate than the front end expects.
    """
    if not shard.is_whole:
        with artifact.contributing(str(shard)) as partial:
            if partial is None:
                return artifact.folder
            n_left = _fill(partial, _index(resampled, settings), resampled, settings, workers, shard)
        if n_left:
            log.info("features: %d recordings are left to other shards", n_left)
            return artifact.folder
    with artifact.building() as partial:
        if partial is None:
            return artifact.folder
        bands = bands_table(settings)
        announce_weak_bands(bands)
        index = _index(resampled, settings)
        _fill(partial, index, resampled, settings, workers, WHOLE)
        write_table(bands, partial / "bands.csv")
        write_table(index, partial / "index.csv")
        Journal(partial, WHOLE).remove()
    return artifact.folder


def bands_table(settings: FrontEnd) -> pd.DataFrame:
    """Edges and centre of every band in Hz, and the FFT bins it rests on."""
    table = pd.DataFrame(front_end.band_edges_hz(settings), columns=["lower_hz", "centre_hz", "upper_hz"])
    table.insert(0, "band", range(len(table)))
    return table.assign(n_bins=front_end.bins_per_band(settings))


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


def _index(resampled: Artifact, settings: FrontEnd) -> pd.DataFrame:
    """Read what was resampled and give each recording its place."""
    recordings = pd.read_csv(resampled.require() / "recordings.csv", dtype={"recording_id": str})
    if recordings.empty:
        raise ValueError("features: no usable recording; the rejected ones are listed by the resample stage")
    first = recordings["recording_id"].iloc[0]
    rate_hz = sf.info(resampled.folder / "audio" / f"{first}.wav").samplerate
    if rate_hz != settings.sample_rate_hz:
        raise ValueError(
            f"front_end.sample_rate_hz is {settings.sample_rate_hz}, but audio.sample_rate_hz made {rate_hz} Hz; "
            "set both to one value"
        )
    index = _lay_out(recordings, settings)
    if not index["n_frames"].any():
        raise ValueError(f"features: no recording is as long as one window of {settings.window_samples} samples")
    return index


def _lay_out(recordings: pd.DataFrame, settings: FrontEnd) -> pd.DataFrame:
    """Give each recording its place: shards filled in order, no recording across two."""
    shard_frames = SHARD_BYTES // (4 * settings.n_bands)
    rows, shard, first = [], 0, 0
    for name, n_samples in recordings[["recording_id", "n_samples"]].itertuples(index=False):
        n = front_end.n_frames(n_samples, settings)
        if first and first + n > shard_frames:
            shard, first = shard + 1, 0
        rows.append((name, shard, first, n))
        first += n
    return pd.DataFrame(rows, columns=["recording_id", "shard", "first_frame", "n_frames"])


def _fill(
    folder: Path, index: pd.DataFrame, resampled: Artifact, settings: FrontEnd, workers: int, shard: Shard
) -> int:
    """Compute a share of the frames; returns the number of recordings that no share has done by now."""
    audio, pieces = resampled.folder / "audio", []
    for number, rows in index.groupby("shard"):
        path = folder / f"mel-{number:03d}.npy"
        _allocate(path, (int(rows["n_frames"].sum()), settings.n_bands))
        names, first = rows["recording_id"].tolist(), rows["first_frame"].tolist()
        for i in range(0, len(names), PIECE_RECORDINGS):
            files = [audio / f"{name}.wav" for name in names[i : i + PIECE_RECORDINGS]]
            pieces.append((path, first[i], files, settings))
    journal = Journal(folder, shard)
    keys = [f"{files[0].stem} {len(files)}" for _, _, files, _ in pieces]
    done = set(journal.read())
    # the audio written last first: it is in the page cache still, where all of it does not fit
    own = [number for number in reversed(range(len(pieces))) if shard.holds(number)]
    todo = [number for number in own if keys[number] not in done]
    n_own, n_todo = (sum(len(pieces[number][2]) for number in numbers) for numbers in (own, todo))
    bar = tqdm(total=n_own, initial=n_own - n_todo, desc="features", unit="rec")
    with bar, journal:
        jobs = results(front_end.write_frames, (pieces[number] for number in todo), len(todo), workers)
        for i, n_recordings in jobs:
            journal.append(keys[todo[i]])
            bar.update(n_recordings)
    done = set(journal.read())
    return sum(len(files) for key, (_, _, files, _) in zip(keys, pieces, strict=True) if key not in done)


def _allocate(path: Path, shape: tuple[int, int]) -> None:
    """Make an array of zeros, or find it made; shares may do so at once, for all write the same header."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * shape[0] * shape[1])


@dataclass(frozen=True)
class FrameStore:
    """The frames of all recordings, memory-mapped.

    Attributes
    ----------
    shards : list of float32 [shape=(frame, band)]
    index : DataFrame
        By recording_id: shard, first_frame, n_frames.
    bands : DataFrame
    settings : FrontEnd
    """

    shards: Sequence[np.ndarray]
    index: pd.DataFrame
    bands: pd.DataFrame
    settings: FrontEnd

    @staticmethod
    def open(folder: Path, settings: FrontEnd) -> "FrameStore":
        """Map the output of the features stage."""
        index = pd.read_csv(folder / "index.csv", dtype={"recording_id": str}).set_index("recording_id")
        shards = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("mel-*.npy"))]
        return FrameStore(shards, index, pd.read_csv(folder / "bands.csv"), settings)

    @cached_property
    def _places(self) -> dict[str, tuple[int, int, int]]:
        columns = (self.index[name].tolist() for name in ("shard", "first_frame", "n_frames"))
        return dict(zip(self.index.index, zip(*columns, strict=True), strict=True))

    @property
    def edges_hz(self) -> np.ndarray:
        """Lower edge, centre, upper edge of each band: float64 [shape=(band, 3)]."""
        return self.bands[["lower_hz", "centre_hz", "upper_hz"]].to_numpy()

    def span(self, recording_id: str, start_s: float, end_s: float) -> tuple[int, int]:
        """First frame and number of frames of a stretch; NaN times mean the whole recording.

        A frame belongs to the stretch that its first sample lies in.
        """
        if recording_id not in self._places:
            return 0, 0
        n_frames = self._places[recording_id][2]
        if np.isnan(start_s):
            return 0, n_frames
        first = min(int(start_s * self.settings.frame_rate_hz), n_frames)
        last = min(int(np.ceil(end_s * self.settings.frame_rate_hz)), n_frames)
        return first, last - first

    def frames(self, recording_id: str, first: int, n_frames: int) -> np.ndarray:
        """View of some frames of a recording: float32 [shape=(frame, band)]."""
        shard, offset, _ = self._places[recording_id]
        return self.shards[shard][offset + first : offset + first + n_frames]

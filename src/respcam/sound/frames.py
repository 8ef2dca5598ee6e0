"""Log-mel frames of all recordings in array files on disk: layout, writing, and reading."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soundfile as sf
import xxhash

from respcam.errors import Refused
from respcam.sound import front_end
from respcam.sound.front_end import FrontEnd, LogMel

if TYPE_CHECKING:  # a worker process starts without it
    import pandas as pd

SHARD_BYTES = 512 * 2**20
ITEM_BYTES = 4  # size of one float32


class Place(NamedTuple):
    """Place of the frames of a recording, with the columns of the index.

    Attributes
    ----------
    recording_id : str
    shard : int
        Number of the array.
    first_frame : int
        First row of the recording in the array.
    n_frames : int
    """

    recording_id: str
    shard: int
    first_frame: int
    n_frames: int


class Written(NamedTuple):
    """Bytes of an array file that one process wrote, and their XXH3 (32 hex digits)."""

    checksum: str
    first_byte: int
    n_bytes: int


def lay_out(recording_ids: Iterable[str], n_samples: Iterable[int], settings: FrontEnd) -> list[Place]:
    """Place recordings in arrays of at most `SHARD_BYTES`, in order; each lies in one array.

    Parameters
    ----------
    recording_ids : iterable of str
    n_samples : iterable of int
        Length of each recording at ``settings.sample_rate_hz``.
    settings : FrontEnd

    Returns
    -------
    list of Place
        One place per recording, in order. A recording shorter than a window has no frames; a recording larger than
        `SHARD_BYTES` has its own array.

    Examples
    --------
    >>> lay_out(["a", "b"], [15_600, 16_000], FrontEnd())[1]
    Place(recording_id='b', shard=0, first_frame=96, n_frames=98)
    """
    shard_frames = SHARD_BYTES // (ITEM_BYTES * settings.n_bands)
    places, shard, first = [], 0, 0
    for recording_id, n in zip(recording_ids, n_samples, strict=True):
        length = front_end.n_frames(n, settings)
        if first and first + length > shard_frames:
            shard, first = shard + 1, 0
        places.append(Place(recording_id, shard, first, length))
        first += length
    return places


def allocate_frames(path: Path, shape: tuple[int, int]) -> None:
    """Make an array file of zeros; the content of an existing file stays.

    Several processes may call this at the same time, because all write the same header and length. `numpy.save`
    would truncate the file and delete the frames of other processes. The header comes from ``numpy.lib.format``.

    Parameters
    ----------
    path : Path
        File in NumPy's format, version 1.0.
    shape : (int, int)
        Number of frames and of bands, in float32.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "mel-000.npy"
    >>> allocate_frames(path, (200, 64))
    >>> np.load(path, mmap_mode="r").shape
    (200, 64)
    """
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + ITEM_BYTES * shape[0] * shape[1])


def write_frames(path: Path, first_frame: int, recordings: Sequence[Path], settings: FrontEnd) -> Written:
    """Compute and write the frames of consecutive recordings: the work of one process.

    Parameters
    ----------
    path : Path
        File from `allocate_frames`; its frames at the place of the recordings are overwritten.
    first_frame : int
        First row of the first recording in the array.
    recordings : sequence of Path
        Mono files at ``settings.sample_rate_hz``.
    settings : FrontEnd

    Returns
    -------
    Written

    Raises
    ------
    Refused
        If a frame is not finite, because it would spoil every model.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> sf.write(folder / "a.wav", np.zeros(15_600), 16_000)
    >>> allocate_frames(folder / "mel-000.npy", (96, 64))
    >>> write_frames(folder / "mel-000.npy", 0, [folder / "a.wav"], FrontEnd()).n_bytes
    24576
    >>> np.load(folder / "mel-000.npy")[95, 0].round(3)  # log(0.01), the floor
    np.float32(-4.605)
    """
    log_mel = LogMel(settings)
    checksum = xxhash.xxh3_128()
    first_byte = np.load(path, mmap_mode="r").offset + ITEM_BYTES * settings.n_bands * first_frame
    with path.open("r+b") as file:  # faster than a memory map, which loads page by page
        file.seek(first_byte)
        for recording in recordings:
            waveform, _ = sf.read(recording, dtype="float32")
            rows = np.ascontiguousarray(log_mel(waveform))
            if not np.isfinite(rows).all():
                raise Refused(f"{recording}: its log-mel is not finite; expected samples of full scale 1")
            file.write(rows.data)  # tofile() loses the reason of an error
            checksum.update(rows.data)
        return Written(checksum.hexdigest(), first_byte, file.tell() - first_byte)


@dataclass(frozen=True)
class FrameStore:
    """The frames of all recordings, in memory or memory-mapped.

    Parameters
    ----------
    shards : sequence of float32 [shape=(frame, band)]
        Arrays that `allocate_frames` and `write_frames` made.
    index : DataFrame
        By recording_id: ``shard, first_frame, n_frames``, as in `Place`.
    bands : DataFrame
        One row per band: ``lower_hz, centre_hz, upper_hz`` and further columns.
    settings : FrontEnd

    Examples
    --------
    >>> import pandas as pd
    >>> index = pd.DataFrame(lay_out(["a", "b"], [15_600, 16_000], FrontEnd())).set_index("recording_id")
    >>> store = FrameStore([np.zeros((194, 64), np.float32)], index, pd.DataFrame(), FrontEnd())
    >>> store.span("b", 0.2, 0.5)
    (20, 30)
    >>> store.frames("b", 20, 30).shape
    (30, 64)
    """

    shards: Sequence[np.ndarray]
    index: "pd.DataFrame"
    bands: "pd.DataFrame"
    settings: FrontEnd

    @cached_property
    def _places(self) -> dict[str, tuple[int, int, int]]:
        columns = (self.index[name].tolist() for name in ("shard", "first_frame", "n_frames"))
        return dict(zip(self.index.index, zip(*columns, strict=True), strict=True))

    @property
    def edges_hz(self) -> np.ndarray:
        """Lower edge, centre, upper edge of each band: float64 [shape=(band, 3)]."""
        return self.bands[["lower_hz", "centre_hz", "upper_hz"]].to_numpy()

    def span(self, recording_id: str, start_s: float, end_s: float) -> tuple[int, int]:
        """Find first frame and number of frames of a time interval; the first sample of a frame decides.

        Parameters
        ----------
        recording_id : str
        start_s, end_s : float
            Times from the start of the recording; NaN takes the whole recording.

        Returns
        -------
        first_frame, n_frames : int
            0, 0 for an unknown recording.
        """
        if recording_id not in self._places:
            return 0, 0
        length = self._places[recording_id][2]
        if np.isnan(start_s):
            return 0, length
        first = min(int(start_s * self.settings.frame_rate_hz), length)
        last = min(int(np.ceil(end_s * self.settings.frame_rate_hz)), length)
        return first, last - first

    def frames(self, recording_id: str, first_frame: int, n_frames: int) -> np.ndarray:
        """View of some frames of a recording.

        Parameters
        ----------
        recording_id : str
        first_frame : int
            First frame, counted from the start of the recording.
        n_frames : int

        Returns
        -------
        float32 [shape=(frame, band)]

        Raises
        ------
        KeyError
            If the recording is unknown.
        """
        shard, offset, _ = self._places[recording_id]
        return self.shards[shard][offset + first_frame : offset + first_frame + n_frames]

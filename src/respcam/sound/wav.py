"""WAV files: writing 32-bit float mono, and checking the headers of other files for truncation.

Only this module handles the WAV header. SciPy's writer gives the same bytes, but its import takes half a second in
every worker process. libsndfile reads the samples twice, to find their peak.
"""

import struct
from pathlib import Path

import numpy as np
import xxhash

MOST_BYTES = 2**32 - 64  # largest size of the samples; the WAV header has 32-bit sizes
IEEE_FLOAT = 3  # WAVE_FORMAT_IEEE_FLOAT
UNKNOWN_LENGTH = 0xFFFFFF00  # a stream of unknown length announces at least this many bytes


def write_wav(path: Path, waveform: np.ndarray, sample_rate_hz: int) -> str:
    """Write mono 32-bit float WAV: exact, without clipping above full scale.

    The layout is RIFF with the chunks ``fmt`` (WAVE_FORMAT_IEEE_FLOAT), ``fact`` and ``data``. The bytes equal those
    of ``scipy.io.wavfile.write``.

    Parameters
    ----------
    path : Path
        File to write. It is written under another name and then renamed, so it is never incomplete.
    waveform : float32 [shape=(n_samples,)]
        At most `MOST_BYTES`; full scale is 1.
    sample_rate_hz : int

    Returns
    -------
    str
        XXH3 of the bytes of the file, 32 hex digits.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "silence.wav"
    >>> checksum = write_wav(path, np.zeros(10, np.float32), 16_000)
    >>> path.stat().st_size  # a header of 58 bytes, and four bytes per sample
    98
    """
    samples = np.ascontiguousarray(waveform, dtype="<f4")
    form = struct.pack("<4sIHHIIHHH", b"fmt ", 18, IEEE_FLOAT, 1, sample_rate_hz, 4 * sample_rate_hz, 4, 32, 0)
    fact = struct.pack("<4sII", b"fact", 4, len(samples))
    data = struct.pack("<4sI", b"data", samples.nbytes)
    chunks = b"WAVE" + form + fact + data
    header = struct.pack("<4sI", b"RIFF", len(chunks) + samples.nbytes) + chunks
    checksum = xxhash.xxh3_128(header)
    checksum.update(samples.data)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(header)
        file.write(samples.data)
    partial.replace(path)
    return checksum.hexdigest()


def missing_bytes(path: Path) -> int:
    """Count the bytes that the data chunk of a WAV file announces beyond the end of the file.

    libsndfile shortens such a recording without an error. Streams of unknown length announce 0xFFFFFFFF or 0 bytes;
    they are not checked here.

    Parameters
    ----------
    path : Path
        Any file.

    Returns
    -------
    int
        0 if the file is complete or not a WAV file.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return 0
        while len(chunk := file.read(8)) == 8:
            name, n_bytes = chunk[:4], struct.unpack("<I", chunk[4:])[0]
            if name == b"data":
                return 0 if n_bytes >= UNKNOWN_LENGTH else max(0, file.tell() + n_bytes - size)
            file.seek(n_bytes + n_bytes % 2, 1)
    return 0

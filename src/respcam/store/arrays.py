"""Files of named arrays (npz), saved repeatedly during long work."""

import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArrayFile:
    """File of named arrays that is replaced as a whole.

    A reader sees the complete old or new content, even if the writer was killed.

    Parameters
    ----------
    path : Path
        Path of the file; it ends with ``.npz``.
    """

    path: Path

    def load(self) -> dict[str, np.ndarray]:
        """Read all arrays by name; none if the file does not exist or is damaged."""
        if not self.path.is_file():
            return {}
        try:
            with np.load(self.path) as saved:
                return {name: saved[name] for name in saved}
        except (BadZipFile, EOFError, ValueError, zlib.error) as error:
            log.warning("%s cannot be read (%s); what it held is computed again", self.path, error)
            return {}

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the content of the file."""
        partial = self.path.with_name(f".{self.path.stem}.partial.npz")
        np.savez(partial, **arrays)  # type: ignore[arg-type]
        partial.replace(self.path)

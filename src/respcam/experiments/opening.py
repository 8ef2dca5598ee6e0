"""Opening of a model: from the folder of a finished run, or from an exported file, which needs no torch."""

from pathlib import Path

from respcam.errors import Refused
from respcam.experiments.finished import FinishedRun
from respcam.experiments.listener import EXPORTED, Listener


def open_listener(source: Path, device: str = "cpu") -> Listener:
    """Open the model of a run folder, or an exported file, which needs no torch.

    Raises
    ------
    Refused
        If it cannot be opened.
    """
    if source.suffix == EXPORTED:
        from respcam.experiments.onnx_model import OnnxModel

        return OnnxModel.open(source)
    from respcam.experiments.opened_run import open_run  # takes seconds to import

    return open_run(source, device)


def check_source(source: Path) -> str:
    """Check a run folder or an exported file, and return the digest of its content.

    Raises
    ------
    Refused
        If it is neither.
    """
    if source.suffix == EXPORTED:
        from respcam.store.artifact import file_sha256

        if not source.is_file():
            raise Refused(f"{source}: no such file; respcam export writes one")
        return file_sha256(source)
    finished = FinishedRun.of(source)
    finished.check_version()
    return finished.digest()

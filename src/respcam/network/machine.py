"""Device, precision, threads and memory of this process."""

import ctypes
import sys
from typing import TYPE_CHECKING, Any

import torch

from respcam.errors import Refused

if TYPE_CHECKING:  # takes seconds to import
    from lightning_fabric import Fabric

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def make_fabric(device: str, precision: str = "32-true", threads: int = 1) -> "Fabric":
    """Choose the device (auto, cpu, cuda, ...) and precision, and make torch repeatable on it.

    Threads, determinism and the handling of freed memory are set for the whole process.

    Raises
    ------
    Refused
        If the device is not available.
    """
    from lightning_fabric import Fabric

    torch.set_num_threads(threads)
    _keep_freed_memory()
    torch.use_deterministic_algorithms(True, warn_only=True)
    # filling takes a tenth of the time, and no result needs it
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if precision == "auto":
        on_gpu = device != "cpu" and torch.cuda.is_available()
        is_native = torch.cuda.is_bf16_supported() if on_gpu else torch.cpu._is_avx512_bf16_supported()
        precision = "bf16-mixed" if is_native else "32-true"
    try:
        return Fabric(accelerator=device, devices=1, precision=precision)  # type: ignore[arg-type]
    except (RuntimeError, ValueError) as error:
        raise Refused(f"device is {device!r}, which is not usable here: {error}") from error


def _keep_freed_memory() -> None:
    """Make the GNU C library keep freed memory for the next batch; else every page is mapped again, which is slow."""
    libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_TRIM_THRESHOLD, 2**29)
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)  # the largest possible value

"""Pictures of a page: saved beside it and inlined in it."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from respcam.report.page import data_uri

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def png(figure: "Figure", path: Path, caption: str) -> dict[str, str]:
    """Save a figure and return it for a page, with its caption."""
    memory = BytesIO()
    figure.savefig(memory, format="png", dpi=110)
    path.write_bytes(memory.getvalue())
    return {"uri": data_uri(memory.getvalue()), "caption": caption}

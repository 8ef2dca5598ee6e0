"""Pictures of the README from a finished run: python tests/pictures.py outputs/runs/RUN. Needs chromium."""

import argparse
import shutil
from pathlib import Path

from browser import address_of, browser

PROJECT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--recording", help="recording that the player opens; without it the first of the page")
    arguments = parser.parse_args()
    folder = PROJECT / ".images"
    shutil.copy(arguments.run / "figures" / "occlusion_test.png", folder / "occlusion.png")
    with browser(width=1100) as opened:
        page = opened.open(address_of(arguments.run / "report.html")).page
        if arguments.recording:
            page.get_by_role("button", name=arguments.recording, exact=True).click()
        opened.drawn()
        page.locator("canvas.picture").first.screenshot(path=folder / "player.png")


if __name__ == "__main__":
    main()

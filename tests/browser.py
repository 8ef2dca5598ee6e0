"""A browser for tests of pages: Debian's Chromium by Playwright, without network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
FAKE_MICROPHONE = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no chromium (Debian: apt-get install chromium); pages are not opened"
)


class OpenedPage:
    """A page with everything that it logged, raised and requested."""

    def __init__(self, page):
        self.page, self.errors, self.requests = page, [], []
        page.on("console", lambda message: message.type in ("error", "warning") and self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, address: str) -> "OpenedPage":
        self.page.goto(address)
        self.page.wait_for_load_state("load")
        return self

    def outside(self) -> list[str]:
        """Requests beyond the page itself; data and blobs lie in the page."""
        return [url for url in self.requests[1:] if not url.startswith(("data:", "blob:"))]

    def drawn(self, view: int = 0) -> str:
        """What the picture shows: method, class, strength."""
        self.page.locator("canvas.picture").nth(view).and_(self.page.locator("[data-drawn]")).wait_for()
        self.page.wait_for_timeout(80)
        return self.page.locator("canvas.picture").nth(view).get_attribute("data-drawn")

    def violations(self) -> str:
        """What axe-core complains of; blank if nothing."""
        from axe_playwright_python.sync_playwright import Axe

        results = Axe().run(self.page)
        return results.generate_report() if results.violations_count else ""


@contextmanager
def browser(width: int = 1400, scheme: str = "light", arguments: list[str] | None = None) -> Iterator[OpenedPage]:
    """Start Chromium and open an empty page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required", *(arguments or [])],
        )
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=False, accept_downloads=True
        )
        try:
            yield OpenedPage(context.new_page())
        finally:
            chromium.close()


def address_of(path: Path) -> str:
    """Address of a file on disk."""
    return path.resolve().as_uri()

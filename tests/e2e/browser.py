"""A person with a browser: opens an address in headless Chromium, logs in on the page, says what came of it.

`open_page` is for tests; run as a script with the address it is what a test names in `$BROWSER`. Then `E2E_NAME` and
`E2E_PASSWORD` say who logs in, and `E2E_SEEN` where to write what the last page said.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.e2e.place import need

# as root a browser runs only without its sandbox; the rest keeps it from asking the network for things of its own
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip


@contextmanager
def open_page(address: str) -> Iterator[Page]:
    """A new browser, without memory, at the address."""
    if sys.platform == "linux":
        assert find_library("atomic"), "The browser's driver needs a library: apt install libatomic1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=need("chromium"), args=ARGUMENTS)
        try:
            page = browser.new_page()
            page.goto(address)
            yield page
        finally:
            browser.close()


def log_in(page: Page, name: str, password: str) -> None:
    """Fill in the form and click."""
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", password)
    page.get_by_role("button", name="Log in").click()


def text_of(page: Page) -> str:
    return page.inner_text("body")


def main(address: str) -> None:
    with open_page(address) as page:
        log_in(page, os.environ["E2E_NAME"], os.environ["E2E_PASSWORD"])
        page.wait_for_url(lambda url: "/authorize" not in url)
        page.wait_for_load_state()
        Path(os.environ["E2E_SEEN"]).write_text(text_of(page))


if __name__ == "__main__":
    main(sys.argv[1])

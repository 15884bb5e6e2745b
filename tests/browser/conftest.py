"""One server and one Chromium for all browser tests."""

import os
import shutil
import socket

import pytest

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@pytest.fixture(scope="session")
def address():
    from demo.ui import serve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = serve(port, block=False)
    yield f"http://127.0.0.1:{port}"
    page.close()


@pytest.fixture(scope="session")
def browser():
    if BROWSER is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = [
            "--no-sandbox",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ]
        yield playwright.chromium.launch(executable_path=BROWSER, args=flags)


@pytest.fixture
def visit(browser, address):
    """Opens the page; what it asked for is in ``page.asked``, what went wrong in ``page.wrong``."""
    pages = []

    def open_page(link="", width=1920, height=1080, script="", **context):
        page = browser.new_context(viewport={"width": width, "height": height}, **context).new_page()
        page.asked, page.wrong = [], []
        page.add_init_script(script)
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.goto(address + "/" + link)
        page.locator(".grpo.head").wait_for(timeout=60_000)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.context.close()

"""One server and one Chromium for all browser tests, and a proxy that can lose the connection."""

import asyncio
import contextlib
import os
import shutil
import socket
import threading

import pytest

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
PATIENCE = 120_000  # ms; what a test waits for comes in one or two seconds, on a busy machine in many


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="session")
def address():
    """Of the server. What is recorded is there at once; torch is imported when something else is asked."""
    from demo.ui import Engine, serve

    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "warm_up", lambda self: None)
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


@pytest.fixture(scope="session")
def window(browser):
    """A window that stays open, because a new one takes longer than a new tab in it."""
    window = browser.new_context()
    window.new_page()
    return window


@pytest.fixture
def visit(window, address):
    """Opens the page in a tab; what it asked for is in ``page.asked``, what went wrong in ``page.wrong``.

    Nothing moves by itself unless a test asks for that: a picture that moves takes a third of a core.
    """
    pages = []

    def open_page(link="", width=1440, height=900, at=address, reduced_motion="reduce", script="", **media):
        page = window.new_page()
        page.add_init_script(script)
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(reduced_motion=reduced_motion, **media)
        page.set_default_timeout(PATIENCE)
        page.at, page.asked, page.wrong = at, [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.goto(at + "/" + link)
        page.locator("#tabs").wait_for()
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()


class Proxy(threading.Thread):
    """Hands everything on to the server, until ``cut``: then all connections break, new ones are refused."""

    def __init__(self, to: int):
        super().__init__(daemon=True)
        self.port, self.to, self.open, self.writers = free_port(), to, True, set()
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.start()
        self.ready.wait()

    def run(self):
        self.loop.run_until_complete(asyncio.start_server(self.connect, "127.0.0.1", self.port))
        self.loop.call_soon(self.ready.set)
        self.loop.run_forever()

    async def connect(self, reader, writer):
        if not self.open:
            return writer.close()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
        if not self.open:  # cut in between
            writer.close()
            return far_writer.close()
        self.writers |= {writer, far_writer}
        await asyncio.gather(self.hand_on(reader, far_writer), self.hand_on(far_reader, writer))

    async def hand_on(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
        self.writers.discard(writer)

    def cut(self, on: bool):
        self.open = not on
        for writer in list(self.writers) if on else []:
            self.loop.call_soon_threadsafe(writer.transport.abort)


@pytest.fixture
def proxy(address):
    proxy = Proxy(int(address.rpartition(":")[2]))
    yield proxy
    proxy.cut(True)
    proxy.loop.call_soon_threadsafe(proxy.loop.call_later, 0.2, proxy.loop.stop)  # once all have noticed
    proxy.join()

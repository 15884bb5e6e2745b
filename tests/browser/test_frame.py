"""The page where others put it: under a prefix, behind a proxy, in a frame; and another site beside it."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from demo import ui

pytestmark = pytest.mark.browser
FRAME = b"<!DOCTYPE html><title>frame</title><iframe src='/demo/' width=1400 height=850></iframe>"


class Prefix(BaseHTTPRequestHandler):
    """/demo/... is the page's, which knows nothing of the prefix; everything else is the page around it."""

    protocol_version, to = "HTTP/1.0", 0

    def do_GET(self):
        if not self.path.startswith("/demo/"):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            return self.wfile.write(FRAME)
        far = http.client.HTTPConnection("127.0.0.1", self.to)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {**self.headers, "X-Forwarded-Host": self.headers["Host"], "Accept-Encoding": "identity"}
        far.request(self.command, self.path.removeprefix("/demo"), body, headers)
        answer = far.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        while data := answer.read1(65536):
            self.wfile.write(data)
            self.wfile.flush()

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def around(monkeypatch):
    """The address of a page that frames ours, which is served under /demo/ by a proxy."""
    monkeypatch.setenv("GRADIO_ROOT_PATH", "/demo")
    monkeypatch.setattr(ui.Engine, "warm_up", lambda self: None)  # what is recorded is enough
    served = ui.serve(block=False)
    handler = type("Handler", (Prefix,), {"to": served.server_port})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{proxy.server_port}/"
    proxy.shutdown()
    served.close()


def test_the_page_works_in_a_frame_and_under_a_prefix(browser, around):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    asked, wrong = [], []
    page.on("response", lambda response: asked.append((response.status, response.url)))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(around)
    frame = page.frame_locator("iframe")
    frame.locator("#story").wait_for()
    frame.locator("#generate-button").click()
    frame.locator("#generate-summary").filter(has_text="draws 7").wait_for()
    frame.locator("#rewards-button").click()
    frame.locator("#rewards").wait_for()
    assert not wrong
    assert all(url.startswith(around) for _, url in asked if url.startswith("http"))
    assert not [one for one in asked if one[0] >= 400]
    page.close()


def test_another_site_can_neither_start_anything_nor_read_it(browser, visit, address, monkeypatch):
    """As a page of another site would: a form's kind of request, which no browser asks leave for."""
    started = []
    monkeypatch.setattr(ui.Engine, "train", lambda self, *asked, **named: started.append(asked))
    page = visit()
    port = address.rpartition(":")[2]
    other = browser.new_page()
    other.route(
        "http://evil.example/", lambda route: route.fulfill(body="<p>here</p>", content_type="text/html")
    )
    other.goto("http://evil.example/")
    body = '{"data": ["steer", [7], ["grpo"], 0, "pixels-8x8", {}, []]}'
    sent = """async ([url, body, mode]) => {
      try { return (await fetch(url, {method: 'POST', body, mode})).status } catch { return 'blocked' }
    }"""
    url = f"http://127.0.0.1:{port}/gradio_api/call/train"
    other.evaluate(sent, [url, body, "no-cors"])
    assert other.evaluate(sent, [url, body, "cors"]) == "blocked"
    page.wait_for_timeout(500)
    assert not started
    as_json = sent.replace("'POST',", "'POST', headers: { 'Content-Type': 'application/json' },")
    assert page.evaluate(as_json, ["gradio_api/call/train", body, "same-origin"]) == 200
    for _ in range(100):
        page.wait_for_timeout(100 * (not started))
    assert started, "the page itself may"
    other.close()

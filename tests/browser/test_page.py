"""The page in a real Chromium, and its named endpoint through gradio_client."""

import json
import os
import shutil
import socket

import pytest

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address():
    from demo.ui import serve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = serve(port, block=False)
    yield f"http://127.0.0.1:{port}"
    page.close()


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        yield playwright.chromium.launch(executable_path=BROWSER, args=flags)


@pytest.fixture
def page(browser, address):
    page = browser.new_page(viewport={"width": 1920, "height": 1080})
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.asked.append(f"error: {error}"))
    page.goto(address)
    page.locator(".grid button").first.wait_for(timeout=60_000)
    yield page
    page.close()


def test_samples_are_there_without_a_click_and_nothing_is_asked_of_other_hosts(page, address):
    assert page.locator(".grid button").count() == 24
    assert "samples read as 7 by the judge" in page.locator(".summary").inner_text()
    page.wait_for_function("document.querySelector('.scrub').value > 3")  # it draws by itself
    assert [url for url in page.asked if not url.startswith((address, "data:", "blob:"))] == []


def test_another_digit_and_another_policy_bring_other_samples(page):
    page.locator("#digit label").filter(has_text="3").click()
    page.locator(".summary").filter(has_text="read as 3").wait_for()
    page.locator("#policy input").click()
    page.get_by_role("option", name="Random · untrained").click()
    page.locator(".summary").filter(has_text="Random · untrained").wait_for()
    before = page.locator(".summary").inner_text()
    page.locator("#draw").click()
    page.locator(".summary").filter(has_text="seed 1").wait_for()
    assert page.locator(".summary").inner_text() != before


def test_the_drawing_can_be_paused_stepped_and_scrubbed(page):
    page.locator(".grid button").nth(5).click()
    page.locator(".play").click()
    assert page.locator(".play").inner_text() == "Play"
    at = int(page.locator(".scrub").input_value())
    page.locator(".next").click()
    assert page.locator(".count").inner_text() == f"{at + 1} / 64"
    page.locator(".back").click()
    page.locator(".scrub").fill("64")
    assert page.locator(".count").inner_text() == "64 / 64"
    assert "Sample 6: reward" in page.locator(".verdict").inner_text()


def test_it_fits_a_phone(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(address)
    page.locator(".grid button").first.wait_for(timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_the_endpoint_answers_and_refuses_in_words(address):
    from gradio_client import Client

    client = Client(address, verbose=False)
    answer = json.loads(client.predict("steer/grpo", "7", 1.0, 0, 8, api_name="/generate"))
    assert len(answer["rewards"]) == 8
    assert answer == json.loads(client.predict("steer/grpo", "7", 1.0, 0, 8, api_name="/generate"))
    refused = (({"seed": -5}, "seed is -5"), ({"count": 2.5}, "count is 2.5"), ({"seed": True}, "seed is True"))
    for bad, words in refused:
        arguments = {"policy": "steer/grpo", "digit": "7", "temperature": 1.0, "seed": 0, "count": 4, **bad}
        with pytest.raises(Exception, match=words):
            client.predict(**arguments, api_name="/generate")
    assert len(json.loads(client.predict("random", "0", 1.0, 0, 2, api_name="/generate"))["rewards"]) == 2

"""Screenshots of every tab into docs/images: python -m docs.screenshots (needs playwright and a Chromium).

NAME.png is the slide of presenter mode at 1920x1080, NAME-desk.png the page at 1440x900.
"""

import shutil
from pathlib import Path

import tyro
from playwright.sync_api import sync_playwright

from demo.ui import TABS, serve

FOLDER = Path(__file__).resolve().parent / "images"
SIZES = (("", "&presenter=1", 1920, 1080), ("-desk", "", 1440, 900))


def chromium() -> str:
    """The path of an installed Chromium. Ends the program where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise SystemExit("Chromium is missing; on Debian, apt install chromium brings it.")


def main() -> None:
    app = serve(block=False)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for name in TABS:
            for suffix, link, width, height in SIZES:
                # Motion off: a drawing is then shown finished.
                page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
                page.goto(f"{app.local_url}?tab={name}{link}")
                page.locator(f"#{name} .grpo").first.wait_for(timeout=60_000)
                page.wait_for_timeout(3000)
                page.screenshot(path=FOLDER / f"{name}{suffix}.png")
                page.close()
                print(f"docs/images/{name}{suffix}.png")
        browser.close()
    app.close()


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)

"""Screenshots of every tab at 1920x1080 into docs/images: python -m demo.screenshots (needs playwright and a Chromium)."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from demo.ui import TABS, serve

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
PORT = 7871


def main() -> None:
    chromium = next(
        path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))
    )
    page_of_app = serve(PORT, block=False)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in TABS:
            # Motion off: a drawing is then shown finished.
            page = browser.new_page(viewport={"width": 1920, "height": 1080}, reduced_motion="reduce")
            page.goto(f"http://127.0.0.1:{PORT}/?tab={name}")
            page.locator(f".grpo.{name} canvas").first.wait_for(timeout=60_000)
            page.wait_for_timeout(2500)
            page.screenshot(path=FOLDER / f"{name}.png")
            print(f"docs/images/{name}.png")
        browser.close()
    page_of_app.close()


if __name__ == "__main__":
    main()

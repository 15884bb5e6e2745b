"""How fast the page feels, in a real Chromium: python -m benchmarks.page prints a table and writes page.json.

An action is timed from a click to the first change on the screen, which is that the choice is marked, and to
the answer itself; nothing that was asked for before is asked for again, for the server would remember it.
Frames are those that the browser painted while the player ran.
"""

import os
import platform
import time

import tyro
from playwright.sync_api import sync_playwright

from benchmarks.report import write
from benchmarks.server import end, start, summary
from docs.screenshots import chromium

SEEDS, CLICKS = (3, 4), 9  # visits, and clicks in each
# name: (link, what is clicked in turn, what changes)
ACTIONS = {
    "generate: another digit": ("generate", "#digit label", "#generate-samples"),
    "generate: watch a sample": ("generate", "#generate-samples .cell", "#generate-next"),
    "generate at 28x28: another digit": (
        "generate&recipe=patches-28x28",
        "#digit label",
        "#generate-samples",
    ),
    "compare: another digit": ("compare", "#digit label", "#compare-wall-3"),
    "rewards: another digit": ("rewards", "#digit label", "#rewards-beliefs"),
    "complete: another digit": ("complete", "#digit label", "#complete-samples"),
}
WATCH = """([click, change]) => new Promise((done) => {
  const page = document.querySelector('main');
  const look = (root) => root.innerHTML + [...root.querySelectorAll('.grid')].map((one) =>
  one.style.cssText).join();
  const [before, whole] = [look(document.querySelector(change)), page.innerHTML];
  const start = performance.now();
  let first = null;
  click.click();
  const tick = () => {
    const now = performance.now() - start;
    if (first === null && page.innerHTML !== whole) first = now;
    if (look(document.querySelector(change)) !== before || now > 5000) done([first ?? now, now]);
    else requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
})"""
FRAMES = """() => new Promise((done) => {
  const times = [];
  const tick = (now) => { times.push(now); if (times.length < 180) requestAnimationFrame(tick); else
  done(times); }; requestAnimationFrame(tick);
})"""


def measure(path: str, address: str) -> dict:
    """Milliseconds of each action in the browser at that path, and frames a second while a player plays."""
    time.sleep(25)  # the models load
    results = {"actions": {}}
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]).new_page()
        for name, (link, click, change) in ACTIONS.items():
            times = []
            for seed in SEEDS:
                page.goto(f"{address}/?tab={link}&seed={seed}")
                page.wait_for_timeout(4000)
                targets = page.locator(click)
                shown = 7 if targets.count() == 10 else 0  # the digit, sample or beat that is there already
                for i in range(CLICKS):
                    target = targets.nth((shown + 1 + i) % targets.count()).element_handle()
                    times.append(page.evaluate(WATCH, [target, change]))
                    page.wait_for_timeout(600)
            kinds = zip(("first change", "answer"), zip(*times, strict=True), strict=True)
            results["actions"][name] = {
                "n": len(times),
                **{kind: summary(list(found)) for kind, found in kinds},
            }
        page.goto(f"{address}/?tab=generate")
        page.locator("#generate-player select").select_option("0.5")
        stamps = page.evaluate(FRAMES)
        results["frames per second"] = 1000 * (len(stamps) - 1) / (stamps[-1] - stamps[0])
    return results


def main() -> None:
    path = chromium()
    server, address, _ = start()
    try:
        results = measure(path, address)
    finally:
        end(server)
    results["machine"] = {"cores": os.cpu_count(), "system": platform.platform()}
    for name, one in results["actions"].items():
        kinds = [(kind, found) for kind, found in one.items() if kind != "n"]
        words = [
            f"{kind} {found['median']:.0f} ms (95th percentile {found['p95']:.0f})" for kind, found in kinds
        ]
        print(f"{name}, n = {one['n']}: {', '.join(words)}")
    print(f"frames per second while playing: {results['frames per second']:.1f}")
    write("page", results)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)

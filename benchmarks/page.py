"""How fast the page feels, in a real Chromium: python -m benchmarks.page prints a table and writes page.json.

Cold start is the time from starting the process to the first answer of "/", against an empty Gradio app
started the same way, in turn. An action is timed from a click to the first change on the screen, which for a
slow answer is that the old one fades, and to the answer itself; nothing that was asked for before is asked
for again, for the server would remember it. Frames are those that the browser painted while the player ran.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.report import write

REPO = Path(__file__).resolve().parents[1]
EMPTY = "import gradio as gr\nwith gr.Blocks() as page: gr.Markdown('empty')\npage.launch()"
ROUNDS = 5
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


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(command: list[str]) -> tuple[subprocess.Popen, int, float]:
    """Start a server; returns it, its port, and the seconds until "/" answered."""
    port, began = free_port(), time.perf_counter()
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    server = subprocess.Popen(
        command, cwd=REPO, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
            return server, port, time.perf_counter() - began
        except OSError:
            time.sleep(0.02)


def summary(times: list[float]) -> dict[str, float]:
    """Median and 95th percentile, in milliseconds."""
    return {"median": statistics.median(times), "p95": sorted(times)[round(0.95 * (len(times) - 1))]}


def main() -> None:
    cold = {"empty": [], "ours": []}
    for _ in range(ROUNDS):
        for name, command in (("empty", [sys.executable, "-c", EMPTY]), ("ours", [sys.executable, "app.py"])):
            server, _, seconds = start(command)
            cold[name].append(seconds)
            server.kill()
            server.wait()
    server, port, _ = start([sys.executable, "app.py"])
    time.sleep(25)  # the models load
    results = {"cold": {name: min(times) for name, times in cold.items()}, "actions": {}}
    chromium = next(
        path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))
    )
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
        for name, (link, click, change) in ACTIONS.items():
            times = []
            for seed in SEEDS:
                page.goto(f"http://127.0.0.1:{port}/?tab={link}&seed={seed}")
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
        page.goto(f"http://127.0.0.1:{port}/?tab=generate")
        page.locator("#generate-player select").select_option("0.5")
        stamps = page.evaluate(FRAMES)
        results["frames per second"] = 1000 * (len(stamps) - 1) / (stamps[-1] - stamps[0])
    server.kill()
    results["machine"] = {"cores": os.cpu_count(), "system": platform.platform()}
    ratio = results["cold"]["ours"] / results["cold"]["empty"]
    print(
        f"cold start: {results['cold']['ours']:.2f} s, empty Gradio app {results['cold']['empty']:.2f} s: "
        f"{ratio:.2f} x"
    )
    for name, one in results["actions"].items():
        kinds = [(kind, found) for kind, found in one.items() if kind != "n"]
        words = [
            f"{kind} {found['median']:.0f} ms (95th percentile {found['p95']:.0f})" for kind, found in kinds
        ]
        print(f"{name}, n = {one['n']}: {', '.join(words)}")
    print(f"frames per second while playing: {results['frames per second']:.1f}")
    write("page", results)


if __name__ == "__main__":
    main()

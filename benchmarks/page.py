"""How fast the page feels, in a real Chromium: python -m benchmarks.page prints a table and writes page.json.

Cold start is the time from starting the process to the first answer of "/", against an empty Gradio app started the same
way, in turn. An action is the time from a click to the first change of what it is to change. Frames are those that the
browser painted while the player ran.
"""

from __future__ import annotations

import json
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

REPO = Path(__file__).resolve().parents[1]
EMPTY = "import gradio as gr\nwith gr.Blocks() as page: gr.Markdown('empty')\npage.launch()"
ROUNDS = 5
TIMES = 20
# name: (link, what is clicked in turn, what changes)
ACTIONS = {
    "generate: another digit": ("generate", ".generate .choices span", ".generate .samples"),
    "generate: watch a sample": ("generate", ".generate .samples .sample", ".generate .hero"),
    "generate at 28x28: another digit": ("generate&recipe=patches-28x28", ".generate .choices span", ".generate .samples"),
    "generate at 28x28: watch a sample": ("generate&recipe=patches-28x28", ".generate .samples .sample", ".generate .hero"),
    "compare: another digit": ("compare", ".compare .choices span", ".compare .columns"),
    "rewards: another digit": ("rewards", ".rewards .choices span", ".rewards .belief"),
    "complete: another digit": ("complete", ".complete .choices span", ".complete .samples"),
    "story: next beat": ("story", ".story .dots button", ".story .scene"),
}
WATCH = """([click, change]) => new Promise((done) => {
  const root = document.querySelector(change);
  const all = (query, of) => [...root.querySelectorAll(query)].map(of).join();
  const look = () => root.innerHTML + all('canvas', (c) => c.toDataURL()) + all('i', (i) => i.style.transform);
  const before = look();
  const start = performance.now();
  click.click();
  const over = () => look() !== before || performance.now() - start > 5000;
  const tick = () => { if (over()) done(performance.now() - start); else requestAnimationFrame(tick); };
  tick();
})"""
FRAMES = """() => new Promise((done) => {
  const times = [];
  const tick = (now) => { times.push(now); if (times.length < 180) requestAnimationFrame(tick); else done(times); };
  requestAnimationFrame(tick);
})"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(command: list[str]) -> tuple[subprocess.Popen, int, float]:
    """Start a server; returns it, its port, and the seconds until "/" answered."""
    port, began = free_port(), time.perf_counter()
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    server = subprocess.Popen(command, cwd=REPO, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
            return server, port, time.perf_counter() - began
        except OSError:
            time.sleep(0.02)


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
    chromium = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
        for name, (link, click, change) in ACTIONS.items():
            page.goto(f"http://127.0.0.1:{port}/?tab={link}&seed=3")
            page.wait_for_timeout(4000)
            times = []
            for i in range(TIMES):
                targets = page.locator(click)
                target = targets.nth((i + 1) % min(6, targets.count())).element_handle()
                times.append(page.evaluate(WATCH, [target, change]))
                page.wait_for_timeout(600)
            ordered = sorted(times)
            found = {"median": statistics.median(times), "p95": ordered[int(0.95 * (TIMES - 1))], "n": TIMES}
            results["actions"][name] = found
        page.goto(f"http://127.0.0.1:{port}/?tab=generate")
        page.locator(".generate .speed").select_option("0.5")
        page.locator(".generate .play").click()
        stamps = page.evaluate(FRAMES)
        results["frames per second"] = 1000 * (len(stamps) - 1) / (stamps[-1] - stamps[0])
    server.kill()
    results["machine"] = {"cores": os.cpu_count(), "system": platform.platform()}
    ratio = results["cold"]["ours"] / results["cold"]["empty"]
    print(f"cold start: {results['cold']['ours']:.2f} s, empty Gradio app {results['cold']['empty']:.2f} s: {ratio:.2f} x")
    for name, one in results["actions"].items():
        print(f"{name}: median {one['median']:.0f} ms, 95th percentile {one['p95']:.0f} ms (n = {one['n']})")
    print(f"frames per second while playing: {results['frames per second']:.1f}")
    (REPO / "benchmarks" / "page.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""A server of our own for benchmarks: start it, wait for it, weigh it."""

import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
APP = (sys.executable, "app.py")
EMPTY = (
    sys.executable,
    "-c",
    "import gradio as gr\nwith gr.Blocks() as page: gr.Markdown('.')\npage.launch()",
)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(command: tuple[str, ...] = APP) -> tuple[subprocess.Popen, str, float]:
    """Start a server; returns it, its address, and the seconds until "/" answered.

    Raises RuntimeError where it ends before that.
    """
    port, began = free_port(), time.perf_counter()
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, cwd=REPO, env=environment, **silent)
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
            return server, f"http://127.0.0.1:{port}", time.perf_counter() - began
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"the server ended with code {server.returncode} before it answered.")


def end(server: subprocess.Popen) -> None:
    """Kill a server, and wait for its end."""
    server.kill()
    server.wait()


def resident(process: int) -> float:
    """Memory of a process, in MB; Linux only."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def summary(times: list[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    return {"median": statistics.median(times), "p95": sorted(times)[round(0.95 * (len(times) - 1))]}

"""What a live run does to everything else: python -m benchmarks.live prints a table and writes live.json.

Stop: from the request to the end of the run's threads. Other tabs: the median answer to a request for 24 new
samples while a race runs, against the same without one. Memory: the process's resident size after the first
five and after all runs.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from pathlib import Path

from benchmarks.report import write
from demo.engine import CHECKPOINTS, Engine

RUNS = 50
STOPS = 10
ANSWERS = 15


def resident() -> float:
    """Of this process, in MB; Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def follow(engine: Engine, key: str, until: str, patience: float = 120.0) -> float:
    """Ask for news, as the page does, until a run is in a state or shows a step; returns the seconds."""
    started = time.perf_counter()
    while time.perf_counter() - started < patience:
        news = engine.news(key, [0, 0])
        if news["state"] == until or (until == "step" and news["grpo"]["points"]):
            return time.perf_counter() - started
        time.sleep(0.01)
    raise TimeoutError(f"the run was not {until} within {patience:g} s")


def stops(engine: Engine, recipe: str, settings: dict) -> list[float]:
    """Milliseconds from Stop to the run's end, at different moments of a step."""
    found = []
    for i in range(STOPS):
        key = engine.train({"digits": [7], **settings}, recipe)["key"]
        follow(engine, key, "step")
        time.sleep(0.07 * i)
        engine.control(key, "stop")
        found.append(1e3 * follow(engine, key, "stopped"))
    return found


def answers(engine: Engine, seed: int, recipe: str) -> float:
    """Median milliseconds of a request that was not asked before; a run under way is listened to."""
    for race in engine.trainer.races.values():
        race.heard = math.inf
    times = []
    for i in range(ANSWERS):
        started = time.perf_counter()
        engine.generate("steer/grpo", 3, 1.0, seed + i, 24, recipe)
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def main() -> None:
    from demo.training import PATCHES

    engine, report = Engine(CHECKPOINTS), {}
    for recipe, settings in (("pixels-8x8", {}), ("patches-28x28", PATCHES)):
        engine.generate("steer/grpo", 7, 1.0, 0, 24, recipe)
        times = sorted(stops(engine, recipe, settings))
        alone = answers(engine, 1000, recipe)
        key = engine.train({"digits": [7], **settings}, recipe)["key"]
        follow(engine, key, "step")
        beside = answers(engine, 2000, recipe)
        if engine.news(key, [0, 0])["state"] != "running":
            raise RuntimeError("the race ended before the answers did: nothing was measured beside it")
        engine.control(key, "stop")
        follow(engine, key, "stopped")
        found = {
            "stop median": statistics.median(times),
            "stop worst": times[-1],
            "alone": alone,
            "beside": beside,
        }
        report[recipe] = {name: round(value, 1) for name, value in found.items()}
        print(
            f"{recipe}: stop {found['stop median']:.0f} ms in the median, {times[-1]:.0f} at worst (n = {STOPS})"
        )
        print(
            f"{recipe}: an answer takes {alone:.0f} ms alone, {beside:.0f} beside a race: {beside / alone:.1f} x"
        )
    sizes = []
    for _ in range(RUNS):
        follow(engine, engine.train({"digits": [7], "steps": 2, "group": 32})["key"], "done")
        sizes.append(resident())
    report["memory"] = {"runs": RUNS, "after 5 MB": round(sizes[4]), "after all MB": round(sizes[-1])}
    print(f"memory: {sizes[4]:.0f} MB after 5 runs, {sizes[-1]:.0f} MB after {RUNS}")
    write("live", report)


if __name__ == "__main__":
    main()

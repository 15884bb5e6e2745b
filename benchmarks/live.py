"""What a live race does to everything else: python -m benchmarks.live prints a table and writes live.json.

Stop: from the request to the end of the race's threads.
Other tabs: the median answer to a request for 24 new samples while a race runs, against the same without
one. Memory: the process's resident size after the first five and after all races.
"""

import os
import statistics
import time

import tyro

from benchmarks.report import write
from benchmarks.server import resident
from demo.engine import Engine

RACES, STOPS, ANSWERS = 50, 10, 15


def begin(engine: Engine, recipe: str, steps: int | None = None) -> str:
    """Start a race on one digit; returns its key once it has taken a step."""
    names, digits = ["reinforce", "grpo"], [7]
    key = engine.train("steer", names, digits, steps, None, None, None, 0, recipe)["key"]
    while not engine.trainer.follow(key, 0)["points"]:
        time.sleep(0.01)
    return key


def end(engine: Engine, key: str) -> float:
    """Stop a race; returns milliseconds until its threads have ended."""
    started = time.perf_counter()
    engine.trainer.control(key, "stop")
    engine.trainer.races[key].join()
    return 1e3 * (time.perf_counter() - started)


def answers(engine: Engine, seed: int, recipe: str, key: str | None = None) -> float:
    """Median milliseconds of a request that was not asked before; a race under way is listened to."""
    times = []
    for i in range(ANSWERS):
        started = time.perf_counter()
        engine.generate("steer/grpo", 3, 1.0, seed + i, 24, recipe)
        times.append(1e3 * (time.perf_counter() - started))
        if key is not None and engine.trainer.follow(key, 0)["state"] != "running":
            raise RuntimeError("the race ended before the answers did: nothing was measured beside it")
    return statistics.median(times)


def main() -> None:
    engine, report = Engine(), {}
    for recipe in engine.recipes:
        engine.generate("steer/grpo", 7, 1.0, 1, 24, recipe)
        times = []
        for i in range(STOPS):
            key = begin(engine, recipe)
            time.sleep(0.07 * i)
            times.append(end(engine, key))
        alone = answers(engine, 1000, recipe)
        key = begin(engine, recipe, 300)
        beside = answers(engine, 2000, recipe, key)
        end(engine, key)
        found = {"ended median": statistics.median(times), "ended worst": max(times)}
        found |= {"alone": alone, "beside": beside}
        report[recipe] = {name: round(value, 1) for name, value in found.items()}
        print(f"{recipe}: a race is over within {max(times):.0f} ms of Stop (n = {STOPS})")
        print(
            f"{recipe}: an answer takes {alone:.0f} ms alone, {beside:.0f} beside a race: "
            f"{beside / alone:.1f} x"
        )
    sizes = []
    for _ in range(RACES):
        end(engine, begin(engine, "pixels-8x8", 2))
        sizes.append(resident(os.getpid()))
    report["memory"] = {"races": RACES, "after 5 MB": round(sizes[4]), "after all MB": round(sizes[-1])}
    print(f"memory: {sizes[4]:.0f} MB after 5 races, {sizes[-1]:.0f} MB after {RACES}")
    write("live", report)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)

"""Many visitors at once: python -m benchmarks.load prints what they found, and writes load.json.

Sixteen visitors, each a gradio_client of its own, ask one question after another for three minutes, none of
which was asked before; two of them train instead. They come twice: memory is compared once all that the
server keeps for a while (recent samples, finished trainings) is full. Before, one visitor asks alone: the
machine's own speed.
"""

import random
import statistics
import threading
import time

import tyro
from gradio_client import Client
from gradio_client.utils import Status

from benchmarks.report import write
from benchmarks.server import end, resident, start, summary

VISITORS, TRAINING, SECONDS, ALONE = 16, 2, 180, 20
RECIPES = ("pixels-8x8", "patches-28x28")
PICTURE = [[float(4 < row < 24 and 12 < column < 16) for column in range(28)] for row in range(28)]
THINKS = 1.0  # seconds that a visitor looks at an answer, on average


class Visitor(threading.Thread):
    """Asks until ``until``: milliseconds of each answer, places seen in the line, and what went wrong."""

    def __init__(self, address: str, seed: int, until: float, trains: bool = False):
        super().__init__(daemon=True)
        self.client, self.random = Client(address, verbose=False), random.Random(f"{seed} {until}")
        self.until, self.trains = until, trains
        self.times, self.waited, self.placed, self.wrong = [], 0, 0, []

    def run(self) -> None:
        while time.monotonic() < self.until:
            try:
                if self.trains:
                    self.train()
                else:
                    self.ask()
            except Exception as error:  # whatever it is, it counts
                self.wrong.append(repr(error))

    def train(self) -> None:
        job = self.client.submit(task="steer", digits=[7], api_name="/train")
        for news in job:
            if news["state"] == "failed":
                self.wrong.append(news["says"])
            if time.monotonic() > self.until:
                job.cancel()
                return
        job.result()  # the news of a training that failed just end

    def ask(self) -> None:
        seed, digit, recipe = (
            self.random.randrange(2**31),
            self.random.randrange(10),
            self.random.choice(RECIPES),
        )
        name, question = self.random.choice(
            [
                ("/generate", {"digit": digit, "seed": seed, "recipe": recipe}),
                ("/group", {"digit": digit, "seed": seed, "recipe": recipe}),
                ("/score", {"picture": PICTURE, "digit": digit, "recipe": recipe}),
                ("/complete", {"picture": PICTURE, "digit": digit, "seed": seed, "recipe": recipe}),
            ]
        )
        started, waited, placed = time.perf_counter(), False, False
        job = self.client.submit(**question, api_name=name)
        while not job.done():
            status = job.status()
            waited |= status.code == Status.IN_QUEUE
            placed |= status.code == Status.IN_QUEUE and status.rank is not None
            time.sleep(0.02)
        job.result()
        self.times.append(1e3 * (time.perf_counter() - started))
        self.waited, self.placed = self.waited + waited, self.placed + placed
        time.sleep(self.random.expovariate(1 / THINKS))


def visit(address: str, count: int, training: int, seconds: float) -> list[Visitor]:
    """So many visitors for so long; returns them."""
    until = time.monotonic() + seconds
    visitors = [Visitor(address, seed, until, seed < training) for seed in range(count)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(seconds + 120)
    return visitors


def main(seconds: float = SECONDS) -> None:
    server, address, _ = start()
    try:
        time.sleep(25)  # the models load
        alone = visit(address, 1, 0, ALONE)
        visit(address, VISITORS, TRAINING, seconds)
        time.sleep(ALONE)  # a training that was under way ends
        before = resident(server.pid)
        visitors = visit(address, VISITORS, TRAINING, seconds)
        time.sleep(ALONE)
        after = resident(server.pid)
    finally:
        end(server)
    middle = statistics.median(alone[0].times)
    times = [one for visitor in visitors for one in visitor.times]
    found = summary(times)
    report = {
        "visitors": VISITORS,
        "training": TRAINING,
        "seconds": seconds,
        "answers": len(times),
        "wrong": [one for visitor in visitors for one in visitor.wrong],
        "alone median": round(middle),
        "median": round(found["median"]),
        "p95": round(found["p95"]),
        "p95 / alone median": round(found["p95"] / middle, 1),
        "waited": sum(visitor.waited for visitor in visitors),
        "saw their place": sum(visitor.placed for visitor in visitors),
        "memory before MB": round(before),
        "memory after MB": round(after),
    }
    for name, value in report.items():
        print(f"{name}: {value}")
    write("load", report)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)

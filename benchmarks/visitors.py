"""From the start of the process to the page, and to a tab's answer with 1, 4 and 16 visitors at once.

The page is timed against an empty Gradio app that is started the same way, in turn. Visitors are clients of
their own that ask at the same moment, at 8x8 and at 28x28, what nobody asked before. Story, Mistakes and
Results show what was recorded, and Train live has a line of its own: see benchmarks.live.
"""

import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from gradio_client import Client

from benchmarks import server
from benchmarks.report import spread

VISITORS, ROUNDS = (1, 4, 16), 3
RECIPES = ("pixels-8x8", "patches-28x28")
STROKE = [[float(4 < row < 14 and 12 < column < 16) for column in range(28)] for row in range(28)]
TABS = {  # the question that a tab asks when it is opened; the number makes it a new one
    "One step": lambda i: ("/one_step", {"digit": i % 10, "group": 64, "updates": 2, "sample": i // 10}),
    "Generate": lambda i: ("/generate", {"seed": 1000 + i}),
    "Compare": lambda i: ("/compare", {"seed": 1000 + i}),
    "Rewards": lambda i: ("/group", {"seed": 1000 + i}),
    "Complete": lambda i: ("/complete", {"seed": 1000 + i, "picture": STROKE}),
}


def cold(rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Seconds until "/" answers, of the demo and of an empty Gradio app."""
    commands, times = {"ours": server.APP, "peer": server.EMPTY}, {"ours": [], "peer": []}
    for _ in range(rounds):
        for name, command in commands.items():
            process, _, seconds = server.start(command)
            times[name].append(seconds)
            server.end(process)
    return {name: spread(found) for name, found in times.items()}


def answers(
    address: str,
    tabs: Sequence[str] = tuple(TABS),
    recipes: Sequence[str] = RECIPES,
    visitors: Sequence[int] = VISITORS,
    rounds: int = ROUNDS,
) -> dict[str, dict]:
    """Seconds of each visitor's answer, by tab, recipe, and how many ask at once."""
    patient = {"timeout": 60}  # a busy machine counts, and ends nothing
    clients = [Client(address, verbose=False, httpx_kwargs=patient) for _ in range(max(visitors))]
    numbers, rows = itertools.count(), {}

    def ask(client: Client, together: threading.Barrier, tab: str, recipe: str) -> float:
        name, question = TABS[tab](next(numbers))
        together.wait()
        started = time.perf_counter()
        client.predict(**question, recipe=recipe, api_name=name)
        return time.perf_counter() - started

    with ThreadPoolExecutor(len(clients)) as pool:
        for recipe, tab in itertools.product(recipes, tabs):
            ask(clients[0], threading.Barrier(1), tab, recipe)  # loads the models
            for count in visitors:
                times = []
                for _ in range(rounds):
                    together = threading.Barrier(count)
                    asked = [pool.submit(ask, client, together, tab, recipe) for client in clients[:count]]
                    times += [one.result() for one in asked]
                rows[f"{tab}, {recipe}, visitors: {count}"] = {"ours": spread(times)}
    return rows


def measure() -> dict:
    """Seconds of the cold start, and of the tabs' answers."""
    rows = {"cold start": cold()}
    process, address, _ = server.start()
    try:
        rows |= answers(address)
    finally:
        server.end(process)
    return {"unit": "s", "peer": "an empty Gradio app", "rows": rows}

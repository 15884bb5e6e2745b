"""What success costs: GRPO at 8x8 for several weights of the KL, everything else as in the recipe.

    python -m benchmarks.frontier

trains each task once for every weight (seed 0; half an hour on two cores), measures 4,000 samples of each result, prints
the frontier and writes frontier.json. The recipe's own weight is the checkpoint that ships.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import torch

from benchmarks.measure import success_and_kl
from core.memory import keep_memory
from core.recipes import STARTS, find_recipe
from core.rewards import Rewards
from core.rl import train
from core.stages import Place

SAMPLES = 4000
FACTORS = {"steer": (0.5, 1, 2), "refine": (0.5, 1, 2, 4)}  # of the recipe's own weight


def run(job: tuple[str, float]) -> dict:
    """One point: train, unless it ships, and measure."""
    task, factor = job
    torch.set_num_threads(1)
    keep_memory()
    place = Place(find_recipe("pixels-8x8"))
    algorithm, config = place.recipe.tasks[task].grpo
    config = dataclasses.replace(config, beta=config.beta * factor)
    start = place.policy(STARTS[task])
    if factor == 1:
        policy = place.policy(f"{task}/grpo")
    else:
        policy = place.learner(task, start)
        rewards = Rewards(place.classifier(), start, place.recipe.tasks[task].rewards)
        for _ in train(policy, start, rewards, place.judge(), algorithm, config, torch.Generator().manual_seed(0)):
            pass
    labels = torch.arange(SAMPLES) % 10
    return {"task": task, "beta": config.beta, **success_and_kl(policy, start, place.judge(), labels, 1)}


def main() -> int:
    todo, points = [(task, factor) for task, factors in FACTORS.items() for factor in factors], []
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        for future in as_completed([pool.submit(run, job) for job in todo]):
            points.append(future.result())
            print("{task}: beta {beta:g} gives {success:.2%} for {kl:.3f} nats".format(**points[-1]), flush=True)
    points.sort(key=lambda point: (point["task"], -point["beta"]))
    print("\n| task | beta | judge success | KL to start |\n|---|---|---|---|")
    for point in points:
        print("| {task} | {beta:g} | {success:.2%} | {kl:.3f} |".format(**point))
    report = {"recipe": "pixels-8x8", "samples": SAMPLES, "seed": 0, "points": points}
    Path(__file__).with_name("frontier.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

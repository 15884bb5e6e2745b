"""How long until one digit is learned in the page: the live race from the unlabelled policy, each of the ten digits once.

    python -m benchmarks.one_digit [RECIPE]

runs the race of REINFORCE and GRPO as the Train live tab does, 20 seconds a digit (60 for patches), a seed each; then
measures both policies on 2,000 samples, and writes one_digit.json (or one_digit-RECIPE.json). Seconds are those since the
button was pressed. At 8x8 it does so again with a critic, and last without REINFORCE beside it: GRPO alone, with a critic,
on all cores.
"""

from __future__ import annotations

import math
import statistics
import sys
import threading
import time

import torch

from benchmarks.measure import success_and_kl
from benchmarks.report import write
from core.rl import train
from demo.engine import CHECKPOINTS
from demo.models import Models
from demo.training import PATCHES, Race, Settings

SAMPLES = 2000
ALONE = {"critic": True, "group": 96, "steps": 84}  # what 20 seconds of two cores allow, where the race has one for GRPO
WINDOW = 192  # samples over which the judge's success is averaged while training, at least


def prepare(models: Models, digit: int, settings: dict) -> Race:
    """A race for one digit that waits for nobody, not started."""
    return Race(models, Settings.check({"digits": [digit], "seed": digit, **settings}), threading.Lock(), lambda race: 1)


def learn(models: Models, digit: int, seconds: float, settings: dict) -> dict:
    """One race: when GRPO passed 90 and 99 % in training, and what both policies do afterwards."""
    race = prepare(models, digit, settings)
    race.start()
    while race.is_alive():
        race.heard = time.monotonic()
        if race.began and time.monotonic() - race.began > seconds:
            race.halt.set()
        time.sleep(0.02)
    points = race.runners[1].points
    found: dict = {"digit": digit, "first": points[0]["seconds"], "seconds": points[-1]["seconds"], "steps": len(points)}
    window = math.ceil(WINDOW / race.settings.config.group)  # steps
    means = [statistics.mean(p["success"] for p in points[max(0, i - window + 1) : i + 1]) for i in range(len(points))]
    for share in (0.9, 0.99):
        found[f"to {share:.0%}"] = next((p["seconds"] for p, mean in zip(points, means, strict=True) if mean >= share), None)
    labels = torch.full((SAMPLES,), digit)
    for runner in race.runners:
        found[runner.name] = success_and_kl(runner.policy, models.policy("unlabelled"), models.judge, labels, 1000 + digit)
    return found


def alone(models: Models, digit: int) -> dict:
    """GRPO with a critic and with the machine to itself: how long it took, and what its policy does afterwards."""
    race = prepare(models, digit, ALONE)
    policy, reference = race.runners[1].policy, models.policy("unlabelled")
    steps = train(
        *(policy, reference, models.rewards("steer"), models.judge, race.runners[1].algorithm),
        race.settings.config,
        torch.Generator().manual_seed(digit),
        critic=models.critic("steer"),
    )
    *_, last = steps
    found = success_and_kl(policy, reference, models.judge, torch.full((SAMPLES,), digit), 1000 + digit)
    row = {"digit": digit, "seconds": round(last.seconds, 2), **found}
    print(row, flush=True)
    return row


def ten(models: Models, seconds: float, settings: dict) -> list[dict]:
    """A race for each digit, printed as they end."""
    print("| digit | first samples, s | steps | 90 % after, s | 99 % after, s | GRPO success, KL | REINFORCE success, KL |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for digit in range(10):
        row = learn(models, digit, seconds, settings)
        rows.append(row)
        pairs = [f"{row[name]['success']:.1%}, {row[name]['kl']:.1f}" for name in ("grpo", "reinforce")]
        cells = [digit, row["first"], row["steps"], row["to 90%"], row["to 99%"], *pairs]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    return rows


def summary(rows: list[dict]) -> dict[str, float | None]:
    """The median of ten; a share that most races never reached has none."""
    median = {name: statistics.median(row["grpo"][name] for row in rows) for name in ("success", "kl")}
    for share in ("to 90%", "to 99%"):
        times = sorted(row[share] if row[share] is not None else float("inf") for row in rows)
        middle = (times[4] + times[5]) / 2
        median[share] = middle if middle != float("inf") else None
    return median


def main(arguments: list[str]) -> None:
    recipe = arguments[0] if arguments else "pixels-8x8"
    small = recipe == "pixels-8x8"
    seconds, settings = (20.0, {}) if small else (60.0, PATCHES)
    models = Models(recipe, CHECKPOINTS)
    models.draw("unlabelled", 0, 1.0, 0, 1)
    models.rewards("steer")
    rows = ten(models, seconds, settings)
    median = summary(rows)
    print(f"GRPO, median of ten: {median['success']:.2%} at {median['kl']:.2f} nats after {seconds:g} s; {median}")
    report = {"recipe": recipe, "samples": SAMPLES, "seconds": seconds, "median": median, "runs": rows}
    if small:
        models.critic("steer")
        rows = ten(models, seconds, {"critic": True})
        report["critic"] = {"median": summary(rows), "runs": rows}
        rows = [alone(models, digit) for digit in range(10)]
        median = {name: statistics.median(row[name] for row in rows) for name in ("seconds", "success", "kl")}
        report["alone"] = {"median": median, "runs": rows}
        print(report["critic"]["median"], median)
    write("one_digit" if small else f"one_digit-{recipe}", report)


if __name__ == "__main__":
    main(sys.argv[1:])

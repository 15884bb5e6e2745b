"""How long until one digit is learned in the page: the live race from the unlabelled policy, each digit once.

    python -m benchmarks.one_digit

runs the race of REINFORCE and GRPO as the Train live tab does, a seed a digit; then measures both policies on
2,000 samples, and writes one_digit.json. Seconds are those since the button was pressed.
"""

from __future__ import annotations

import math
import statistics
import threading

import torch

from benchmarks.report import write
from core.classifiers import predict
from core.yardstick import draw
from demo.engine import CHECKPOINTS
from demo.models import Models
from demo.training import Race, Settings

SAMPLES = 2000
WINDOW = 192  # samples over which the judge's success is averaged while training, at least
SHARES = (0.9, 0.95, 0.99)


def learn(models: Models, digit: int) -> dict:
    """One race: when GRPO passed each share in training, and what both policies do afterwards."""
    settings = Settings.check({"digits": [digit], "seed": digit})
    race = Race(models, settings, threading.Lock(), lambda race: 1)
    race.heard = math.inf
    race.start()
    race.join()
    points = race.runners[1].points
    found: dict = {"digit": digit, "seconds": points[-1]["seconds"]}
    window = math.ceil(WINDOW / race.settings.config.group)  # steps
    for share in SHARES:
        found[f"to {share:.0%}"] = None
        for i in range(window - 1, len(points)):
            if statistics.mean(point["success"] for point in points[i - window + 1 : i + 1]) >= share:
                found[f"to {share:.0%}"] = points[i]["seconds"]
                break
    labels = torch.full((SAMPLES,), digit)
    for runner in race.runners:
        images, nats = draw(runner.policy, models.policy("unlabelled"), labels, seed=1000 + digit)
        success = (predict(models.judge, images).argmax(1) == labels).float().mean().item()
        found[runner.name] = {"success": success, "kl": round(nats.mean().item(), 3)}
    return found


def main() -> None:
    models = Models("pixels-8x8", CHECKPOINTS)
    models.draw("unlabelled", 0, 1.0, 0, 1)
    models.rewards("steer")
    print(
        "| digit | seconds | 90 % after | 95 % after | 99 % after | GRPO success, KL | REINFORCE success, KL |"
    )
    print("|---|---|---|---|---|---|---|")
    rows = []
    for digit in range(10):
        row = learn(models, digit)
        rows.append(row)
        pairs = [f"{row[name]['success']:.1%}, {row[name]['kl']:.1f}" for name in ("grpo", "reinforce")]
        cells = [digit, row["seconds"], *(row[f"to {share:.0%}"] for share in SHARES), *pairs]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    median = {name: statistics.median(row["grpo"][name] for row in rows) for name in ("success", "kl")}
    for share in SHARES:
        times = [row[f"to {share:.0%}"] for row in rows]
        middle = statistics.median(math.inf if time is None else time for time in times)
        median[f"to {share:.0%}"] = None if middle == math.inf else middle
    print(f"GRPO, median of ten: {median}")
    write("one_digit", {"samples": SAMPLES, "median": median, "runs": rows})


if __name__ == "__main__":
    main()

"""What success costs: the shipped GRPO policies of 8x8, drawn back to their start or pushed on along the same way.

    python -m benchmarks.frontier

measures 10,000 samples at temperature 1 of each policy start + length * (kept - start), seed 0 of each task, prints success
against KL and writes frontier.json. A length of 1 is what ships. No training: some minutes.
"""

from __future__ import annotations

import torch

from benchmarks.measure import along, success_and_kl
from benchmarks.report import write
from core.recipes import STARTS, find_recipe
from core.stages import Place

SAMPLES = 10_000
LENGTHS = (0.5, 0.75, 1.0, 1.25, 1.5)


def main() -> None:
    place, points = Place(find_recipe("pixels-8x8")), []
    judge, labels = place.judge(), torch.arange(SAMPLES) % 10
    print("| task | length | judge success | KL to start |\n|---|---|---|---|")
    for task in ("refine", "steer"):
        for length, policy, start in along(place, task, STARTS[task], LENGTHS):
            points.append({"task": task, "length": length, **success_and_kl(policy, start, judge, labels, 1)})
            print("| {task} | {length:g} | {success:.2%} | {kl:.3f} |".format(**points[-1]), flush=True)
    report = {"recipe": "pixels-8x8", "samples": SAMPLES, "seed": 0, "points": points}
    write("frontier", report)


if __name__ == "__main__":
    main()

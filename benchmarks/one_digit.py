"""How long until one digit is learned in the page: the live race from the unlabelled policy, each digit once.

    python -m benchmarks.one_digit

runs the race of REINFORCE and GRPO as the Train live tab does, a seed a digit; then measures both policies on
2,000 samples, and writes one_digit.json. Seconds are those since the button was pressed.
"""

import math
import statistics
import time

import torch
import tyro

from benchmarks.report import reached, write
from core.classifiers import predict
from core.yardstick import draw
from demo.engine import Engine

RECIPE, NAMES = "pixels-8x8", ["reinforce", "grpo"]
SAMPLES = 2000
WINDOW = 192  # samples over which the judge's success is averaged while training, at least
SHARES = (0.9, 0.95, 0.99)


def learn(engine: Engine, digit: int) -> dict:
    """One race: when GRPO passed each share in training, and what both policies do afterwards."""
    started, moments = time.perf_counter(), []
    key = engine.train("steer", NAMES, [digit], None, None, None, None, digit, RECIPE)["key"]
    race = engine.trainer.races[key]
    ended = False
    while not ended:  # and look once more: the last step may have come since
        ended = not race.is_alive()
        engine.trainer.follow(key, len(moments))
        moments += [round(time.perf_counter() - started, 2)] * (len(race.points) - len(moments))
        time.sleep(0.02)
    success = [point["racers"][1]["success"] for point in race.points]
    found: dict = {"digit": digit, "seconds": moments[-1]}
    window = math.ceil(WINDOW / race.runs[1].config.group)  # steps
    for share in SHARES:
        step = reached(success, share, window)
        found[f"to {share:.0%}"] = None if step is None else moments[step]
    labels, models = torch.full((SAMPLES,), digit), race.models
    for name, policy in zip(NAMES, race.policies, strict=True):
        images, nats = draw(policy, models.policy("unlabelled"), labels, seed=1000 + digit)
        right = (predict(models.judge, images).argmax(1) == labels).float().mean().item()
        found[name] = {"success": right, "kl": round(nats.mean().item(), 3)}
    return found


def main() -> None:
    engine = Engine()
    engine.generate("unlabelled", 0, 1.0, 1, 1, RECIPE)
    print(
        "| digit | seconds | 90 % after | 95 % after | 99 % after | GRPO success, KL | REINFORCE success, "
        "KL |"
    )
    print("|---|---|---|---|---|---|---|")
    rows = []
    for digit in range(10):
        row = learn(engine, digit)
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
    tyro.cli(main, description=__doc__)

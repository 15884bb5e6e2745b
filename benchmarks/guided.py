"""How much RL and how much guidance: the shipped GRPO policy of refine at 28x28, mixed anew.

    python -m benchmarks.guided

measures 10,000 samples at temperature 1 of policies beginning + length * (kept - beginning), each drawn at a guidance, seed
0, as the ladder does; prints success, KL and Frechet distance and writes guided.json. Length 1 is what RL left, length 0
what foresight left, guided and never rewarded; length 1 at the recipe's own guidance ships and is in the ladder, and so is
length 0 at other guidances. No training: some five minutes.
"""

from __future__ import annotations

from benchmarks.measure import along
from benchmarks.report import write
from core.recipes import find_recipe
from core.stages import Place
from core.yardstick import SAMPLES, Yardstick

TASK = "refine"
MIXTURES = ((0.0, 1.2), (0.5, 1.2), (0.5, 1.3), (1.0, 1.0))
COLUMNS = ("success", "kl", "frechet", "coverage", "reward")


def main() -> None:
    place, points = Place(find_recipe("patches-28x28")), []
    yardstick = Yardstick(place, None)
    digits, (lengths, guidances) = place.recipe.tasks[TASK].grpo[1].digits, zip(*MIXTURES, strict=True)
    print("| length | guidance | judge success | KL to start | Frechet |\n|---|---|---|---|---|")
    for (length, policy, start), guidance in zip(along(place, TASK, lengths), guidances, strict=True):
        policy.guidance = guidance
        found = yardstick.policy(policy, start, digits)
        points.append({"length": length, "guidance": guidance, **{name: round(found[name], 4) for name in COLUMNS}})
        print("| {length:g} | {guidance:g} | {success:.2%} | {kl:.3f} | {frechet:.2f} |".format(**points[-1]), flush=True)
    report = {"recipe": place.recipe.name, "task": TASK, "samples": SAMPLES, "seed": 0, "points": points}
    write("guided", report)


if __name__ == "__main__":
    main()

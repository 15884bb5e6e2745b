"""How much of RL and how much guidance is kept in refine at 28x28, chosen without the judge.

    python -m benchmarks.guided

draws 4,000 pictures from each of the five seeds of GRPO that ship, with their weights moved along the way that RL went from
where foresight ended (``reach``: 1 is the average of its weights, and the shipped policies lie at the recipe's reach), each
at several guidances. Of these it takes the classifier's confidence, the KL to the start, and the Frechet distance to 10,000
training digits in the classifier's features; prints the means over seeds and writes guided.json. No training: some twenty
minutes. What ships is the reach that has less KL and distance at the same confidence, and the guidance, between those
measured, at which confidence reaches 0.995.
"""

from __future__ import annotations

import torch

from benchmarks.measure import along
from benchmarks.report import write
from core.classifiers import predict
from core.data import load_mnist
from core.metrics import frechet
from core.recipes import find_recipe
from core.stages import Place, prepare
from core.yardstick import draw

TASK = "refine"
SEEDS = range(5)
SAMPLES = 4000
MIXTURES = {0.5: (1.2, 1.25, 1.3), 1.0: (1.15, 1.2, 1.25)}  # reach: guidances


@torch.no_grad()
def main() -> None:
    place = Place(find_recipe("patches-28x28"))
    origin = place.recipe.beginning(TASK)
    classifier, kept = place.classifier(), place.recipe.tasks[TASK].grpo[1].reach
    labels = torch.arange(SAMPLES) % 10

    def features(images):
        return torch.cat([classifier.features(part) for part in images.split(1000)])

    training = load_mnist(True, None)[0]
    picked = torch.randperm(len(training), generator=torch.Generator().manual_seed(1))[:10_000]
    real = features(prepare(place.recipe)(training[picked]))

    def measure(policy, start):
        images, nats = draw(policy, start, labels, 777)
        confidence = predict(classifier, images).gather(1, labels[:, None]).mean().item()
        return confidence, nats.mean().item(), frechet(real, features(images))

    found: dict[tuple[float, float], list] = {}
    for seed in SEEDS:
        for length, policy, start in along(place, TASK, origin, [reach / kept for reach in MIXTURES], seed):
            for guidance in MIXTURES[reach := length * kept]:
                policy.guidance = guidance
                found.setdefault((reach, guidance), []).append(measure(policy, start))
    points = []
    print("| reach | guidance | classifier's confidence | KL to start | Frechet, classifier |\n|---|---|---|---|---|")
    for (reach, guidance), seeds in found.items():
        confidence, kl, distance = torch.tensor(seeds).mean(0).tolist()
        values = {"confidence": round(confidence, 4), "kl": round(kl, 3), "frechet": round(distance, 3)}
        points.append({"reach": reach, "guidance": guidance, **values})
        print("| {reach:g} | {guidance:g} | {confidence:.4f} | {kl:.3f} | {frechet:.3f} |".format(**points[-1]))
    write("guided", {"recipe": place.recipe.name, "task": TASK, "samples": SAMPLES, "seeds": len(SEEDS), "points": points})


if __name__ == "__main__":
    main()

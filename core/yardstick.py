"""What samples are measured against: real test digits, the classifier and the judge of a recipe."""

from __future__ import annotations

from pathlib import Path

import torch

from core.classifiers import predict
from core.data import load_mnist
from core.metrics import density_coverage, frechet, ink_fraction, neighbour_radii, pixel_entropy
from core.objectives import exact_kl
from core.policies import Policy
from core.pretrain import heldout_nll
from core.rewards import coherence
from core.stages import Place, prepare

SAMPLES = 10_000
SEED = 20_250_808  # of the evaluation; training uses small seeds
GRAYS = 16  # gray levels of the pixel entropy, whatever the tokens are


class Yardstick:
    """What samples are measured against: real test digits, classifier and judge of a recipe."""

    def __init__(self, place: Place, data_root: str | Path | None):
        self.place = place
        images, self.labels = load_mnist(False, data_root)
        fit = prepare(place.recipe)
        self.images = fit(images)
        self.tokenizer = place.new_policy(0).tokenizer
        self.classifier, self.judge = place.classifier(), place.judge()
        self.real = self.features(self.images)
        self.radii = neighbour_radii(self.real)
        training, labels = load_mnist(True, data_root)
        picked = torch.randperm(len(training), generator=torch.Generator().manual_seed(SEED))[:SAMPLES]
        self.others, self.other_labels = fit(training[picked]), labels[picked]

    @torch.no_grad()
    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(N, D) the judge's features."""
        return torch.cat([self.judge.features(part) for part in images.split(1000)])

    def pictures(self, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """Every figure that needs pictures only."""
        grays = (images * (GRAYS - 1)).round().long().flatten(1)
        density, coverage = density_coverage(self.real, self.radii, features := self.features(images))
        return {
            "reward": predict(self.classifier, images).gather(1, labels[:, None]).mean().item(),
            "success": (predict(self.judge, images).argmax(1) == labels).float().mean().item(),
            "frechet": frechet(self.real, features),
            "density": density,
            "coverage": coverage,
            "coherence": coherence(images).mean().item(),
            "ink": ink_fraction(images),
            "entropy": pixel_entropy(grays, labels, GRAYS),
        }

    def policy(self, policy: Policy, reference: Policy | None, digits: tuple[int, ...]) -> dict[str, float]:
        """Every figure of a policy, from SAMPLES samples at temperature 1; KL only where there is a reference."""
        labels = torch.tensor(digits).repeat_interleave(-(-SAMPLES // len(digits)))
        images, nats = draw(policy, reference, labels, SEED)
        values = self.pictures(images, labels)
        if policy.tokenizer.vocabulary == self.tokenizer.vocabulary:
            values["nll"] = heldout_nll(policy, self.images, self.labels).mean().item()
        if reference is not None:
            values["kl"] = nats.mean().item()
        return values

    def noise(self) -> dict[str, float]:
        """Every figure of pictures whose pixels are random."""
        size, generator = self.place.recipe.size, torch.Generator().manual_seed(SEED)
        images = torch.randint(GRAYS, (SAMPLES, 1, size, size), generator=generator) / (GRAYS - 1)
        return self.pictures(images, torch.arange(SAMPLES) % 10)

    def reconstructed(self) -> dict[str, float]:
        """Every figure of the real test digits, encoded to tokens and decoded again: what the tokenizer loses."""
        parts = [self.tokenizer.decode(self.tokenizer.encode(part)) for part in self.images.split(500)]
        return self.pictures(torch.cat(parts), self.labels)


@torch.no_grad()
def draw(
    policy: Policy, reference: Policy | None, labels: torch.Tensor, seed: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(N,) labels to (N, 1, size, size) pictures at temperature 1 and, given a reference, (N,) exact KL to it in nats."""
    generator, tokens, nats = torch.Generator().manual_seed(seed), [], []
    for part in labels.split(200):
        tokens.append(policy.sample(part, generator=generator).tokens)
        if reference is not None:
            nats.append(exact_kl(policy.log_probs(part, tokens[-1]), reference.log_probs(part, tokens[-1])).sum(1))
    return policy.tokenizer.decode(torch.cat(tokens)), torch.cat(nats) if nats else None

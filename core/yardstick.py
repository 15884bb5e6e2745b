"""What samples are measured against: real test digits, the classifier and the judge of a recipe."""

from __future__ import annotations

import torch

from core.classifiers import predict
from core.data import load_mnist
from core.metrics import density_coverage, frechet, ink_fraction, neighbour_radii, pixel_entropy
from core.objectives import exact_kl
from core.place import Place, prepare
from core.policies import Policy
from core.pretrain import heldout_nll
from core.rewards import largest_stroke

SEED = 20_250_808  # of the evaluation; training uses small seeds
GRAYS = 16  # gray levels of the pixel entropy, whatever the tokens are


class Yardstick:
    """Measures pictures and policies of a recipe."""

    def __init__(self, place: Place):
        self.place, self.fit = place, prepare(place.recipe)
        images, self.labels = load_mnist(False, place.data_root)
        self.images = self.fit(images)
        self.vocabulary = place.shape.get("levels") or place.shape["codes"]
        self.classifier, self.judge = place.classifier(), place.judge()
        self.real = self.features(self.images)
        self.radii = neighbour_radii(self.real)

    @torch.no_grad()
    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(N, D) the judge's features."""
        return torch.cat([self.judge.features(part) for part in images.split(1000)])

    def pictures(self, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """Every figure that needs pictures only."""
        grays = (images * (GRAYS - 1)).round().long().flatten(1)
        features = self.features(images)
        density, coverage = density_coverage(self.real, self.radii, features)
        return {
            "reward": predict(self.classifier, images).gather(1, labels[:, None]).mean().item(),
            "success": (predict(self.judge, images).argmax(1) == labels).float().mean().item(),
            "frechet": frechet(self.real, features),
            "density": density,
            "coverage": coverage,
            "coherence": largest_stroke(images).mean().item(),
            "ink": ink_fraction(images),
            "entropy": pixel_entropy(grays, labels, GRAYS),
        }

    def policy(
        self, policy: Policy, reference: Policy | None, labels: torch.Tensor, nll: bool = True
    ) -> dict[str, float]:
        """Every figure of a policy at temperature 1, from a sample for each label.

        The KL needs a reference; the NLL is that of the real test digits.
        """
        images, nats = draw(policy, reference, labels)
        values = self.pictures(images, labels)
        if nll and policy.tokenizer.vocabulary == self.vocabulary:
            values["nll"] = heldout_nll(policy, self.images, self.labels).mean().item()
        if nats is not None:
            values["kl"] = nats.mean().item()
        return values

    def noise(self, count: int) -> dict[str, float]:
        """Every figure of pictures whose pixels are random."""
        size, generator = self.place.recipe.size, torch.Generator().manual_seed(SEED)
        images = torch.randint(GRAYS, (count, 1, size, size), generator=generator) / (GRAYS - 1)
        return self.pictures(images, torch.arange(count) % 10)

    def real_digits(self, count: int) -> dict[str, float]:
        """Every figure of real training digits: the floor of distances, and the bound of success."""
        images, labels = load_mnist(True, self.place.data_root)
        picked = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))[:count]
        return self.pictures(self.fit(images[picked]), labels[picked])

    def reconstructed(self) -> dict[str, float]:
        """Every figure of the test digits, encoded and decoded again: what the tokenizer loses."""
        tokenizer = self.place.policy("random").tokenizer
        parts = [tokenizer.decode(tokenizer.encode(part)) for part in self.images.split(500)]
        return self.pictures(torch.cat(parts), self.labels)


@torch.no_grad()
def draw(
    policy: Policy, reference: Policy | None, labels: torch.Tensor, seed: int = SEED
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(N,) labels to (N, 1, size, size) pictures and, given a reference, the (N,) exact KL to it in nats."""
    generator, images, nats = torch.Generator().manual_seed(seed), [], []
    for part in labels.split(250):
        rollout = policy.sample(part, generator=generator)
        images.append(policy.tokenizer.decode(rollout.tokens))
        if reference is not None:
            nats.append(exact_kl(rollout.distributions, reference.log_probs(part, rollout.tokens)).sum(1))
    return torch.cat(images), torch.cat(nats) if nats else None

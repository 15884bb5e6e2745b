"""Best-of-N: draw N, keep the one with the highest reward. It trains nothing, and is what RL must beat at equal KL."""

from __future__ import annotations

import torch

from core.classifiers import Classifier, predict
from core.metrics import best_of_n_kl
from core.policies import Policy

MOST = 128  # the largest N, of 3.9 nats: beyond it, drawing costs minutes and buys nothing


def mixture(kl: float) -> tuple[int, float]:
    """The N and the share of draws to make with N + 1 rather than N, whose KL is ``kl`` nats (KL is convex: at most)."""
    n = 1
    while best_of_n_kl(n + 1) <= kl:
        n += 1
        if n == MOST:
            return n, 0.0
    low, high = best_of_n_kl(n), best_of_n_kl(n + 1)
    return n, (kl - low) / (high - low)


def best_of_n(
    policy: Policy, classifier: Classifier, kl: float, count: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Best-of-N samples at a given price.

    Args:
        policy: what is drawn from.
        classifier: its confidence in the label is the reward.
        kl: nats that may be spent, at most.
        count: samples to return, a tenth for each label.

    Returns:
        images (count, 1, H, W), labels (count,), and the bound on the KL that was spent.
    """
    generator = torch.Generator().manual_seed(seed)
    n, share = mixture(kl)
    each = count // 10
    tries = n + (torch.rand(each, generator=generator) < share).long()  # (count / 10,)
    owner = torch.arange(each).repeat_interleave(tries)  # which sample each draw competes for

    def draw(label: int) -> torch.Tensor:
        wanted = torch.full_like(owner, label)
        tokens = torch.cat([policy.sample(part, generator=generator).tokens for part in wanted.split(200)])
        return policy.tokenizer.decode(tokens)

    blind = policy.blind()  # then one set of draws serves every label
    drawn = draw(0) if blind else None
    belief = predict(classifier, drawn) if blind else None
    images = []
    for label in range(10):
        mine = drawn if blind else draw(label)
        reward = (belief if blind else predict(classifier, mine))[:, label]
        best = torch.full((each,), -1.0).scatter_reduce_(0, owner, reward, "amax")
        place = torch.where(reward == best[owner], torch.arange(len(owner)), len(owner))
        images.append(mine[torch.full((each,), len(owner)).scatter_reduce_(0, owner, place, "amin")])
    spent = (1 - share) * best_of_n_kl(n) + share * best_of_n_kl(n + 1)
    return torch.cat(images), torch.arange(10).repeat_interleave(each), spent

"""Best-of-N: draw N, keep the one with the highest reward. It trains nothing, and is what RL must beat at equal KL."""

from __future__ import annotations

import torch

from core.classifiers import Classifier, predict
from core.metrics import best_of_n_kl
from core.policies import Policy


def mixture(kl: float) -> tuple[int, float]:
    """The N and the share of draws to make with N + 1 rather than N, whose KL is ``kl`` nats (KL is convex: at most)."""
    n = 1
    while best_of_n_kl(n + 1) <= kl:
        n += 1
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
    images, labels = [], []
    for label in range(10):
        tries = n + (torch.rand(count // 10, generator=generator) < share).long()  # (count / 10,)
        owner = torch.arange(count // 10).repeat_interleave(tries)
        wanted = torch.full_like(owner, label)
        tokens = torch.cat([policy.sample(part, generator=generator).tokens for part in wanted.split(500)])
        drawn = policy.tokenizer.decode(tokens)
        reward = predict(classifier, drawn)[:, label]
        best = torch.full((count // 10,), -1.0).scatter_reduce_(0, owner, reward, "amax")
        first = torch.full((count // 10,), len(owner))
        position = torch.where(reward == best[owner], torch.arange(len(owner)), len(owner))
        images.append(drawn[first.scatter_reduce_(0, owner, position, "amin")])
        labels.append(torch.full((count // 10,), label))
    return torch.cat(images), torch.cat(labels), (1 - share) * best_of_n_kl(n) + share * best_of_n_kl(n + 1)

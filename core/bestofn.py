"""Best-of-N: of N samples, keep the one with the highest reward. RL must beat it at equal KL."""

from __future__ import annotations

import math

import torch


def best_of_n_kl(n: int) -> float:
    """KL of best-of-N from its policy, in nats, at most: log N - (N - 1) / N (Stiennon et al. 2020)."""
    return math.log(n) - (n - 1) / n


def rank_chances(pool: int, n: int) -> torch.Tensor:
    """(pool,) chance that the best of n draws from a pool, without replacement, is the one of each rank, best
    first.

    Rank i is the best of n where the n - 1 others come from the pool - 1 - i behind it:
    C(pool - 1 - i, n - 1) / C(pool, n).
    """
    chance, chances = n / pool, []
    for i in range(pool):
        chances.append(chance)
        left = pool - 1 - i  # behind rank i
        chance *= max(0.0, left - n + 1) / left if left else 0.0
    return torch.tensor(chances, dtype=torch.double)


def best_of_n_success(rewards: torch.Tensor, right: torch.Tensor, kl: float) -> float:
    """Success of best-of-N at a price, from one pool of samples; no chance but that of the pool is left in
    it.

    Args:
        rewards: (M,) of a pool of samples. right: (M,) bool, whether the judge reads each as its label.
        kl: nats that may be spent. Between two whole N it is spent on a mixture of both (KL is convex: at
            most).
    """
    ranked = right[rewards.argsort(descending=True)].double()
    n = 1
    while n < len(rewards) and best_of_n_kl(n + 1) <= kl:
        n += 1
    success = (rank_chances(len(rewards), n) @ ranked).item()
    if n == len(rewards):
        return success
    share = (kl - best_of_n_kl(n)) / (best_of_n_kl(n + 1) - best_of_n_kl(n))
    return (1 - share) * success + share * (rank_chances(len(rewards), n + 1) @ ranked).item()

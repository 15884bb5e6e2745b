"""Best-of-N: of N samples, keep the one with the highest reward. RL must beat it at equal KL."""

from __future__ import annotations

import math

import torch


def best_of_n_kl(n: int) -> float:
    """KL of best-of-N from its policy, in nats, at most: log N - (N - 1) / N (Stiennon et al. 2020)."""
    return math.log(n) - (n - 1) / n


def rank_chances(pool: int, n: int) -> torch.Tensor:
    """(pool,) chance of each rank, best first, to be the best of n draws without replacement.

    Rank i is the best of n where the n - 1 others come from the pool - 1 - i behind it:
    C(pool - 1 - i, n - 1) / C(pool, n), here as n / pool times the ratios from one rank to the next.
    """
    behind = torch.arange(pool - 1, 0, -1, dtype=torch.double)
    ratios = ((behind - n + 1) / behind).clamp(min=0)
    return n / pool * torch.cat([torch.ones(1), ratios]).cumprod(0)


def best_of_n_success(rewards: torch.Tensor, right: torch.Tensor, kl: float) -> float:
    """Success of best-of-N at a price, from one pool of samples, averaged over all picks of N from it.

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

"""Distances between sets of pictures, best-of-N, and intervals.

A distance means nothing alone: read it beside its floor, real digits against real digits. RL is compared with
best-of-N at equal KL: of N samples, keep the one with the highest reward. Every picture costs N samples.
"""

import math
import statistics

import torch
from torch.nn import functional as F

NEIGHBOURS = 5  # k of density and coverage


def frechet(a: torch.Tensor, b: torch.Tensor) -> float:
    """Frechet distance, squared as usual, of Gaussians fitted to (N, D) and (M, D) features (Heusel et al.
    2017, equation 6).
    """
    a, b = a.double(), b.double()
    values, vectors = torch.linalg.eigh(a.T.cov())
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    # The trace of (Ca Cb)^(1/2) is that of the symmetric (Ca^(1/2) Cb Ca^(1/2))^(1/2).
    cross = torch.linalg.eigvalsh(root @ b.T.cov() @ root).clamp(min=0).sqrt().sum()
    gap = (a.mean(0) - b.mean(0)).square().sum()
    return (gap + a.T.cov().trace() + b.T.cov().trace() - 2 * cross).item()


def neighbour_radii(real: torch.Tensor, chunk: int = 1000) -> torch.Tensor:
    """(N, D) features to (N,) the distance of each to its k-th nearest neighbour."""
    distances = (torch.cdist(part, real) for part in real.split(chunk))
    return torch.cat([distance.kthvalue(NEIGHBOURS + 1, dim=1).values for distance in distances])


def density_coverage(
    real: torch.Tensor, radii: torch.Tensor, drawn: torch.Tensor, chunk: int = 1000
) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020): are samples near real pictures, and near all of them?

    Args:
        real: (N, D) features of real pictures, with their ``neighbour_radii``.
        drawn: (M, D) features of samples.

    Returns:
        density (about 1 for real pictures, more if samples crowd together), coverage in [0, 1]. If real
        pictures repeat, as at 4x4, half of the radii are zero, and both say little.
    """
    inside, covered = 0, 0
    for part, radius in zip(real.split(chunk), radii.split(chunk), strict=True):
        distance = torch.cdist(part, drawn)
        inside += int((distance < radius[:, None]).sum())
        covered += int((distance.amin(1) < radius).sum())
    return inside / (NEIGHBOURS * len(drawn)), covered / len(real)


def pixel_entropy(grays: torch.Tensor, labels: torch.Tensor, levels: int) -> float:
    """Entropy of a pixel's gray level over a label's samples, in nats: the mean over pixels and labels.

    It falls when a policy draws the same picture again and again, whatever the judge says.
    """
    entropies = []
    for label in labels.unique():
        own = F.one_hot(grays[labels == label], levels).float()  # (N, T, V)
        entropies.append(torch.special.entr(own.mean(0)).sum(1).mean())
    return torch.stack(entropies).mean().item()


def best_of_n_kl(n: int) -> float:
    """Upper bound of the KL of best-of-N to its policy, in nats (Stiennon et al. 2020; Beirami et al. 2024):
    log N - (N - 1) / N.
    """
    return math.log(n) - (n - 1) / n


def rank_chances(pool: int, n: int) -> torch.Tensor:
    """(pool,) chance of each rank, best first, to be the best of n draws without replacement.

    Rank i is the best of n if the n - 1 others come from the pool - 1 - i behind it:
    C(pool - 1 - i, n - 1) / C(pool, n), here as n / pool times the ratios from one rank to the next.
    """
    behind = torch.arange(pool - 1, 0, -1, dtype=torch.double)
    ratios = ((behind - n + 1) / behind).clamp(min=0)
    return n / pool * torch.cat([torch.ones(1), ratios]).cumprod(0)


def best_of_n_success(rewards: torch.Tensor, right: torch.Tensor, kl: float) -> float:
    """Success of best-of-N at a given KL, from one pool of samples, averaged over all choices of N from it.

    Args:
        rewards: (M,) of a pool of samples. right: (M,) bool, whether the judge reads each as its label.
        kl: nats that may be spent. Between two whole N, a mixture of both spends them (at most: KL is
            convex).
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


def interval(values: list[float]) -> float | None:
    """Half the 95 % confidence interval of a mean over seeds (Student's t); None for fewer than two.

    For more than ten seeds it is a little too wide: the quantile is that of ten.
    """
    if len(values) < 2:
        return None
    quantile = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
    return quantile.get(len(values), 2.262) * statistics.stdev(values) / math.sqrt(len(values))

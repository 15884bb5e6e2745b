"""The mathematics of REINFORCE and GRPO as pure functions of tensors.

Shapes: B samples = L labels x G samples per group, T tokens per sample, V values of a token. A sample's
objective is a sum over its tokens. As T is fixed, the ways in which GRPO's variants (grpo, bnpo, dapo,
dr_grpo) aggregate tokens differ only by a constant factor.
"""

import torch


def group_advantages(rewards: torch.Tensor, scale: bool) -> torch.Tensor:
    """How much better each sample is than its group, drawn for the same label (GRPO; Shao et al. 2024, 4.1).

    Args:
        rewards: (L, G) one row per group.
        scale: also divide by the group's standard deviation (its variance divides by G, that of the paper's
            code by G - 1; both add 1e-4). This makes a rare failure loud: one among 32 weighs -5.6 instead
            of -0.97. And the KL then has a different weight in each group.

    Returns:
        (L, G) of mean zero in each row; exactly zero if a row's rewards are equal: it teaches nothing.
    """
    centred = rewards - rewards.mean(1, keepdim=True)
    if scale:
        centred = centred / (rewards.std(1, keepdim=True, correction=0) + 1e-4)
    # Exactly zero where rewards are equal: Adam would amplify rounding errors to a full step.
    return torch.where(zero_variance(rewards)[:, None], torch.zeros_like(centred), centred)


def zero_variance(rewards: torch.Tensor) -> torch.Tensor:
    """(L, G) rewards to (L,) bool: groups whose rewards are all the same, up to rounding."""
    return rewards.amax(1) - rewards.amin(1) <= 1e-7 * rewards.abs().amax(1).clamp(min=1)


def clipped_surrogate(
    log_ratio: torch.Tensor, advantages: torch.Tensor, low: float, high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """PPO's clipped surrogate (Schulman et al. 2017, equation 7) with two bounds (DAPO; Yu et al. 2025).

    Args:
        log_ratio: (B, T) log-probability now minus that when sampled.
        advantages: (B, T).
        low, high: the ratio is clipped to [1 - low, 1 + high].

    Returns:
        (B, T) surrogate, to be maximised; (B, T) bool, where clipping removes the gradient.
    """
    ratio = log_ratio.exp()
    free = ratio * advantages
    bounded = ratio.clamp(1 - low, 1 + high) * advantages
    return torch.minimum(free, bounded), bounded < free


def exact_kl(log_probs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """KL(policy || reference) of each token's distribution, summed over all its values: no sampling error.

    (B, T, V) log-probabilities, both given the same earlier tokens, to (B, T) nats, at least zero. The sum
    over T, averaged over samples of the policy, estimates the KL of whole pictures.
    """
    return (log_probs.exp() * (log_probs - reference)).sum(-1).clamp(min=0)


def later(values: torch.Tensor) -> torch.Tensor:
    """(B, T) to (B, T): at t, the sum of the values after t, without that at t."""
    return values.flip(1).cumsum(1).flip(1) - values

"""The mathematics of REINFORCE and GRPO as pure functions of tensors.

Shapes: B samples = L labels x G samples a group, T tokens, V values of a token. A sample's objective is a
sum over its tokens; at this fixed length the aggregations that GRPO's variants argue about (grpo, bnpo,
dapo, dr_grpo) differ by a constant factor only.
"""

import torch


def group_advantages(rewards: torch.Tensor, scale: bool) -> torch.Tensor:
    """How much better each sample is than its group, drawn for the same label (GRPO; Shao et al. 2024, 4.1).

    Args:
        rewards: (L, G) one row a group.
        scale: divide by the group's standard deviation as well (its variance has G below the
            line, that of the paper's code G - 1; both add 1e-4). It makes a rare failure loud: one among 32
            weighs -5.6 instead of -0.97. And the KL then counts differently from group to group.

    Returns:
        (L, G) of mean zero in each row; exactly zero where a row's rewards are equal: it teaches nothing.
    """
    centred = rewards - rewards.mean(1, keepdim=True)
    if scale:
        centred = centred / (rewards.std(1, keepdim=True, correction=0) + 1e-4)
    # Exactly zero where rewards are equal: Adam would blow what rounding leaves up to a whole step.
    return torch.where(zero_variance(rewards)[:, None], torch.zeros_like(centred), centred)


def zero_variance(rewards: torch.Tensor) -> torch.Tensor:
    """(L, G) rewards to (L,) bool: groups whose rewards are all the same, up to rounding."""
    return rewards.amax(1) - rewards.amin(1) <= 1e-7 * rewards.abs().amax(1).clamp(min=1)


def clipped_surrogate(
    log_ratio: torch.Tensor, advantages: torch.Tensor, low: float, high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """PPO's clipped surrogate (Schulman et al. 2017, equation 7) with two bounds (DAPO; Yu et al. 2025).

    Args:
        log_ratio: (B, T) log-probability now minus that of the sampler.
        advantages: (B, T).
        low, high: the ratio is clipped to [1 - low, 1 + high].

    Returns:
        (B, T) surrogate, to be maximised; (B, T) bool, where clipping took the gradient away.
    """
    ratio = log_ratio.exp()
    free = ratio * advantages
    bounded = ratio.clamp(1 - low, 1 + high) * advantages
    return torch.minimum(free, bounded), bounded < free


def exact_kl(log_probs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """KL(policy || reference) of each token's distribution, summed over all its values: no sampling error.

    (B, T, V) log-probabilities given the same earlier tokens to (B, T) nats, at least zero. The sum over T,
    averaged over samples of the policy, estimates the KL of whole pictures.
    """
    return (log_probs.exp() * (log_probs - reference)).sum(-1).clamp(min=0)


def later(values: torch.Tensor) -> torch.Tensor:
    """(B, T) to (B, T): at t, the sum of the values after t, that at t left out."""
    return values.flip(1).cumsum(1).flip(1) - values

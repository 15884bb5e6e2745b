"""The two algorithms: how each turns rewards into weights on the samples' log-probabilities. The loop is in rl.py."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from core.fields import check_fields
from core.objectives import clipped_surrogate, group_advantages


@dataclass(frozen=True)
class Reinforce:
    """Raw rewards, as the course guide has them, or less a running mean of earlier steps' rewards."""

    baseline: str = "mean"  # "mean" or "none"
    updates: int = 1  # from the same samples

    def __post_init__(self):
        if self.baseline not in ("mean", "none"):
            raise ValueError(f"baseline is {self.baseline!r}; allowed: mean, none.")
        check_fields(self, updates=(1, 100))

    name = "reinforce"
    critic = interpolate = False  # see GRPO's

    def advantages(self, rewards: torch.Tensor, running: float) -> torch.Tensor:
        """(L, G) rewards to (L, G) weights."""
        return rewards - running if self.baseline == "mean" else rewards

    def surrogate(self, log_ratio, advantages):
        """Of gradient: advantage times the gradient of the log-probability (with one update the ratio is 1)."""
        return log_ratio.exp() * advantages, torch.zeros_like(log_ratio, dtype=torch.bool)


@dataclass(frozen=True)
class GRPO:
    """Group-relative advantages and a clipped surrogate."""

    scale: bool = False  # divide advantages by the group's standard deviation
    updates: int = 2  # from the same samples
    low: float = 0.2
    high: float = 0.2
    critic: bool = False  # spare each token what foresight's critic saw coming before it; see core.baseline
    interpolate: bool = False  # let the critic speak of every value of a token instead; see core.interpolated

    def __post_init__(self):
        if self.interpolate and not self.critic:
            raise ValueError("interpolate is true and critic false; allowed: interpolate only with a critic.")
        check_fields(self, updates=(1, 100), low=(0, 1), high=(0, 100))

    name = "grpo"

    def advantages(self, rewards: torch.Tensor, running: float) -> torch.Tensor:
        """(L, G) rewards to (L, G) advantages."""
        return group_advantages(rewards, self.scale)

    def surrogate(self, log_ratio, advantages):
        """PPO's clipped objective."""
        return clipped_surrogate(log_ratio, advantages, self.low, self.high)

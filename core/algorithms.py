"""The two algorithms: how each turns rewards into weights on log-probabilities. The loop is core.rl.

A new algorithm is a frozen dataclass like these, and a run in core.recipes that uses it.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from core.configs import check_ranges
from core.objectives import clipped_surrogate, group_advantages
from core.parallel import mean_over_ranks


@dataclass(frozen=True)
class Algorithm:
    """What the loop asks of an algorithm."""

    updates: ClassVar[int] = 1  # on the same samples

    def advantages(self, rewards: torch.Tensor, past: list[float]) -> torch.Tensor:
        """(L, G) rewards, one row per label, to (L, G) weights.

        ``past``: the mean reward of each earlier step; all of them, because an algorithm keeps no state. Only
        REINFORCE's baseline reads them.
        """
        raise NotImplementedError

    def surrogate(
        self, log_ratio: torch.Tensor, advantages: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What is maximised, and where it is clipped; see ``clipped_surrogate`` for arguments and shapes.

        By default, ratio times advantage. With one update the ratio is 1, and the gradient is the advantage
        times the gradient of the log-probability.
        """
        return log_ratio.exp() * advantages, torch.zeros_like(log_ratio, dtype=torch.bool)


@dataclass(frozen=True)
class Reinforce(Algorithm):
    """REINFORCE (Williams 1992): raw rewards, as in the course guide, or rewards minus a baseline."""

    baseline: bool = False  # subtract the running mean of earlier steps' rewards
    memory: float = 0.9  # decay of that running mean

    def __post_init__(self):
        check_ranges(self, memory=(0, 0.9999))

    def advantages(self, rewards: torch.Tensor, past: list[float]) -> torch.Tensor:
        if not self.baseline:
            return rewards
        # The first step has only itself to compare with.
        mean = past[0] if past else mean_over_ranks(rewards.mean()).item()
        for reward in past[1:]:
            mean = self.memory * mean + (1 - self.memory) * reward
        return rewards - mean


@dataclass(frozen=True)
class GRPO(Algorithm):
    """GRPO (Shao et al. 2024, section 4.1): group-relative advantages and PPO's clipped surrogate."""

    scale: bool = False  # divide advantages by the group's standard deviation
    updates: int = 2  # on the same samples; with one, the ratio is 1 and nothing is clipped
    low: float = 0.2  # the ratio is clipped to [1 - low, 1 + high]
    high: float = 0.2  # see low

    def __post_init__(self):
        check_ranges(self, updates=(1, 100), low=(0, 1), high=(0, 100))

    def advantages(self, rewards: torch.Tensor, past: list[float]) -> torch.Tensor:
        return group_advantages(rewards, self.scale)

    def surrogate(self, log_ratio, advantages):
        return clipped_surrogate(log_ratio, advantages, self.low, self.high)

"""What could be foreseen of a reward before a token was drawn, and is therefore no merit or fault of that token.

A group's mean is the same for every token of a sample. But when the first strokes of a 7 have become a 1, each later token
of that sample is blamed for what was settled before it: noise, which RL pays for in KL. Foresight's critic knows how good a
beginning is, so what its word explains of the reward is taken off the advantage of the tokens that follow.
"""

from __future__ import annotations

import torch

from core.foresight import Critic
from core.policies import portions


class Foreseen:
    """A control variate: by group, the part of the advantage that is linear in the critic's word on the tokens before.

    The critic was taught on pictures of the start, so the scale of its word is not the policy's: it is fitted as training
    goes. The fit is of earlier steps and the word of earlier tokens, so the gradient's mean stays what it was (Greensmith,
    Bartlett and Baxter 2004).
    """

    def __init__(self, critic: Critic, memory: float):
        """
        Args:
            critic: frozen; see core.foresight.
            memory: decay, a step, of the sums that the fit is made from.
        """
        self.critic, self.memory = critic, memory
        self.together: torch.Tensor | float = 0.0  # (T,) sums over samples of word times advantage,
        self.alone: torch.Tensor | float = 0.0  # and of the word's square

    @torch.no_grad()
    def __call__(self, labels: torch.Tensor, tokens: torch.Tensor, advantages: torch.Tensor) -> torch.Tensor:
        """What to take off each token's advantage; zero in the first call, before there is anything to fit.

        Args:
            labels: (B,) of L groups of G samples, one after the other. tokens: (B, T). advantages: (L, G).

        Returns:
            (B, T); column t knows the tokens before t only.
        """
        word = self._word(labels, tokens).view(*advantages.shape, -1)  # (L, G, T)
        word = word - word.mean(1, keepdim=True)
        guess = word * (self.together / (self.alone + 1e-6))
        self.together = self.memory * self.together + (word * advantages[..., None]).sum((0, 1))
        self.alone = self.memory * self.alone + word.square().sum((0, 1))
        return guess.flatten(0, 1)

    def _word(self, labels: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) square root of the critic's chance that the label comes, given the tokens before each.

        The chance itself is the start's, and near zero where that knows no labels; its root follows the reward of a trained
        policy closer.
        """
        parts = portions(self.critic, labels, tokens)
        chances = [self.critic.comes(self.critic.taken(own, part), own) for own, part in parts]
        word = (torch.cat(chances) / 2).exp()
        return torch.cat([torch.zeros_like(word[:, :1]), word[:, :-1]], 1)  # before the first token nothing is known

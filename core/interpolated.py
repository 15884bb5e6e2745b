"""Policy gradient and critic mixed: what the critic explains goes to every value of a token, the sample weighs the rest.

A sample says something of the one value that was drawn, and most of what it says is chance: what else was drawn before and
after, and the KL that this led to. Foresight's critic says for every value how likely the picture still becomes the digit.
As far as its word explains what samples were worth, all values get their share at once, as a sum over them without sampling
error; only what it does not explain is left to the samples (interpolated policy gradient; Gu et al. 2017, arXiv 1706.00387).
"""

from __future__ import annotations

import torch

from core.descent import fast_products
from core.foresight import Critic
from core.policies import portions

LEAST = -20.0  # log-chance below which all values are alike: the policy avoids them anyway
RIDGE = 1e-2  # of the fit, in shares of its mean square


class Interpolated:
    """The critic's word, position by position, on the scale of what tokens turn out to be worth.

    The word is of the start's pictures and training changes what it means, so the scale is fitted as training goes: worth is
    regressed on the root and the logarithm of the chance. The fit is of earlier steps, and a sample is compared with the
    others, itself left out: where samples have their full weight, the gradient's mean is exactly what it was without.
    """

    def __init__(self, critic: Critic, memory: float):
        """
        Args:
            critic: frozen; see core.foresight.
            memory: decay, a step, of the sums that the fit is made from.
        """
        self.critic, self.memory = critic, memory
        self.together: torch.Tensor | float = 0.0  # (T, F) sums over samples of word times worth,
        self.alone: torch.Tensor | float = 0.0  # (T, F, F) and of word times word

    @torch.no_grad()
    def __call__(
        self, labels: torch.Tensor, tokens: torch.Tensor, worth: torch.Tensor, share: torch.Tensor, groups: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Split what tokens were worth; in the first call all of it is left, for there is nothing to go by.

        Args:
            labels: (N,) of ``groups`` groups, one after the other, of N / groups samples each. tokens: (N, T).
            worth: (N, T) what each token was worth, by its sample.
            share: (N,) of all that were drawn, what each sample stands for.

        Returns:
            (N, T) what the critic does not explain of it, and (N, T, V) what its word makes each value worth.
        """
        words = self._words(labels, tokens)  # (N, T, V, F)
        taken = words.gather(2, tokens[:, :, None, None].expand(-1, -1, 1, words.shape[-1]))[:, :, 0]
        share = share.view(groups, -1)  # (L, N / L)
        own = (share / share.sum(1, keepdim=True))[..., None, None]
        taken = taken.unflatten(0, (groups, -1))  # (L, N / L, T, F)
        centred = taken - (own * taken).sum(1, keepdim=True)
        slopes = self._slopes(centred)
        apart = (centred / (1 - own).clamp(min=1e-6)).flatten(0, 1)  # from the mean of the others
        self.together = self.memory * self.together + torch.einsum(
            "ln,lntf,lnt->tf", share, centred, worth.unflatten(0, (groups, -1))
        )
        self.alone = self.memory * self.alone + torch.einsum("ln,lntf,lntg->tfg", share, centred, centred)
        return worth - (apart * slopes).sum(-1), (words * slopes[:, None]).sum(-1)

    def _slopes(self, centred: torch.Tensor) -> torch.Tensor:
        """(T, F) by ridge regression on earlier steps; (L, N, T, F) says how large these are."""
        length, features = centred.shape[-2:]
        if not isinstance(self.alone, torch.Tensor):
            return centred.new_zeros(length, features)
        size = self.alone.diagonal(dim1=1, dim2=2).mean() + 1e-8
        return torch.linalg.solve(self.alone + RIDGE * size * torch.eye(features), self.together)

    def _words(self, labels: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """(N, T, V, 2) root and logarithm of the critic's chance that the label comes, for every value of each token.

        The logarithm is what Bayes' rule adds to the start's own log-probabilities; the root follows the reward of a policy
        that has learned something (core.baseline).
        """
        parts = portions(self.critic, labels, tokens)
        with fast_products():  # whatever it says, the gradient's mean is the same
            chance = torch.cat([self.critic.possible(own, part, own) for own, part in parts])
        return torch.stack([(chance / 2).exp(), chance.clamp(min=LEAST) / 4], -1)

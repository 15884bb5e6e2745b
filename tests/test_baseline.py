"""What foresight's critic takes off an advantage: less noise, the same gradient."""

import torch
from test_estimator import LABELS, PAID, PICTURES, estimate, exact_gradient, gradient
from toys import make_policy

from core.algorithms import GRPO
from core.baseline import Foreseen
from core.configs import RLConfig
from core.foresight import Critic
from core.objectives import group_advantages
from core.policies import gather


def make_critic(kind):
    critic = Critic(make_policy(kind, seed=3))
    torch.nn.init.normal_(critic.weight, generator=torch.Generator().manual_seed(0))
    return critic.requires_grad_(False)


def fitted(critic, slopes):
    """One whose fit is given, whatever came before."""
    foreseen = Foreseen(critic, memory=0.0)
    foreseen.together, foreseen.alone = torch.tensor(slopes), torch.ones(len(slopes))
    return foreseen


class FirstPixel:
    """A critic that knows at once: the label comes if the first pixel is bright."""

    portion = 1000

    def taken(self, labels, tokens):
        return (0.02 + 0.96 * tokens[:, :1].float()).expand_as(tokens).log()

    def comes(self, ends, digits):
        return ends


def test_it_knows_the_tokens_before_and_no_others(kind):
    critic, slopes = make_critic(kind), [1.0, 2.0, 3.0, 4.0]
    guess = fitted(critic, slopes)(LABELS, PICTURES, PAID[None])
    assert not guess[:, 0].any() and guess[:, 1:].abs().max() > 1e-3
    for t in range(4):
        for changed in range(t, 4):  # neither the token itself nor any after it
            other = PICTURES.clone()
            other[0, changed] = 1 - other[0, changed]
            moved = fitted(critic, slopes)(LABELS, other, PAID[None]) - guess
            # only through the mean of the group, which is the same for all
            torch.testing.assert_close(moved[:, t], moved[0, t].expand(16))


def test_the_mean_estimate_stays_the_exact_gradient_whatever_was_fitted(kind):
    policy, reference = make_policy(kind), make_policy(kind, seed=1)
    chance = gather(policy.log_probs(LABELS, PICTURES), PICTURES).sum(1).exp().detach()
    advantages = PAID - (chance * PAID).sum()
    guess = fitted(make_critic(kind), [5.0, -3.0, 7.0, 2.0])(LABELS, PICTURES, advantages[None])
    config = RLConfig(digits=(1,), beta=0.3)
    found = estimate(policy, reference, GRPO(), config, PICTURES, advantages[:, None] - guess, chance)
    expected = exact_gradient(policy, reference, 0.3)
    assert (found - expected).norm() < 2e-4 * expected.norm()


def test_the_first_call_has_nothing_to_go_by_and_the_fit_forgets():
    rewards = PICTURES[:, 0].float()[None]
    foreseen = Foreseen(FirstPixel(), memory=0.5)
    advantages = group_advantages(rewards, scale=False)
    assert not foreseen(LABELS, PICTURES, advantages).any()
    # then the word, once the first pixel is there, explains all of this reward
    guess = foreseen(LABELS, PICTURES, advantages)
    torch.testing.assert_close(guess[:, 1:], advantages.T.expand(16, 3), atol=1e-4, rtol=1e-4)
    for _ in range(12):
        foreseen(LABELS, PICTURES, -advantages)  # the world turned round
    torch.testing.assert_close(foreseen(LABELS, PICTURES, advantages)[:, 1:], -guess[:, 1:], atol=1e-2, rtol=1e-2)


def test_the_estimate_swings_less_and_has_the_same_mean(kind):
    """The first pixel decides the reward: what a group's mean makes of the later ones is noise, and hardly any is left."""
    policy, generator = make_policy(kind), torch.Generator().manual_seed(0)

    def score(i, t):
        return gradient(policy, gather(policy.log_probs(LABELS[:1], PICTURES[i : i + 1]), PICTURES[i : i + 1])[0, t])

    scores = torch.stack([torch.stack([score(i, t) for t in range(4)]) for i in range(16)])  # (pictures, T, parameters)
    chance = gather(policy.log_probs(LABELS, PICTURES), PICTURES).sum(1).exp().detach()
    foreseen, with_critic, without = Foreseen(FirstPixel(), memory=0.9), [], []
    for _ in range(400):
        drawn = chance.multinomial(8, replacement=True, generator=generator)
        advantages = group_advantages(PICTURES[drawn, 0].float()[None], scale=False)
        guess = foreseen(LABELS[:8], PICTURES[drawn], advantages)
        without.append(torch.einsum("b,btp->tp", advantages[0], scores[drawn]) / 8)
        with_critic.append(torch.einsum("bt,btp->tp", advantages[0][:, None] - guess, scores[drawn]) / 8)
    plain, sparing = torch.stack(without[20:]), torch.stack(with_critic[20:])  # (steps, T, parameters)
    assert sparing[:, 1:].var(0).sum() < 0.1 * plain[:, 1:].var(0).sum()
    torch.testing.assert_close(sparing[:, 0], plain[:, 0])
    error = (plain.sum(1).var(0).sum() / len(plain)).sqrt()
    assert (sparing.sum(1).mean(0) - plain.sum(1).mean(0)).norm() < 3 * error

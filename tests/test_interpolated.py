"""Foresight's critic mixed into the policy gradient: the same mean, less chance in it."""

import itertools

import pytest
import torch
from test_baseline import make_critic
from test_estimator import LABELS, PAID, PICTURES, exact_gradient, gradient
from toys import make_policy

from core.algorithms import GRPO
from core.interpolated import Interpolated
from core.objectives import group_advantages
from core.policies import gather

HALF = torch.full((2,), 0.5)


class FirstPixel:
    """A critic that knows at once: the label comes if the first pixel is bright. Of that one it says so for both values."""

    portion = 1000

    def possible(self, labels, tokens, digits):
        chance = (0.02 + 0.96 * tokens[:, :1, None].float()).repeat(1, 4, 2)
        chance[:, 0] = torch.tensor([0.02, 0.98])
        return chance.log()


def fitted(critic):
    """One with some fit, as if something had come before."""
    mixed = Interpolated(critic, memory=1.0)
    mixed.alone = torch.eye(2).repeat(4, 1, 1) * 1e8  # what is added to it later is lost in it
    mixed.together = 1e8 * torch.tensor([[50.0, -4.0], [-30.0, 3.0], [70.0, 2.0], [20.0, -6.0]])
    return mixed


def test_the_mean_estimate_stays_the_exact_gradient_whatever_was_fitted(kind):
    """Over all groups of two, each as often as it is drawn; centring on a mean that holds the sample itself halves it."""
    policy, mixed = make_policy(kind), fitted(make_critic(kind))
    chance = gather(policy.log_probs(LABELS, PICTURES), PICTURES).sum(1).exp().detach()
    of_samples, of_values = torch.zeros(16, 4), torch.zeros(16, 4, 2)
    plain = torch.zeros(16, 4)
    for pair in itertools.product(range(16), repeat=2):
        pair = torch.tensor(pair)
        worth = group_advantages(PAID[pair][None], scale=False)[0][:, None].expand(2, 4)
        left, values = mixed(LABELS[:2], PICTURES[pair], worth, HALF, 1)
        often = chance[pair].prod() / 2
        for place, picture in enumerate(pair):
            of_samples[picture] += often * left[place]
            of_values[picture] += often * values[place]
            plain[picture] += often * worth[place]
    log_probs = policy.log_probs(LABELS, PICTURES)
    taken = gather(log_probs, PICTURES)
    found = gradient(policy, (of_samples * taken).sum() + (of_values * log_probs.exp()).sum())
    expected = 0.5 * exact_gradient(policy, policy, beta=0.0)
    assert (found - expected).norm() < 1e-3 * expected.norm()
    # and it is no small thing that cancels out
    apart = gradient(policy, ((of_samples - plain) * gather(policy.log_probs(LABELS, PICTURES), PICTURES)).sum())
    assert apart.norm() > expected.norm()


def test_what_it_makes_a_value_worth_knows_the_tokens_before_and_no_others(kind):
    mixed = fitted(make_critic(kind))
    _, values = mixed(LABELS, PICTURES, PAID[:, None].expand(16, 4), torch.full((16,), 1 / 16), 1)
    for t in range(4):
        for changed in range(t, 4):
            other = PICTURES.clone()
            other[:, changed] = 1 - other[:, changed]
            _, moved = fitted(make_critic(kind))(LABELS, other, PAID[:, None].expand(16, 4), torch.full((16,), 1 / 16), 1)
            torch.testing.assert_close(moved[:, t], values[:, t], atol=1e-2, rtol=1e-3)
    assert (values[:, 1:].std(0) > 1e-3).any()  # but it does heed those


def test_the_first_call_has_nothing_to_go_by_and_then_it_explains_what_it_can():
    worth = (PICTURES[:, :1].float() - 0.5).expand(16, 4)
    mixed, share = Interpolated(FirstPixel(), memory=0.5), torch.full((16,), 1 / 16)
    left, values = mixed(LABELS, PICTURES, worth, share, 1)
    assert torch.equal(left, worth) and not values.any()
    left, values = mixed(LABELS, PICTURES, worth, share, 1)
    assert left.abs().max() < 0.05
    # nearly all that the first pixel is worth, 1 for bright and nothing for dark; once it is there, no value matters
    assert (values[:, 0, 1] - values[:, 0, 0]).tolist() == pytest.approx([1.0] * 16, abs=0.05)
    torch.testing.assert_close(values[:, 1:, 0], values[:, 1:, 1])


def test_groups_are_compared_within_themselves():
    """Two labels that are paid differently: what is theirs alone is not put down to the critic's word."""
    mixed, share = Interpolated(FirstPixel(), memory=0.5), torch.full((32,), 1 / 32)
    tokens, labels = PICTURES.repeat(2, 1), LABELS.repeat(2)
    worth = torch.cat([PICTURES[:, :1].float() - 0.5, PICTURES[:, :1].float() - 0.5]).expand(32, 4)
    mixed(labels, tokens, worth, share, 2)
    apart, _ = mixed(labels, tokens, worth, share, 2)
    shifted = Interpolated(FirstPixel(), memory=0.5)
    lifted = worth + torch.tensor([0.0, 3.0]).repeat_interleave(16)[:, None]
    shifted(labels, tokens, lifted, share, 2)
    left, _ = shifted(labels, tokens, lifted, share, 2)
    torch.testing.assert_close(left - apart, lifted - worth, atol=1e-4, rtol=1e-4)


def test_the_estimate_swings_less(kind):
    """The first pixel decides the reward: told of both its values, hardly any chance is left in the gradient."""
    policy, generator = make_policy(kind), torch.Generator().manual_seed(0)
    chance = gather(policy.log_probs(LABELS, PICTURES), PICTURES).sum(1).exp().detach()
    mixed, share = Interpolated(FirstPixel(), memory=0.9), torch.full((8,), 1 / 8)
    plain, sparing = [], []
    for _ in range(150):
        drawn = PICTURES[chance.multinomial(8, replacement=True, generator=generator)]
        worth = group_advantages(drawn[:, 0].float()[None], scale=False)[0][:, None].expand(8, 4)
        left, values = mixed(LABELS[:8], drawn, worth, share, 1)
        log_probs = policy.log_probs(LABELS[:8], drawn)
        taken = gather(log_probs, drawn)
        plain.append(gradient(policy, share @ (worth * taken).sum(1)))
        log_probs = policy.log_probs(LABELS[:8], drawn)
        seen = (left * gather(log_probs, drawn)).sum(1) + (values * log_probs.exp()).sum((1, 2))
        sparing.append(gradient(policy, share @ seen))
    plain, sparing = torch.stack(plain[20:]), torch.stack(sparing[20:])
    assert sparing.var(0).sum() < 0.2 * plain.var(0).sum()


def test_it_needs_a_critic():
    with pytest.raises(ValueError, match="interpolate is true and critic false"):
        GRPO(interpolate=True)

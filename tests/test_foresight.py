"""What comes before RL: Bayes' rule token by token, a critic that learns how pictures end, a policy that follows it."""

import pytest
import torch
from test_policies import every_picture
from toys import Brightness, make_policy

from core.foresight import ENDS, Critic, conditioned, foresight
from core.objectives import exact_kl
from core.policies import LABELS
from core.recipes import ForesightConfig

SMALL = {"pictures": 4000, "sure": 0.6, "batch": 64, "critic_lr": 1e-2, "lr": 1e-2, "warmup": 5}


class Corner(torch.nn.Module):
    """Sure of label 1 where the last pixel is bright, else of label 0; both can be foreseen only at the end."""

    def forward(self, images):
        logits = torch.full((len(images), 10), -20.0)
        logits[:, 0], logits[:, 1] = 0.0, 40 * (images[:, 0, -1, -1] - 0.5)
        return logits


def test_bayes_token_by_token_is_bayes_over_whole_pictures():
    """Every picture of three binary tokens: the product of the conditioned tokens is p(picture | end)."""
    generator = torch.Generator().manual_seed(0)
    pictures = every_picture(3, 2)  # (8, 3)
    chance = torch.rand(8, generator=generator, dtype=torch.float64).softmax(0)
    end = torch.rand(8, generator=generator, dtype=torch.float64)  # p(end | picture)
    total = torch.ones(8, dtype=torch.float64)
    for t in range(3):
        branch = chance.view(*[2] * (t + 1), -1)  # every prefix of t tokens, token t, the rest
        reach = branch.sum(-1)
        leads = (branch * end.view_as(branch)).sum(-1) / reach
        step = conditioned((reach / reach.sum(-1, keepdim=True)).log(), leads.log()).exp()
        index = tuple(pictures[:, : t + 1].T)
        total *= step[index]
    torch.testing.assert_close(total, chance * end / (chance * end).sum())


def test_the_critic_says_the_same_of_the_token_taken_and_of_every_token_possible(kind):
    policy = make_policy(kind, size=3, levels=3)
    critic = Critic(policy)
    critic.expect(torch.arange(1, ENDS + 1))
    torch.nn.init.normal_(critic.weight, generator=torch.Generator().manual_seed(0))
    tokens = torch.randint(3, (5, 9), generator=torch.Generator().manual_seed(1))
    taken = critic.taken(tokens)  # (5, 9, ENDS)
    torch.testing.assert_close(taken.exp().sum(-1), torch.ones(5, 9))
    for end in range(ENDS):
        possible = critic.possible(tokens, torch.full((5,), end))  # (5, 9, 3)
        torch.testing.assert_close(possible.gather(-1, tokens[..., None])[..., 0], taken[..., end])


def test_what_the_critic_says_of_a_token_does_not_depend_on_later_ones(kind):
    critic = Critic(make_policy(kind, size=3, levels=3))
    torch.nn.init.normal_(critic.weight, generator=torch.Generator().manual_seed(0))
    tokens = torch.randint(3, (4, 9), generator=torch.Generator().manual_seed(1))
    changed = tokens.clone()
    changed[:, 5:] = 2 - changed[:, 5:]
    torch.testing.assert_close(critic.taken(tokens)[:, :5], critic.taken(changed)[:, :5])


def test_a_policy_without_labels_learns_them_and_stays_close(kind):
    """The last pixel decides, so the exact price is that of one pixel: all else is drift."""
    reference, policy = (make_policy(kind) for _ in range(2))
    with torch.no_grad():
        for one in (reference, policy):
            for parameter in one.label_inputs():
                parameter.zero_()
    config = ForesightConfig(critic_steps=150, steps=200, **SMALL)
    critic, generator = Critic(reference), torch.Generator().manual_seed(0)
    parts = [record.part for record in foresight(policy, critic, reference, Corner(), config, generator)]
    assert parts == ["drawing"] * 8 + ["critic"] * 150 + ["policy"] * 200
    labels = torch.arange(2).repeat(1000)
    tokens = policy.sample(labels, generator=torch.Generator().manual_seed(1)).tokens
    assert (tokens[:, -1] == labels).float().mean() > 0.95
    with torch.no_grad():
        nats = exact_kl(policy.log_probs(labels, tokens), reference.log_probs(labels, tokens)).sum(1).mean()
        asked = reference.log_probs(labels, tokens)[:, -1].gather(-1, labels[:, None])  # of the last pixel, by chance
    assert nats < -asked.mean() + 0.15


def test_pictures_that_say_nothing_are_refused_in_words():
    reference, policy = (make_policy("transformer") for _ in range(2))
    config = ForesightConfig(pictures=500, sure=0.999, critic_steps=1, steps=1)
    with pytest.raises(ValueError, match=r"sure of none of 500 pictures; lower sure \(now 0.999\)"):
        list(foresight(policy, Critic(reference), reference, Brightness(), config, torch.Generator().manual_seed(0)))
    assert LABELS == ENDS - 1

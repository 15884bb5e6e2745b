"""What comes before RL: Bayes' rule token by token, a critic that learns how pictures end, a policy that follows it."""

import pytest
import torch
from test_policies import every_picture
from toys import Brightness, make_policy

from core.configs import ForesightConfig
from core.foresight import Critic, conditioned, foresight
from core.objectives import exact_kl
from core.policies import LABELS

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


def test_a_power_of_two_is_bayes_rule_applied_twice():
    chances, leads = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    twice = conditioned(conditioned(chances, leads), leads)
    torch.testing.assert_close(conditioned(chances, leads, scale=2.0), twice)
    torch.testing.assert_close(conditioned(chances, leads, scale=0.0), chances)


@pytest.fixture(params=[(False, 1, False), (False, 2, True), (True, 3, False), (True, 3, True)], ids=str)
def critic(request, kind):
    """One that has learned something."""
    critic = Critic(make_policy(kind, size=3, levels=3), *request.param)
    generator = torch.Generator().manual_seed(0)
    critic.expect(torch.randint(critic.ends, (200,), generator=generator))
    torch.nn.init.normal_(critic.weight, generator=generator)
    return critic


def test_the_critic_says_the_same_of_the_token_taken_and_of_every_token_possible(critic):
    generator = torch.Generator().manual_seed(1)
    labels, tokens = torch.randint(LABELS, (5,), generator=generator), torch.randint(3, (5, 9), generator=generator)
    taken = critic.taken(labels, tokens)  # (5, 9, E)
    torch.testing.assert_close(taken.exp().sum(-1), torch.ones(5, 9))
    for digit in range(LABELS):
        digits = torch.full((5,), digit)
        possible = critic.possible(labels, tokens, digits).gather(-1, tokens[..., None])[..., 0]  # (5, 9)
        first = 0 if critic.asked else digit * critic.shades
        torch.testing.assert_close(possible.exp(), taken[..., first : first + critic.shades].exp().sum(-1))
        torch.testing.assert_close(critic.comes(taken, digits), possible)


def test_what_the_critic_says_of_a_token_does_not_depend_on_later_ones(critic):
    tokens = torch.randint(3, (4, 9), generator=torch.Generator().manual_seed(1))
    changed, labels = tokens.clone(), torch.arange(4)
    changed[:, 5:] = 2 - changed[:, 5:]
    torch.testing.assert_close(critic.taken(labels, tokens)[:, :5], critic.taken(labels, changed)[:, :5])


def test_before_it_learns_the_critic_expects_what_happened(critic):
    torch.nn.init.zeros_(critic.weight)
    ends = torch.arange(3 * critic.ends) % critic.ends
    ends[:5] = 0
    critic.expect(ends)
    happened = ends.bincount() / len(ends)
    expected = critic.taken(torch.arange(4), torch.randint(3, (4, 9))).exp()
    torch.testing.assert_close(expected, happened.expand_as(expected))


@pytest.mark.parametrize("tied", [False, True])
def test_a_tied_critic_foresees_of_a_value_it_never_saw_what_those_that_look_like_it_led_to(kind, tied):
    critic = Critic(make_policy(kind, size=3, levels=3), tied=tied)
    optimizer = torch.optim.Adam([critic.weight, critic.bias], 0.05)
    tokens = torch.tensor([0, 1])[:, None].expand(2, 9)
    for _ in range(100):  # black leads to a 0, gray to a 1; of white nothing is said
        loss = -critic.taken(torch.zeros(2, dtype=torch.int64), tokens)[[0, 1], :, [0, 1]].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        start = torch.zeros(1, 9, dtype=torch.int64)
        zero, one = (critic.possible(torch.tensor([0]), start, torch.tensor([digit]))[0, 0] for digit in (0, 1))
    black, gray, white = (one - zero).tolist()
    assert black < -2 and gray > 2
    assert white > gray if tied else white == 0


@pytest.mark.parametrize("asked", [False, True])
def test_a_tenth_of_the_doubt_is_the_next_degree(asked):
    """Of the digit that the classifier is surest of; where a label was asked for, of that."""
    critic = Critic(make_policy("lstm"), asked, shades=3)
    surest = torch.tensor([0.5, 0.89, 0.91, 0.985, 0.995, 0.9985, 0.9995])
    belief = torch.full((7, 10), 0.0)
    belief[:, 4], belief[:, 1] = surest, 1 - surest
    fours, none = torch.full((7,), 4), critic.ends - 1
    first = 0 if asked else 12
    assert critic.read(fours, belief, sure=0.9).tolist() == [none] * 2 + [first] * 2 + [first + 1] * 2 + [first + 2]
    if asked:
        assert critic.read(torch.full((7,), 1), belief, sure=0.9).tolist() == [none] * 7


def without_labels(policy):
    with torch.no_grad():
        for parameter in policy.label_inputs():
            parameter.zero_()
    return policy


@pytest.mark.parametrize("knows", [False, True])
def test_a_policy_learns_what_labels_come_to_and_stays_close(kind, knows):
    """Whether its start knew labels or not. The last pixel decides, so the exact price is one pixel's: all else is drift.

    A critic that is asked for one label learns from the fifth of the pictures that were drawn for 0 or 1: its word is weak.
    """
    steps = 450 if knows else 150
    reference, policy = (make_policy(kind) if knows else without_labels(make_policy(kind)) for _ in range(2))
    config = ForesightConfig(critic_steps=steps, steps=200, **SMALL)
    critic, generator = Critic(reference, asked=knows), torch.Generator().manual_seed(0)
    parts = [record.part for record in foresight(policy, critic, reference, Corner(), config, generator)]
    assert parts == ["drawing"] * 8 + ["critic"] * steps + ["policy"] * 200
    labels = torch.arange(2).repeat(1000)
    before, tokens = (one.sample(labels, generator=torch.Generator().manual_seed(1)).tokens for one in (reference, policy))
    if knows:
        assert (tokens[:, -1] != labels).sum() < 0.5 * (before[:, -1] != labels).sum()
    else:
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

import itertools

import pytest
import torch
from toys import make_policy

from core.lstm import LSTMPolicy
from core.policies import gather
from core.tokenizers import PixelTokenizer
from core.transformer import TransformerPolicy


def every_picture(length: int, vocabulary: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product(range(vocabulary), repeat=length)))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_the_samplers_log_probabilities_are_those_of_the_scoring_pass(kind, temperature):
    policy = make_policy(kind, size=5, levels=4)
    labels = torch.arange(30) % 10
    rollout = policy.sample(labels, temperature, torch.Generator().manual_seed(0))
    again = gather(policy.log_probs(labels, rollout.tokens, temperature), rollout.tokens)
    torch.testing.assert_close(rollout.log_probs, again, atol=2e-5, rtol=0)


def test_the_probabilities_of_all_pictures_sum_to_one(kind):
    policy, pictures = make_policy(kind), every_picture(4, 2)
    for label in (0, 7):
        labels = torch.full((16,), label)
        total = gather(policy.log_probs(labels, pictures), pictures).sum(1).exp().sum()
        assert total.item() == pytest.approx(1, abs=1e-5)


def test_samples_come_as_often_as_their_probability_says(kind):
    policy, pictures, count = make_policy(kind), every_picture(4, 2), 20_000
    labels = torch.full((count,), 3)
    tokens = policy.sample(labels, 1.3, torch.Generator().manual_seed(1)).tokens
    found = torch.bincount((tokens * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16)
    expected = count * gather(policy.log_probs(labels[:16], pictures, 1.3), pictures).sum(1).exp()
    chi_square = ((found - expected).square() / expected).sum().item()
    assert chi_square < 37.7  # the 99.9 % point of 15 degrees of freedom


def test_no_logit_sees_its_own_token_or_a_later_one(kind):
    policy = make_policy(kind, size=3, levels=3)
    tokens = torch.randint(3, (1, 9), generator=torch.Generator().manual_seed(0))
    label = torch.tensor([4])
    before = policy.logits(label, tokens)
    for t in range(9):
        changed = tokens.clone()
        changed[0, t] = (changed[0, t] + 1) % 3
        after = policy.logits(label, changed)
        torch.testing.assert_close(after[:, : t + 1], before[:, : t + 1])
        assert t == 8 or not torch.allclose(after[:, t + 1], before[:, t + 1])


def test_the_first_token_depends_on_the_label(kind):
    policy = make_policy(kind)
    logits = policy.logits(torch.arange(10), torch.zeros(10, 4, dtype=torch.int64))[:, 0]
    assert len(torch.unique(logits, dim=0)) == 10


def test_a_token_looks_up_its_neighbours_and_only_those_already_drawn():
    size, levels, seen = 3, 2, torch.tensor([[1, 0, 1, 1, 1, 0, 0, 1, 0]])
    policy = LSTMPolicy(PixelTokenizer(size, levels), 6)
    for t in range(size**2):
        policy.zero_grad()
        policy.logits(torch.tensor([4]), seen)[0, t].sum().backward()
        rows = policy.neighbours.weight.grad.any(1).nonzero().flatten().tolist()
        expected = set()
        for now in range(t + 1):  # what was looked up so far lives on in the hidden state
            for k, (down, right) in enumerate(LSTMPolicy.NEIGHBOURS):
                row, column = now // size + down, now % size + right
                drawn = 0 <= row and 0 <= column < size and row * size + column < now
                expected.add(k * (levels + 1) + (int(seen[0, row * size + column]) if drawn else levels))
        assert rows == sorted(expected), f"position {t}"


def test_without_label_inputs_all_labels_are_the_same(kind):
    policy = make_policy(kind)
    for parameter in policy.label_inputs():
        torch.nn.init.zeros_(parameter)
    logits = policy.logits(torch.arange(10), torch.ones(10, 4, dtype=torch.int64))
    torch.testing.assert_close(logits, logits[:1].expand_as(logits))


def test_a_prefix_is_kept_and_scored_and_the_rest_is_drawn(kind):
    policy = make_policy(kind, size=3, levels=3)
    labels, prefix = torch.arange(8), torch.randint(3, (8, 5), generator=torch.Generator().manual_seed(2))
    rollout = policy.sample(labels, 1.0, torch.Generator().manual_seed(3), prefix)
    assert torch.equal(rollout.tokens[:, :5], prefix)
    again = gather(policy.log_probs(labels, rollout.tokens), rollout.tokens)
    torch.testing.assert_close(rollout.log_probs, again, atol=2e-5, rtol=0)
    whole = policy.sample(labels, prefix=rollout.tokens)
    assert torch.equal(whole.tokens, rollout.tokens)


def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_generator_alone(kind):
    policy, labels = make_policy(kind, size=4, levels=4), torch.arange(10)
    state = torch.get_rng_state()
    first, second, other = (
        policy.sample(labels, generator=torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(first.tokens, second.tokens) and torch.equal(first.log_probs, second.log_probs)
    assert not torch.equal(first.tokens, other.tokens)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"labels": torch.tensor([11])}, "allowed: 0 to (9|10)"),  # a transformer knows 10: no label
        ({"labels": torch.tensor([0.0])}, "torch.int64"),
        ({"labels": torch.tensor([], dtype=torch.int64)}, "non-empty"),
        ({"labels": torch.tensor([1]), "temperature": 0.0}, "temperature is 0.0"),
        ({"labels": torch.tensor([1]), "temperature": float("nan")}, "temperature is nan"),
        ({"labels": torch.tensor([1]), "prefix": torch.tensor([[2]])}, "allowed: 0 to 1"),
        ({"labels": torch.tensor([1]), "prefix": torch.zeros(1, 5, dtype=torch.int64)}, "at most 4"),
        (
            {"labels": torch.tensor([1, 2]), "prefix": torch.zeros(1, 2, dtype=torch.int64)},
            "1 rows for 2 labels",
        ),
    ],
)
def test_bad_requests_are_refused_in_words(kind, arguments, words):
    with pytest.raises(ValueError, match=words):
        make_policy(kind).sample(**arguments)


def test_what_cannot_be_sampled_cannot_be_scored(kind):
    policy = make_policy(kind)
    tokens = policy.sample(torch.arange(3)).tokens
    for temperature in (0.0, -1.0, 1e-300, 11, float("nan")):
        with pytest.raises(ValueError, match=r"temperature is .*; allowed: from 1e-6 to 10"):
            policy.log_probs(torch.arange(3), tokens, temperature)
    with pytest.raises(ValueError, match="1 rows for 3 labels"):  # one would do for all, silently
        policy.log_probs(torch.arange(3), tokens[:1])


@pytest.mark.parametrize(
    ("width", "heads", "words"), [(16, 0, "heads is 0"), (12, 2, "multiples of 8"), (16, -2, "heads is -2")]
)
def test_impossible_shapes_of_a_transformer_are_refused(width, heads, words):
    with pytest.raises(ValueError, match=words):
        TransformerPolicy(PixelTokenizer(2, 4), width, 1, heads)

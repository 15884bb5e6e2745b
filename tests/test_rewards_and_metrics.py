import itertools
import math

import pytest
import torch
from test_policies import every_picture
from toys import Brightness, make_policy

from core.bestofn import best_of_n, mixture
from core.metrics import (
    best_of_n_kl,
    density_coverage,
    frechet,
    ink_fraction,
    interval,
    neighbour_radii,
    pixel_entropy,
)
from core.policies import gather
from core.rejection import rejection
from core.rewards import INK, Rewards, coherence


def strokes_by_hand(image):
    """The share of ink in the largest stroke, by walking from pixel to pixel."""
    size = image.shape[-1]
    left = {(r, c) for r in range(size) for c in range(size) if image[0, r, c] >= INK}
    total = sum(image[0, r, c].item() for r, c in left)
    largest = 0.0
    while left:
        reached, weight = [left.pop()], 0.0
        while reached:
            r, c = reached.pop()
            weight += image[0, r, c].item()
            for near in [(r + dr, c + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1)]:
                if near in left:
                    left.remove(near)
                    reached.append(near)
        largest = max(largest, weight)
    return largest / total if total else 0.0


def test_coherence_is_what_walking_the_strokes_finds():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(60, 1, 7, 7, generator=generator) * (torch.rand(60, 1, 7, 7, generator=generator) < 0.35)
    images[0] = 0
    expected = torch.tensor([strokes_by_hand(image) for image in images])
    torch.testing.assert_close(coherence(images), expected)


def test_a_snake_is_one_stroke_and_two_dots_are_two():
    snake = torch.zeros(1, 1, 8, 8)
    snake[0, 0, ::2] = 1  # every other row, joined at alternating ends
    for row in range(1, 8, 2):
        snake[0, 0, row, 7 if row % 4 == 1 else 0] = 1
    dots = torch.zeros(1, 1, 8, 8)
    dots[0, 0, 0, 0], dots[0, 0, 7, 7] = 1, 0.5
    assert coherence(snake).item() == pytest.approx(1) and coherence(dots).item() == pytest.approx(2 / 3)


def test_the_reward_is_the_weighted_sum_of_its_terms():
    policy = make_policy("lstm", size=3, levels=3)
    rewards = Rewards(Brightness(), policy, {"confidence": 0.5, "coherence": 0.25, "realism": 0.25})
    labels = torch.ones(20, dtype=torch.int64)
    tokens = policy.sample(labels, generator=torch.Generator().manual_seed(0)).tokens
    terms = rewards.terms(policy.tokenizer.decode(tokens), labels, tokens)
    assert set(terms) == {"confidence", "coherence", "realism"}
    assert all(term.shape == (20,) and (term >= 0).all() and (term <= 1).all() for term in terms.values())
    expected = 0.5 * terms["confidence"] + 0.25 * terms["coherence"] + 0.25 * terms["realism"]
    torch.testing.assert_close(rewards.total(terms), expected)
    with pytest.raises(ValueError, match="unknown reward 'beauty'; allowed: confidence, coherence, realism"):
        Rewards(Brightness(), policy, {"beauty": 1.0})


def test_frechet_of_two_known_gaussians():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(200_000, 3, generator=generator, dtype=torch.double)
    b = torch.randn(200_000, 3, generator=generator, dtype=torch.double) * torch.tensor([1.0, 2.0, 0.5]) + 1
    # For diagonal covariances: squared distance of the means plus squared distances of the standard deviations.
    assert frechet(a, b) == pytest.approx(3 + 0 + 1 + 0.25, rel=0.02)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_density_and_coverage_are_what_counting_finds():
    generator = torch.Generator().manual_seed(0)
    real, drawn = torch.randn(40, 2, generator=generator), torch.randn(30, 2, generator=generator) * 0.3
    radii = neighbour_radii(real, chunk=7)
    inside, covered = 0, 0
    for i, centre in enumerate(real):
        others = sorted((centre - real[j]).norm().item() for j in range(40) if j != i)
        assert radii[i].item() == pytest.approx(others[4], rel=1e-5)
        near = sum((centre - one).norm().item() < others[4] for one in drawn)
        inside, covered = inside + near, covered + (near > 0)
    density, coverage = density_coverage(real, radii, drawn, chunk=7)
    assert density == pytest.approx(inside / (5 * 30)) and coverage == pytest.approx(covered / 40)


def test_ink_entropy_and_intervals_of_simple_cases():
    images = torch.zeros(2, 1, 2, 2)
    images[0, 0, 0, 0] = 1
    assert ink_fraction(images) == pytest.approx(1 / 8)
    tokens, labels = torch.tensor([[0, 1], [1, 1], [0, 0], [0, 0]]), torch.tensor([3, 3, 5, 5])
    assert pixel_entropy(tokens, labels, 2) == pytest.approx(math.log(2) / 4)
    assert interval([1.0]) is None
    assert interval([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(1.963, abs=1e-3)  # 2.776 * 1.5811 / sqrt 5


def test_best_of_n_costs_at_most_its_bound():
    """By counting: a uniform choice among m values, all rewards different, best of n draws."""
    for m, n in itertools.product((10, 100), (1, 2, 3, 8)):
        chance = [((k + 1) ** n - k**n) / m**n for k in range(m)]
        kl = sum(p * math.log(p * m) for p in chance)
        assert kl <= best_of_n_kl(n) + 1e-12
    assert best_of_n_kl(1) == 0
    assert mixture(1000.0)[1] == 0.0 and best_of_n_kl(mixture(1000.0)[0]) < 4
    for kl in (0.0, 0.1, best_of_n_kl(2), 2.5):
        n, share = mixture(kl)
        assert 0 <= share < 1 + 1e-9
        assert (1 - share) * best_of_n_kl(n) + share * best_of_n_kl(n + 1) == pytest.approx(kl)


def test_best_of_n_keeps_the_best():
    policy = make_policy("lstm", size=3, levels=3)
    few, labels, _ = best_of_n(policy, Brightness(), 0.0, 500, 0)
    many, _, spent = best_of_n(policy, Brightness(), best_of_n_kl(4), 500, 0)
    assert few.shape == (500, 1, 3, 3) and labels.bincount().tolist() == [50] * 10
    assert spent == pytest.approx(best_of_n_kl(4))
    top = [pictures[labels == 1][:, 0, 0].mean().item() for pictures in (few, many)]
    assert top[1] > top[0] + 0.1


class Number(torch.nn.Module):
    """Reads a 2x2 binary picture as the number that its pixels spell, modulo 10, and is sure of it."""

    def forward(self, images):
        return 20 * torch.nn.functional.one_hot(spelled(images) % 10, 10).float()


def spelled(images):
    return (images.flatten(1).round() @ torch.tensor([8.0, 4.0, 2.0, 1.0])).long()


@pytest.mark.parametrize("knows", [False, True])
def test_rejection_draws_what_is_accepted_and_its_price_is_the_chance_of_that(kind, knows):
    """Against the chances of all 16 pictures: a label's are kept in proportion to the policy's, and no others."""
    policy = make_policy(kind)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(0.3)  # else some pictures are hardly ever drawn
        for parameter in policy.label_inputs():
            parameter.mul_(knows)
    pictures = every_picture(4, 2)
    with torch.no_grad():
        chances = torch.stack(
            [gather(policy.log_probs(torch.full((16,), label), pictures), pictures).sum(1).exp() for label in range(10)]
        )  # (10, 16)
    chances[torch.arange(16) % 10 != torch.arange(10)[:, None]] = 0
    images, labels, kl = rejection(policy, Number(), 5000, 0)
    assert labels.bincount().tolist() == [500] * 10
    share = torch.zeros(10, 16).index_put_((labels, spelled(images)), torch.ones(5000), accumulate=True) / 500
    assert kl == pytest.approx(-chances.sum(1).log().mean().item(), abs=0.05)
    torch.testing.assert_close(share, chances / chances.sum(1, keepdim=True), atol=0.07, rtol=0)


def test_rejection_gives_up_where_the_classifier_is_never_sure():
    assert rejection(make_policy("lstm"), Brightness(), 20, 0) is None

import itertools
import math

import pytest
import torch
from toys import Brightness, make_policy

from core.bestofn import best_of_n_kl, best_of_n_success, rank_chances
from core.metrics import density_coverage, frechet, ink_fraction, interval, neighbour_radii, pixel_entropy
from core.rewards import INK, TERMS, Rewards, largest_stroke


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
    images = torch.rand(60, 1, 7, 7, generator=generator) * (
        torch.rand(60, 1, 7, 7, generator=generator) < 0.35
    )
    images[0] = 0
    expected = torch.tensor([strokes_by_hand(image) for image in images])
    torch.testing.assert_close(largest_stroke(images), expected)


def test_a_snake_is_one_stroke_and_two_dots_are_two():
    snake = torch.zeros(1, 1, 8, 8)
    snake[0, 0, ::2] = 1  # every other row, joined at alternating ends
    for row in range(1, 8, 2):
        snake[0, 0, row, 7 if row % 4 == 1 else 0] = 1
    dots = torch.zeros(1, 1, 8, 8)
    dots[0, 0, 0, 0], dots[0, 0, 7, 7] = 1, 0.5
    assert largest_stroke(snake).item() == pytest.approx(1) and largest_stroke(dots).item() == pytest.approx(
        2 / 3
    )


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
    with pytest.raises(ValueError, match="no reward is paid"):
        Rewards(Brightness(), policy, {"confidence": 0.0})


def test_a_new_term_is_one_function_and_one_entry(monkeypatch):
    monkeypatch.setitem(TERMS, "dark", lambda pictures: 1 - pictures.images.flatten(1).mean(1))
    policy, labels = make_policy("lstm"), torch.tensor([1, 1])
    rewards = Rewards(Brightness(), policy, {"dark": 2.0})
    tokens = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 0]])
    terms = rewards.terms(policy.tokenizer.decode(tokens), labels, tokens)
    assert set(terms) == {"dark"}
    torch.testing.assert_close(rewards.total(terms), torch.tensor([2.0, 0.5]))


def test_frechet_of_two_known_gaussians():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(200_000, 3, generator=generator, dtype=torch.double)
    b = torch.randn(200_000, 3, generator=generator, dtype=torch.double) * torch.tensor([1.0, 2.0, 0.5]) + 1
    # For diagonal covariances: squared distance of the means plus squared distances of the standard
    # deviations.
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


def test_best_of_n_from_a_pool_is_what_trying_every_pick_finds():
    rewards = torch.tensor([0.9, 0.1, 0.5, 0.7, 0.3, 0.2, 0.8, 0.4])
    right = torch.tensor([False, True, True, True, False, True, False, False])
    for n in range(1, 9):
        picks = list(itertools.combinations(range(8), n))
        expected = sum(right[max(pick, key=rewards.__getitem__)].item() for pick in picks) / len(picks)
        assert best_of_n_success(rewards, right, best_of_n_kl(n) + 1e-12) == pytest.approx(expected)
        assert rank_chances(8, n).sum().item() == pytest.approx(1)
    # Between two N, half way in KL is half way in success; and more than the pool has cannot be spent.
    between = (best_of_n_kl(2) + best_of_n_kl(3)) / 2
    ends = [best_of_n_success(rewards, right, best_of_n_kl(n) + 1e-12) for n in (2, 3)]
    assert best_of_n_success(rewards, right, between) == pytest.approx(sum(ends) / 2)
    assert best_of_n_success(rewards, right, 100.0) == 0.0  # the best of all is no success

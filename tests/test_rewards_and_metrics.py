import itertools
import math
import statistics

import gradio as gr
import pytest
import torch
from toys import Brightness, example_of_the_guide, make_policy

import core.rewards
import core.train
from core.evaluate import best_of_n_row
from core.metrics import (
    best_of_n_kl,
    best_of_n_success,
    density_coverage,
    frechet,
    interval,
    neighbour_radii,
    pixel_entropy,
    rank_chances,
)
from core.rewards import INK, TERMS, Rewards, largest_stroke
from demo import shipped, ui
from demo.engine import Engine


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


def paid(name, images, drawing=None):
    """What a term makes of (B, 1, H, W) pictures that no policy drew."""
    rewards = Rewards(Brightness(), make_policy("lstm"), {"confidence": 1.0})
    rewards.pay({name: 1.0}, drawing)
    labels = torch.ones(len(images), dtype=torch.int64)
    return rewards.terms(images, labels, torch.zeros(len(images), 4, dtype=torch.int64))[name]


def test_symmetry_is_1_for_mirrored_halves_0_for_one_of_them_and_the_same_for_both_ways_round():
    images = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    half = images.clone()
    half[..., 3:] = 0
    torch.testing.assert_close(paid("symmetry", half + half.flip(-1)), torch.ones(5))
    torch.testing.assert_close(paid("symmetry", half), torch.zeros(5))
    torch.testing.assert_close(paid("symmetry", images), paid("symmetry", images.flip(-1)))
    # Ink 2 on the left, 1 on the right: the mirror image covers 1 + 1 of the 2 + 2 that either has.
    uneven = torch.tensor([[1.0, 0.5]]).view(1, 1, 1, 2)
    assert paid("symmetry", uneven).item() == pytest.approx(0.5)


def test_little_ink_falls_with_the_ink_to_a_quarter_of_the_sheet():
    images = torch.zeros(4, 1, 8, 8)
    for i, pixels in enumerate((0, 8, 16, 40)):  # of 64
        images[i].view(-1)[:pixels] = 1
    torch.testing.assert_close(paid("little_ink", images), torch.tensor([1.0, 0.5, 0.0, 0.0]))


def test_likeness_is_1_for_the_drawing_itself_and_the_shared_part_of_both_otherwise():
    drawing = torch.zeros(1, 1, 4, 4)
    drawing[0, 0, 0, :2] = 1
    shares_one, elsewhere, faint = torch.zeros(3, 1, 1, 4, 4)
    shares_one[0, 0, 0, 1:3] = 1
    elsewhere[0, 0, 2] = 1
    faint[:] = drawing / 4
    images = torch.cat([drawing, shares_one, elsewhere, faint])
    torch.testing.assert_close(paid("likeness", images, drawing), torch.tensor([1.0, 1 / 3, 0.0, 0.25]))


def test_every_term_is_a_number_from_0_to_1_of_blank_full_and_random_pictures():
    images = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    images[0], images[1] = 0, 1
    for name in TERMS:
        found = paid(name, images)
        assert found.shape == (6,) and (found >= 0).all() and (found <= 1).all(), name
    assert paid("symmetry", images)[0] == paid("likeness", images, images[:1])[0] == 0  # no ink is no merit


@pytest.mark.parametrize(
    ("give", "words"),
    [
        (lambda pictures: pictures.images.flatten(1).mean(1, keepdim=True), r"the reward mine is \(20, 1\)"),
        (lambda pictures: pictures.labels / 0, r"the reward mine is \(20,\), from inf to inf"),
    ],
)
def test_a_term_that_gives_no_number_a_picture_is_named(give, words, monkeypatch):
    policy, labels = make_policy("lstm", size=3, levels=3), torch.ones(20, dtype=torch.int64)
    monkeypatch.setitem(TERMS, "mine", give)
    rewards = Rewards(Brightness(), policy, {"confidence": 1.0, "mine": 1.0})
    tokens = policy.sample(labels).tokens
    with pytest.raises(ValueError, match=words):
        rewards.terms(policy.tokenizer.decode(tokens), labels, tokens)


def test_likeness_needs_a_drawing_and_a_weight_is_a_number():
    rewards = Rewards(Brightness(), make_policy("lstm"), {"confidence": 1.0})
    with pytest.raises(ValueError, match="unknown reward 'likeness'; allowed: confidence, "):
        rewards.pay({"likeness": 1.0})
    for weight in (math.nan, math.inf, -1e4):
        with pytest.raises(ValueError, match=f"the weight of symmetry is {weight}; allowed: a number"):
            rewards.pay({"symmetry": weight})
    assert rewards.weights == {"confidence": 1.0}


def test_the_term_of_the_guide_is_one_function_and_appears_on_the_command_line_and_on_the_page(
    monkeypatch, tmp_path, capsys
):
    code = example_of_the_guide("@term")
    assert len(code.splitlines()) <= 10
    monkeypatch.setattr(core.rewards, "TERMS", dict(TERMS))
    monkeypatch.setattr(core.train, "TERMS", core.rewards.TERMS)
    exec(code, vars(core.rewards).copy())
    images = torch.zeros(2, 1, 4, 4)
    images[0, 0, 0], images[1, 0, 1:4] = 1, 1
    torch.testing.assert_close(paid("top_heavy", images), torch.tensor([1.0, 1 / 3]))
    with pytest.raises(SystemExit):
        core.train.main("grpo --recipe tiny-4x4 --help".split())
    assert "--top-heavy" in capsys.readouterr().out
    changed = tmp_path / "rewards.py"
    changed.write_text(shipped.REWARDS.read_text(encoding="utf-8") + "\n\n" + code, encoding="utf-8")
    monkeypatch.setattr(shipped, "REWARDS", changed)
    page = ui.build(Engine())
    sliders = {block.label: block.info for block in page.blocks.values() if isinstance(block, gr.Slider)}
    assert sliders["top heavy"] == "The share of the ink that is in the upper half."
    assert {name.replace("_", " ") for name in TERMS} | {"likeness"} < set(sliders)


def test_realism_rises_with_the_likelihood_that_the_start_gives_a_picture():
    policy, labels = make_policy("lstm", size=4, levels=4), torch.arange(2000) % 10
    rewards = Rewards(Brightness(), policy, {"realism": 1.0})
    rollout = policy.sample(labels, generator=torch.Generator().manual_seed(1))
    images = policy.tokenizer.decode(rollout.tokens)
    found = rewards.terms(images, labels, rollout.tokens)["realism"]
    order = rollout.log_probs.sum(1).argsort()
    assert (found[order].diff() > -1e-4).all() and found.mean().item() == pytest.approx(0.5, abs=0.05)
    assert found.logit().std().item() == pytest.approx(1, abs=0.1)  # a standard deviation is one logit


@pytest.mark.parametrize("mixed", [False, True])
def test_best_of_n_picks_from_all_samples_where_the_policy_ignores_labels(mixed):
    labels = torch.arange(20) % 10
    reads = (labels + 1) % 10  # every sample is of the next digit: right for that label alone
    beliefs = torch.eye(10)[reads]
    found = best_of_n_row(beliefs, reads, labels, mixed, kl=best_of_n_kl(20))
    assert found["success"] == pytest.approx(float(mixed))


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

    tokens, labels = torch.tensor([[0, 1], [1, 1], [0, 0], [0, 0]]), torch.tensor([3, 3, 5, 5])
    assert pixel_entropy(tokens, labels, 2) == pytest.approx(math.log(2) / 4)
    assert interval([1.0]) is None
    assert interval(list(range(11))) > 2.228 * 3.3166 / 11**0.5  # of eleven: never too narrow
    assert interval([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(1.963, abs=1e-3)  # 2.776 * 1.5811 / sqrt 5


def test_intervals_are_students():
    """Between the ends of each interval lie 95 % of Student's density, summed up here."""
    for count in range(2, 11):
        v, spread = count - 1, statistics.stdev(range(count)) / count**0.5
        quantile = interval(list(range(count))) / spread
        x = torch.linspace(0, quantile, 100_001, dtype=torch.double)
        scale = math.gamma((v + 1) / 2) / (math.sqrt(v * math.pi) * math.gamma(v / 2))
        density = scale * (1 + x * x / v) ** (-(v + 1) / 2)
        assert 2 * torch.trapezoid(density, x).item() == pytest.approx(0.95, abs=1e-4)


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

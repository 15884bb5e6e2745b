"""What each mistake does to the gradient, by counting all sixteen pictures of 2x2 pixels."""

import json
from pathlib import Path

import pytest
import torch
from test_estimator import LABELS, PAID, PICTURES, estimate, exact_gradient, gradient
from toys import make_policy

from core import checkpoints, mistakes
from core.algorithms import GRPO
from core.configs import RLConfig
from core.evaluate import provenance
from core.mistakes import MISTAKES, learner, start_of
from core.place import Place
from core.policies import gather
from core.recipes import find_recipe
from demo import races
from demo.sentences import finding
from demo.tabs import results

BETA = 0.3
CONFIG = RLConfig(digits=(1,), beta=BETA)


@pytest.fixture
def policies():
    """A transformer, because it knows guidance, and what it is tied to."""
    return make_policy("transformer"), make_policy("transformer", seed=1)


def chances(policy, temperature=1.0):
    """(16,) the probability of each picture."""
    with torch.no_grad():
        return gather(policy.log_probs(LABELS, PICTURES, temperature), PICTURES).sum(1).exp()


def mean_estimate(policy, reference, algorithm, share, config=CONFIG):
    """The mean of the gradient that is followed, where each picture is drawn as often as ``share`` says."""
    return estimate(policy, reference, algorithm, config, PICTURES, PAID - share @ PAID, share)


def far(found, expected):
    """How far a gradient is from another, as a share of it."""
    return ((found - expected).norm() / expected.norm()).item()


def drawn(name, policy, count=8000):
    """(16,) how often a mistake's policy draws each picture, and that it is scored as in training."""
    labels = torch.full((count,), 1)
    rollout = learner(MISTAKES[name], policy).sample(labels, 1.0, torch.Generator().manual_seed(0))
    with torch.no_grad():
        scored = gather(policy.log_probs(labels, rollout.tokens), rollout.tokens)
    torch.testing.assert_close(rollout.log_probs, scored)  # the ratio is 1: nothing looks wrong
    return torch.bincount((rollout.tokens * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16)


def chi_square(found, share):
    expected = found.sum() * share
    return ((found - expected).square() / expected).sum().item()


def test_samples_of_another_temperature_follow_another_gradient(policies):
    policy, reference = policies
    own, cool = chances(policy), chances(policy, 0.6)
    found = drawn("temperatures", policy)
    assert chi_square(found, cool) < 37.7 < 400 < chi_square(found, own)  # the 99.9 % point at 15 degrees
    expected = exact_gradient(policy, reference, BETA)
    assert far(mean_estimate(policy, reference, GRPO(), own), expected) < 2e-4
    wrong = mean_estimate(policy, reference, GRPO(), cool)
    assert far(wrong, expected) > 0.2
    assert torch.cosine_similarity(wrong, expected, dim=0) < 0.99  # nor does a learning rate mend it


def test_samples_drawn_with_guidance_and_scored_without_follow_another_gradient(policies):
    policy, reference = policies
    found = drawn("guidance", policy)
    assert policy.guidance == 1.0  # as before
    plain = chances(policy)
    policy.guidance = MISTAKES["guidance"].right.config.guidance
    guided, expected = chances(policy), exact_gradient(policy, reference, BETA)
    right = mean_estimate(policy, reference, GRPO(), guided)
    policy.guidance = 1.0
    assert chi_square(found, guided) < 37.7 < 400 < chi_square(found, plain)
    assert far(right, expected) < 2e-4
    wrong = mean_estimate(policy, reference, GRPO(), guided)
    # It is the gradient neither of what is drawn nor of what is scored.
    assert far(wrong, expected) > 0.2 and far(wrong, exact_gradient(policy, reference, BETA)) > 0.2


def test_without_the_first_token_its_share_of_the_gradient_is_missing(policies):
    policy, _ = policies
    free = RLConfig(digits=(1,), beta=0.0)
    own, mistake = chances(policy), MISTAKES["first-token"]
    expected = exact_gradient(policy, policy, 0.0)
    assert far(mean_estimate(policy, policy, mistake.right.algorithm, own, free), expected) < 2e-4
    wrong = mean_estimate(policy, policy, mistake.algorithm, own, free)
    first = gather(policy.log_probs(LABELS, PICTURES), PICTURES)[:, 0]
    missing = gradient(policy, own * (PAID - own @ PAID) @ first)
    assert missing.norm() > 0.1 * expected.norm() and far(wrong + missing, expected) < 2e-4


def test_without_a_kl_the_gradient_is_that_of_the_reward_alone(policies):
    policy, reference = policies
    own, mistake = chances(policy), MISTAKES["no-kl"]
    assert (mistake.config.beta, mistake.right.config.beta > 0) == (0.0, True)
    wrong = mean_estimate(policy, reference, mistake.algorithm, own, RLConfig(digits=(1,), beta=0.0))
    assert far(wrong, exact_gradient(policy, reference, 0.0)) < 2e-4
    assert far(wrong, exact_gradient(policy, reference, BETA)) > 0.1


def test_divided_by_the_deviation_a_rare_failure_is_loud_and_the_kl_cheap(policies):
    policy, reference = policies
    own, mistake = chances(policy), MISTAKES["scaled"]
    group = torch.ones(1, 30)
    group[0, 0] = 0.0  # one in thirty fails
    ratio = mistake.algorithm.advantages(group, []) / mistake.right.algorithm.advantages(group, [])
    torch.testing.assert_close(ratio, torch.full((1, 30), 30 / 29**0.5), rtol=1e-3, atol=0)
    # In an endless group: not the gradient of what is meant, but of a KL that costs less.
    paid = (own.cumsum(0) < 1 - 1 / 30).float()
    deviation = (own @ (paid - own @ paid).square()).sqrt()
    assert deviation < 0.4
    advantages = (paid - own @ paid) / deviation
    wrong = estimate(policy, reference, mistake.algorithm, CONFIG, PICTURES, advantages, own)
    assert far(wrong, exact_gradient(policy, reference, BETA * deviation.item(), paid) / deviation) < 2e-4
    expected = exact_gradient(policy, reference, BETA, paid)
    assert far(wrong, expected) > 0.5
    right = estimate(policy, reference, mistake.right.algorithm, CONFIG, PICTURES, paid - own @ paid, own)
    assert far(right, expected) < 2e-4


def test_without_a_baseline_the_mean_is_right_and_its_scatter_larger(policies):
    policy, _ = policies
    own, config, past = chances(policy), RLConfig(digits=(1,), beta=0.0), [0.6]
    paid, scatter = 0.5 + PAID / 2, []  # all are paid something
    slopes = [
        gradient(policy, gather(policy.log_probs(LABELS[:1], picture[None]), picture[None]).sum())
        for picture in PICTURES
    ]
    expected = exact_gradient(policy, policy, 0.0, paid)
    mistake = MISTAKES["no-baseline"]
    for run in (mistake, mistake.right):
        advantages = run.algorithm.advantages(paid[None], past)[0]
        found = estimate(policy, policy, run.algorithm, config, PICTURES, advantages, own)
        assert far(found, expected) < 2e-4
        scatter.append(own @ (advantages[:, None] * torch.stack(slopes) - found).square().sum(1))
    assert scatter[0] > 5 * scatter[1]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_and_its_right_run_are_told_apart_by_one_thing_and_given_the_same_samples(name):
    mistake = MISTAKES[name]
    right = mistake.right
    assert (mistake.config.digits, mistake.config.group, mistake.config.steps) == (
        right.config.digits,
        right.config.group,
        right.config.steps,
    )
    starts = start_of(mistake, mistake.task), start_of(right, mistake.task)
    assert (starts[0] != starts[1]) == (name == "no-pretraining")
    odd = [bool(mistake.start), mistake.draw is not None, mistake.algorithm != right.algorithm]
    odd.append(mistake.config != right.config and mistake.draw is None)
    assert sum(odd) == 1
    assert mistake.rewards == right.rewards
    assert all(text.endswith(".") for text in (mistake.happens, mistake.wild))


def test_the_page_and_the_core_know_the_same_mistakes():
    assert {name: recipe for name, (_, recipe) in races.MISTAKES.items()} == {
        name: mistake.recipe for name, mistake in MISTAKES.items()
    }
    assert len(Path(mistakes.__file__).read_text(encoding="utf-8").splitlines()) <= 150


def measured(success, coverage, kl, interval=0.01):
    figures = {"success": success, "coverage": coverage, "kl": kl}
    return {name: {"mean": mean, "interval": interval} for name, mean in figures.items()}


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (
            (0.95, 0.6, 5.0),
            "Here it does no harm that can be measured, over 3 seeds: success shows no clear difference "
            "(95.0 %",
        ),
        ((0.5, 0.6, 5.0), "Harm, over 3 seeds: success falls (50.0 %, done right 95.0 %)."),
        (
            (1.0, 0.1, 60.0),
            "Harm, over 3 seeds: coverage falls (0.10, done right 0.60) and the KL to the pretrained start "
            "rises (60.0",
        ),
        ((1.0, 0.1, 60.0), "though success rises (100.0 %"),
        ((0.95, 0.6, 3.0), "Here it does no harm, over 3 seeds: the KL to the pretrained start falls"),
    ],
)
def test_the_finding_is_what_the_figures_say(mistake, words):
    found = finding({"mistake": measured(*mistake), "right": measured(0.95, 0.6, 5.0), "seeds": 3})
    assert words in found
    wide = measured(*mistake, interval=100.0)
    assert "no harm that can be measured" in finding({"mistake": wide, "right": wide, "seeds": 3})


def test_a_difference_counts_beyond_both_intervals_together():
    same = {"mean": 0.9, "interval": 0.001}
    right = {"success": {"mean": 0.945, "interval": 0.04}, "coverage": same, "kl": same}

    def said(mean):
        wrong = {**right, "success": {"mean": mean, "interval": 0.03}}
        return finding({"mistake": wrong, "right": right, "seeds": 3})

    assert "success shows no clear difference" in said(0.90)  # 0.045 is within 0.05: 3, 4, 5
    assert "success falls" in said(0.89)


def test_what_is_hidden_in_the_noise_is_said_beside_harm():
    noisy = {**measured(0.95, 0.1, 0), "kl": {"mean": 39.0, "interval": 37.0}}
    assert finding({"mistake": noisy, "right": measured(0.95, 0.6, 5.0), "seeds": 3}) == (
        "Harm, over 3 seeds: coverage falls (0.10, done right 0.60); the KL to the pretrained start shows no "
        "clear difference (39.0 nats, done right 5.0)."
    )


def test_the_table_of_mistakes_says_how_many_do_harm():
    right = {"reward": {"mean": 0.97, "interval": 0.01}, **measured(0.95, 0.6, 5.0)}
    worse = {"reward": {"mean": 1.0, "interval": None}, **measured(1.0, 0.1, 60.0)}
    found = {"no-kl": {"mistake": worse, "right": right, "seeds": 3}}
    assert results.mistakes(found)[2]["x"]["label"].endswith("Dots: the mistakes")
    found["no-pretraining"] = {"mistake": measured(0.1, 0.0, 471.0), "right": right, "seeds": 3}
    found["first-token"] = {"mistake": right, "right": right, "seeds": 3}
    says, table, chart = results.mistakes(found)
    assert says.startswith("2 of 3 mistakes do harm here.")
    assert "<b>100.0 ± 1.0 %</b><br>95.0 ± 1.0 %" in table and "<td>none</td>" in table
    # Coverage against KL, from the same done right to the mistake; one is too far away to be drawn.
    assert [line["points"] for line in chart["series"]] == [[[5.0, 0.6], [60.0, 0.1]], [[5.0, 0.6]] * 2]
    assert chart["x"]["label"].endswith("off chart: 1") and chart["x"]["max"] == pytest.approx(66)
    assert results.mistakes({})[0].startswith("No mistake is measured yet")


def test_what_was_measured_is_of_the_starts_that_ship_and_of_the_settings_there_are():
    metrics = json.loads((checkpoints.ROOT / "pixels-8x8" / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["mistakes"]) == set(MISTAKES)
    for name, found in metrics["mistakes"].items():
        used = provenance(Place(find_recipe(MISTAKES[name].recipe)), MISTAKES[name])
        assert used.items() <= found.items(), "python -m core.evaluate --mistakes --resume"

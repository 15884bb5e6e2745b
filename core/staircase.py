"""What each step from REINFORCE to GRPO is worth: the claims made for GRPO, measured.

* Sample efficiency: how many samples a run has seen when the judge first reads a given share as their label.
* Variance: how much the gradient estimate of each algorithm scatters, all from the same policy.
* Quality against diversity along the training.
"""

from __future__ import annotations

import torch

from core import checkpoints
from core.metrics import interval
from core.place import Place
from core.policies import Policy
from core.recipes import Run
from core.rewards import Rewards
from core.rl import make_batch, objective
from core.yardstick import Yardstick

WINDOW = 3  # steps that a success is averaged over: one step's samples are few
BATCHES = 24  # behind each figure of the variance
ALONG = 1000  # samples behind each point along the training


def samples_to_success(curves: dict[str, dict], level: float) -> dict:
    """Samples seen when the mean success of WINDOW steps first passes ``level``.

    Args:
        curves: by seed, {"samples": [...], "success": [...]} with an entry a step.

    Returns:
        mean and 95 % interval over the seeds that got there, how many did, and how many there are.
    """
    found = []
    for curve in curves.values():
        success = curve["success"]
        for step in range(WINDOW - 1, len(success)):
            if sum(success[step - WINDOW + 1 : step + 1]) / WINDOW >= level:
                found.append(curve["samples"][step])
                break
    mean = sum(found) / len(found) if found else None
    return {"mean": mean, "interval": interval(found), "reached": len(found), "seeds": len(curves)}


def along_training(place: Place, yardstick: Yardstick, task: str, name: str) -> list[dict]:
    """Quality, diversity and KL of a run's seed 0 at the start, at its snapshots and at the end."""
    labels = torch.arange(10).repeat_interleave(ALONG // 10)
    points = []
    for samples, policy in place.along(task, name):
        values = yardstick.policy(policy, place.start(task), labels, nll=False)
        kept = ("success", "reward", "kl", "frechet", "coverage", "entropy")
        points.append({"samples": samples, **{name: values[name] for name in kept}})
    return points


def gradient_variance(place: Place, task: str) -> dict[str, dict[str, float | None]]:
    """Variance of each run's gradient estimate over the squared norm of its mean, at the start and half way.

    All runs are given the same batches of the same policy: at the start, and where ``grpo`` is half way (left
    out where there is no snapshot of that). It is what one step's estimate scatters, before Adam averages
    over steps.
    """
    runs = {name: run for name, run in place.recipe.tasks[task].items() if set(run.rewards) == {"confidence"}}
    config, reference = runs["grpo"].config, place.start(task)
    found = {"start": relative_variance(place, place.start(task, config.guidance), reference, runs)}
    halfway = place.snapshots(task, "grpo") / f"step-{config.steps // 2}"
    if checkpoints.exists(halfway):
        policy = checkpoints.load_policy(halfway)
        found["halfway"] = relative_variance(place, policy, reference, runs)
    return found


def relative_variance(
    place: Place, policy: Policy, reference: Policy, runs: dict[str, Run]
) -> dict[str, float | None]:
    """One number a run: E ||g - E g||^2 / ||E g||^2 of its first update's gradient g."""
    rewards = Rewards(place.classifier(), reference, {"confidence": 1.0})
    parameters = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    sums = {name: [0.0, 0.0] for name in runs}  # of the gradients, and of their squared norms
    past: list[float] = []
    generator = torch.Generator().manual_seed(0)
    config = next(iter(runs.values())).config
    labels = torch.tensor(config.digits).repeat_interleave(config.group)
    for _ in range(BATCHES + 1):
        rollout = policy.sample(labels, config.temperature, generator)
        images = policy.tokenizer.decode(rollout.tokens)
        reward = rewards.total(rewards.terms(images, labels, rollout.tokens)).view(len(config.digits), -1)
        log_probs = policy.log_probs(labels, rollout.tokens, config.temperature) if past else None
        with torch.no_grad():
            before = reference.log_probs(labels, rollout.tokens, config.temperature)
        for name, run in runs.items() if past else ():  # the first batch only gives the baseline its mean
            advantages = run.algorithm.advantages(reward, past)
            batch, _ = make_batch(rollout, labels, advantages, before, run.config)
            gain, _ = objective(log_probs, batch, run.algorithm, run.config.beta)
            parts = torch.autograd.grad(gain.mean(), parameters, retain_graph=True)
            gradient = torch.cat([part.flatten() for part in parts])
            sums[name][0] = sums[name][0] + gradient
            sums[name][1] += gradient.square().sum().item()
        past.append(reward.mean().item())
    return {name: scatter(total, squares, BATCHES) for name, (total, squares) in sums.items()}


def scatter(total: torch.Tensor, squares: float, count: int) -> float | None:
    """Relative variance, from the sum of ``count`` vectors and that of their squared norms.

    None where so few vectors do not tell their mean from zero.
    """
    mean = (total / count).square().sum().item()
    variance = (squares / count - mean) * count / (count - 1)
    signal = mean - variance / count  # the mean's own scatter adds to its squared norm
    return variance / signal if signal > variance / count else None

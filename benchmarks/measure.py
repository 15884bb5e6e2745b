"""What a policy does after training: success and price, on fresh samples; and the policies on the way there."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import torch

from core.classifiers import Classifier, predict
from core.objectives import exact_kl
from core.policies import Policy
from core.recipes import STARTS
from core.rl import place_along
from core.stages import Place, run_folder


def success_and_kl(policy: Policy, start: Policy, judge: Classifier, labels: torch.Tensor, seed: int) -> dict[str, float]:
    """The share of samples that the judge reads as their label, and the KL to the start in nats per picture.

    Args:
        labels: (N,) one sample each.
        seed: of the samples.
    """
    generator, right, nats = torch.Generator().manual_seed(seed), 0, 0.0
    with torch.no_grad():
        for part in labels.split(500):
            tokens = policy.sample(part, generator=generator).tokens
            right += int((predict(judge, policy.tokenizer.decode(tokens)).argmax(1) == part).sum())
            nats += exact_kl(policy.log_probs(part, tokens), start.log_probs(part, tokens)).sum().item()
    return {"success": right / len(labels), "kl": round(nats / len(labels), 3)}


def along(
    place: Place, task: str, origin: str, lengths: Iterable[float], seed: int = 0
) -> Iterator[tuple[float, Policy, Policy]]:
    """(length, policy, start) on the way to what a seed of a task's GRPO kept: one policy, moved on.

    That is policy = origin + length * (kept - origin), where the origin is the task's start or what its RL began with.
    """
    first, kept = place.policy(origin), place.policy(run_folder(task, "grpo", seed))
    start, policy = place.policy(STARTS[task]), copy.deepcopy(kept)
    for length in lengths:
        place_along(policy.parameters(), first.parameters(), kept.parameters(), length)
        yield length, policy, start

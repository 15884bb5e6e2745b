"""What a policy does after training: success and price, on fresh samples."""

from __future__ import annotations

import torch

from core.classifiers import Classifier, predict
from core.objectives import exact_kl
from core.policies import Policy


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

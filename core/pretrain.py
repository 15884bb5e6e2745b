"""Maximum likelihood: the policy learns to draw like MNIST before any reward is paid.

Twice for each recipe: without labels (the label inputs stay zero, hence equal, and are free for RL to learn), and with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from core.configs import PretrainConfig
from core.data import augment
from core.descent import cosine, descend, fast_products, make_optimizers, set_rates
from core.policies import LABELS, Policy, distribution, gather, portions


@dataclass(frozen=True)
class PretrainStep:
    """One record of pretraining. ``nll`` is of the training batch, in nats per image."""

    step: int
    nll: float
    gradient_norm: float
    seconds: float


def pretrain(
    policy: Policy,
    images: torch.Tensor,
    labels: torch.Tensor | None,
    prepare: Callable[[torch.Tensor], torch.Tensor],
    config: PretrainConfig,
    generator: torch.Generator,
) -> Iterator[PretrainStep]:
    """Train in place, one record a step.

    Args:
        policy: the policy to train.
        images: (N, 1, 28, 28) in [0, 1], as MNIST has them.
        labels: (N,) int64, or None to pretrain without labels: then the label inputs are not touched.
        prepare: (B, 1, 28, 28) to pictures of the policy's size.
        config: see PretrainConfig.
        generator: picks the batches.
    """
    for parameter in policy.label_inputs():
        parameter.requires_grad_(labels is not None)
    blank = torch.zeros(config.batch, dtype=torch.int64)
    optimizers = make_optimizers(policy, config.lr, matrix_lr=config.matrix_lr)
    started = time.perf_counter()
    try:
        for step in range(config.steps):
            set_rates(optimizers, cosine(step, config.steps, config.warmup))
            picked = torch.randint(len(images), (config.batch,), generator=generator)
            batch = images[picked]
            if step / config.steps < config.augmented:
                batch = augment(batch, config.strength, generator)
            batch = policy.tokenizer.encode(prepare(batch))  # (B, T)
            known = blank if labels is None else labels[picked]
            if config.drop:  # guidance needs to know what the policy draws when it is told nothing
                known = known.where(torch.rand(len(known), generator=generator) >= config.drop, LABELS)
            losses = (part / len(batch) for part in surprises(policy, known, batch))
            failure = f"pretraining diverged at step {step}; lower lr (now {config.lr})."
            nll, norm = descend(losses, policy, optimizers, config.clip, failure)
            yield PretrainStep(step, nll, norm, time.perf_counter() - started)
    finally:
        for parameter in policy.label_inputs():
            parameter.requires_grad_(True)


def surprises(policy: Policy, labels: torch.Tensor, tokens: torch.Tensor) -> Iterator[torch.Tensor]:
    """Negative log-likelihoods in nats, each the sum over a portion of the pictures."""
    for known, part in portions(policy, labels, tokens):
        with fast_products():
            logits = policy.logits(known, part)
        yield -gather(distribution(logits), part).sum()


@torch.no_grad()
def heldout_nll(policy: Policy, images: torch.Tensor, labels: torch.Tensor, chunk: int = 200) -> torch.Tensor:
    """(N,) negative log-likelihood of each picture given its label, in nats per image."""
    tokens = policy.tokenizer.encode(images)
    parts = [
        gather(policy.log_probs(labels[i : i + chunk], tokens[i : i + chunk]), tokens[i : i + chunk]).sum(1)
        for i in range(0, len(tokens), chunk)
    ]
    return -torch.cat(parts)

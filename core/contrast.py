"""What labels mean, learned from pictures that were drawn without any.

A start that never saw a label draws the same for all ten, so a picture of it can teach all ten at once: the classifier,
whose word is all that RL is paid by, reads it, and the policy learns that it is likely under that label and less so under
others. RL by itself has to stumble on the label it was asked for, one picture in ten, and strays while it searches.

Maximum likelihood on the same pictures leads to the same policy, but most of its gradient is the chance by which a token
was drawn and not another, and what follows chance has strayed as well. Noise-contrastive estimation (Gutmann and Hyvarinen
2010), with the start as the noise, compares a picture under two labels instead, where that chance cancels. Condition
Contrastive Alignment (Chen et al. 2024, arXiv 2410.09347) fine-tunes autoregressive pictures so; here the labels are the
classifier's, and the comparison is made after every token, so that each learns what it did.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from core.classifiers import Classifier, predict
from core.descent import cosine, descend, fast_products, make_optimizer, set_rates
from core.objectives import contrastive
from core.policies import LABELS, Policy, gather
from core.recipes import ContrastConfig

CHUNK = 500  # pictures drawn at a time


@dataclass(frozen=True)
class ContrastStep:
    """One record of training; averages over the step's pictures."""

    step: int
    samples: int  # drawn so far, those included of which the classifier was not sure
    loss: float
    own: float  # log-ratio of whole pictures under their own label, nats
    other: float  # and under another picture's
    gradient_norm: float
    seconds: float


def contrast(
    policy: Policy, reference: Policy, classifier: Classifier, config: ContrastConfig, generator: torch.Generator
) -> Iterator[ContrastStep]:
    """Train ``policy`` in place, one record a step; every picture is new.

    Args:
        policy: what learns; starts equal to the reference.
        reference: frozen, pretrained without labels; draws the pictures.
        classifier: reads them.
        config: see ContrastConfig.
        generator: where all randomness comes from.
    """
    optimizer, peaks = make_optimizer(policy, config)
    started, stream = time.perf_counter(), pictures(reference, classifier, config, generator)
    for step, (samples, picture, label, chance) in zip(range(config.steps), stream, strict=False):
        set_rates(optimizer, peaks, cosine(step, config.steps, config.warmup))
        asked = torch.cat([label, label[torch.randperm(len(label), generator=generator)]])
        with fast_products():
            log_probs = policy.log_probs(asked, picture.repeat(2, 1))
        own, other = (gather(log_probs, picture.repeat(2, 1)) - chance.repeat(2, 1)).chunk(2)
        loss = contrastive(own, other).mean()
        norm = descend(loss, policy, optimizer, config, f"training diverged at step {step}")
        totals = own.sum(1).mean().item(), other.sum(1).mean().item()
        yield ContrastStep(step, samples, loss.item(), *totals, norm, time.perf_counter() - started)


def pictures(
    reference: Policy, classifier: Classifier, config: ContrastConfig, generator: torch.Generator
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Endless batches of new pictures of which the classifier is sure.

    Yields:
        how many were drawn so far; tokens (B, T); what the classifier reads (B,); log-probabilities (B, T) of the reference.
    """
    drawn, held = 0, None
    while True:
        rollout = reference.sample(torch.arange(CHUNK) % LABELS, generator=generator)
        with torch.no_grad():
            surest, reading = predict(classifier, reference.tokenizer.decode(rollout.tokens)).max(1)
        sure = surest > config.sure
        if not sure.any():
            raise ValueError(f"the classifier is sure of none of {CHUNK} pictures; lower sure (now {config.sure}).")
        drawn += CHUNK
        new = rollout.tokens[sure], reading[sure], rollout.log_probs[sure]
        held = new if held is None else tuple(map(torch.cat, zip(held, new, strict=True)))
        while len(held[0]) >= config.batch:
            yield drawn, *(part[: config.batch] for part in held)
            held = tuple(part[config.batch :] for part in held)

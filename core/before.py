"""What foresight and unlikelihood share: before RL begins, both learn from pictures that a task's start has drawn."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import torch

from core.classifiers import Classifier, predict
from core.configs import BeforeConfig
from core.descent import cosine, descend, make_optimizers, set_rates
from core.policies import LABELS, Policy

CHUNK = 500  # pictures drawn at a time


@dataclass(frozen=True)
class BeforeStep:
    """One record of training."""

    step: int
    part: str  # "drawing", "critic" or "policy"
    samples: int  # drawn so far
    loss: float  # of the critic, nats a token; of the policy, nats a picture
    gradient_norm: float
    seconds: float


def recorded(training: Callable[..., Iterator[tuple[str, int, float, float]]]) -> Callable[..., Iterator[BeforeStep]]:
    """A generator of (part, samples, loss, gradient norm) made to yield records, which number and time themselves."""

    @functools.wraps(training)
    def records(*arguments, **named) -> Iterator[BeforeStep]:
        started = time.perf_counter()
        for step, found in enumerate(training(*arguments, **named)):
            yield BeforeStep(step, *found, time.perf_counter() - started)

    return records


def collect(
    reference: Policy,
    classifier: Classifier,
    pictures: int,
    read: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    generator: torch.Generator,
) -> Generator[tuple[str, int, float, float], None, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Let a start draw, for all labels alike, until there are ``pictures`` of it; one record for every CHUNK.

    Args:
        read: (N,) labels that were asked for and (N, 10) the classifier's word on what came, to (N,) what is kept of it.

    Returns:
        (N,) labels, (N, T) int16 tokens and (N,) what ``read`` made of them, to whoever yields from it.
    """
    labels, found = torch.arange(CHUNK) % LABELS, []
    for drawn in range(CHUNK, pictures + CHUNK, CHUNK):
        tokens = reference.sample(labels, generator=generator).tokens
        found.append((labels, tokens.short(), read(labels, predict(classifier, reference.tokenizer.decode(tokens)))))
        yield "drawing", drawn, 0.0, 0.0
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def learn(
    model,
    pictures: torch.Tensor,
    loss: Callable[[torch.Tensor], torch.Tensor],
    config: BeforeConfig,
    steps: int,
    rate: str,
    generator: torch.Generator,
) -> Iterator[tuple[float, float]]:
    """Minimise the mean of ``loss``, which takes indices and returns (N,), over ``pictures``; yields it and the norm.

    Args:
        model: a policy, or a critic.
        rate: the name of Adam's learning rate in the configuration.
    """
    lr = getattr(config, rate)
    optimizers = make_optimizers(model, lr, config.label_lr, lr * config.matrix_lr)
    for step in range(steps):
        set_rates(optimizers, cosine(step, steps, config.warmup))
        picked = pictures[torch.randint(len(pictures), (config.batch,), generator=generator)]
        losses = (loss(part).sum() / config.batch for part in picked.split(model.portion))
        failure = f"training diverged at step {step}; lower {rate.replace('_', '-')} (now {lr})."
        yield descend(losses, model, optimizers, config.clip, failure)

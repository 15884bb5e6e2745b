"""What labels mean, foreseen from pictures that were drawn without any.

A start that never saw a label draws the same for all ten, so a picture of it can teach all ten at once: the classifier,
whose word is all that RL is paid by, reads it. RL by itself has to stumble on the label it was asked for, one picture in
ten, and strays while it searches. Here two things are learned from the start's own pictures before RL begins:

1. A critic learns how a picture will end: for every token that may come next, the chance that the classifier will be sure of
   each digit, or of none.
2. By Bayes' rule that says how the start would draw had it been told the label: a token in proportion to its chance times
   the chance that it leads there (FUDGE; Yang and Klein 2021, arXiv 2104.05218, equation 1). The policy learns to draw so.

Maximum likelihood on the same pictures leads to the same policy, but most of its gradient is the chance by which a token was
drawn and not another, and what follows chance strays from the start. The critic gives all values of a token their share.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from core.classifiers import Classifier, predict
from core.descent import cosine, descend, fast_products, make_optimizers, set_rates
from core.objectives import exact_kl
from core.policies import LABELS, Policy
from core.recipes import ForesightConfig

CHUNK = 500  # pictures drawn at a time
ENDS = LABELS + 1  # the classifier is sure of one of ten digits, or of none


@dataclass(frozen=True)
class ForesightStep:
    """One record of training."""

    step: int
    part: str  # "drawing", "critic" or "policy"
    samples: int  # drawn so far
    loss: float  # of the critic, nats a token; of the policy, KL(what it should draw || policy), nats a picture
    gradient_norm: float
    seconds: float


class Critic(nn.Module):
    """p(end | tokens so far, next token), for every value of the next token: the reference's network with another head."""

    def __init__(self, reference: Policy):
        """
        Args:
            reference: pretrained without labels; its network is where the critic starts.
        """
        super().__init__()
        self.trunk = copy.deepcopy(reference)
        self.portion = reference.portion
        self.values = reference.tokenizer.vocabulary
        self.weight = nn.Parameter(torch.zeros(self.values, ENDS, reference.head.in_features))
        self.bias = nn.Parameter(torch.zeros(self.values, ENDS))
        for unused in (*self.trunk.label_inputs(), *self.trunk.head.parameters()):
            unused.requires_grad_(False)

    @torch.no_grad()
    def expect(self, ends: torch.Tensor) -> None:
        """(ENDS,) how often each end occurs: what it foresees everywhere before it has learned anything."""
        self.bias.copy_((ends.float() / ends.sum()).clamp(min=1e-4).log())

    def matrices(self) -> list[tuple[nn.Parameter, int]]:
        """As a policy's: what Muon may train."""
        return self.trunk.matrices()

    def label_inputs(self) -> list[nn.Parameter]:
        """None: it foresees every label's end at once."""
        return []

    def states(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) tokens to (B, T, H): what is known before each."""
        return self.trunk.states(torch.zeros(len(tokens), dtype=torch.int64), tokens)

    def taken(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) tokens to (B, T, ENDS) log-chances of each end after each token."""
        logits = torch.einsum("bth,bteh->bte", self.states(tokens).float(), self.weight[tokens]) + self.bias[tokens]
        return F.log_softmax(logits, -1)

    def possible(self, tokens: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """(B, T) tokens and (B,) ends to (B, T, V) log-chances of that end after every value that each token may take."""
        states = self.states(tokens).float()  # (B, T, H)
        logits = (states @ self.weight.flatten(0, 1).T).unflatten(-1, (self.values, ENDS)) + self.bias
        own = logits.gather(-1, ends[:, None, None, None].expand(*logits.shape[:-1], 1)).squeeze(-1)
        return own - logits.logsumexp(-1)


def conditioned(chances: torch.Tensor, leads: torch.Tensor) -> torch.Tensor:
    """Bayes' rule, token by token.

    Args:
        chances: (..., V) log-probabilities of a token's values.
        leads: (..., V) log-chances that each leads to what is wanted.

    Returns:
        (..., V) log-probabilities of the values given that what is wanted comes.
    """
    return F.log_softmax(chances + leads, -1)


def foresight(
    policy: Policy,
    critic: Critic,
    reference: Policy,
    classifier: Classifier,
    config: ForesightConfig,
    generator: torch.Generator,
) -> Iterator[ForesightStep]:
    """Train ``critic`` and then ``policy`` in place, one record a step.

    Args:
        policy: what learns to draw; starts equal to the reference.
        critic: what learns how pictures end; starts from the reference.
        reference: frozen, pretrained without labels; draws the pictures.
        classifier: reads them.
        config: see ForesightConfig.
        generator: where all randomness comes from.

    Raises:
        ValueError: the classifier is sure of none of the pictures.
    """
    started, step = time.perf_counter(), 0

    def record(part: str, loss: float = 0.0, norm: float = 0.0) -> ForesightStep:
        nonlocal step
        step += 1
        return ForesightStep(step - 1, part, len(tokens), loss, norm, time.perf_counter() - started)

    tokens, ends = torch.empty(0, reference.tokenizer.length, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
    while len(tokens) < config.pictures:
        drawn = reference.sample(torch.zeros(CHUNK, dtype=torch.int64), generator=generator).tokens
        surest, reading = predict(classifier, reference.tokenizer.decode(drawn)).max(1)
        tokens, ends = torch.cat([tokens, drawn]), torch.cat([ends, reading.where(surest > config.sure, LABELS)])
        yield record("drawing")
    sure = (ends < LABELS).nonzero().flatten()
    if not len(sure):
        raise ValueError(f"the classifier is sure of none of {len(tokens)} pictures; lower sure (now {config.sure}).")
    critic.expect(ends.bincount(minlength=ENDS))

    def surprise(part):
        with fast_products():
            chances = critic.taken(tokens[part])
        return -chances.gather(-1, ends[part][:, None, None].expand(-1, tokens.shape[1], 1)).mean((1, 2))

    def gap(part):
        with fast_products():
            with torch.no_grad():
                chances = reference.log_probs(ends[part], tokens[part])
                wanted = conditioned(chances, critic.possible(tokens[part], ends[part]))
            drawn = policy.log_probs(ends[part], tokens[part])
        return exact_kl(wanted, drawn).sum(1)

    everything = torch.arange(len(tokens))
    for loss, norm in _learn(critic, everything, surprise, config, config.critic_steps, "critic_lr", generator):
        yield record("critic", loss, norm)
    for loss, norm in _learn(policy, sure, gap, config, config.steps, "lr", generator):
        yield record("policy", loss, norm)


def _learn(
    model: Policy | Critic,
    pictures: torch.Tensor,
    loss: Callable[[torch.Tensor], torch.Tensor],
    config: ForesightConfig,
    steps: int,
    rate: str,
    generator: torch.Generator,
) -> Iterator[tuple[float, float]]:
    """Minimise the mean of ``loss``, which takes indices and returns (N,), over ``pictures``; yields it and the norm.

    ``rate`` names Adam's learning rate in the configuration.
    """
    lr = getattr(config, rate)
    optimizers = make_optimizers(model, lr, config.label_lr, lr * config.matrix_lr)
    for step in range(steps):
        set_rates(optimizers, cosine(step, steps, config.warmup))
        picked = pictures[torch.randint(len(pictures), (config.batch,), generator=generator)]
        losses = (loss(part).sum() / config.batch for part in picked.split(model.portion))
        failure = f"training diverged at step {step}; lower {rate.replace('_', '-')} (now {lr})."
        yield descend(losses, model, optimizers, config.clip, failure)

"""What a label will come to, foreseen from the start's own pictures.

A start that never saw a label draws the same for all ten, so a picture of it can teach all ten at once: the classifier,
whose word is all that RL is paid by, reads it. RL by itself has to stumble on the label it was asked for, one picture in
ten, and strays while it searches. A start that knows labels fails one in fourteen, and RL mends that by drawing all of
them more like the average digit. In both cases two things are learned from the start's own pictures before RL begins:

1. A critic learns how a picture will end: for every token that may come next, the chance that the classifier will be sure of
   each digit or of none; where the start knows labels, of the digit that was asked for or not.
2. By Bayes' rule that says how the start would draw had it been told how the picture ends: a token in proportion to its
   chance times the chance that it leads there (FUDGE; Yang and Klein 2021, arXiv 2104.05218, equation 1). The policy learns
   to draw so. Where the critic has to foresee rare failures it knows less than could be known, and a power makes up for it.

Maximum likelihood on the same pictures leads to the same policy, but most of its gradient is the chance by which a token was
drawn and not another, and what follows chance strays from the start. The critic gives all values of a token their share.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

from core.before import collect, learn, recorded
from core.classifiers import Classifier
from core.configs import ForesightConfig
from core.descent import fast_products
from core.objectives import exact_kl
from core.policies import LABELS, Policy


class Critic(nn.Module):
    """p(end | tokens so far, next token), for every value of the next token: the reference's network with another head."""

    def __init__(self, reference: Policy, asked: bool = False, shades: int = 1, tied: bool = False):
        """
        Args:
            reference: what draws; its network is where the critic starts.
            asked: whether it is told the label that is drawn for, and foresees how sure the classifier will be of that one.
                Of a start that draws the same for all labels it foresees all.
            shades: degrees of sureness to tell apart (S). An end is ``digit * S + degree``, of an asked critic the degree
                alone, or the last: not sure.
            tied: whether what the next token changes is linear in its look, so that a rare value is foreseen from those that
                look like it; otherwise each value has weights of its own.
        """
        super().__init__()
        self.trunk = copy.deepcopy(reference)
        self.portion, self.asked, self.shades, self.tied = reference.portion, asked, shades, tied
        self.ends = (1 if asked else LABELS) * shades + 1  # (E)
        sets = reference.tokenizer.vocabulary  # of weights
        if tied:
            book = reference.tokenizer.codebook  # (V, D)
            book = (book - book.mean(0)) / book.std(0) / book.shape[1] ** 0.5
            self.register_buffer("look", torch.cat([torch.ones(len(book), 1), book], 1), persistent=False)  # (V, 1 + D)
            sets = self.look.shape[1]
        self.weight = nn.Parameter(torch.zeros(sets, self.ends, reference.head.in_features))
        self.bias = nn.Parameter(torch.zeros(sets, self.ends))
        for unused in ([] if asked else self.trunk.label_inputs()) + list(self.trunk.head.parameters()):
            unused.requires_grad_(False)

    def read(self, labels: torch.Tensor, belief: torch.Tensor, sure: float) -> torch.Tensor:
        """(N,) labels that were drawn for and (N, 10) the classifier's word on the pictures to (N,) their ends.

        Sure is above ``sure``; to the next degree with a tenth of the doubt that is left, and so on.
        """
        surest, digit = (belief.gather(1, labels[:, None])[:, 0], labels) if self.asked else belief.max(1)
        limits = 1 - (1 - sure) * 0.1 ** torch.arange(self.shades)
        degree = torch.bucketize(surest, limits)  # 0: not sure
        return torch.where(degree > 0, self._first(digit) + degree - 1, self.ends - 1)

    @torch.no_grad()
    def expect(self, ends: torch.Tensor) -> None:
        """(N,) how pictures ended: what it foresees everywhere before it has learned anything."""
        often = ends.bincount(minlength=self.ends) / len(ends)
        self.bias[: 1 if self.tied else None] = often.clamp(min=1e-4).log()

    def matrices(self) -> list[tuple[nn.Parameter, int]]:
        """As a policy's: what Muon may train."""
        return self.trunk.matrices()

    def label_inputs(self) -> list[nn.Parameter]:
        """None that learn faster than the rest: its start knows labels already, or it foresees every label's end at once."""
        return []

    def taken(self, labels: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """(B,) labels that are drawn for and (B, T) tokens to (B, T, E) log-chances of each end after each token."""
        states, (weight, bias) = self.trunk.states(labels, tokens).float(), self._heads()
        return F.log_softmax(torch.einsum("bth,bteh->bte", states, weight[tokens]) + bias[tokens], -1)

    def possible(self, labels: torch.Tensor, tokens: torch.Tensor, digits: torch.Tensor) -> torch.Tensor:
        """The same for every value that each token may take, but only (B, T, V): ``digits`` (B,) come, to any degree."""
        states, (weight, bias) = self.trunk.states(labels, tokens).float(), self._heads()
        logits = (states @ weight.flatten(0, 1).T).unflatten(-1, bias.shape) + bias  # (B, T, V, E)
        return self.comes(logits, digits) - logits.logsumexp(-1)

    def _heads(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(V, E, H) and (V, E): every value's own weights and bias, which its look gives it where they are tied."""
        if not self.tied:
            return self.weight, self.bias
        return torch.einsum("vc,ceh->veh", self.look, self.weight), self.look @ self.bias

    def comes(self, ends: torch.Tensor, digits: torch.Tensor) -> torch.Tensor:
        """(B, ..., E) log-chances of ends to (B, ...) those of being sure of ``digits`` (B,), to any degree."""
        own = self._first(digits)[:, None] + torch.arange(self.shades)  # (B, S)
        own = own.view(len(own), *[1] * (ends.ndim - 2), -1).expand(*ends.shape[:-1], -1)
        return ends.gather(-1, own).logsumexp(-1)

    def _first(self, digits: torch.Tensor) -> torch.Tensor:
        """(N,) digits to the end that is the least degree of sureness of each: an asked critic has only its label's."""
        return torch.zeros_like(digits) if self.asked else digits * self.shades


def conditioned(chances: torch.Tensor, leads: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """Bayes' rule, token by token.

    Args:
        chances: (..., V) log-probabilities of a token's values.
        leads: (..., V) log-chances that each leads to what is wanted.
        scale: power that those chances are raised to (Dhariwal and Nichol 2021, arXiv 2105.05233, section 4.3). At 1 it is
            Bayes' rule; a critic that knows little asks for more, because what it leaves open still fails.

    Returns:
        (..., V) log-probabilities of the values given that what is wanted comes.
    """
    return F.log_softmax(chances + scale * leads, -1)


@recorded
def foresight(
    policy: Policy,
    critic: Critic,
    reference: Policy,
    classifier: Classifier,
    config: ForesightConfig,
    generator: torch.Generator,
) -> Iterator[tuple[str, int, float, float]]:
    """Train ``critic`` and then ``policy`` in place, one core.before.BeforeStep a step.

    Args:
        policy: what learns to draw; starts equal to the reference.
        critic: what learns how pictures end; starts from the reference.
        reference: frozen; draws the pictures.
        classifier: reads them.
        config: see ForesightConfig.
        generator: where all randomness comes from.

    Raises:
        ValueError: the classifier is sure of none of the pictures.
    """
    read = functools.partial(critic.read, sure=config.sure)
    labels, tokens, ends = yield from collect(reference, classifier, config.pictures, read, generator)
    total = len(tokens)
    critic.expect(ends)
    ended = ends < critic.ends - 1
    if not critic.asked:  # then a picture might have been drawn for whatever digit it turned out to be
        labels = torch.where(ended, ends // critic.shades, labels)
    sure = ended.nonzero().flatten()
    if not len(sure):
        raise ValueError(f"the classifier is sure of none of {len(tokens)} pictures; lower sure (now {config.sure}).")

    def surprise(part):
        with fast_products():
            chances = critic.taken(labels[part], tokens[part].long())
        return -chances.gather(-1, ends[part][:, None, None].expand(-1, tokens.shape[1], 1)).mean((1, 2))

    def gap(part):
        asked, drawn = labels[part], tokens[part].long()
        with fast_products():
            with torch.no_grad():
                wanted = conditioned(reference.log_probs(asked, drawn), critic.possible(asked, drawn, asked), config.scale)
            now = policy.log_probs(asked, drawn)
        return exact_kl(wanted, now).sum(1)

    everything = torch.arange(total)
    for loss, norm in learn(critic, everything, surprise, config, config.critic_steps, "critic_lr", generator):
        yield "critic", total, loss, norm
    for loss, norm in learn(policy, sure, gap, config, config.steps, "lr", generator):
        yield "policy", total, loss, norm

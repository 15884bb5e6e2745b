"""What the policy is paid for: named terms, each in [0, 1], and their weighted sum.

A new term is a function of ``Pictures`` and an entry in TERMS; then ``core.train`` can pay it by its name,
and a run in core.recipes can pay it for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from core.classifiers import Classifier, predict
from core.policies import LABELS, Policy, gather

INK = 0.25  # a pixel at least this bright is ink


@dataclass(frozen=True)
class Pictures:
    """What a term may look at: B finished pictures, and the frozen networks."""

    images: torch.Tensor  # (B, 1, H, W) in [0, 1]
    labels: torch.Tensor  # (B,) int64, what was asked for
    tokens: torch.Tensor  # (B, T) int64, the same pictures
    classifier: Classifier
    reference: Policy
    typical: tuple[float, float]  # mean and spread of its samples' log-likelihood by itself, in nats


def confidence(pictures: Pictures) -> torch.Tensor:
    """The classifier's probability of the label."""
    return predict(pictures.classifier, pictures.images).gather(1, pictures.labels[:, None]).squeeze(1)


def coherence(pictures: Pictures) -> torch.Tensor:
    """The share of all ink that belongs to the largest connected stroke."""
    return largest_stroke(pictures.images)


def realism(pictures: Pictures) -> torch.Tensor:
    """How likely the picture is to the frozen reference, against its own samples; 0.5 is typical."""
    log_probs = pictures.reference.log_probs(pictures.labels, pictures.tokens)
    mean, spread = pictures.typical
    return torch.sigmoid((gather(log_probs, pictures.tokens).sum(1) - mean) / spread)


TERMS = {"confidence": confidence, "coherence": coherence, "realism": realism}


class Rewards:
    """Scores finished pictures."""

    def __init__(self, classifier: Classifier, reference: Policy, weights: Mapping[str, float]):
        """
        Args:
            classifier: gives the confidence; never the judge.
            reference: the frozen policy that says what is real.
            weights: of the terms in TERMS; a term that is absent or weighs 0 is not paid.

        Raises:
            ValueError: a term that there is not, or none that is paid.
        """
        unknown = sorted(set(weights) - set(TERMS))
        if unknown:
            raise ValueError(f"unknown reward {unknown[0]!r}; allowed: {', '.join(TERMS)}.")
        self.weights = {name: weight for name, weight in weights.items() if weight}
        if not self.weights:
            raise ValueError(f"no reward is paid; give one of {', '.join(TERMS)} a weight.")
        self.classifier, self.reference = classifier, reference
        device = next(reference.parameters()).device
        labels = torch.arange(500, device=device) % LABELS
        own = reference.sample(labels, generator=torch.Generator(device).manual_seed(0)).log_probs.sum(1)
        self.typical = own.mean().item(), own.std().item()

    @torch.no_grad()
    def terms(
        self, images: torch.Tensor, labels: torch.Tensor, tokens: torch.Tensor, names: Iterable[str] = ()
    ) -> dict[str, torch.Tensor]:
        """The terms that are paid, or those in ``names``, each (B,) in [0, 1].

        Args:
            images: (B, 1, H, W) in [0, 1]. labels: (B,) int64. tokens: (B, T) int64, the same pictures.
        """
        pictures = Pictures(images, labels, tokens, self.classifier, self.reference, self.typical)
        return {name: TERMS[name](pictures) for name in (tuple(names) or self.weights)}

    def total(self, terms: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(B,) the weighted sum: the reward that is optimised."""
        return sum(weight * terms[name] for name, weight in self.weights.items())


def largest_stroke(images: torch.Tensor) -> torch.Tensor:
    """(B,) share of a picture's ink in its largest stroke; 1 for a single stroke, 0 for a blank picture.

    Two ink pixels belong to one stroke where they touch, corners included. Every ink pixel starts with a
    number of its own and takes the largest among its neighbours' until nothing changes: a stroke ends up with
    one number.
    """
    ink = images >= INK  # (B, 1, H, W)
    count = images[0].numel()
    number = torch.arange(1, count + 1, dtype=torch.float32, device=images.device).view_as(images[:1]) * ink
    for _ in range(count):
        grown = F.max_pool2d(number, 3, 1, 1) * ink
        if torch.equal(grown, number):
            break
        number = grown
    weight = (images * ink).flatten(1)
    strokes = weight.new_zeros(len(images), count + 1).scatter_add_(1, number.flatten(1).long(), weight)
    return strokes[:, 1:].amax(1) / weight.sum(1).clamp(min=1e-9)

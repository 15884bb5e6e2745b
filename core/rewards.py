"""What the policy is paid for: named terms, each in [0, 1], and their weighted sum."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional as F

from core.classifiers import Classifier, predict
from core.policies import LABELS, Policy, gather

TERMS = ("confidence", "coherence", "realism")
INK = 0.25  # a pixel at least this bright is ink


class Rewards:
    """Scores finished pictures.

    * ``confidence``: the classifier's probability of the label.
    * ``coherence``: the share of all ink that belongs to the largest connected stroke.
    * ``realism``: how likely the picture is to the frozen reference policy, against that policy's own samples.
    """

    def __init__(self, classifier: Classifier, reference: Policy, weights: Mapping[str, float]):
        """
        Args:
            classifier: gives the confidence; never the judge.
            reference: the frozen policy that says what is real.
            weights: of the terms in TERMS; absent ones are logged and not paid, and realism, which costs a pass of the
                reference, is scored only where it is paid.
        """
        unknown = sorted(set(weights) - set(TERMS))
        if unknown:
            raise ValueError(f"unknown reward {unknown[0]!r}; allowed: {', '.join(TERMS)}.")
        self.classifier = classifier
        self.weights = dict(weights)
        self.reference = reference
        own = reference.sample(torch.arange(500) % LABELS, generator=torch.Generator().manual_seed(0))
        total = own.log_probs.sum(1)
        self.typical = total.mean(), total.std()  # log-likelihood of the reference's own samples, in nats

    def terms(self, images: torch.Tensor, labels: torch.Tensor, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every term by name, each (B,) in [0, 1].

        Args:
            images: (B, 1, H, W) in [0, 1]. labels: (B,) int64. tokens: (B, T) int64, the same pictures.
        """
        confidence = predict(self.classifier, images).gather(1, labels[:, None]).squeeze(1)
        terms = {"confidence": confidence, "coherence": coherence(images)}
        if self.weights.get("realism"):
            likelihood = gather(self.reference.log_probs(labels, tokens), tokens).sum(1)
            mean, spread = self.typical
            terms["realism"] = torch.sigmoid((likelihood - mean) / spread)
        return terms

    def total(self, terms: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(B,) the weighted sum: the reward that is optimised."""
        return sum(weight * terms[name] for name, weight in self.weights.items())


def coherence(images: torch.Tensor) -> torch.Tensor:
    """The share of a picture's ink in its largest stroke; 1 for a single stroke, 0 for a blank picture.

    Two ink pixels belong to one stroke where they touch, corners included. Every ink pixel starts with a number of its own
    and takes the largest among its neighbours' until nothing changes: a stroke ends up with one number.
    """
    ink = images >= INK  # (B, 1, H, W)
    count = images[0].numel()
    number = torch.arange(1, count + 1, dtype=torch.float32).view_as(images[:1]) * ink
    for _ in range(count):
        grown = F.max_pool2d(number, 3, 1, 1) * ink
        if torch.equal(grown, number):
            break
        number = grown
    weight = (images * ink).flatten(1)
    strokes = torch.zeros(len(images), count + 1).scatter_add_(1, number.flatten(1).long(), weight)
    return strokes[:, 1:].amax(1) / weight.sum(1).clamp(min=1e-9)

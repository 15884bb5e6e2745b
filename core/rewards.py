"""What the policy is paid for: named terms, each in [0, 1], and their weighted sum.

To add a term, write a function of ``Pictures`` under ``@term``; the first line of its docstring says what is
rewarded. ``core.train`` then has a flag for it, the page a slider, and a run in core.recipes can use it.
"""

from collections.abc import Callable, Iterable, Mapping
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
    typical: tuple[float, float]  # mean and deviation of the log-likelihood of its own samples, nats


Term = Callable[[Pictures], torch.Tensor]  # to (B,) in [0, 1]
TERMS: dict[str, Term] = {}


def term(function: Term) -> Term:
    """Registers a function as a reward term, under its name."""
    TERMS[function.__name__] = function
    return function


@term
def confidence(pictures: Pictures) -> torch.Tensor:
    """The classifier's probability of the label."""
    return predict(pictures.classifier, pictures.images).gather(1, pictures.labels[:, None]).squeeze(1)


@term
def coherence(pictures: Pictures) -> torch.Tensor:
    """The share of all ink that belongs to the largest connected stroke."""
    return largest_stroke(pictures.images)


@term
def realism(pictures: Pictures) -> torch.Tensor:
    """How likely the frozen reference finds the picture, next to its own samples; 0.5 is typical."""
    log_probs = pictures.reference.log_probs(pictures.labels, pictures.tokens)
    mean, spread = pictures.typical
    return torch.sigmoid((gather(log_probs, pictures.tokens).sum(1) - mean) / spread)


@term
def symmetry(pictures: Pictures) -> torch.Tensor:
    """How much a picture and its left-right mirror image overlap."""
    return overlap(pictures.images, pictures.images.flip(-1))


@term
def little_ink(pictures: Pictures) -> torch.Tensor:
    """How little ink is used: 1 for a blank picture, 0 for a quarter of all possible ink or more."""
    return (1 - 4 * pictures.images.flatten(1).mean(1)).clamp(min=0)


def likeness(drawing: torch.Tensor) -> Term:
    """How much a picture and a given drawing overlap.

    Makes the term from the drawing, (1, 1, H, W) in [0, 1]; without a drawing there is no such term.
    """
    return lambda pictures: overlap(pictures.images, drawing)


class Rewards:
    """Scores finished pictures."""

    def __init__(self, classifier: Classifier, reference: Policy, weights: Mapping[str, float]):
        """``classifier``: never the judge. ``reference``: the frozen start, see ``realism``."""
        self.classifier, self.reference = classifier, reference
        labels = torch.arange(500, device=reference.device) % LABELS
        generator = torch.Generator(reference.device).manual_seed(0)
        own = reference.sample(labels, generator=generator).log_probs.sum(1)
        self.typical = own.mean().item(), own.std().item()
        self.pay(weights)

    def pay(self, weights: Mapping[str, float], drawing: torch.Tensor | None = None) -> None:
        """Set what is paid.

        Args:
            weights: of the terms in TERMS; a term that is absent or weighs 0 is not paid.
            drawing: (1, 1, H, W) in [0, 1]; with it, ``likeness`` can be paid as well.

        Raises:
            ValueError: an unknown term, a weight that is not an allowed number, or no term that is paid.
        """
        self.functions = TERMS if drawing is None else {**TERMS, "likeness": likeness(drawing)}
        allowed = ", ".join(self.functions)
        for name, weight in weights.items():
            if name not in self.functions:
                raise ValueError(f"unknown reward {name!r}; allowed: {allowed}.")
            if not abs(weight) <= 1000:  # False for NaN too
                raise ValueError(f"the weight of {name} is {weight}; allowed: a number from -1000 to 1000.")
        self.weights = {name: weight for name, weight in weights.items() if weight}
        if not self.weights:
            raise ValueError(f"no reward is paid; give one of {allowed} a weight.")

    @torch.no_grad()
    def terms(
        self, images: torch.Tensor, labels: torch.Tensor, tokens: torch.Tensor, names: Iterable[str] = ()
    ) -> dict[str, torch.Tensor]:
        """The terms that are paid, or those in ``names``, each (B,) in [0, 1].

        Args:
            images: (B, 1, H, W) in [0, 1]. labels: (B,) int64. tokens: (B, T) int64, the same pictures.

        Raises:
            ValueError: a term does not give a finite number for each picture.
        """
        pictures = Pictures(images, labels, tokens, self.classifier, self.reference, self.typical)
        found = {name: self.functions[name](pictures) for name in (tuple(names) or self.weights)}
        for name, values in found.items():
            if values.shape != labels.shape or not values.isfinite().all():
                what = f"{tuple(values.shape)}, from {values.min():.3g} to {values.max():.3g}"
                raise ValueError(f"the reward {name} is {what}; expected a finite number for each picture.")
        return found

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


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(B,) ink in both, divided by ink in either: 1 for equal pictures with ink, 0 if none is shared."""
    shared, either = torch.minimum(a, b), torch.maximum(a, b)
    return shared.flatten(1).sum(1) / either.flatten(1).sum(1).clamp(min=1e-9)

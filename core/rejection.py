"""Rejection sampling: draw until the classifier is sure. It trains nothing, and says what that has to cost in KL.

Of all policies whose every picture the classifier is sure of, it is the nearest to the start: its KL is minus the logarithm
of the start's chance of such a picture (Csiszar 1975, the I-projection on what is accepted). The judge has its own mind: its
success can be raised further for more KL, as best-of-N does.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from core.classifiers import Classifier, predict
from core.policies import LABELS, Policy

SURE = 0.9  # confidence in the label from which a picture is accepted
CHUNK = 500  # pictures drawn at a time
MOST = 128  # draws for each sample that is wanted, at most


def rejection(
    policy: Policy, classifier: Classifier, count: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor, float] | None:
    """Samples that the classifier is sure of.

    Args:
        policy: what is drawn from.
        classifier: accepts a picture where its confidence in the label is above SURE.
        count: samples to return, a tenth for each label.

    Returns:
        images (count, 1, H, W), labels (count,), and the KL to the policy in nats, the mean over labels. None where a label
        has too few pictures after MOST draws for each that is wanted.
    """
    generator, each, blind = torch.Generator().manual_seed(seed), count // LABELS, policy.blind()
    labels = torch.arange(CHUNK) % LABELS
    accepted, number, tries = [[] for _ in range(LABELS)], torch.zeros(LABELS), 0
    while number.min() < each:
        if tries >= MOST * each:
            return None
        images = policy.tokenizer.decode(policy.sample(labels, generator=generator).tokens)
        sure = predict(classifier, images) > SURE  # (CHUNK, LABELS)
        if not blind:  # what draws the same for all labels has drawn every picture for every label
            sure &= F.one_hot(labels, LABELS).bool()
        for label, mine in enumerate(sure.T):
            accepted[label].append(images[mine])
        number += sure.sum(0)
        tries += CHUNK if blind else CHUNK // LABELS
    images = torch.cat([torch.cat(parts)[:each] for parts in accepted])
    return images, torch.arange(LABELS).repeat_interleave(each), -(number / tries).log().mean().item()

"""What not to draw, from the pictures of its own that a start failed with.

Where a start knows labels, RL has little to learn from: of a hundred pictures four are poor, and RL sees each of those once,
among the noise of the ninety-six. So they are collected before RL begins, by the thousand, and learned from again and again.

Let f be the start's chance of a picture that the classifier is not sure of. Maximum likelihood on the others is the shortest
way to rejection sampling's distribution (core.rejection), the nearest to the start that never fails. Its loss is, up to a
constant and the factor 1 / (1 - f),

    E over all of the start's pictures [KL(start || policy)] + f E over those that failed [log policy - log start].

The first part is summed exactly over a token's values, as RL's KL is, so that pictures which were well drawn anchor the
policy and add no noise to it. The second is unlikelihood (Welleck et al. 2020, arXiv 1908.04319; of whole pictures here).
What is learned so carries over to fewer new pictures than it should, hence a factor on f; and a picture that has become
unlikely enough is left alone, for with a factor above 1 there is no end to it otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from core.before import collect, learn, recorded
from core.classifiers import Classifier
from core.configs import UnlikelihoodConfig
from core.descent import fast_products
from core.objectives import exact_kl
from core.policies import Policy, gather


@recorded
def unlikelihood(
    policy: Policy, reference: Policy, classifier: Classifier, config: UnlikelihoodConfig, generator: torch.Generator
) -> Iterator[tuple[str, int, float, float]]:
    """Train ``policy`` in place, one core.before.BeforeStep a step.

    Args:
        policy: what learns; starts equal to the reference.
        reference: frozen; draws the pictures.
        classifier: reads them.
        config: see UnlikelihoodConfig.
        generator: where all randomness comes from.

    Raises:
        ValueError: the classifier is sure of all of the pictures, or of none.
    """

    def read(asked, belief):
        return belief.gather(1, asked[:, None])[:, 0] <= config.sure

    labels, tokens, failed = yield from collect(reference, classifier, config.pictures, read, generator)
    total = len(tokens)
    share, bad, good = failed.float().mean().item(), *(mask.nonzero().flatten() for mask in (failed, ~failed))
    if not len(bad) or not len(good):
        every = "none" if len(bad) else "all"
        raise ValueError(f"the classifier is sure of {every} of {total} pictures; change sure (now {config.sure}).")
    # Half of what is learned from failed, and is weighted down to its share: there is more to learn from it.
    often = torch.where(failed, share, 1 - share) * 2
    pool = torch.cat([good, bad[torch.arange(len(good)) % len(bad)]])

    def loss(part):
        drawn = tokens[part].long()
        with fast_products():
            with torch.no_grad():
                before = reference.log_probs(labels[part], drawn)
            now = policy.log_probs(labels[part], drawn)
        fall = gather(now - before, drawn).sum(1).clamp(min=-config.floor)
        return often[part] * (exact_kl(before, now).sum(1) + config.factor * failed[part] * fall)

    for value, norm in learn(policy, pool, loss, config, config.steps, "lr", generator):
        yield "policy", total, value, norm

"""Reinforcement learning: one loop, two algorithms.

Both maximise  E[reward] - beta * KL(policy || reference)  over whole pictures, from samples of the policy itself:

* REINFORCE (Williams 1992) weighs each sample by its reward, less a running mean of past rewards or nothing.
* GRPO (Shao et al. 2024; AR-GRPO brings it to pictures) compares each sample with the others drawn for the same label, and
  makes several updates from the same samples within a trust region.

Left out on purpose: a value function that is learned along (the group replaces it; where foresight has left a critic, that
one may help, see core.baseline and core.interpolated), and TRL's and the paper's k3 gradient: with V values a token the KL
is summed exactly. That sum covers a token's own distribution; the KL that it leads to later is charged to it through its
advantage. Together they are the gradient of the KL of whole pictures (tests/test_estimator.py proves it).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields

import torch

from core.algorithms import GRPO, Reinforce
from core.baseline import Foreseen
from core.classifiers import Classifier, predict
from core.configs import RLConfig
from core.descent import descend, make_optimizers, set_rates
from core.foresight import Critic
from core.interpolated import Interpolated
from core.objectives import entropy, exact_kl, k3, later, zero_variance
from core.policies import Policy, gather, portions
from core.rewards import Rewards


@dataclass(frozen=True)
class RLStep:
    """One record of training; averages over the step's samples, nats per image where not said otherwise."""

    step: int
    samples: int  # seen so far, this step's included
    seconds: float  # since the start
    reward: float
    terms: dict[str, float]  # each reward term, weighted or not
    success: float  # share that the judge reads as their label
    kl: float  # to the reference, exact over each token's values
    kl_k3: float  # the same from sampled tokens
    entropy: float  # of the token distributions, nats per token
    clip_fraction: float  # share of tokens whose gradient was clipped, over all updates
    gradient_norm: float  # of the last update, before it was limited
    zero_variance: int  # groups that taught nothing
    tokens: torch.Tensor = field(repr=False)  # (B, T) the samples themselves
    rewards: torch.Tensor = field(repr=False)  # (L, G)
    advantages: torch.Tensor = field(repr=False)  # (L, G)


@dataclass(frozen=True)
class Batch:
    """The samples that a step learns from, with what stays fixed during its updates. N stand for all that were drawn."""

    labels: torch.Tensor  # (N,)
    tokens: torch.Tensor  # (N, T)
    log_probs: torch.Tensor  # (N, T) of the sampler
    reference: torch.Tensor  # (N, T, V)
    advantages: torch.Tensor  # (N, T) of the reward, less what was foreseen and the price of the KL that a token leads to
    share: torch.Tensor  # (N,) of the samples drawn that each stands for; sums to 1
    values: torch.Tensor  # (N, T, V) what a critic makes each value of a token worth, beside the advantage; or 0, (N, 1, 1)

    def portions(self, size: int) -> Iterator[Batch]:
        """The same, ``size`` samples at a time."""
        for parts in zip(*(getattr(self, part.name).split(size) for part in fields(self)), strict=True):
            yield Batch(*parts)


def train(
    policy: Policy,
    reference: Policy,
    rewards: Rewards,
    judge: Classifier,
    algorithm: Reinforce | GRPO,
    config: RLConfig,
    generator: torch.Generator,
    interrupted: Callable[[], bool] = lambda: False,
    critic: Critic | None = None,
) -> Iterator[RLStep]:
    """Train ``policy`` in place, one record a step. Exhausted, closed or interrupted, it holds the weights that are kept.

    Those lie on the way from the start to the running average of the weights: at that average with a reach of 1, nearer to
    the start below, further along the same way above (ExPO; Zheng et al. 2024, arXiv 2404.16792).

    Args:
        policy: what learns; starts equal to the reference.
        reference: frozen; the KL is measured to it.
        rewards: what is paid.
        judge: only watched, never optimised.
        algorithm: turns rewards into weights, see core.algorithms.
        config: see RLConfig.
        generator: where all randomness comes from.
        interrupted: asked several times within a step; once true, training ends without finishing that step.
        critic: foresight's; where given, no token is praised or blamed for what it foresaw (core.baseline), or it speaks of
            every value of a token while the samples' own weight grows from nothing to all (core.interpolated).
    """
    mixed = Interpolated(critic, config.memory) if critic and algorithm.interpolate else None
    foreseen = Foreseen(critic, config.memory) if critic and not mixed else None
    optimizers = make_optimizers(policy, config.lr, config.label_lr)
    trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    start = [parameter.detach().clone() for parameter in trained]
    average = [parameter.clone() for parameter in start]
    labels = torch.tensor(config.digits).repeat_interleave(config.group)  # (B,)
    running, started = None, time.perf_counter()
    try:
        for step in range(config.steps):
            scale = min(1.0, (step + 1) / config.warmup) * (1 - step / config.steps)
            set_rates(optimizers, scale)
            rollout = policy.sample(labels, config.temperature, generator)
            if interrupted():
                return
            images = policy.tokenizer.decode(rollout.tokens)
            with torch.no_grad():
                terms = rewards.terms(images, labels, rollout.tokens)
                reward = rewards.total(terms).view(len(config.digits), config.group)  # (L, G)
                running = reward.mean().item() if running is None else running
                advantages = algorithm.advantages(reward, running)  # (L, G)
                running = config.memory * running + (1 - config.memory) * reward.mean().item()
                guess = foreseen(labels, rollout.tokens, advantages) if foreseen else torch.zeros(len(labels), 1)  # (B, T)
                chosen, share = select(advantages, config.keep or config.group, generator)
                share = share / len(labels)
                drawn, first = rollout.tokens[chosen], rollout.distributions[chosen]
                before = scores(reference, labels[chosen], drawn, config.temperature)
                beta, kl = config.beta_at(step), exact_kl(first, before)  # (N, T)
                price = beta * ahead(kl, share, len(config.digits))  # (N, T)
                worth = (advantages.flatten()[:, None] - guess)[chosen] - price  # (N, T)
                values = torch.zeros(len(drawn), 1, 1)
                if mixed:
                    worth, values = mixed(labels[chosen], drawn, worth, share, len(config.digits))
                    worth = worth * (step + 1) / config.steps
            batch = Batch(labels[chosen], drawn, gather(first, drawn), before, worth, share, values)
            cut, norm = update(policy, optimizers, algorithm, config, batch, beta, interrupted)
            if interrupted():
                return
            with torch.no_grad():
                for kept, parameter in zip(average, trained, strict=True):
                    kept.lerp_(parameter, 1 - min(config.average, (step + 1) / (step + 10)))
                sampled = share @ k3(batch.log_probs, gather(before, batch.tokens)).sum(1)
            yield RLStep(
                step=step,
                samples=(step + 1) * len(labels),
                seconds=time.perf_counter() - started,
                reward=reward.mean().item(),
                terms={name: value.mean().item() for name, value in terms.items()},
                success=(predict(judge, images).argmax(1) == labels).float().mean().item(),
                kl=(share @ kl.sum(1)).item(),
                kl_k3=sampled.item(),
                entropy=(share @ entropy(first).mean(1)).item(),
                clip_fraction=cut,
                gradient_norm=norm,
                zero_variance=int(zero_variance(reward).sum()),
                tokens=rollout.tokens,
                rewards=reward,
                advantages=advantages,
            )
    finally:
        place_along(trained, start, average, config.reach)


@torch.no_grad()
def place_along(
    parameters: Iterable[torch.Tensor], start: Iterable[torch.Tensor], end: Iterable[torch.Tensor], length: float
) -> None:
    """Set each of ``parameters`` to start + length * (end - start)."""
    for parameter, first, last in zip(parameters, start, end, strict=True):
        parameter.copy_(first.lerp(last, length))


def select(advantages: torch.Tensor, keep: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Which samples to learn from: drawing and scoring one costs a quarter of learning from it.

    Half of those kept have the largest advantages, for or against; the other half stand for all the rest, picked at random
    and weighted accordingly, so the gradient's mean is that of learning from every sample (after PODS; Xu et al. 2025).

    Args:
        advantages: (L, G).
        keep: samples to keep of each group; G keeps all.

    Returns:
        (L * keep,) indices into the L * G samples, and how many samples each of them stands for.
    """
    digits, group = advantages.shape
    if keep >= group:
        return torch.arange(digits * group), torch.ones(digits * group)
    loud = keep // 2
    order = advantages.abs().argsort(dim=1, descending=True, stable=True)
    shuffled = torch.rand(digits, group - loud, generator=generator).argsort(dim=1)[:, : keep - loud]
    picked = torch.cat([order[:, :loud], order[:, loud:].gather(1, shuffled)], 1)  # (L, keep)
    share = torch.ones(digits, keep)
    share[:, loud:] = (group - loud) / (keep - loud)
    return (picked + group * torch.arange(digits)[:, None]).flatten(), share.flatten()


def scores(policy: Policy, labels: torch.Tensor, tokens: torch.Tensor, temperature: float) -> torch.Tensor:
    """``policy.log_probs``, one portion after the other."""
    return torch.cat([policy.log_probs(*part, temperature) for part in portions(policy, labels, tokens)])


def ahead(kl: torch.Tensor, share: torch.Tensor, groups: int) -> torch.Tensor:
    """(N, T) KL of each token's distribution to the KL that a token leads to, less its mean over the samples of a group."""
    total = later(kl).view(groups, -1, kl.shape[1])  # (L, N / L, T)
    share = share.view(groups, -1, 1)
    return (total - (share * total).sum(1, keepdim=True) / share.sum(1, keepdim=True)).flatten(0, 1)


def update(
    policy: Policy,
    optimizers: list[torch.optim.Optimizer],
    algorithm: Reinforce | GRPO,
    config: RLConfig,
    batch: Batch,
    beta: float,
    interrupted: Callable[[], bool],
) -> tuple[float, float]:
    """All updates from one batch, the first at least.

    Returns:
        the share of tokens clipped, and the last gradient norm.
    """
    clipped = []

    def losses() -> Iterator[torch.Tensor]:
        for part in batch.portions(policy.portion):
            log_probs = policy.log_probs(part.labels, part.tokens, config.temperature)  # (N, T, V)
            loss, cut = objective(log_probs, algorithm, part, beta)
            clipped.append(cut.float().mean(1))
            yield loss

    for _ in range(algorithm.updates):
        _, norm = descend(losses(), policy, optimizers, config.clip, f"training diverged; lower lr (now {config.lr}).")
        if interrupted():
            break
    return torch.cat(clipped).mean().item(), norm


def objective(
    log_probs: torch.Tensor, algorithm: Reinforce | GRPO, batch: Batch, beta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss whose negative gradient estimates that of E[reward] - beta * KL, and (N, T) bool where a token was clipped.

    Args:
        log_probs: (N, T, V) of the policy now.
    """
    log_ratio = gather(log_probs, batch.tokens) - batch.log_probs
    surrogate, cut = algorithm.surrogate(log_ratio, batch.advantages)
    foreseen = (log_probs.exp() * batch.values).sum(-1)  # (N, T)
    kl = exact_kl(log_probs, batch.reference)
    return -(batch.share @ (surrogate + foreseen - beta * kl).sum(1)), cut

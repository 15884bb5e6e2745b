"""Reinforcement learning: one loop for every algorithm. Sample, reward, advantages, update, record.

The loop maximises  E[reward] - beta * KL(policy || reference)  over whole pictures, from samples of the
policy itself. Beta is the price of one nat of KL, over a whole picture. What sets GRPO (Shao et al. 2024;
AR-GRPO applies it to pictures) apart from REINFORCE (Williams 1992) is in core.algorithms: how rewards become
advantages, and how many updates use the same samples.

A token has only V values, so the KL of its distribution, kl_t, is an exact sum; KL = E[sum over t of kl_t].
The distribution of token t determines kl_t itself and, through the token that is drawn, the later kl_s. So
the gradient is the mean over samples (tests/test_estimator.py proves it) of

    sum over t of  [ (advantage - beta * sum over s > t of kl_s) * grad log p(token t)  -  beta * grad kl_t ]

Where this differs from TRL and the paper, and where it is not exact:
- The KL is summed over all values, not estimated by k3 from the value that was drawn.
- A token also pays for the KL that it leads to, the sum over s > t, which they leave out.
- The objective is summed over tokens, not averaged: as T is fixed, only the gradient's scale differs.
- A group's mean includes the sample itself. Subtracting it therefore shrinks a term's gradient to (G - 1) / G
  of its size, 3 % less for 32 samples: reward and later KL in GRPO, only the later KL in REINFORCE.
- A second update on the same samples reuses the old values of the later kl_s. And dividing advantages by the
  deviation optimises something other than the objective above.
Shapes: B samples = L labels x G samples per group; T tokens per sample; V values of a token.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from core.algorithms import Algorithm
from core.classifiers import Classifier, predict
from core.configs import PretrainConfig, RLConfig
from core.objectives import exact_kl, later, zero_variance
from core.parallel import average_gradients, mean_over_ranks
from core.policies import Policy, Rollout, gather
from core.rewards import Rewards


@dataclass(frozen=True)
class RLStep:
    """One record of training; averages over the step's samples."""

    step: int
    samples: int  # seen so far, this step's included
    seconds: float  # since the start
    reward: float
    terms: dict[str, float]  # each reward term that is paid
    success: float  # share of samples that the judge reads as their label
    kl: float  # to the reference, nats per image, exact over each token's values
    entropy: float  # of the token distributions, nats per token
    clip_fraction: float  # share of tokens whose gradient was clipped, over all updates; the first clips none
    gradient_norm: float  # of the last update, before clipping
    zero_variance: int  # groups whose rewards are all equal
    tokens: torch.Tensor = field(repr=False)  # (B, T) the samples themselves
    images: torch.Tensor = field(repr=False)  # (B, 1, H, W) the same, decoded
    rewards: torch.Tensor = field(repr=False)  # (L, G)


@dataclass(frozen=True)
class Batch:
    """A step's samples, with what stays fixed during its updates."""

    tokens: torch.Tensor  # (B, T)
    log_probs: torch.Tensor  # (B, T) of these tokens when they were sampled
    reference: torch.Tensor  # (B, T, V) log-probabilities
    kl: torch.Tensor  # (B, T) of each token's distribution to the reference's
    advantages: torch.Tensor  # (B, T) from the reward, minus beta times the later KL; see make_batch


def train(
    policy: Policy,
    reference: Policy,
    rewards: Rewards,
    judge: Classifier,
    algorithm: Algorithm,
    config: RLConfig,
    generator: torch.Generator,
) -> Iterator[RLStep]:
    """Train ``policy`` in place, one record per step; when it ends or is closed, keep the average.

    Args:
        policy: what learns; starts equal to the reference, except for the guidance that it samples with.
        reference: frozen; the KL is measured to it.
        judge: measures success; never optimised against.
        generator: the source of all randomness, on the policy's device.
    """
    policy.train()  # cuDNN's LSTM has no gradient in evaluation mode; nothing else depends on it
    optimizer, schedule = make_optimizer(policy, config)
    average = WeightAverage(policy, config.average)
    labels = torch.tensor(config.digits, device=generator.device).repeat_interleave(config.group)  # (B,)
    past, started = [], time.perf_counter()
    try:
        for step in range(config.steps):
            rollout = policy.sample(labels, config.temperature, generator)
            images = policy.tokenizer.decode(rollout.tokens)

            terms = rewards.terms(images, labels, rollout.tokens)
            reward = rewards.total(terms).view(len(config.digits), config.group)  # (L, G)
            advantages = algorithm.advantages(reward, past)  # (L, G); past excludes this step
            past.append(mean_over_ranks(reward.mean()).item())

            with torch.no_grad():  # (B, T, V)
                reference_log_probs = reference.log_probs(labels, rollout.tokens, config.temperature)
            batch = make_batch(rollout, advantages, reference_log_probs, config.beta)
            clip_fractions = []
            for _ in range(algorithm.updates):
                log_probs = policy.log_probs(labels, batch.tokens, config.temperature)  # (B, T, V)
                gains, clipped = objective(log_probs, batch, algorithm, config.beta)
                norm = descend(-gains.mean(), policy, optimizer, config)
                clip_fractions.append(clipped.float().mean().item())
            schedule.step()
            average.update(step)

            yield RLStep(
                step=step,
                samples=(step + 1) * len(labels),
                seconds=time.perf_counter() - started,
                reward=past[-1],
                terms={name: value.mean().item() for name, value in terms.items()},
                success=(predict(judge, images).argmax(1) == labels).float().mean().item(),
                kl=batch.kl.sum(1).mean().item(),
                entropy=torch.special.entr(rollout.distributions.exp()).sum(-1).mean().item(),
                clip_fraction=sum(clip_fractions) / len(clip_fractions),
                gradient_norm=norm,
                zero_variance=int(zero_variance(reward).sum()),
                tokens=rollout.tokens,
                images=images,
                rewards=reward,
            )
    finally:
        average.keep()


def make_batch(
    rollout: Rollout, advantages: torch.Tensor, reference_log_probs: torch.Tensor, beta: float
) -> Batch:
    """A step's batch. (L, G) advantages become (B, T), as each token also pays for the KL it leads to."""
    kl = exact_kl(rollout.distributions, reference_log_probs)
    later_kl = later(kl).unflatten(0, advantages.shape)  # (L, G, T)
    # Minus the group's mean at the same position, as a baseline.
    later_kl = (later_kl - later_kl.mean(1, keepdim=True)).flatten(0, 1)
    per_token = advantages.flatten()[:, None] - beta * later_kl
    return Batch(rollout.tokens, rollout.log_probs, reference_log_probs, kl, per_token)


def objective(
    log_probs: torch.Tensor, batch: Batch, algorithm: Algorithm, beta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each sample's part of the objective; the gradient of their mean is given at the top of this file.

    Args:
        log_probs: (B, T, V) of the policy now.

    Returns:
        (B,) to be maximised, and (B, T) bool where a token was clipped.
    """
    log_ratio = gather(log_probs, batch.tokens) - batch.log_probs
    surrogate, clipped = algorithm.surrogate(log_ratio, batch.advantages)
    return (surrogate - beta * exact_kl(log_probs, batch.reference)).sum(1), clipped


def make_optimizer(policy: Policy, config: RLConfig):
    """Adam and its schedule. The label inputs may start at zero, so they have their own learning rate."""
    inputs = policy.label_inputs()
    of_labels = set(inputs)  # a set compares identities, where == would compare elements of tensors
    others = [one for one in policy.parameters() if one.requires_grad and one not in of_labels]
    groups = [{"params": others, "lr": config.lr}, {"params": inputs, "lr": config.lr * config.label_lr}]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / config.warmup) * (1 - step / config.steps)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


def descend(
    loss: torch.Tensor, policy: Policy, optimizer: torch.optim.Optimizer, config: RLConfig | PretrainConfig
) -> float:
    """One update; returns the gradient's norm before clipping. Raises FloatingPointError."""
    optimizer.zero_grad()
    loss.backward()
    average_gradients(policy)  # over all processes, if there are several
    norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), config.clip)
    if not torch.isfinite(norm):
        raise FloatingPointError(f"training diverged; lower lr (now {config.lr}).")
    optimizer.step()
    return norm.item()


class WeightAverage:
    """A running average of weights, without the noise of single steps (Polyak and Juditsky 1992)."""

    def __init__(self, policy: Policy, decay: float):
        self.decay = decay
        self.trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
        self.average = [parameter.detach().clone() for parameter in self.trained]

    @torch.no_grad()
    def update(self, step: int) -> None:
        weight = 1 - min(self.decay, (step + 1) / (step + 10))  # early averages forget the start faster
        torch._foreach_lerp_(self.average, self.trained, weight)

    @torch.no_grad()
    def keep(self) -> None:
        """Give the policy its averaged weights."""
        torch._foreach_copy_(self.trained, self.average)

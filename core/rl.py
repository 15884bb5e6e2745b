"""Reinforcement learning: one loop for every algorithm. Sample, reward, advantages, update, record.

The loop maximises  E[reward] - beta * KL(policy || reference)  over whole pictures, from samples of the
policy itself. Beta is the price of a nat of a whole picture. What tells REINFORCE (Williams 1992) from GRPO
(Shao et al. 2024; AR-GRPO brings it to pictures) is in core.algorithms: how rewards become advantages, and
how often the same samples are used.

With V values a token, the KL of its distribution, kl_t, is summed exactly, and KL = E[sum over t of kl_t].
The distribution of token t decides kl_t itself and, by the token that is drawn, which later kl_s are met. So
the gradient is the mean over samples (tests/test_estimator.py proves it) of

    sum over t of  [ (advantage - beta * sum over s > t of kl_s) * grad log p(token t)  -  beta * grad kl_t ]

What is not as in TRL and the paper, and where this is not exact:
- There is no value function: the group replaces it. The KL is summed, not estimated by k3.
- A token pays for the KL that it leads to, the sum over s > t, which they leave out.
- Tokens are summed, not averaged: as all pictures have the same T, only the gradient's length differs.
- A group's mean includes the sample itself, so what it is subtracted from shrinks to (G - 1) / G of its
  size, 3 % less for 32 samples: in GRPO the reward and the later KL, in REINFORCE the later KL alone.
- A second update from the same samples reuses the later kl_s. And advantages divided by the deviation climb
  something else than the objective above.
Shapes: B samples = L labels x G samples a group; T tokens; V values of a token.
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
    success: float  # share that the judge reads as their label
    kl: float  # to the reference, nats per image, exact over each token's values
    entropy: float  # of the token distributions, nats per token
    clip_fraction: float  # share of tokens whose gradient was clipped, over all updates; the first clips none
    gradient_norm: float  # of the last update, before it was limited
    zero_variance: int  # groups whose rewards are all equal
    tokens: torch.Tensor = field(repr=False)  # (B, T) the samples themselves
    images: torch.Tensor = field(repr=False)  # (B, 1, H, W) the same as pictures
    rewards: torch.Tensor = field(repr=False)  # (L, G)


@dataclass(frozen=True)
class Batch:
    """A step's samples, with what stays fixed during its updates."""

    tokens: torch.Tensor  # (B, T)
    log_probs: torch.Tensor  # (B, T) of the sampler
    reference: torch.Tensor  # (B, T, V) log-probabilities
    kl: torch.Tensor  # (B, T) of each token's distribution to the reference's
    advantages: torch.Tensor  # (B, T) of the reward, less beta times the later KL, see make_batch


def train(
    policy: Policy,
    reference: Policy,
    rewards: Rewards,
    judge: Classifier,
    algorithm: Algorithm,
    config: RLConfig,
    generator: torch.Generator,
) -> Iterator[RLStep]:
    """Train ``policy`` in place, one record a step. Exhausted or closed, it holds the averaged weights.

    Args:
        policy: what learns; starts equal to the reference, but for the guidance that it draws with.
        reference: frozen; the KL is measured to it.
        judge: only watched, never optimised.
        generator: where all randomness comes from, on the policy's device.
    """
    policy.train()  # for cuDNN, whose LSTM has no gradient otherwise; nothing else depends on it
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
            advantages = algorithm.advantages(reward, past)  # (L, G), of the past alone: no bias
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
    """A step's batch: (L, G) advantages become (B, T), as a token also pays for the KL that it leads to."""
    kl = exact_kl(rollout.distributions, reference_log_probs)
    later_kl = later(kl).unflatten(0, advantages.shape)  # (L, G, T)
    # Less the group's mean at the same token, as a baseline.
    later_kl = (later_kl - later_kl.mean(1, keepdim=True)).flatten(0, 1)
    per_token = advantages.flatten()[:, None] - beta * later_kl
    return Batch(rollout.tokens, rollout.log_probs, reference_log_probs, kl, per_token)


def objective(
    log_probs: torch.Tensor, batch: Batch, algorithm: Algorithm, beta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """What each sample adds to the objective; its mean has the gradient that stands at the top of this file.

    Args:
        log_probs: (B, T, V) of the policy now.

    Returns:
        (B,) to be maximised, and (B, T) bool where a token was clipped.
    """
    log_ratio = gather(log_probs, batch.tokens) - batch.log_probs
    surrogate, clipped = algorithm.surrogate(log_ratio, batch.advantages)
    return (surrogate - beta * exact_kl(log_probs, batch.reference)).sum(1), clipped


def make_optimizer(policy: Policy, config: RLConfig):
    """Adam and its schedule. The label inputs may start from nothing, hence a learning rate of their own."""
    inputs = policy.label_inputs()
    of_labels = set(inputs)  # told apart by identity: == compares the elements of tensors
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
        weight = 1 - min(self.decay, (step + 1) / (step + 10))  # young averages forget the start faster
        torch._foreach_lerp_(self.average, self.trained, weight)

    @torch.no_grad()
    def keep(self) -> None:
        """Leave the policy with its average."""
        torch._foreach_copy_(self.trained, self.average)

"""Maximum likelihood: the policy learns to draw like MNIST before any reward is paid.

A recipe may have two such starts: one without labels (the label inputs stay zero, so equal for all labels,
and RL is free to learn them), and one with labels.
"""

import math
from collections.abc import Iterator

import torch

from core.configs import PretrainConfig
from core.data import augment, resize
from core.policies import LABELS, Policy, gather
from core.rl import descend


def pretrain(
    policy: Policy,
    images: torch.Tensor,
    labels: torch.Tensor | None,
    config: PretrainConfig,
    generator: torch.Generator,
) -> Iterator[dict[str, float]]:
    """Train in place; yields each batch's NLL, in nats per image. Raises FloatingPointError if it diverges,
    ValueError if labels are to be withheld from a policy that cannot do without a label.

    Args:
        images: (N, 1, 28, 28) in [0, 1], as MNIST has them.
        labels: (N,) int64, or None to pretrain without labels: then the label inputs are not touched.
        generator: picks the batches, augments them and withholds labels, on the CPU.
    """
    if config.drop and policy.largest_label < LABELS:
        raise ValueError(f"drop is {config.drop}; an LSTM always needs a label; allowed: 0.")
    for parameter in policy.label_inputs():
        parameter.requires_grad_(labels is not None)
    trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=config.lr, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / config.warmup) * 0.5 * (1 + math.cos(math.pi * step / config.steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    try:
        for step in range(config.steps):
            picked = torch.randint(len(images), (config.batch,), generator=generator)
            batch = images[picked]
            if step < config.augmented * config.steps:
                batch = augment(batch, config.strength, generator)
            tokens = policy.tokenizer.encode(resize(batch, policy.tokenizer.size).to(policy.device))  # (B, T)
            asked = torch.zeros(len(batch), dtype=torch.int64) if labels is None else labels[picked]
            if config.drop:  # guidance also needs the distribution without a label
                asked = asked.where(torch.rand(len(asked), generator=generator) >= config.drop, LABELS)
            nll = -gather(policy.log_probs(asked.to(policy.device), tokens), tokens).sum(1).mean()
            descend(nll, policy, optimizer, config)
            schedule.step()
            yield {"step": step, "nll": nll.item()}
    finally:
        for parameter in policy.label_inputs():
            parameter.requires_grad_(True)


@torch.no_grad()
def heldout_nll(policy: Policy, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The mean negative log-likelihood of pictures given their labels, in nats per image."""
    parts = []
    for some, known in zip(images.split(200), labels.split(200), strict=True):
        tokens = policy.tokenizer.encode(resize(some, policy.tokenizer.size).to(policy.device))
        parts.append(-gather(policy.log_probs(known.to(policy.device), tokens), tokens).sum(1))
    return torch.cat(parts).mean().item()

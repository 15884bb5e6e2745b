"""One step downhill, the same for maximum likelihood, contrast and RL: rates, gradient, its limit, the update."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager

import torch

from core.policies import Policy
from core.recipes import ContrastConfig, PretrainConfig, RLConfig


def make_optimizer(policy: Policy, config: ContrastConfig | RLConfig) -> tuple[torch.optim.Optimizer, list[float]]:
    """Adam, and the peak learning rate of each of its groups: the label inputs start from nothing and may learn faster."""
    inputs = {id(parameter) for parameter in policy.label_inputs()}
    others = [parameter for parameter in policy.parameters() if parameter.requires_grad and id(parameter) not in inputs]
    groups = [
        {"params": others, "lr": config.lr},
        {"params": policy.label_inputs(), "lr": config.lr * config.label_lr},
    ]
    return torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True), [group["lr"] for group in groups]


def fast_products() -> AbstractContextManager:
    """Matrix products in bfloat16 where the processor has them: twice as fast, and exact enough for a supervised loss.

    Elsewhere PyTorch only imitates them, thirty times slower than float32; then nothing changes.
    """
    able = torch.cpu.get_capabilities()
    native = any(able.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=native)


def cosine(step: int, steps: int, warmup: int) -> float:
    """The share of the peak learning rate in a step: a linear warm-up under a cosine decay to zero."""
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))


def set_rates(optimizer: torch.optim.Optimizer, peaks: list[float], scale: float) -> None:
    """Each group learns at ``scale`` times its peak."""
    for group, lr in zip(optimizer.param_groups, peaks, strict=True):
        group["lr"] = lr * scale


def descend(
    loss: torch.Tensor,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    config: ContrastConfig | PretrainConfig | RLConfig,
    failure: str,
) -> float:
    """Update the policy by the loss's gradient, limited to a norm of ``config.clip``.

    Returns:
        the norm before it was limited.

    Raises:
        FloatingPointError: the gradient is not finite, and nothing was updated; ``failure`` begins the sentence.
    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), config.clip)
    if not torch.isfinite(norm):
        raise FloatingPointError(f"{failure}; lower lr (now {config.lr}).")
    optimizer.step()
    return norm.item()

"""One step downhill, the same for maximum likelihood, foresight and RL: rates, gradient, its limit, the update."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager

import torch

from core.muon import Muon
from core.policies import Policy


def make_optimizers(model: Policy, lr: float, label_lr: float = 1.0, matrix_lr: float = 0.0) -> list[torch.optim.Optimizer]:
    """Adam for everything that is trained, but for the matrices where Muon has a rate.

    Args:
        model: a policy, or a network with ``matrices`` and ``label_inputs`` like one.
        lr: Adam's peak learning rate.
        label_lr: the label inputs', as a multiple of it: they start from nothing and may learn faster.
        matrix_lr: Muon's, for ``model.matrices()``; 0: Adam learns them too.
    """
    matrices = model.matrices() if matrix_lr else []
    apart = {id(parameter) for parameter in (*model.label_inputs(), *(matrix for matrix, _ in matrices))}
    groups = [
        {"params": [parameter for parameter in model.parameters() if id(parameter) not in apart], "peak": lr},
        {"params": model.label_inputs(), "peak": lr * label_lr},
    ]
    for group in groups:
        group["params"] = [parameter for parameter in group["params"] if parameter.requires_grad]
    adam = torch.optim.Adam([group for group in groups if group["params"]], betas=(0.9, 0.99), fused=True)
    return [adam, Muon(matrices, matrix_lr)] if matrices else [adam]


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


def set_rates(optimizers: list[torch.optim.Optimizer], scale: float) -> None:
    """Everything learns at ``scale`` times its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * scale


def descend(
    losses: Iterable[torch.Tensor],
    policy: Policy,
    optimizers: list[torch.optim.Optimizer],
    clip: float,
    failure: str,
) -> tuple[float, float]:
    """Update the policy by the gradient of the losses' sum, limited to a norm of ``clip``.

    Args:
        losses: made one after the other, so that only one at a time needs its activations kept (see Policy.portion).

    Returns:
        the sum, and the gradient's norm before it was limited.

    Raises:
        FloatingPointError: the gradient is not finite, and nothing was updated; ``failure`` is the sentence.
    """
    policy.zero_grad(set_to_none=True)
    total = 0.0
    for loss in losses:
        loss.backward()
        total += loss.item()
    norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), clip)
    if not torch.isfinite(norm):
        raise FloatingPointError(failure)
    for optimizer in optimizers:
        optimizer.step()
    return total, norm.item()

"""Sampling from the transformer: one token at a time, over a cache of keys and values, in NumPy.

At these sizes an operation costs more to call than to do, and a call of NumPy costs a third of a call of PyTorch: one
picture takes half as long this way, and many take no longer. ``TransformerPolicy.states`` is what it has to agree with.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

EPS = 1e-6  # of RMSNorm


def unit(x: np.ndarray) -> np.ndarray:
    """(B, width) to the same, each row of length 1: RMSNorm without its scale and without the square root of the width.

    ``add.reduce`` sums in pairs, as PyTorch does; a dot product rounds more, and every block would build on that.
    """
    return x * (1 / np.sqrt(np.add.reduce(x * x, 1, keepdims=True) + x.shape[1] * EPS))


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last dimension, in place."""
    x -= np.maximum.reduce(x, axis=-1, keepdims=True)
    np.exp(x, out=x)
    x /= np.add.reduce(x, axis=-1, keepdims=True)
    return x


def negative_silu(minus_x: np.ndarray) -> np.ndarray:
    """-x times the sigmoid of x, given -x."""
    return minus_x / (1 + np.exp(minus_x))


def stepper(policy, modulation: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    """``TransformerPolicy.states`` and ``readout`` for one token after the other.

    Args:
        policy: a TransformerPolicy.
        modulation: (layers, 4, B, width) float32, scale and shift of each half of each block.

    Returns:
        A function of x (B, width) float32 and t, to be called with t = 0, 1, ..., to the logits (B, V) at t.
    """
    batch, width = modulation.shape[2:]
    heads, hidden = policy.heads, policy.blocks[0].down.in_features
    size = width // heads
    # ``rotary`` turns dimension i with i + size / 2. Side by side they are a complex number, and turning is one product.
    order = np.arange(3 * width).reshape(3, heads, 2, size // 2)
    order[:2] = order[:2].swapaxes(2, 3).reshape(2, heads, 2, -1)
    turn = (policy.cosine - 1j * policy.sine).numpy()[:, : size // 2].astype(np.complex64)  # the first sines are negative
    longer = np.float32(width**0.5)  # from rows of length 1 to a mean square of 1
    layers = []
    for block, (scale1, shift1, scale2, shift2) in zip(policy.blocks, modulation, strict=True):
        qkv = block.qkv.weight.detach().numpy()[order.ravel()]
        qkv[:width] *= size**-0.5  # attention's scale
        gate_up = block.gate_up.weight.detach().numpy().copy()
        gate_up[:hidden] *= -1  # exp(-x) without a call for its sign, which comes back in what follows
        weights = (qkv, block.out.weight.detach().numpy(), gate_up, -block.down.weight.detach().numpy())
        cache = np.empty((2, batch, heads, policy.tokenizer.length, size), np.float32)
        own = (scale1 * longer, shift1, scale2 * longer, shift2)
        layers.append((*own, *(_laid_out(weight, batch) for weight in weights), *cache))
    head = _laid_out((policy.head.weight * policy.norm.weight).detach().numpy() * longer, batch)

    @np.errstate(over="ignore")  # silu far below zero: the exponential is infinite and the result zero, as it should be
    def step(x: np.ndarray, t: int) -> np.ndarray:
        for scale1, shift1, scale2, shift2, qkv, out, gate_up, down, keys, values in layers:
            parts = (unit(x) * scale1 + shift1) @ qkv
            turned = parts[:, : 2 * width].view(np.complex64).reshape(batch, 2 * heads, -1) * turn[t]
            turned = turned.view(np.float32)
            keys[:, :, t] = turned[:, heads:]
            values[:, :, t] = parts[:, 2 * width :].reshape(batch, heads, size)
            weights = softmax(turned[:, :heads, None] @ keys[:, :, : t + 1].swapaxes(2, 3))  # (B, heads, 1, t + 1)
            x = x + (weights @ values[:, :, : t + 1]).reshape(batch, width) @ out
            both = (unit(x) * scale2 + shift2) @ gate_up
            x += (negative_silu(both[:, :hidden]) * both[:, hidden:]) @ down
        return unit(x) @ head

    return step


def _laid_out(weight: np.ndarray, batch: int) -> np.ndarray:
    """(out, in) to (in, out). For one row it may lie as it is; for more, BLAS is up to twice as fast on a copy in order."""
    return weight.T if batch == 1 else np.ascontiguousarray(weight.T)

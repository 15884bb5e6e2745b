"""Muon (Jordan et al. 2024): momentum whose matrices are made orthogonal before they are added.

Adam scales each number by itself; most of a matrix's update then lies in a few directions. Made orthogonal, it goes equally
far in all of them, and a transformer learns as much in little more than half the steps (Liu et al. 2025, arXiv 2502.16982).

Why not ``torch.optim.Muon``: it iterates in bfloat16, which takes a CPU without such products longer than the rest of the
step, and it takes a fused matrix (queries, keys and values) for one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

ITERATIONS = 5
COEFFICIENTS = 3.4445, -4.7750, 2.0315  # of the quintic, steep at zero: singular values end near one, within a third


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """U V^T of a matrix U S V^T, nearly: every singular value between 0.6 and 1.3, where it was not all but zero.

    Newton-Schulz iteration, float32.

    Args:
        matrix: (N, M), not all zero.
    """
    x = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = x / (x.norm() + 1e-12)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


class Muon(torch.optim.Optimizer):
    """For the matrices between hidden units; tables, biases and scales are for Adam."""

    def __init__(self, matrices: Sequence[tuple[torch.nn.Parameter, int]], lr: float, momentum: float = 0.95):
        """
        Args:
            matrices: (N, M) parameters, and in how many separate ones the rows of each fall.
            lr: as for Adam: numbers of an update have a root mean square of a fifth of it.
            momentum: decay of the running mean of gradients (Nesterov's).
        """
        super().__init__([parameter for parameter, _ in matrices], {"lr": lr, "peak": lr, "momentum": momentum})
        self.parts = {parameter: parts for parameter, parts in matrices}

    @torch.no_grad()
    def step(self) -> None:
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["mean"] = torch.zeros_like(parameter)
                mean = state["mean"]
                mean.lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(mean, group["momentum"])
                parts = self.parts[parameter]
                for own, part in zip(parameter.chunk(parts), ahead.chunk(parts), strict=True):
                    own.add_(orthogonal(part), alpha=-group["lr"] * 0.2 * max(part.shape) ** 0.5)

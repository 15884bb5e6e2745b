"""One LSTM layer over a whole sequence, with its backward pass written out.

Equations: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000. Gates are ordered i, f, o, g.

Why not ``nn.LSTM``: a policy whose input is a sum of embeddings has no use for its input product, and needs exactly the
recurrence of its sampler. Why not autograd through a Python loop: it would record some fifteen small nodes a step. Here the
loop over time holds one small product, and every product that can span all steps (the weights' gradient) is one large one.
Under ``torch.autocast("cpu")`` the products run in bfloat16, the gates and the cell in float32.
"""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


def _step(gates: torch.Tensor, cell: torch.Tensor, hidden: torch.Tensor) -> None:
    """One time step, in place: gates (B, 4H) are left activated, cell (B, H) is updated, hidden (B, H) overwritten."""
    i, f, o, g = gates.chunk(4, 1)
    gates[:, : -g.shape[1]].sigmoid_()
    cell.mul_(f).addcmul_(i, _tanh(g, g))
    _tanh(cell, hidden).mul_(o)


def _tanh(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """tanh(x) = 2 sigmoid(2x) - 1: on a CPU, PyTorch's sigmoid is five times faster than its tanh."""
    return torch.mul(x, 2, out=out).sigmoid_().mul_(2).sub_(1)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs, weight, gain):
        steps, batch, width = inputs.shape
        size = width // 4
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else inputs.dtype
        product, gain = weight.to(dtype), gain.to(dtype)
        gates = torch.empty_like(inputs)
        cell = inputs.new_zeros(steps + 1, batch, size)
        hidden = inputs.new_zeros(steps + 1, batch, size, dtype=dtype)
        out = inputs.new_empty(batch, size)
        for t in range(steps):
            gates[t] = (hidden[t] * gain) @ product
            gates[t] += inputs[t]
            cell[t + 1] = cell[t]
            _step(gates[t], cell[t + 1], out)
            hidden[t + 1] = out
        ctx.save_for_backward(gates, cell, hidden, product, gain)
        return hidden[1:].to(inputs.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_hidden):
        gates, cell, hidden, product, gain = ctx.saved_tensors
        steps, _, width = gates.shape
        size = width // 4
        transposed = product.t().contiguous()
        grad_inputs = torch.empty_like(gates)
        grad_cell = torch.zeros_like(cell[0])
        grad_gain = torch.zeros_like(cell[0])
        flowing = torch.zeros_like(cell[0])  # gradient of hidden[t] from step t + 1
        for t in reversed(range(steps)):  # small temporaries on purpose: they stay in the cache
            i, f, o, g = gates[t].chunk(4, 1)
            grad_i, grad_f, grad_o, grad_g = grad_inputs[t].chunk(4, 1)
            squashed = _tanh(cell[t + 1], torch.empty_like(grad_cell))
            flowing += grad_hidden[t]
            grad_cell += tanh_backward(flowing * o, squashed)
            sigmoid_backward(squashed.mul_(flowing), o, grad_input=grad_o)
            sigmoid_backward(grad_cell * g, i, grad_input=grad_i)
            sigmoid_backward(grad_cell * cell[t], f, grad_input=grad_f)
            tanh_backward(grad_cell * i, g, grad_input=grad_g)
            grad_cell *= f
            flowing = (grad_inputs[t].to(product.dtype) @ transposed).to(gates.dtype)
            grad_gain.addcmul_(flowing, hidden[t])
            flowing *= gain
        flat = grad_inputs.view(-1, width).to(product.dtype)
        grad_weight = (hidden[:-1] * gain).reshape(-1, size).t() @ flat
        return grad_inputs, grad_weight.to(gates.dtype), grad_gain


def recurrence(inputs: torch.Tensor, weight: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """Run the layer from a zero state.

    Args:
        inputs: (T, B, 4H) what enters each gate at each step, biases included.
        weight: (H, 4H) from the previous hidden state to the gates.
        gain: (B, H) by which each sample scales its hidden state before that product.

    Returns:
        (T, B, H) hidden states; the gradient can be taken once.
    """
    return _Recurrence.apply(inputs, weight, gain)

"""Sampling from the LSTM: one token at a time, the recurrence written out.

Pictures of a batch that have begun alike, with the same label and the same tokens, are one to the network: it will say the
same of both. So they are computed once, as one strand, until they part. Digits begin with a black margin; of a batch of 160
there are 10 strands at first and 50 after ten of 64 pixels. Nothing is approximated by it.
"""

from __future__ import annotations

import torch

SPARED = 32  # pictures of a batch that sharing must spare, to be worth its own cost


class Strands:
    """What an LSTMPolicy knows of B pictures while it draws them: one state for each of their n strands."""

    def __init__(self, policy, labels: torch.Tensor):
        """
        Args:
            policy: an LSTMPolicy.
            labels: (B,) int64.
        """
        distinct, self.owner = labels.unique(return_inverse=True)  # (B,) the strand of each picture; None: its own
        if len(labels) - len(distinct) < SPARED:
            self.owner = None
        else:
            labels = distinct
        n, width = len(labels), policy.width
        twice = torch.ones(4 * width)
        twice[3 * width :] = 2  # see _activate
        self.policy, self.table = policy, policy.table().mul_(twice)
        self.weight1 = policy.recurrent1 * (2 * twice)
        self.weight2 = torch.cat([policy.between, policy.recurrent2]).mul_(2 * twice)
        self.bias, self.head = policy.head.bias, 2 * policy.head.weight.t().contiguous()
        self.places, self.offsets = policy.place.unbind(0), policy.offset.unbind(0)
        # Hidden states of both layers lie side by side, so that the second needs one product.
        base2, gain = twice * (policy.bias2 + policy.label[labels, 4 * width :]), 1 + policy.gain[labels]
        states = (torch.zeros(n, size) for size in (2 * width, width, width))
        self._place(policy.canvas(labels), *states, base2, gain)

    def _place(self, *state: torch.Tensor) -> None:
        self.state = state
        self.canvas, self.hidden, self.cell1, self.cell2, self.base2, gain = state
        n, width = len(self.canvas), self.policy.width
        # For a single picture each operation costs more to call than to do: every view and every buffer is made once.
        self.hidden1, self.hidden2 = self.hidden.chunk(2, 1)
        self.gain1, self.gain_both = gain.split((width, 2 * width), 1)
        self.rows = torch.empty(n, len(self.offsets[0]), dtype=torch.int64)
        self.flat, self.bags = self.rows.view(-1), torch.arange(0, self.rows.numel(), self.rows.shape[1])
        self.gates = torch.empty(n, 4 * width)
        self.parts = self.gates.chunk(4, 1)
        self.scaled1, self.scaled = torch.empty(n, width), torch.empty(n, 2 * width)

    def step(self, t: int, out: torch.Tensor) -> None:
        """The logits of all pictures at position t, to ``out`` (B, V); positions come one after the other."""
        torch.index_select(self.canvas, 1, self.places[t], out=self.rows)
        self.policy.put_corner(self.rows)
        self.rows.add_(self.offsets[t])
        context = torch.embedding_bag(self.table, self.flat, self.bags)[0]
        torch.addmm(context, torch.mul(self.hidden1, self.gain1, out=self.scaled1), self.weight1, out=self.gates)
        self._activate(self.cell1, self.hidden1)
        torch.addmm(self.base2, torch.mul(self.hidden, self.gain_both, out=self.scaled), self.weight2, out=self.gates)
        self._activate(self.cell2, self.hidden2)
        if self.owner is None:
            torch.addmm(self.bias, self.hidden2, self.head, out=out)
        else:
            torch.index_select(torch.addmm(self.bias, self.hidden2, self.head), 0, self.owner, out=out)

    def _activate(self, cell: torch.Tensor, hidden: torch.Tensor) -> None:
        """One layer's new state from its gates. tanh(x) = 2 sigmoid(2x) - 1, and PyTorch's sigmoid is five times faster
        than its tanh; so ``cell`` holds twice the cell, ``hidden`` half the hidden state, and the weights make up for it."""
        i, f, o, g = self.parts
        self.gates.sigmoid_()
        cell.mul_(f).addcmul_(i, g, value=4).sub_(i, alpha=2)
        torch.sigmoid(cell, out=hidden).sub_(0.5).mul_(o)

    def put(self, cell: int, tokens: torch.Tensor) -> None:
        """(B,) tokens to a cell of the grid: pictures of one strand that differ there part."""
        if self.owner is not None:
            tokens = self._part(tokens)
        self.canvas.select(1, cell).copy_(tokens)

    def _part(self, tokens: torch.Tensor) -> torch.Tensor:
        """Part strands; return the token of each that there is then."""
        values = len(self.bias)
        distinct, owner = torch.unique(self.owner * values + tokens, return_inverse=True)
        if len(tokens) - len(distinct) < SPARED:
            self._select(self.owner)
            self.owner = None
            return tokens
        if len(distinct) > len(self.canvas):
            self._select(distinct // values)
        self.owner = owner
        return distinct % values

    def _select(self, index: torch.Tensor) -> None:
        """(m,) strands, as often as they are named and in this order, take the place of all."""
        self._place(*(part.index_select(0, index) for part in self.state))

"""A Llama-style transformer policy (Touvron et al. 2023; LlamaGen, Sun et al. 2024, for pictures), small enough to read.

RMSNorm, rotary positions, SwiGLU; core/decoding.py samples over a cache of keys and values. The rotary angles carry row and
column, half of each head's dimensions for each, because a picture's neighbours are near in two directions.

Two things are not Llama's. A label also scales and shifts what every block reads (as in DiT; Peebles and Xie 2023): RL that
must find out what labels mean can hardly bend the network through one token. And classifier-free guidance (Ho and Salimans
2022) is part of the distribution: ``guided`` is the one place that applies it, for sampling and for scoring alike.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from core.decoding import EPS, stepper
from core.policies import LABELS, Policy


def rotary(rows: torch.Tensor, columns: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(T,) rows and columns to (T, size) cosines and signed sines of the rotations (Su et al. 2021).

    Dimension i turns with dimension i + size / 2; the first half of those pairs by the row, the others by the column.
    """
    frequency = 100.0 ** (-torch.arange(size // 4) / (size // 4))
    angle = torch.cat([rows[:, None] * frequency, columns[:, None] * frequency], 1)  # (T, size / 2)
    return torch.cat([angle.cos(), angle.cos()], 1), torch.cat([-angle.sin(), angle.sin()], 1)


def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Turn (..., size) queries or keys by ``rotary``'s cosines and signed sines."""
    return torch.addcmul(x * cosine, x.roll(x.shape[-1] // 2, -1), sine)


def guided(logits: torch.Tensor, guidance: float) -> torch.Tensor:
    """(2B, ...) logits, with the label and then without, to the (B, ...) logits that guidance draws from."""
    label, none = logits.chunk(2)
    return torch.lerp(none, label, guidance)


class Block(nn.Module):
    """Attention, then SwiGLU, each on the normalised stream and added to it."""

    def __init__(self, width: int, heads: int, layers: int):
        super().__init__()
        self.heads = heads
        hidden = 8 * width // 3
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        for layer in (self.out, self.down):  # a deep sum should start small (Radford et al. 2019)
            nn.init.normal_(layer.weight, std=0.02 / (2 * layers) ** 0.5)

    def forward(self, x, rotation, modulation):
        """x (B, T, width); rotation as ``rotary`` has it; modulation (4, B, width): scale and shift of each half's input."""
        batch, length, width = x.shape
        scale1, shift1, scale2, shift2 = modulation[:, :, None]
        qkv = self.qkv(torch.addcmul(shift1, F.rms_norm(x, (width,), None, EPS), scale1))
        query, key, value = qkv.view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # each (B, heads, T, size)
        query, key = rotate(query.float(), *rotation), rotate(key.float(), *rotation)
        with torch.autocast("cpu", enabled=False):  # on a CPU, attention's backward pass in bfloat16 is five times slower
            seen = F.scaled_dot_product_attention(query, key, value.float(), is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        gate, up = self.gate_up(torch.addcmul(shift2, F.rms_norm(x, (width,), None, EPS), scale2)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class TransformerPolicy(Policy):
    """The sequence it reads is the label, then every token but the last; the state at t predicts token t."""

    largest_label = LABELS  # which is none
    portion = 32  # their activations fit a core's cache, which is a fifth faster than 128

    def __init__(self, tokenizer, width: int, layers: int, heads: int, guidance: float = 1.0):
        """
        Args:
            tokenizer: lays the tokens out on a square grid of side ``tokenizer.grid``.
            width: of the stream; divisible by 4 x heads.
            layers, heads: of attention.
            guidance: weight of the label against no label, at least 1; 1 is no guidance, and costs half as much.
        """
        super().__init__(tokenizer)
        if width % (4 * heads):
            raise ValueError(f"width is {width}; it must be divisible by 4 x heads = {4 * heads}.")
        if not (isinstance(guidance, (int, float)) and 1 <= guidance <= 10):  # False for NaN too
            raise ValueError(f"guidance is {guidance!r}; allowed: 1 to 10.")
        self.heads, self.guidance = heads, guidance
        self.label = nn.Parameter(torch.zeros(LABELS, width))
        self.modulation = nn.Parameter(torch.zeros(LABELS, layers * 4 * width))  # added to the scales and shifts below
        self.norms = nn.Parameter(torch.tensor([1.0, 0.0, 1.0, 0.0]).view(1, 4, 1).repeat(layers, 1, width))
        self.embedding = nn.Embedding(tokenizer.vocabulary, width)
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, layers) for _ in range(layers))
        self.norm = nn.RMSNorm(width, EPS)
        self.head = nn.Linear(width, tokenizer.vocabulary, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        # The state at t stands where token t will be drawn.
        place = torch.arange(tokenizer.length)
        cosine, sine = rotary(place // tokenizer.grid, place % tokenizer.grid, width // heads)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)

    def label_inputs(self):
        return [self.label, self.modulation]

    def matrices(self):
        parts = {"qkv": 3, "out": 1, "gate_up": 2, "down": 1}
        return [(getattr(block, name).weight, count) for block in self.blocks for name, count in parts.items()]

    def _label(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B,) labels to what enters at the start (B, width) and at every block (layers, 4, B, width).

        Label 10 is none: nothing is added, as for every label of an unlabelled policy, whose label inputs are zero.
        """
        known = (labels < LABELS).float()[:, None]
        index = labels.clamp(max=LABELS - 1)
        layers, _, width = self.norms.shape
        modulation = (self.modulation[index] * known).view(-1, layers, 4, width) + self.norms
        return self.start + self.label[index] * known, modulation.permute(1, 2, 0, 3)

    def states(self, labels, tokens):
        start, modulation = self._label(labels)
        x = torch.cat([start[:, None], self.embedding(tokens[:, :-1])], 1)
        for block, own in zip(self.blocks, modulation, strict=True):
            x = block(x, (self.cosine, self.sine), own)
        return self.norm(x)

    def readout(self, states):
        return self.head(states).float()

    def _logits(self, labels, tokens):
        if self.guidance == 1:
            return super()._logits(labels, tokens)
        both = torch.cat([labels, torch.full_like(labels, LABELS)])
        return guided(super()._logits(both, tokens.repeat(2, 1)), self.guidance)

    def _generate(self, labels, noise, prefix):
        length, batch, vocabulary = noise.shape
        twice = 1 if self.guidance == 1 else 2
        start, modulation = self._label(labels if twice == 1 else torch.cat([labels, torch.full_like(labels, LABELS)]))
        step, embedding = stepper(self, modulation.contiguous().numpy()), self.embedding.weight.detach().numpy()
        tokens, logits = np.empty((batch, length), np.int64), np.empty((length, batch, vocabulary), np.float32)
        x, noise = start.numpy(), noise.numpy()
        tokens[:, : prefix.shape[1]] = prefix.numpy()
        for t in range(length):
            logits[t] = step(x, t) if twice == 1 else guided(torch.from_numpy(step(x, t)), self.guidance)
            if t >= prefix.shape[1]:
                tokens[:, t] = (logits[t] + noise[t]).argmax(1)
            x = embedding[tokens[:, t] if twice == 1 else np.tile(tokens[:, t], 2)]
        return torch.from_numpy(tokens), torch.from_numpy(logits).transpose(0, 1)

"""A Llama-style transformer policy (Touvron et al. 2023; LlamaGen, Sun et al. 2024, for pictures), small enough to read.

RMSNorm, rotary positions, SwiGLU, and a cache of keys and values for sampling. The rotary angles carry row and column, half
of each head's dimensions for each, because a picture's neighbours are near in two directions.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from core.policies import LABELS, Policy


def rotary(rows: torch.Tensor, columns: torch.Tensor, size: int) -> torch.Tensor:
    """(T,) rows and columns to (T, size / 2) complex rotations (Su et al. 2021), half for each direction."""
    frequency = 100.0 ** (-torch.arange(size // 4) / (size // 4))
    angle = torch.cat([rows[:, None] * frequency, columns[:, None] * frequency], 1)
    return torch.polar(torch.ones_like(angle), angle)


def rotate(x: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    """Turn (B, heads, T, size) queries or keys by (T, size / 2) complex rotations."""
    turned = torch.view_as_complex(x.unflatten(-1, (-1, 2))) * rotation
    return torch.view_as_real(turned).flatten(-2)


class Block(nn.Module):
    """Attention, then SwiGLU, each on the normalised stream and added to it."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        hidden = 8 * width // 3
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x, rotation, cache=None):
        """x (B, T, width). With a cache (keys, values, t) x is the one token at t, and attends to all before it."""
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, T, size)
        query, key = rotate(query, rotation), rotate(key, rotation)
        if cache is None:
            seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            keys, values, t = cache
            keys[:, :, t], values[:, :, t] = key[:, :, 0], value[:, :, 0]
            seen = F.scaled_dot_product_attention(query, keys[:, :, : t + 1], values[:, :, : t + 1])
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class TransformerPolicy(Policy):
    """The sequence it reads is the label, then every token but the last; the state at t predicts token t."""

    def __init__(self, tokenizer, width: int, layers: int, heads: int):
        """
        Args:
            tokenizer: lays the tokens out on a square grid of side ``tokenizer.grid``.
            width: of the stream; divisible by 4 x heads.
            layers, heads: of attention.
        """
        super().__init__(tokenizer)
        if width % (4 * heads):
            raise ValueError(f"width is {width}; it must be divisible by 4 x heads = {4 * heads}.")
        self.heads = heads
        self.label = nn.Parameter(torch.zeros(LABELS, width))
        self.embedding = nn.Embedding(tokenizer.vocabulary, width)
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, tokenizer.vocabulary, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        for block in self.blocks:  # a deep sum should start small (Radford et al. 2019)
            for layer in (block.out, block.down):
                nn.init.normal_(layer.weight, std=0.02 / (2 * layers) ** 0.5)
        # The state at t stands where token t will be drawn.
        place = torch.arange(tokenizer.length)
        turn = rotary(place // tokenizer.grid, place % tokenizer.grid, width // heads)
        self.register_buffer("rotation", turn, persistent=False)

    def label_inputs(self):
        return [self.label]

    def states(self, labels, tokens):
        start = (self.start + self.label[labels])[:, None]
        x = torch.cat([start, self.embedding(tokens[:, :-1])], 1)
        for block in self.blocks:
            x = block(x, self.rotation)
        return self.norm(x)

    def readout(self, states):
        return self.head(states).float()

    def _generate(self, labels, noise, prefix):
        length, batch, vocabulary = noise.shape
        size = len(self.start) // self.heads
        caches = [torch.empty(2, batch, self.heads, length, size) for _ in self.blocks]
        tokens = torch.empty(batch, length, dtype=torch.int64)
        logits = torch.empty(length, batch, vocabulary)
        x = (self.start + self.label[labels])[:, None]
        for t in range(length):
            for block, (keys, values) in zip(self.blocks, caches, strict=True):
                x = block(x, self.rotation[t : t + 1], (keys, values, t))
            logits[t] = self.readout(self.norm(x))[:, 0]
            tokens[:, t] = prefix[:, t] if t < prefix.shape[1] else (logits[t] + noise[t]).argmax(1)
            x = self.embedding(tokens[:, t : t + 1])
        return tokens, logits.transpose(0, 1)

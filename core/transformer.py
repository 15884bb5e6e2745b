"""A Llama-style transformer policy (Touvron et al. 2023; LlamaGen, Sun et al. 2024, for pictures), small
enough to read: RMSNorm, rotary positions, SwiGLU, and a cache of keys and values for sampling.

The rotary angles encode row and column, each in half of every head's dimensions, because tokens of a picture
are neighbours in two directions. Scoring runs ``Block`` over whole sequences; sampling has the same
equations written out for one token at a time, and tests/test_policies.py shows that the two agree.

Two more things differ from Llama. A label scales and shifts what every block reads (as in DiT; Peebles and
Xie 2023), and is added at every position: where RL has to discover what labels mean, the gradient on one
token is too weak to change what is drawn. And classifier-free guidance (Ho and Salimans 2022) is part of the
distribution: ``guided`` is the one place that applies it, for sampling and for scoring alike.
"""

import torch
from torch import nn
from torch.nn import functional as F

from core.policies import LABELS, Policy

EPS = 1e-6  # of RMSNorm


def rotary(rows: torch.Tensor, columns: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(T,) rows and columns to (T, size) cosines and signed sines of the rotations (Su et al. 2021).

    Dimensions i and i + size / 2 form a pair that is rotated together: the first half of the pairs by the
    row, the others by the column.
    """
    frequency = 100.0 ** (-torch.arange(size // 4, dtype=torch.float32) / (size // 4))
    angle = torch.cat([rows[:, None] * frequency, columns[:, None] * frequency], 1)  # (T, size / 2)
    return torch.cat([angle.cos(), angle.cos()], 1), torch.cat([-angle.sin(), angle.sin()], 1)


def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotate (..., size) queries or keys by ``rotary``'s cosines and signed sines."""
    return torch.addcmul(x * cosine, x.roll(x.shape[-1] // 2, -1), sine)


def guided(logits: torch.Tensor, guidance: float) -> torch.Tensor:
    """(2B, ...) logits, first with the label and then without, to the (B, ...) guided logits."""
    label, none = logits.chunk(2)
    return torch.lerp(none, label, guidance)


class Block(nn.Module):
    """Attention, then SwiGLU, each on the normalised residual stream and added to it."""

    def __init__(self, width: int, heads: int, layers: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        hidden = 8 * width // 3  # as in Llama
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        for layer in (self.out, self.down):  # many are summed, so each starts small (Radford et al. 2019)
            nn.init.normal_(layer.weight, std=0.02 / (2 * layers) ** 0.5)

    def forward(self, x, rotation, modulation):
        """The block over whole sequences; ``TransformerPolicy._generate`` does the same token by token.

        Args:
            x: (B, T, width).
            rotation: ``rotary``'s cosines and sines, each (T, size).
            modulation: (4, B, 1, width), scale and shift of what attention reads, then of what SwiGLU reads.
        """
        scale1, shift1, scale2, shift2 = modulation
        batch, length, width = x.shape
        qkv = self.qkv(torch.addcmul(shift1, F.rms_norm(x, (width,), None, EPS), scale1))
        query, key, value = qkv.view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key = rotate(query, *rotation), rotate(key, *rotation)  # each (B, heads, T, size)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        read = torch.addcmul(shift2, F.rms_norm(x, (width,), None, EPS), scale2)
        gate, up = self.gate_up(read).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class TransformerPolicy(Policy):
    """Reads a start vector, then every token but the last; the state at position t predicts token t."""

    largest_label = LABELS  # 10 means no label

    def __init__(self, tokenizer, width: int, layers: int, heads: int, guidance: float = 1.0):
        """
        Args:
            tokenizer: lays the tokens out on a square grid of side ``tokenizer.grid``.
            width: of the residual stream; divisible by 4 x heads.
            layers, heads: number of blocks, and of attention heads in each.
            guidance: weight of the label against no label, 1 to 10; 1 is no guidance, and costs half as much.
        """
        super().__init__(tokenizer)
        if heads < 1:
            raise ValueError(f"heads is {heads}; allowed: 1 or more.")
        if width % (4 * heads):
            raise ValueError(f"width is {width}; allowed with {heads} heads: multiples of {4 * heads}.")
        if not (isinstance(guidance, (int, float)) and 1 <= guidance <= 10):  # False for NaN too
            raise ValueError(f"guidance is {guidance!r}; allowed: 1 to 10.")
        self.guidance = guidance
        self.label = nn.Parameter(torch.zeros(LABELS, tokenizer.length, width))  # added at every position
        self.modulation = nn.Parameter(torch.zeros(LABELS, layers * 4 * width))  # added to the norms
        # Of each block: scale 1 and shift 0 of what attention reads, then of what SwiGLU reads.
        self.norms = nn.Parameter(torch.tensor([1.0, 0.0, 1.0, 0.0]).view(1, 4, 1).repeat(layers, 1, width))
        self.embedding = nn.Embedding(tokenizer.vocabulary, width)
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, layers) for _ in range(layers))
        self.norm = nn.RMSNorm(width, EPS)
        self.head = nn.Linear(width, tokenizer.vocabulary, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        # The state at t has the row and column of token t, which it predicts.
        place = torch.arange(tokenizer.length)
        cosine, sine = rotary(place // tokenizer.grid, place % tokenizer.grid, width // heads)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)

    def label_inputs(self):
        return [self.label, self.modulation]

    def _label(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B,) labels to (B, T, width), added to the input, and (layers, 4, B, width), to modulate blocks.

        Label 10 means no label: nothing is added, as for every label while the label inputs are zero.
        """
        labelled = (labels < LABELS).float()
        index = labels.clamp(max=LABELS - 1)
        modulation = self.modulation[index] * labelled[:, None]
        modulation = modulation.view(-1, *self.norms.shape) + self.norms  # (B, layers, 4, width)
        # Scaled down: Adam's steps are equally large everywhere, and their random part costs KL.
        added = self.label[index] * labelled[:, None, None] * self.label.shape[-1] ** -0.5
        return added, modulation.permute(1, 2, 0, 3)

    def _logits(self, labels, tokens):
        if self.guidance != 1:
            labels, tokens = with_and_without(labels), tokens.repeat(2, 1)
        added, modulation = self._label(labels)
        start = self.start.expand(len(labels), 1, -1)
        x = torch.cat([start, self.embedding(tokens[:, :-1])], 1) + added
        for block, own in zip(self.blocks, modulation[:, :, :, None], strict=True):
            x = block(x, (self.cosine, self.sine), own)
        logits = self.head(self.norm(x))
        return logits if self.guidance == 1 else guided(logits, self.guidance)

    def _generate(self, labels, noise, prefix):
        """The blocks written out for one token at a time, over a cache of earlier keys and values.

        At batch 1 the time depends on the number of operations, not on the arithmetic. So features are
        (B, width) rows, and the embedding is the only module that is called.
        """
        logits, tokens = torch.empty_like(noise), []
        both = labels if self.guidance == 1 else with_and_without(labels)
        added, modulation = self._label(both)
        batch, _, width = added.shape
        x = self.start
        heads = self.blocks[0].heads
        caches = added.new_empty(len(self.blocks), 2, batch, heads, len(noise), width // heads)
        # F.rms_norm(x) is root * x / norm(x), where root is the square root of the width, and norm(x) that of
        # sum(x^2) + width * EPS. The scales that follow absorb the root.
        root = width**0.5
        floor = x.new_tensor(root * EPS**0.5)

        def norm(x):
            return torch.hypot(torch.linalg.vector_norm(x, dim=1, keepdim=True), floor)

        modulation[:, ::2] *= root
        scale, head = self.norm.weight * root, self.head.weight.t()
        layers = []
        for block, own, cache in zip(self.blocks, modulation, caches, strict=True):
            linear = (block.qkv, block.out, block.gate_up, block.down)
            layers.append((*(layer.weight.t() for layer in linear), *own, *cache))
        for t, rotation in enumerate(zip(self.cosine, self.sine, strict=True)):
            x = x + added[:, t]
            for to_qkv, to_out, to_gate_up, to_down, scale1, shift1, scale2, shift2, keys, values in layers:
                qkv = (torch.addcmul(shift1, x / norm(x), scale1) @ to_qkv).view(batch, 3 * heads, -1)
                qk = rotate(qkv[:, : 2 * heads], *rotation)
                keys[:, :, t], values[:, :, t] = qk[:, heads:], qkv[:, 2 * heads :]
                query = qk[:, :heads, None]
                seen = F.scaled_dot_product_attention(query, keys[:, :, : t + 1], values[:, :, : t + 1])
                x = torch.addmm(x, seen.view(batch, width), to_out)
                gate, up = (torch.addcmul(shift2, x / norm(x), scale2) @ to_gate_up).chunk(2, 1)
                x = torch.addmm(x, F.silu(gate) * up, to_down)
            found = (x / norm(x) * scale) @ head
            found = found if self.guidance == 1 else guided(found, self.guidance)
            logits[t] = found
            tokens.append(prefix[:, t] if t < prefix.shape[1] else (found + noise[t]).argmax(1))
            x = self.embedding(tokens[t] if self.guidance == 1 else tokens[t].repeat(2))
        return torch.stack(tokens, 1), logits.transpose(0, 1)


def with_and_without(labels: torch.Tensor) -> torch.Tensor:
    """(B,) labels to (2B,): the labels, then "no label" for each."""
    return torch.cat([labels, torch.full_like(labels, LABELS)])

"""An LSTM policy: two ``nn.LSTM`` layers over the tokens in raster order (Hochreiter and Schmidhuber 1997).

Scoring runs ``nn.LSTM`` over whole sequences. Sampling has to stop after every token, so it runs the same
weights through ``torch.lstm_cell``, token by token; tests/test_policies.py shows that the two agree.
"""

import torch
from torch import nn

from core.policies import LABELS, Policy

EDGE = 2  # rows and columns of padding around the picture; neighbours are at most this far away


def modulate(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """How a label changes features (FiLM; Perez et al. 2018, equation 2); zeros leave them unchanged."""
    return x * (1 + scale) + shift


class LSTMPolicy(Policy):
    """Two LSTM layers over a square grid of tokens.

    At each step the first layer reads a sum of embeddings: of the tokens around the one to be drawn (left,
    above, ...) and of its position. In raster order the pixel above is a whole row back; reading it directly
    spares the recurrence from remembering it. Neighbours outside the picture have a value of their own.

    The label scales and shifts what each layer and the readout receive, and sets both layers' initial states.
    It also has an embedding for each position: where RL has to discover what labels mean, the gradient on a
    single embedding is too weak to change what is drawn.
    """

    NEIGHBOURS = ((0, -1), (0, -2), (-1, 0), (-1, -1), (-1, 1), (-1, 2), (-2, 0))  # rows down, columns right

    def __init__(self, tokenizer, width: int):
        """``width``: hidden units of each layer (H)."""
        super().__init__(tokenizer)
        self.width = width
        values, side = tokenizer.vocabulary + 1, tokenizer.grid + 2 * EDGE
        # One table of embeddings per neighbour (K of them), stacked; the bag sums one row of each.
        self.neighbours = nn.EmbeddingBag(len(self.NEIGHBOURS) * values, width, mode="sum")
        self.position = nn.Parameter(torch.zeros(tokenizer.length, width))
        self.layer1 = nn.LSTM(width, width)
        self.layer2 = nn.LSTM(width, width)
        self.head = nn.Linear(width, tokenizer.vocabulary)
        # Ten parts: scale and shift of three inputs (both layers' and the readout's), and the initial hidden
        # and cell states of both layers.
        self.label = nn.Parameter(torch.zeros(LABELS, 10, width))
        self.label_position = nn.Parameter(torch.zeros(LABELS, tokenizer.length, width))
        nn.init.normal_(self.neighbours.weight, std=0.3)
        with torch.no_grad():  # open forget gates: remember by default (Jozefowicz et al. 2015)
            for layer in (self.layer1, self.layer2):
                layer.bias_ih_l0[width : 2 * width] = 1.0
        t = torch.arange(tokenizer.length)
        row, column = t // tokenizer.grid + EDGE, t % tokenizer.grid + EDGE
        places = [(row + down) * side + column + right for down, right in self.NEIGHBOURS]
        # The grid cell of each token (T,), those of its neighbours (T, K), and where each neighbour's table
        # begins (K,). A 2x2 picture with its edge is 6x6 cells; its tokens are in cells 14, 15, 20 and 21.
        self.register_buffer("cell", row * side + column, persistent=False)
        self.register_buffer("neighbour_cells", torch.stack(places, 1), persistent=False)
        self.register_buffer("offset", torch.arange(len(self.NEIGHBOURS)) * values, persistent=False)

    def label_inputs(self):
        return [self.label, self.label_position]

    def _canvas(self, batch: int) -> torch.Tensor:
        """(B, cells) the empty grid with its edge: every cell holds V, a value that no token has."""
        side = self.tokenizer.grid + 2 * EDGE
        return torch.full((batch, side * side), self.tokenizer.vocabulary, device=self.cell.device)

    def _label(self, labels: torch.Tensor):
        """(B,) labels to three (scale, shift) and two initial (hidden, cell) pairs of (B, H) tensors."""
        parts = self.label[labels].transpose(0, 1).contiguous()  # cuDNN needs contiguous states
        return [tuple(pair) for pair in parts.split(2)]

    def _logits(self, labels, tokens):
        batch, length = tokens.shape
        canvas = self._canvas(batch)
        canvas[:, self.cell] = tokens
        # (T, B, K), all tokens at once: each neighbour is earlier in raster order, or in the edge.
        rows = canvas[:, self.neighbour_cells.T].permute(2, 0, 1) + self.offset
        x = self.neighbours(rows.flatten(0, 1)).view(length, batch, -1) + self.position[:, None]
        x = x + self.label_position[labels].transpose(0, 1)
        input1, input2, output, state1, state2 = self._label(labels)
        x, _ = self.layer1(modulate(x, *input1), (state1[0][None], state1[1][None]))
        x, _ = self.layer2(modulate(x, *input2), (state2[0][None], state2[1][None]))
        return self.head(modulate(x, *output)).transpose(0, 1)

    def _generate(self, labels, noise, prefix):
        length, batch, _ = noise.shape
        canvas = self._canvas(batch)
        logits = torch.empty_like(noise)
        input1, input2, output, state1, state2 = self._label(labels)
        weights1, weights2 = self.layer1.all_weights[0], self.layer2.all_weights[0]
        for t in range(length):
            x = self.neighbours(canvas[:, self.neighbour_cells[t]] + self.offset) + self.position[t]
            x = x + self.label_position[labels, t]
            state1 = torch.lstm_cell(modulate(x, *input1), state1, *weights1)
            state2 = torch.lstm_cell(modulate(state1[0], *input2), state2, *weights2)
            logits[t] = self.head(modulate(state2[0], *output))
            token = prefix[:, t] if t < prefix.shape[1] else (logits[t] + noise[t]).argmax(1)
            canvas[:, self.cell[t]] = token
        return canvas[:, self.cell], logits.transpose(0, 1)

"""Autoregressive policies: p(token | label, earlier tokens).

Everything that reinforcement learning needs of a policy is here, once: ``distribution`` turns logits into the
log-probabilities of the distribution that is sampled from, and both ``sample`` and the scoring pass go through it. So the
probabilities that are optimised are those of the sampler: same temperature, first token included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from core.lstm import recurrence
from core.strands import Strands
from core.tokenizers import check_tokens

LABELS = 10


@dataclass
class Rollout:
    """Generated samples, and the distributions that they were drawn from."""

    tokens: torch.Tensor  # (B, T) int64
    distributions: torch.Tensor  # (B, T, V) float32: log-probabilities of every token that might have been drawn

    @property
    def log_probs(self) -> torch.Tensor:
        """(B, T) float32: of the tokens that were drawn."""
        return gather(self.distributions, self.tokens)


def distribution(logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """(..., V) logits to (..., V) log-probabilities at a temperature: the one definition of what a policy samples from."""
    return F.log_softmax(logits if temperature == 1.0 else logits / temperature, dim=-1)


def gather(log_probs: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """(B, T, V) log-probabilities and (B, T) tokens to the (B, T) log-probabilities of those tokens."""
    return log_probs.gather(-1, tokens[..., None]).squeeze(-1)


def portions(model, labels: torch.Tensor, tokens: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(B,) labels and (B, T) tokens, as many at a time as are best for a policy or a critic (see Policy.portion)."""
    return zip(labels.split(model.portion), tokens.split(model.portion), strict=True)


def check_labels(labels: torch.Tensor, most: int = LABELS - 1) -> None:
    """Raise, in words, unless ``labels`` is (B,) int64 in [0, most] with B >= 1."""
    if not isinstance(labels, torch.Tensor) or labels.dtype != torch.int64 or labels.ndim != 1 or not len(labels):
        kind = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, torch.Tensor) else type(labels).__name__
        raise ValueError(f"labels are {kind}; expected a non-empty (B,) tensor of torch.int64.")
    if not (0 <= int(labels.min()) and int(labels.max()) <= most):
        raise ValueError(f"labels range from {int(labels.min())} to {int(labels.max())}; allowed: 0 to {most}.")


class Policy(nn.Module):
    """What the two policies share: checks, the sampling contract, and the scoring pass."""

    largest_label = LABELS - 1
    portion = 1024  # pictures to learn from at a time: a recurrence is faster the more there are

    def __init__(self, tokenizer):
        super().__init__()
        self.tokenizer = tokenizer
        if isinstance(tokenizer, nn.Module):  # then it travels with the policy, and is never trained with it
            tokenizer.requires_grad_(False)

    def logits(self, labels: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Teacher-forced logits at temperature 1: entry t has seen the label and tokens before t, not t itself.

        Args:
            labels: (B,) int64 in [0, 10). A transformer knows label 10 as well: none.
            tokens: (B, T) int64 in [0, V).

        Returns:
            (B, T, V) float32.
        """
        check_labels(labels, self.largest_label)
        check_tokens(tokens, self.tokenizer.length, self.tokenizer.vocabulary)
        return self._logits(labels, tokens)

    def log_probs(self, labels: torch.Tensor, tokens: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """(B, T, V) log-probabilities of every token at every position, of the distribution that ``sample`` draws from."""
        return distribution(self.logits(labels, tokens), temperature)

    def sample(
        self,
        labels: torch.Tensor,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        prefix: torch.Tensor | None = None,
    ) -> Rollout:
        """Draw one sample a label.

        Args:
            labels: (B,) int64 in [0, 10), for a transformer also 10: none.
            temperature: above 0 and at most 10; 1 is the policy itself.
            generator: where the randomness comes from; None is PyTorch's global generator.
            prefix: (B, P) int64, P <= T: tokens that are given and are not drawn; the policy completes them.

        Returns:
            Rollout; over the prefix, ``log_probs`` holds the log-probabilities of the given tokens.
        """
        check_labels(labels, self.largest_label)
        if not (isinstance(temperature, (int, float)) and 0 < temperature <= 10):  # False for NaN too
            raise ValueError(f"temperature is {temperature!r}; allowed: above 0 and at most 10.")
        length, vocabulary = self.tokenizer.length, self.tokenizer.vocabulary
        if prefix is None:
            prefix = labels.new_empty(len(labels), 0)
        if not isinstance(prefix, torch.Tensor) or prefix.ndim != 2 or prefix.shape[1] > length:
            raise ValueError(f"prefix must be a (B, P) tensor with P at most {length}.")
        check_tokens(prefix, prefix.shape[1], vocabulary)
        if len(prefix) != len(labels):
            raise ValueError(f"prefix holds {len(prefix)} rows for {len(labels)} labels; expected one each.")
        with torch.inference_mode():
            # Gumbel-max (Gumbel 1954): the argmax of logits + noise is a draw from their softmax. Drawn once, for all steps.
            noise = torch.empty(length, len(labels), vocabulary).exponential_(generator=generator).log_().neg_()
            tokens, logits = self._generate(labels, noise.mul_(temperature), prefix)
            distributions = distribution(logits, temperature)
        # Clones, because inference tensors can take no part in training.
        return Rollout(tokens.clone(), distributions.clone())

    def label_inputs(self) -> list[nn.Parameter]:
        """The parameters through which a label enters: zero, hence equal for all labels, until labels are learned."""
        raise NotImplementedError

    def blind(self) -> bool:
        """Whether it draws the same for every label, as it does until labels are learned."""
        return not any(parameter.any() for parameter in self.label_inputs())

    def matrices(self) -> list[tuple[nn.Parameter, int]]:
        """The products between hidden units that Muon may train, each with how many lie in it one below the other."""
        raise NotImplementedError

    def states(self, labels: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T, H): what the policy knows before it draws each token."""
        raise NotImplementedError

    def readout(self, states: torch.Tensor) -> torch.Tensor:
        """(..., H) states to (..., V) logits."""
        raise NotImplementedError

    def _logits(self, labels, tokens) -> torch.Tensor:
        """``logits``, the arguments checked."""
        return self.readout(self.states(labels, tokens))

    def _generate(self, labels, noise, prefix) -> tuple[torch.Tensor, torch.Tensor]:
        """(T, B, V) noise that already carries the temperature, to tokens (B, T) and logits (B, T, V)."""
        raise NotImplementedError


class LSTMPolicy(Policy):
    """Two LSTM layers over a grid of tokens.

    At each step the first layer receives a sum of embeddings, already as wide as its gates: the tokens next to the one to
    be drawn (left, above, ...), its position, and the label. Raster order hides the pixel above eight steps in the past;
    handing it over costs a table look-up and saves the recurrence from remembering it. Left and above may be looked up
    together as well: what they mean together is no sum, and a look-up does what a narrower layer then need not. The start
    is the label: outside the picture the neighbours are a value of their own ("edge"), which is no gray level.
    """

    NEIGHBOURS = ((0, -1), (0, -2), (-1, 0), (-1, -1), (-1, 1), (-1, 2), (-2, 0))  # rows down, columns right
    LEFT, ABOVE, CORNER = 0, 2, len(NEIGHBOURS)  # columns of ``place``; the corner is left and above together

    def __init__(self, tokenizer, width: int, corner: bool = False):
        """
        Args:
            tokenizer: lays the tokens out on a square grid of side ``tokenizer.grid``.
            width: hidden units of each layer (H).
            corner: whether left and above are looked up together as well.
        """
        super().__init__(tokenizer)
        self.width, self.corner = width, corner
        values, grid = tokenizer.vocabulary + 1, tokenizer.grid
        pairs = values**2 if corner else 0
        rows = self.CORNER * values + pairs + tokenizer.length
        self.context = nn.Parameter(torch.randn(rows, 4 * width) * 0.1)
        self.label = nn.Parameter(torch.zeros(LABELS, 8 * width))  # gates of layer 1, gates of layer 2
        # The label also scales what the three products below read, unit by unit (FiLM; Perez et al. 2018): RL that learns
        # what labels mean has to bend the recurrence itself, and through the biases alone it can hardly reach it.
        self.gain = nn.Parameter(torch.zeros(LABELS, 3 * width))
        self.recurrent1 = nn.Parameter(torch.randn(width, 4 * width) / width**0.5)
        self.between = nn.Parameter(torch.randn(width, 4 * width) / width**0.5)
        self.recurrent2 = nn.Parameter(torch.randn(width, 4 * width) / width**0.5)
        self.bias2 = nn.Parameter(torch.zeros(4 * width))
        self.head = nn.Linear(width, tokenizer.vocabulary)
        with torch.no_grad():  # remember by default (Jozefowicz et al. 2015)
            self.bias2[width : 2 * width] = 1.0
            self.context[-tokenizer.length :, width : 2 * width] += 1.0
        # Where on the canvas a position's neighbours stand, zeros and the label; and which rows of the table they name.
        t = torch.arange(tokenizer.length)
        row, column, zero = t // grid, t % grid, torch.full_like(t, (grid + 4) ** 2)
        place = [(row + 2 + down) * (grid + 4) + column + 2 + right for down, right in self.NEIGHBOURS]
        zeros = [zero, zero] if corner else [zero]  # for the corner, which is put in, and for the position
        self.register_buffer("place", torch.stack([*place, *zeros, zero + 1], 1), persistent=False)  # (T, K)
        first = [torch.full_like(t, k * values) for k in range(self.CORNER + corner)]
        offset = torch.stack([*first, rows - tokenizer.length + t, torch.full_like(t, rows)], 1)
        self.register_buffer("offset", offset, persistent=False)  # (T, K), to be added to what stands there
        home = (row + 2) * (grid + 4) + column + 2
        self.register_buffer("home", home, persistent=False)  # (T,)

    def label_inputs(self):
        return [self.label, self.gain]

    def matrices(self):
        # The four gates that lie side by side in each are one matrix to Muon: taken apart, they learned no faster.
        return [(self.recurrent1, 1), (self.between, 1), (self.recurrent2, 1)]

    def table(self) -> torch.Tensor:
        """Rows of the first layer's input: neighbours, corners, positions, labels."""
        return torch.cat([self.context, self.label[:, : 4 * self.width]])

    def canvas(self, labels: torch.Tensor) -> torch.Tensor:
        """(B, cells) an empty grid, two more rows and columns on each side, all of it edge; then a zero and the label."""
        side = self.tokenizer.grid + 4
        grid = torch.full((len(labels), side * side), self.tokenizer.vocabulary, dtype=torch.int64)
        return torch.cat([grid, torch.zeros_like(labels)[:, None], labels[:, None]], 1)

    def put_corner(self, rows: torch.Tensor) -> None:
        """In (..., K) what stands at ``place``: left and above as one number into the corner's column, if there is one."""
        if self.corner:
            left, above, corner = (rows.select(-1, k) for k in (self.LEFT, self.ABOVE, self.CORNER))
            torch.add(above, left, alpha=self.tokenizer.vocabulary + 1, out=corner)

    def states(self, labels, tokens):
        batch, length = tokens.shape
        canvas = self.canvas(labels)
        canvas[:, self.home] = tokens
        # A neighbour that comes later in raster order has not been drawn: only edge cells may stand there.
        rows = canvas[:, self.place.t()].permute(2, 0, 1)  # (T, B, K)
        self.put_corner(rows)
        rows = (rows + self.offset[:, None]).flatten(0, 1)
        inputs = F.embedding_bag(rows, self.table(), mode="sum").view(length, batch, -1)
        gain1, gain12, gain2 = (1 + self.gain[labels]).chunk(3, 1)
        hidden = recurrence(inputs, self.recurrent1, gain1)
        inputs = (hidden * gain12) @ self.between.to(hidden.dtype) + (self.bias2 + self.label[labels, 4 * self.width :])
        return recurrence(inputs.float(), self.recurrent2, gain2).transpose(0, 1)

    def readout(self, states):
        return self.head(states).float()

    def _generate(self, labels, noise, prefix):
        length, batch, vocabulary = noise.shape
        tokens, logits = torch.empty(length, batch, dtype=torch.int64), torch.empty(length, batch, vocabulary)
        tokens[: prefix.shape[1]] = prefix.t()
        strands, score = Strands(self, labels), torch.empty(batch, vocabulary)
        for t, (home, token, logit) in enumerate(zip(self.home.tolist(), tokens, logits, strict=True)):
            strands.step(t, out=logit)
            if t >= prefix.shape[1]:
                torch.argmax(torch.add(logit, noise[t], out=score), 1, out=token)
            strands.put(home, token)
        return tokens.t(), logits.transpose(0, 1)

"""Autoregressive policies: p(token | label, earlier tokens).

Everything that reinforcement learning needs from a policy is defined here, once. ``distribution`` turns
logits into log-probabilities, and both ``sample`` and the scoring pass go through it. So the probabilities
that are optimised are those that tokens are sampled from: at the same temperature, and with the first token
included.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from core.tokenizers import check_tokens

LABELS = 10


@dataclass
class Rollout:
    """Generated samples, and the distributions that they were drawn from."""

    tokens: torch.Tensor  # (B, T) int64
    distributions: torch.Tensor  # (B, T, V) float32: log-probabilities of all values of each token

    @property
    def log_probs(self) -> torch.Tensor:
        """(B, T) float32: the log-probabilities of ``tokens``."""
        return gather(self.distributions, self.tokens)


def distribution(logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """(..., V) logits to (..., V) log-probabilities: the one definition of what a policy samples from."""
    return F.log_softmax(logits / temperature, dim=-1)


def gather(log_probs: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """(B, T, V) log-probabilities and (B, T) tokens to the (B, T) log-probabilities of those tokens."""
    return log_probs.gather(-1, tokens[..., None]).squeeze(-1)


def check_labels(labels: torch.Tensor, largest: int = LABELS - 1) -> None:
    """Raise ValueError unless ``labels`` is (B,) int64 in [0, largest] with B >= 1."""
    if not isinstance(labels, torch.Tensor):
        raise ValueError(f"labels are {type(labels).__name__}; expected a (B,) tensor of torch.int64.")
    if labels.dtype != torch.int64 or labels.ndim != 1 or not len(labels):
        found = f"{labels.dtype} {tuple(labels.shape)}"
        raise ValueError(f"labels are {found}; expected a non-empty (B,) tensor of torch.int64.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > largest:
        raise ValueError(f"labels range from {low} to {high}; allowed: 0 to {largest}.")


def check_temperature(temperature: float) -> None:
    """Raise ValueError unless it is a number that logits can be divided by."""
    if not (isinstance(temperature, (int, float)) and 1e-6 <= temperature <= 10):  # False for NaN too
        raise ValueError(f"temperature is {temperature!r}; allowed: from 1e-6 to 10.")


class Policy(nn.Module):
    """What the two policies share: checks, the sampling contract, and the scoring pass."""

    largest_label = LABELS - 1

    def __init__(self, tokenizer):
        super().__init__()
        self.tokenizer = tokenizer
        if isinstance(tokenizer, nn.Module):  # saved and moved with the policy, but never trained with it
            tokenizer.requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where its weights are, hence where labels and tokens have to be."""
        return next(self.parameters()).device

    def logits(self, labels: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Teacher-forced logits at temperature 1: entry t has seen the label and the tokens before t.

        Args:
            labels: (B,) int64 in [0, 10). A transformer also takes 10, which means no label.
            tokens: (B, T) int64 in [0, V).

        Returns:
            (B, T, V) float32.
        """
        check_labels(labels, self.largest_label)
        check_tokens(tokens, self.tokenizer.length, self.tokenizer.vocabulary)
        if len(tokens) != len(labels):
            raise ValueError(f"tokens hold {len(tokens)} rows for {len(labels)} labels; expected one each.")
        return self._logits(labels, tokens)

    def log_probs(self, labels: torch.Tensor, tokens: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """(B, T, V) log-probabilities of every value at every position, as ``sample`` draws from them."""
        check_temperature(temperature)
        return distribution(self.logits(labels, tokens), temperature)

    def sample(
        self,
        labels: torch.Tensor,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        prefix: torch.Tensor | None = None,
    ) -> Rollout:
        """Draw one sample per label.

        Args:
            labels: (B,) int64 in [0, 10); for a transformer also 10, which means no label.
            temperature: from 1e-6 to 10; 1 is the policy itself.
            generator: the source of randomness, on the labels' device; None means PyTorch's global one.
            prefix: (B, P) int64, P <= T: tokens that are given and not drawn; the policy completes them.

        Returns:
            Rollout; over the prefix, ``log_probs`` holds the log-probabilities of the given tokens.
        """
        check_labels(labels, self.largest_label)
        check_temperature(temperature)
        length, vocabulary = self.tokenizer.length, self.tokenizer.vocabulary
        if prefix is None:
            prefix = labels.new_empty(len(labels), 0)
        if not isinstance(prefix, torch.Tensor) or prefix.ndim != 2 or prefix.shape[1] > length:
            raise ValueError(f"prefix must be a (B, P) tensor with P at most {length}.")
        check_tokens(prefix, prefix.shape[1], vocabulary)
        if len(prefix) != len(labels):
            raise ValueError(f"prefix holds {len(prefix)} rows for {len(labels)} labels; expected one each.")
        with torch.inference_mode():
            # Gumbel-max (Gumbel 1954): argmax(logits + temperature * g) is a draw from softmax(logits /
            # temperature), where g is -log of an exponential. Drawing the noise for all tokens at once takes
            # one call, and gives two policies with the same seed the same noise.
            shape = (length, len(labels), vocabulary)
            noise = torch.empty(shape, dtype=torch.float32, device=labels.device)
            noise.exponential_(generator=generator).log_().mul_(-temperature)
            tokens, logits = self._generate(labels, noise, prefix)
            distributions = distribution(logits, temperature)
        # Cloned, because inference tensors cannot be used in training.
        return Rollout(tokens.clone(), distributions.clone())

    def label_inputs(self) -> list[nn.Parameter]:
        """The parameters through which a label enters: all zero, so labels are alike, until learned."""
        raise NotImplementedError

    def ignores_labels(self) -> bool:
        """Whether it draws the same for every label, as it does until labels are learned."""
        return not any(parameter.any() for parameter in self.label_inputs())

    def _logits(self, labels, tokens) -> torch.Tensor:
        """``logits``, for arguments that have been checked."""
        raise NotImplementedError

    def _generate(self, labels, noise, prefix) -> tuple[torch.Tensor, torch.Tensor]:
        """(T, B, V) noise, already times the temperature, to (B, T) tokens and (B, T, V) logits."""
        raise NotImplementedError

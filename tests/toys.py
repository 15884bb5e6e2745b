"""Small policies, a stand-in for a classifier, and real digits: all without a download."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import torch

from core.configs import ClassifierConfig, PretrainConfig, RLConfig, TokenizerConfig
from core.lstm import LSTMPolicy
from core.recipes import PATCHES, PATCHES_REFINE, Run, staircase
from core.tokenizers import PixelTokenizer
from core.transformer import TransformerPolicy

# patches-28x28 in small: what the tests train from nothing.
TINY_PATCHES = dataclasses.replace(
    PATCHES,
    name="tiny-patches",
    size=12,
    shape={"width": 32, "layers": 2, "heads": 2},
    tokenizer=TokenizerConfig(codes=16, dim=4, channels=8, steps=120, lr=5e-3, decay=0.9),
    unlabelled=PretrainConfig(steps=150, lr=5e-3, warmup=10),
    labelled=PretrainConfig(steps=150, lr=5e-3, warmup=10, drop=0.1),
    classifier=ClassifierConfig(width=16, epochs=3),
    judge=ClassifierConfig(width=16, epochs=3),
    tasks={
        "steer": staircase(RLConfig(steps=20, group=16, lr=2e-3, label_lr=10, beta=0.05)),
        "refine": {
            **staircase(RLConfig(steps=12, group=16, lr=1e-3, beta=0.05, guidance=1.5)),
            "realism": Run(
                algorithm=PATCHES.tasks["refine"]["grpo"].algorithm,
                config=dataclasses.replace(PATCHES_REFINE, steps=8, group=8),
                says="paid for realism alone",
                rewards={"realism": 1.0},
            ),
        },
    },
)


def make_policy(kind: str, size: int = 2, levels: int = 2, seed: int = 0):
    """A "transformer" or an "lstm" with random weights, label inputs included."""
    tokenizer = PixelTokenizer(size, levels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "transformer":
            policy = TransformerPolicy(tokenizer, 16, layers=2, heads=2)
        else:
            policy = LSTMPolicy(tokenizer, 6)
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.add_(0.4 * torch.randn_like(parameter))
    return policy.eval()


def real_digits() -> tuple[torch.Tensor, torch.Tensor]:
    """A thousand training digits at 4x4, see data/make_mnist_4x4.py: (1000, 1, 4, 4) and (1000,)."""
    found = np.load(Path(__file__).parent / "data" / "mnist-4x4.npz")
    tokens = found["packed"][:, :, None] >> np.array([0, 2, 4, 6]) & 3
    return torch.tensor(tokens[:, None]).float() / 3, torch.tensor(found["labels"]).long()


def example_of_the_guide(marked: str) -> str:
    """The first piece of Python in CONTRIBUTING.md that holds some words."""
    guide = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return next(part for part in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if marked in part)


class Brightness(torch.nn.Module):
    """Stands in for a classifier: believes in label 1 as far as a picture is bright at its top."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = images.new_zeros(len(images), 10)
        logits[:, 1] = 6 * images[:, 0, 0].mean(1) - 1
        return logits

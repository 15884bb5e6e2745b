"""The hyperparameters of each kind of training, as frozen dataclasses that refuse values outside sensible
ranges.

core.recipes sets their values for each recipe. Each field is a flag of ``core.train``, and its comment is
that flag's help.
"""

import math
from dataclasses import dataclass


def check_ranges(config, **ranges: tuple[float, float]) -> None:
    """Raise ValueError unless each named field of ``config`` is a number in its range, ends included."""
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        if not isinstance(value, (int, float)) or not low <= value <= high or not math.isfinite(value):
            raise ValueError(f"{name} is {value!r:.40}; allowed: a number from {low:.10g} to {high:.10g}.")


@dataclass(frozen=True)
class PretrainConfig:
    """AdamW (Loshchilov and Hutter 2019) under a warm-up and a cosine decay to zero."""

    steps: int = 3000  # number of updates
    batch: int = 128  # pictures an update
    lr: float = 3e-3  # peak learning rate
    warmup: int = 100  # steps until that peak
    clip: float = 1.0  # largest gradient norm
    strength: float = 0.25  # of the augmentation; without it the 60,000 pictures are memorised too soon
    augmented: float = 0.8  # share of the steps that augment; the last ones see MNIST as it is
    weight_decay: float = 0.0  # of AdamW; 0 is Adam
    drop: float = 0.0  # share of pictures whose label is withheld, for guidance; transformers only

    def __post_init__(self):
        check_ranges(self, steps=(1, 1e6), batch=(1, 10_000), lr=(0, 1), warmup=(1, 1e5), clip=(1e-6, 1e6))
        check_ranges(self, strength=(0, 2), augmented=(0, 1), weight_decay=(0, 10), drop=(0, 1))


@dataclass(frozen=True)
class TokenizerConfig:
    """The VQ-VAE and its training: Adam for the networks, a running average for the codebook."""

    codes: int = 128  # size of the codebook (V)
    dim: int = 16  # numbers in a code
    channels: int = 32  # of the first convolution
    steps: int = 3000  # number of updates
    batch: int = 128  # pictures an update
    lr: float = 2e-3  # peak learning rate
    decay: float = 0.99  # of the codebook's running average
    commitment: float = 0.25  # weight of the distance between an encoder's output and its code
    strength: float = 0.5  # of the augmentation

    def __post_init__(self):
        check_ranges(self, codes=(2, 256), dim=(1, 256), channels=(1, 256), steps=(1, 1e6), batch=(1, 10_000))
        check_ranges(self, lr=(0, 1), decay=(0, 0.99999), commitment=(0, 100), strength=(0, 2))


@dataclass(frozen=True)
class ClassifierConfig:
    """AdamW under a one-cycle schedule; pictures are rotated, scaled, sheared and shifted at random."""

    width: int = 32  # channels of the first convolution
    epochs: int = 14  # passes over its half of MNIST
    batch: int = 128  # pictures an update
    lr: float = 3e-3  # peak learning rate

    def __post_init__(self):
        check_ranges(self, width=(1, 512), epochs=(1, 1000), batch=(2, 10_000), lr=(0, 1))


@dataclass(frozen=True)
class RLConfig:
    """What all algorithms share. Samples per step = digits x group."""

    digits: tuple[int, ...] = tuple(range(10))  # labels that are asked for
    group: int = 32  # samples per label and step (G)
    steps: int = 100  # rounds of sampling
    lr: float = 3e-4  # Adam's learning rate; a warm-up and a linear decay to zero scale it
    label_lr: float = 1.0  # the label inputs' learning rate, as a multiple of lr
    beta: float = 0.05  # weight of the KL to the reference, in reward per nat
    clip: float = 1.0  # largest gradient norm; the ratio is clipped by GRPO's low and high
    average: float = 0.95  # decay of the weights' running average, which is saved; 0 saves the last weights
    temperature: float = 1.0  # of the sampling, and of the distribution that is optimised
    guidance: float = 1.0  # classifier-free guidance, set when the policy is loaded; transformers only
    warmup: int = 5  # steps of the warm-up

    def __post_init__(self):
        check_ranges(self, group=(2, 4096), steps=(1, 1e5), lr=(0, 1), label_lr=(0, 1000), beta=(0, 100))
        check_ranges(self, clip=(1e-6, 1e6), average=(0, 0.9999), temperature=(0.05, 10), warmup=(1, 1e4))
        check_ranges(self, guidance=(1, 10))
        different = set(self.digits)
        if not different or len(different) < len(self.digits) or not different <= set(range(10)):
            raise ValueError(f"digits are {self.digits!r:.40}; allowed: different digits from 0 to 9.")

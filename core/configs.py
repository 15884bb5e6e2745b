"""The hyperparameters of each kind of training, in frozen dataclasses that refuse values which cannot be meant.

What each recipe sets them to is in core.recipes.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.fields import check_fields


@dataclass(frozen=True)
class PretrainConfig:
    """Adam (Kingma and Ba 2015), or Muon with it, under a warm-up and a cosine decay to zero."""

    steps: int = 3000
    batch: int = 128
    lr: float = 3e-3
    matrix_lr: float = 0.0  # Muon's, for the matrices between hidden units; 0: Adam for everything
    warmup: int = 100
    clip: float = 1.0  # largest gradient norm
    strength: float = 0.25  # of the augmentation: without it, 60,000 pictures are learned by heart too soon
    augmented: float = 0.8  # share of the training that augments; the rest sees MNIST as it is
    drop: float = 0.0  # share of pictures whose label is withheld, for guidance; only a transformer can

    def __post_init__(self):
        check_fields(self, steps=(1, 1_000_000), batch=(1, 10_000), lr=(0, 1), warmup=(1, 100_000), clip=(1e-6, 1e6))
        check_fields(self, strength=(0, 2), augmented=(0, 1), drop=(0, 1), matrix_lr=(0, 1))


@dataclass(frozen=True)
class TokenizerConfig:
    """The VQ-VAE and its training: Adam, a codebook that follows by a running average."""

    codes: int = 128  # V
    dim: int = 16  # numbers in a code
    channels: int = 32  # of the first convolution
    steps: int = 3000
    batch: int = 128
    lr: float = 2e-3
    decay: float = 0.99  # of the codebook's running average
    commitment: float = 0.25  # weight of the distance between an encoder's output and its code
    strength: float = 0.5  # of the augmentation

    def __post_init__(self):
        check_fields(self, codes=(2, 4096), dim=(1, 256), channels=(1, 256), steps=(1, 1_000_000), batch=(1, 10_000))
        check_fields(self, lr=(0, 1), decay=(0, 0.99999), commitment=(0, 100), strength=(0, 2))


@dataclass(frozen=True)
class ClassifierConfig:
    """AdamW under a one-cycle schedule, on pictures that are a little turned, scaled and shifted anew each time."""

    width: int = 32
    epochs: int = 14
    batch: int = 128
    lr: float = 3e-3

    def __post_init__(self):
        check_fields(self, width=(1, 512), epochs=(1, 1000), batch=(2, 10_000), lr=(0, 1))


@dataclass(frozen=True)
class RLConfig:
    """What both algorithms share. Samples a step = digits x group."""

    digits: tuple[int, ...] = tuple(range(10))
    group: int = 32  # samples for each digit and step (G)
    steps: int = 200
    lr: float = 3e-4  # Adam; decays linearly to zero
    label_lr: float = 1.0  # the label inputs' learning rate, as a multiple of lr
    beta: float = 0.1  # weight of the KL to the reference, in reward per nat
    ramp: float = 0.0  # share of the run over which beta grows from nothing; 0: the full weight from the start
    clip: float = 1.0  # largest gradient norm
    average: float = 0.95  # decay of the running average of the weights, which is what is kept; 0: the last weights
    reach: float = 1.0  # how far from the start what is kept lies, along the way to that average; see core.rl.train
    temperature: float = 1.0
    keep: int = 0  # samples of each group to learn from, see core.rl.select; 0: all
    warmup: int = 5  # steps until the full learning rate
    memory: float = 0.9  # decay of the running mean of rewards, REINFORCE's baseline

    def __post_init__(self):
        check_fields(
            self,
            **{"group": (2, 4096), "steps": (1, 100_000), "lr": (0, 1), "label_lr": (0, 1000), "beta": (0, 100)},
            **{"clip": (1e-6, 1e6), "average": (0, 0.9999), "temperature": (0.05, 10), "keep": (0, 4096)},
            **{"warmup": (1, 10_000), "memory": (0, 0.9999), "ramp": (0, 1), "reach": (0, 10)},
        )
        if not self.digits or len(set(self.digits)) < len(self.digits) or not set(self.digits) <= set(range(10)):
            raise ValueError(f"digits are {self.digits!r}; allowed: one or more different digits from 0 to 9.")

    def beta_at(self, step: int) -> float:
        """The KL's weight in a step, from 0: first the reward is found, then the price is brought down."""
        return self.beta if self.ramp == 0 else self.beta * min(1.0, (step + 1) / (self.ramp * self.steps))


@dataclass(frozen=True)
class BeforeConfig:
    """What comes before RL, and learns from pictures that the start draws. Rates warm up and decay to zero."""

    pictures: int  # drawn by the start
    steps: int  # of the policy; 0: it learns nothing, only foresight's critic does
    lr: float  # Adam's
    matrix_lr: float  # Muon's learning rate, as a multiple of Adam's; 0: Adam for everything
    sure: float = 0.9  # a picture is of a digit where the classifier's confidence in it is above this
    batch: int = 128
    label_lr: float = 5.0  # the label inputs' learning rate, as a multiple of Adam's
    warmup: int = 20
    clip: float = 1.0  # largest gradient norm

    def __post_init__(self):
        check_fields(self, pictures=(1, 10_000_000), sure=(0, 0.999), batch=(1, 10_000), steps=(0, 1_000_000), lr=(0, 1))
        check_fields(self, matrix_lr=(0, 1000), label_lr=(0, 1000), warmup=(1, 100_000), clip=(1e-6, 1e6))


@dataclass(frozen=True)
class ForesightConfig(BeforeConfig):
    """What labels come to (core.foresight)."""

    pictures: int = 60_000
    steps: int = 800
    lr: float = 1.5e-3
    matrix_lr: float = 2.0
    shades: int = 1  # degrees of sureness that the critic tells apart: failures are few, and degrees teach more than they do
    tied: bool = False  # whether the critic foresees of values that look alike alike, see core.foresight.Critic
    scale: float = 1.0  # power that the critic's word is raised to; 1 is Bayes' rule
    critic_steps: int = 800
    critic_lr: float = 2e-3  # Adam's

    name = "foresight"

    def __post_init__(self):
        super().__post_init__()
        check_fields(self, critic_steps=(1, 1_000_000), critic_lr=(0, 1), shades=(1, 6), scale=(0, 1000))


@dataclass(frozen=True)
class UnlikelihoodConfig(BeforeConfig):
    """What not to draw (core.unlikelihood)."""

    pictures: int = 2_000_000  # one in twenty fails, and what is seen again and again is learned by heart
    steps: int = 1000
    lr: float = 1e-3
    matrix_lr: float = 3.0
    factor: float = 4.0  # on the share of failures; 1 is maximum likelihood on the others
    floor: float = 4.0  # nats by which a failure has become less likely when it is left alone

    name = "unlikelihood"

    def __post_init__(self):
        super().__post_init__()
        check_fields(self, steps=(1, 1_000_000), factor=(0, 1000), floor=(0, 1000))

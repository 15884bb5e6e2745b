"""Every hyperparameter, in frozen dataclasses.

A recipe names one choice of each part: tokenizer -> policy -> rewards -> algorithm. A task says where RL starts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from core.algorithms import GRPO, Reinforce
from core.fields import check_fields

STARTS = {"steer": "unlabelled", "refine": "labelled", "scratch": "random"}


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
class ForesightConfig:
    """Before RL: what labels come to, from the start's own pictures (core.foresight). Rates warm up and decay to zero."""

    pictures: int = 60_000  # drawn by the start
    sure: float = 0.9  # a picture ends in a digit where the classifier's confidence in it is above this, else in none
    shades: int = 1  # degrees of sureness that the critic tells apart: failures are few, and degrees teach more than they do
    tied: bool = False  # whether the critic foresees of values that look alike alike, see core.foresight.Critic
    scale: float = 1.0  # power that the critic's word is raised to; 1 is Bayes' rule
    batch: int = 128
    critic_steps: int = 800
    critic_lr: float = 2e-3  # Adam's
    steps: int = 800  # of the policy
    lr: float = 1.5e-3
    matrix_lr: float = 2.0  # Muon's learning rate, as a multiple of Adam's; 0: Adam for everything
    label_lr: float = 5.0  # the label inputs' learning rate, likewise
    warmup: int = 20
    clip: float = 1.0  # largest gradient norm

    def __post_init__(self):
        check_fields(self, pictures=(1, 10_000_000), sure=(0, 0.999), batch=(1, 10_000), critic_steps=(1, 1_000_000))
        check_fields(self, critic_lr=(0, 1), steps=(1, 1_000_000), lr=(0, 1), matrix_lr=(0, 1000), label_lr=(0, 1000))
        check_fields(self, warmup=(1, 100_000), clip=(1e-6, 1e6), shades=(1, 6), scale=(0, 1000))


@dataclass(frozen=True)
class Ablation:
    """GRPO with something other than its task has it."""

    says: str  # what, in a few words that follow "GRPO"
    rewards: dict[str, float] | None = None
    grpo: GRPO | None = None
    foresight: bool = True  # whether it begins where the task's foresight ended, or at the start


@dataclass(frozen=True)
class Task:
    """How each algorithm is run from a task's start (see STARTS): same start, same number of samples."""

    reinforce: tuple[Reinforce, RLConfig]
    grpo: tuple[GRPO, RLConfig]
    rewards: dict[str, float] = field(default_factory=lambda: {"confidence": 1.0})
    ablations: dict[str, Ablation] = field(default_factory=dict)
    guidances: tuple[float, ...] = ()  # of a start that knows labels and of what RL begins with, to be measured beside them
    guidance: float = 1.0  # of the policy that is kept: trained without, then guided, which costs KL like training does
    foresight: ForesightConfig | None = None  # comes before RL, for both algorithms; the KL is to the start all the same


@dataclass(frozen=True)
class Recipe:
    """One choice of each part, and everything needed to train it from nothing."""

    name: str
    size: int  # height and width of a picture, in pixels
    kind: str  # of policy: "lstm" or "transformer"
    shape: dict[str, int]  # of the policy: width, layers, ...
    unlabelled: PretrainConfig
    labelled: PretrainConfig
    classifier: ClassifierConfig
    judge: ClassifierConfig
    tasks: dict[str, Task]
    levels: int = 0  # gray levels, where tokens are pixels
    tokenizer: TokenizerConfig | None = None  # where tokens are patches
    borrows: str = ""  # a recipe whose classifier and judge this one uses instead of training its own

    @property
    def tokenizer_shape(self) -> dict[str, int]:
        """The numbers that a tokenizer is built from."""
        if self.tokenizer is None:
            return {"size": self.size, "levels": self.levels}
        return {"size": self.size, **{name: getattr(self.tokenizer, name) for name in ("codes", "dim", "channels")}}

    def beginning(self, task: str, ablation: str = "") -> str:
        """The policy that a task's RL, or an ablation of it, begins with: its start, or what foresight made of it."""
        settings = self.tasks[task]
        foreseen = settings.foresight and (not ablation or settings.ablations[ablation].foresight)
        return f"{task}/foresight" if foreseen else STARTS[task]


def _tasks(
    steer: RLConfig, refine: RLConfig, scratch: RLConfig, of_steer: dict | None = None, of_refine: dict | None = None
) -> dict[str, Task]:
    """The three tasks, each with the same configuration, hence the same samples, for both algorithms.

    ``of_steer`` and ``of_refine`` are further fields of those tasks, ``grpo`` among them where it is not GRPO's default.
    """

    def task(config: RLConfig, grpo: GRPO | None = None, **more) -> Task:
        return Task((Reinforce(baseline="none"), config), (grpo or GRPO(), config), **more)

    return {"steer": task(steer, **of_steer or {}), "refine": task(refine, **of_refine or {}), "scratch": task(scratch)}


# Steering one digit at 8x8, fast enough to watch: 128 samples a step, of which 32 teach, and two updates.
ONE_DIGIT = RLConfig(digits=(7,), group=128, keep=32, steps=48, lr=1.5e-3, beta=0.06, ramp=1.0, average=0.9)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            **{"name": "pixels-8x8", "size": 8, "levels": 16, "kind": "lstm", "shape": {"width": 192}},
            # Muon would serve this start as well; the five seeds of RL that ship are of the one that Adam trained.
            unlabelled=PretrainConfig(steps=3500),
            labelled=PretrainConfig(steps=4000, matrix_lr=1e-2),
            classifier=ClassifierConfig(),
            judge=ClassifierConfig(),
            tasks=_tasks(
                steer=RLConfig(
                    **{"steps": 300, "group": 64, "keep": 32, "lr": 3e-4, "label_lr": 40, "beta": 0.08, "ramp": 1.0},
                    **{"average": 0.98, "reach": 1.1},
                ),
                refine=RLConfig(steps=150, group=128, keep=24, lr=1e-4, label_lr=20, beta=0.025, average=0.98),
                scratch=RLConfig(steps=60, group=8, lr=1e-3, beta=0.0),
            ),
        ),
        Recipe(
            **{"name": "tiny-4x4", "size": 4, "levels": 4, "kind": "lstm", "shape": {"width": 32}},
            unlabelled=PretrainConfig(steps=150, lr=1e-2, warmup=10),
            labelled=PretrainConfig(steps=100, lr=1e-2, warmup=10),
            classifier=ClassifierConfig(width=16, epochs=3),
            judge=ClassifierConfig(width=16, epochs=3),
            tasks=_tasks(
                steer=RLConfig(steps=20, group=16, lr=3e-3, label_lr=10, beta=0.05),
                refine=RLConfig(steps=20, group=16, lr=1e-3, beta=0.05),
                scratch=RLConfig(steps=10, group=16, lr=3e-3, beta=0.0),
            ),
        ),
        Recipe(
            **{"name": "patches-28x28", "size": 28, "kind": "transformer"},
            shape={"width": 128, "layers": 4, "heads": 4},
            tokenizer=TokenizerConfig(),
            unlabelled=PretrainConfig(steps=2500, lr=5e-3, matrix_lr=1e-2),
            labelled=PretrainConfig(steps=2500, lr=2e-3, drop=0.1),  # by Adam, as the unlabelled start of pixels-8x8
            classifier=ClassifierConfig(),
            judge=ClassifierConfig(),
            tasks=_tasks(
                # All samples teach, once: a few that stand for the rest make the KL's gradient noisy.
                steer=RLConfig(steps=240, group=48, lr=1.2e-4, label_lr=12, beta=0.07, average=0.97),
                of_steer={
                    **{"grpo": GRPO(updates=1, critic=True), "foresight": ForesightConfig(), "guidances": (2.0,)},
                    **{"ablations": {"group": Ablation("without the critic", grpo=GRPO(updates=1))}, "guidance": 1.2},
                },
                # Few and small steps, and half their way is kept: what foresight found is worth more than what RL adds, and
                # is soon forgotten. How far, and at what guidance, was chosen by the classifier's word: benchmarks.guided.
                refine=RLConfig(steps=60, group=48, lr=4e-5, label_lr=10, beta=0.03, average=0.95, reach=0.5),
                scratch=RLConfig(steps=40, group=8, lr=1e-3, beta=0.0),
                of_refine={
                    "grpo": GRPO(updates=1, critic=True),
                    "foresight": ForesightConfig(
                        **{"pictures": 80_000, "shades": 3, "tied": True, "scale": 8.0, "critic_steps": 1500},
                        **{"steps": 700, "lr": 3e-4, "label_lr": 2.0},
                    ),
                    # The rewards by themselves: foresight heeds the classifier, whatever is paid afterwards.
                    "ablations": {
                        name: Ablation(says, rewards, GRPO(updates=1), foresight=False)
                        for name, says, rewards in (
                            ("direct", "without foresight", None),
                            ("coherence", "without, paid for coherence", {"coherence": 1.0}),
                            ("realism", "without, paid for realism", {"realism": 1.0}),
                            ("all", "without, paid for all", {"confidence": 1.0, "coherence": 0.1, "realism": 0.1}),
                        )
                    },
                    **{"guidances": (1.35, 1.5, 1.7, 2.0, 3.0, 4.0), "guidance": 1.27},
                },
            ),
        ),
        Recipe(
            **{"name": "tiny-patches", "size": 12, "kind": "transformer"},
            shape={"width": 32, "layers": 2, "heads": 2},
            tokenizer=TokenizerConfig(codes=16, dim=4, channels=8, steps=250, lr=5e-3, decay=0.9),
            unlabelled=PretrainConfig(steps=150, lr=5e-3, warmup=10),
            labelled=PretrainConfig(steps=150, lr=5e-3, warmup=10, drop=0.1),
            classifier=ClassifierConfig(width=16, epochs=3),
            judge=ClassifierConfig(width=16, epochs=3),
            tasks=_tasks(
                steer=RLConfig(steps=20, group=16, lr=2e-3, label_lr=10, beta=0.05),
                refine=RLConfig(steps=20, group=16, lr=1e-3, beta=0.05),
                scratch=RLConfig(steps=10, group=16, lr=2e-3, beta=0.0),
                of_steer={
                    "grpo": GRPO(critic=True),
                    "foresight": ForesightConfig(
                        **{"pictures": 2000, "sure": 0.5, "batch": 32, "critic_steps": 40, "critic_lr": 5e-3},
                        **{"steps": 40, "lr": 2e-3, "warmup": 5},
                    ),
                },
                of_refine={
                    "grpo": GRPO(critic=True),
                    "foresight": ForesightConfig(
                        **{"pictures": 2000, "sure": 0.5, "shades": 2, "tied": True, "scale": 2.0, "batch": 32},
                        **{"critic_steps": 100, "critic_lr": 5e-3, "steps": 40, "lr": 2e-3, "warmup": 5},
                    ),
                    "ablations": {
                        "direct": Ablation("without foresight", grpo=GRPO(), foresight=False),
                        "realism": Ablation("paid for realism", {"realism": 1.0}),
                    },
                    **{"guidances": (2.0,), "guidance": 1.5},
                },
            ),
        ),
        # The course guide's own script, as it stands but for its estimator: it left out the first pixel's log-probability.
        Recipe(
            **{"name": "guide-8x8", "size": 8, "levels": 256, "kind": "lstm", "shape": {"width": 128}},
            unlabelled=PretrainConfig(),
            labelled=PretrainConfig(),
            classifier=ClassifierConfig(),
            judge=ClassifierConfig(),
            tasks={
                "scratch": Task(
                    *[
                        (algorithm, RLConfig(digits=(7,), group=16, steps=100, lr=1e-3, beta=0.0, average=0.0, warmup=1))
                        for algorithm in (Reinforce(baseline="none"), GRPO())
                    ],
                )
            },
            borrows="pixels-8x8",
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """A recipe by name. Raises ValueError that lists the names there are."""
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; allowed: {', '.join(RECIPES)}.")
    return RECIPES[name]

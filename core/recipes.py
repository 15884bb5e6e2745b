"""Every recipe: what it is made of, how it is trained, and the hyperparameters of each run.

A recipe names one choice of each part: tokenizer -> policy -> rewards -> algorithm. A task says where RL
starts. A task's runs are trained from that start; to add one, an entry here is all that ``core.train``,
``core.evaluate`` and the page need.
"""

from dataclasses import dataclass, field, replace

from core.algorithms import GRPO, Algorithm, Reinforce
from core.configs import ClassifierConfig, PretrainConfig, RLConfig, TokenizerConfig

# The policy that each task's RL starts from.
STARTS = {"steer": "unlabelled", "refine": "labelled", "scratch": "random"}


@dataclass(frozen=True)
class Run:
    """One way to train a task's start."""

    algorithm: Algorithm
    config: RLConfig
    says: str  # how it differs from the others, in a few words
    rewards: dict[str, float] = field(default_factory=lambda: {"confidence": 1.0})  # see core.rewards


@dataclass(frozen=True)
class Recipe:
    """One choice of each part, and everything needed to train it from nothing."""

    name: str
    size: int  # height and width of a picture, in pixels
    kind: str  # of policy: "lstm" or "transformer"
    shape: dict[str, int]  # of the policy: width, layers, ...
    tasks: dict[str, dict[str, Run]]  # by task, then by the run's name
    unlabelled: PretrainConfig = PretrainConfig()
    labelled: PretrainConfig = PretrainConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    judge: ClassifierConfig = ClassifierConfig()
    levels: int = 0  # gray levels, where tokens are pixels
    tokenizer: TokenizerConfig | None = None  # where tokens are patches
    borrows: str = ""  # a recipe whose classifier and judge this one uses instead of training its own

    @property
    def tokenizer_shape(self) -> dict[str, int]:
        """The numbers that a tokenizer is built from."""
        if self.tokenizer is None:
            return {"size": self.size, "levels": self.levels}
        names = ("codes", "dim", "channels")
        return {"size": self.size} | {name: getattr(self.tokenizer, name) for name in names}

    def policy_shape(self, guidance: float = 1.0) -> dict[str, float]:
        """The numbers that a policy is built from: its tokenizer's, its own, and guidance if there is any."""
        return self.tokenizer_shape | self.shape | ({} if guidance == 1 else {"guidance": guidance})


def staircase(config: RLConfig) -> dict[str, Run]:
    """From REINFORCE to GRPO, one ingredient at a time: same start, sample count and learning rates.

    The first three have no KL, whatever ``config`` says; the others share its beta.
    """
    free = replace(config, beta=0.0)
    return {
        "reinforce": Run(Reinforce(), free, "raw rewards: no baseline, no KL"),
        "reinforce-baseline": Run(Reinforce(baseline=True), free, "minus a running mean of past rewards"),
        "grpo-group": Run(GRPO(updates=1), free, "minus the group's mean instead"),
        "grpo-kl": Run(GRPO(updates=1), config, "plus a price for the KL to the start"),
        "grpo": Run(GRPO(), config, "group's mean, KL and two clipped updates: full GRPO"),
        "grpo-scaled": Run(GRPO(scale=True), config, "advantages divided by the group's standard deviation"),
    }


def two_ends(config: RLConfig) -> dict[str, Run]:
    """Only REINFORCE and GRPO, without a KL: for a start that is not worth staying close to."""
    runs = staircase(replace(config, beta=0.0))
    grpo = replace(runs["grpo"], says="group's mean and two clipped updates, no KL")
    return {"reinforce": runs["reinforce"], "grpo": grpo}


# Steering one digit at 8x8: fast enough to watch.
ONE_DIGIT = RLConfig(digits=(7,), group=64, steps=40, lr=2e-3, label_lr=20, beta=0.03, average=0.9)

PIXELS = Recipe(
    name="pixels-8x8",
    size=8,
    levels=16,
    kind="lstm",
    shape={"width": 144},
    unlabelled=PretrainConfig(steps=3500, lr=1e-2),
    labelled=PretrainConfig(steps=6000, lr=1e-2, weight_decay=0.05),
    tasks={
        "steer": staircase(RLConfig(steps=150, group=32, lr=5e-4, label_lr=40, beta=0.06, average=0.97)),
        "refine": staircase(RLConfig(steps=120, group=64, lr=1e-4, label_lr=10, beta=0.018, average=0.97)),
        "scratch": two_ends(RLConfig(steps=60, group=8, lr=1e-3)),
    },
)

# As in the paper: patch codes, a Llama-style transformer, guidance, several rewards.
PATCHES_REFINE = RLConfig(steps=50, group=32, lr=5e-5, label_lr=20, beta=0.02, average=0.95, guidance=1.4)
PATCHES = Recipe(
    name="patches-28x28",
    size=28,
    kind="transformer",
    shape={"width": 128, "layers": 3, "heads": 4},
    tokenizer=TokenizerConfig(),
    unlabelled=PretrainConfig(steps=2500, lr=2e-3),
    labelled=PretrainConfig(steps=2500, lr=2e-3, weight_decay=0.1, drop=0.1),
    tasks={
        "steer": staircase(RLConfig(steps=240, group=32, lr=1e-4, label_lr=200, beta=0.07, average=0.97)),
        "refine": {
            **staircase(PATCHES_REFINE),
            "coherence": Run(GRPO(), PATCHES_REFINE, "paid for coherence alone", {"coherence": 1.0}),
            "realism": Run(GRPO(), PATCHES_REFINE, "paid for realism alone", {"realism": 1.0}),
            "all-rewards": Run(
                algorithm=GRPO(),
                config=PATCHES_REFINE,
                says="paid for confidence, coherence and realism",
                rewards={"confidence": 1.0, "coherence": 0.1, "realism": 0.1},
            ),
        },
    },
)

# Small enough to train while you wait: for tests, and to see the idea.
TINY = Recipe(
    name="tiny-4x4",
    size=4,
    levels=4,
    kind="lstm",
    shape={"width": 32},
    unlabelled=PretrainConfig(steps=300, lr=1e-2, warmup=10),
    labelled=PretrainConfig(steps=300, lr=1e-2, warmup=10),
    classifier=ClassifierConfig(width=16, epochs=3),
    judge=ClassifierConfig(width=16, epochs=3),
    tasks={
        "steer": staircase(RLConfig(steps=60, group=16, lr=3e-3, label_lr=10, beta=0.05)),
        "refine": staircase(RLConfig(steps=60, group=16, lr=1e-3, beta=0.05)),
        "scratch": two_ends(RLConfig(steps=10, group=16, lr=3e-3)),
    },
)

# The course guide's recipe: 256 grays, no pretraining, raw rewards, 16 samples of a 7 at a time. Policy and
# loop are this project's; the guide's script left out the first pixel's log-probability.
GUIDE = Recipe(
    name="guide-8x8",
    size=8,
    levels=256,
    kind="lstm",
    shape={"width": 128},
    borrows="pixels-8x8",
    tasks={
        "scratch": two_ends(RLConfig(digits=(7,), group=16, steps=100, lr=1e-3, average=0.0, warmup=1)),
    },
)

SHIPPED = (PIXELS.name, PATCHES.name, GUIDE.name)  # their checkpoints are part of the project
RECIPES = {recipe.name: recipe for recipe in (PIXELS, PATCHES, TINY, GUIDE)}


def find_recipe(name: str) -> Recipe:
    """A recipe by name. Raises ValueError, with the known names, if there is none."""
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r:.40}; allowed: {', '.join(RECIPES)}.")
    return RECIPES[name]

"""What every recipe is made of, each hyperparameter included.

A recipe names one choice of each part: tokenizer -> policy -> rewards -> algorithm. A task says where RL starts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from core.algorithms import GRPO, Reinforce
from core.configs import (
    BeforeConfig,
    ClassifierConfig,
    ForesightConfig,
    PretrainConfig,
    RLConfig,
    TokenizerConfig,
    UnlikelihoodConfig,
)

STARTS = {"steer": "unlabelled", "refine": "labelled", "scratch": "random"}


@dataclass(frozen=True)
class Ablation:
    """GRPO with something other than its task has it."""

    says: str  # what, in a few words that follow "GRPO"
    rewards: dict[str, float] | None = None
    grpo: GRPO | None = None
    config: RLConfig | None = None
    before: bool = True  # whether it begins where what comes before the task's RL ended, or at the start


@dataclass(frozen=True)
class Task:
    """How each algorithm is run from a task's start (see STARTS): same start, same number of samples."""

    reinforce: tuple[Reinforce, RLConfig]
    grpo: tuple[GRPO, RLConfig]
    rewards: dict[str, float] = field(default_factory=lambda: {"confidence": 1.0})
    ablations: dict[str, Ablation] = field(default_factory=dict)
    guidances: tuple[float, ...] = ()  # of a start that knows labels and of what RL begins with, to be measured beside them
    guidance: float = 1.0  # of the policy that is kept: trained without, then guided, which costs KL like training does
    # What comes before RL, for both algorithms; the KL is to the start all the same.
    before: BeforeConfig | None = None

    @property
    def lesson(self) -> BeforeConfig | None:
        """What comes before RL if the policy learns from it; none where only a critic is learned."""
        return self.before if self.before and self.before.steps else None

    @property
    def has_critic(self) -> bool:
        """Whether what comes before RL leaves a critic: only foresight does."""
        return isinstance(self.before, ForesightConfig)


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
        """The policy that a task's RL, or an ablation of it, begins with: its start, or what was made of that before."""
        settings = self.tasks[task]
        if settings.lesson and (not ablation or settings.ablations[ablation].before):
            return f"{task}/{settings.lesson.name}"
        return STARTS[task]

    def prepared(self, task: str) -> str:
        """What the stage before a task's RL leaves: a policy to begin with, or a critic alone."""
        return self.beginning(task) if self.tasks[task].lesson else f"{task}/critic"


def _tasks(
    steer: RLConfig, refine: RLConfig, scratch: RLConfig, of_steer: dict | None = None, of_refine: dict | None = None
) -> dict[str, Task]:
    """The three tasks, each with the same configuration, hence the same samples, for both algorithms.

    ``of_steer`` and ``of_refine`` are further fields of those tasks, ``grpo`` among them where it is not GRPO's default.
    """

    def task(config: RLConfig, grpo: GRPO | None = None, **more) -> Task:
        return Task((Reinforce(baseline="none"), config), (grpo or GRPO(), config), **more)

    return {"steer": task(steer, **of_steer or {}), "refine": task(refine, **of_refine or {}), "scratch": task(scratch)}


# GRPO whose critic speaks of every value of a token (core.interpolated): it makes one update a step.
INTERPOLATED = GRPO(updates=1, critic=True, interpolate=True)
# Steering one digit at 8x8, fast enough to watch: 128 samples a step, of which 32 teach, and two updates.
ONE_DIGIT = RLConfig(digits=(7,), group=128, keep=32, steps=48, lr=1.5e-3, beta=0.06, ramp=1.0, average=0.9)
# The same with a critic that speaks of every value (core.interpolated): fewer samples a step say as much, so more steps.
ONE_DIGIT_CRITIC = replace(ONE_DIGIT, group=64, steps=64, beta=0.031, ramp=0.0)
# All ten digits at 8x8, for both algorithms; GRPO without its critic differs in three numbers, below.
STEER_8X8 = RLConfig(steps=400, group=64, keep=32, lr=3e-4, label_lr=40, beta=0.04, average=0.98, reach=1.1)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            **{"name": "pixels-8x8", "size": 8, "levels": 16, "kind": "lstm", "shape": {"width": 144, "corner": True}},
            unlabelled=PretrainConfig(steps=3500, matrix_lr=1e-2),
            labelled=PretrainConfig(steps=5500, matrix_lr=1e-2),
            classifier=ClassifierConfig(),
            judge=ClassifierConfig(),
            tasks=_tasks(
                steer=STEER_8X8,
                of_steer={
                    "grpo": INTERPOLATED,
                    # A critic only: taught to the policy as well, there would be little left to see RL learn.
                    "before": ForesightConfig(pictures=100_000, critic_steps=1200, steps=0),
                    # Rewards alone need what they are paid brought down from nothing, and two updates from each sample.
                    "ablations": {
                        "group": Ablation(
                            "without the critic", grpo=GRPO(), config=replace(STEER_8X8, steps=300, beta=0.08, ramp=1.0)
                        )
                    },
                },
                refine=RLConfig(steps=100, group=128, keep=24, lr=4e-5, label_lr=10, beta=0.022, average=0.95),
                of_refine={
                    "before": UnlikelihoodConfig(steps=1500, factor=5.0),
                    # RL from the start itself has more to find, and takes longer and larger steps.
                    "ablations": {
                        "direct": Ablation(
                            "without unlikelihood",
                            config=RLConfig(steps=150, group=128, keep=24, lr=1e-4, label_lr=20, beta=0.025, average=0.98),
                            before=False,
                        )
                    },
                },
                scratch=RLConfig(steps=60, group=8, lr=1e-3, beta=0.0),
            ),
        ),
        Recipe(
            **{"name": "tiny-4x4", "size": 4, "levels": 4, "kind": "lstm", "shape": {"width": 32, "corner": True}},
            unlabelled=PretrainConfig(steps=150, lr=1e-2, warmup=10),
            labelled=PretrainConfig(steps=100, lr=1e-2, warmup=10),
            classifier=ClassifierConfig(width=16, epochs=3),
            judge=ClassifierConfig(width=16, epochs=3),
            tasks=_tasks(
                steer=RLConfig(steps=20, group=16, lr=3e-3, label_lr=10, beta=0.05),
                of_steer={
                    "grpo": INTERPOLATED,
                    "before": ForesightConfig(
                        **{"pictures": 2000, "sure": 0.5, "steps": 0, "batch": 32, "critic_steps": 40, "critic_lr": 5e-3},
                        warmup=5,
                    ),
                },
                refine=RLConfig(steps=20, group=16, lr=1e-3, beta=0.05),
                of_refine={"before": UnlikelihoodConfig(pictures=5000, sure=0.5, steps=60, lr=3e-3, warmup=5)},
                scratch=RLConfig(steps=10, group=16, lr=3e-3, beta=0.0),
            ),
        ),
        Recipe(
            **{"name": "patches-28x28", "size": 28, "kind": "transformer"},
            shape={"width": 128, "layers": 4, "heads": 4},
            tokenizer=TokenizerConfig(),
            unlabelled=PretrainConfig(steps=2500, lr=5e-3, matrix_lr=1e-2),
            labelled=PretrainConfig(steps=2500, lr=2e-3, drop=0.1),  # Adam: from a start by Muon, nothing came out better
            classifier=ClassifierConfig(),
            judge=ClassifierConfig(),
            tasks=_tasks(
                # All samples teach, once: a few that stand for the rest make the KL's gradient noisy.
                steer=RLConfig(steps=240, group=48, lr=1.2e-4, label_lr=12, beta=0.07, average=0.97),
                of_steer={
                    **{"grpo": GRPO(updates=1, critic=True), "before": ForesightConfig(), "guidances": (2.0,)},
                    **{"ablations": {"group": Ablation("without the critic", grpo=GRPO(updates=1))}, "guidance": 1.2},
                },
                # Few and small steps, and half their way is kept: what foresight found is worth more than what RL adds, and
                # is soon forgotten. How far, and at what guidance, was chosen by the classifier's word: benchmarks.guided.
                refine=RLConfig(steps=60, group=48, lr=4e-5, label_lr=10, beta=0.03, average=0.95, reach=0.5),
                scratch=RLConfig(steps=40, group=8, lr=1e-3, beta=0.0),
                of_refine={
                    "grpo": GRPO(updates=1, critic=True),
                    "before": ForesightConfig(
                        **{"pictures": 80_000, "shades": 3, "tied": True, "scale": 8.0, "critic_steps": 1500},
                        **{"steps": 700, "lr": 3e-4, "label_lr": 2.0},
                    ),
                    # The rewards by themselves: foresight heeds the classifier, whatever is paid afterwards.
                    "ablations": {
                        name: Ablation(says, rewards, GRPO(updates=1), before=False)
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
                    "before": ForesightConfig(
                        **{"pictures": 2000, "sure": 0.5, "batch": 32, "critic_steps": 40, "critic_lr": 5e-3},
                        **{"steps": 40, "lr": 2e-3, "warmup": 5},
                    ),
                },
                of_refine={
                    "grpo": GRPO(critic=True),
                    "before": ForesightConfig(
                        **{"pictures": 2000, "sure": 0.5, "shades": 2, "tied": True, "scale": 2.0, "batch": 32},
                        **{"critic_steps": 100, "critic_lr": 5e-3, "steps": 40, "lr": 2e-3, "warmup": 5},
                    ),
                    "ablations": {
                        "direct": Ablation("without foresight", grpo=GRPO(), before=False),
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

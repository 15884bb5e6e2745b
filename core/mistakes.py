"""Seven known mistakes, each a run that is compared with the same run done right.

Each differs in one thing, and core.rl knows nothing of them. tests/test_mistakes.py tests their gradients.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from core.algorithms import GRPO, Algorithm, Reinforce
from core.configs import RLConfig
from core.policies import Policy, Rollout
from core.recipes import ONE_DIGIT, STARTS, Run

SHORT = replace(ONE_DIGIT, steps=32)  # so that two runs side by side take less than 20 seconds
RIGHT = Run(GRPO(), SHORT, "GRPO, as everywhere here")
Draw = Callable[[Policy, torch.Tensor, torch.Generator], torch.Tensor]  # (B,) labels to (B, T) tokens


@dataclass(frozen=True, kw_only=True)
class Mistake(Run):
    """A run that does one thing wrong."""

    algorithm: Algorithm = RIGHT.algorithm
    config: RLConfig = RIGHT.config
    right: Run = RIGHT  # the same done right
    happens: str  # what goes wrong, in a sentence
    wild: str  # where it happened, in a sentence with the source
    recipe: str = "pixels-8x8"
    task: str = "steer"
    start: str = ""  # the checkpoint it starts from, if that is the mistake
    draw: Draw | None = None  # how samples are drawn, if that differs from how they are scored


def start_of(run: Run, task: str) -> str:
    """The checkpoint that a run of a task starts from."""
    return (run.start if isinstance(run, Mistake) else "") or STARTS[task]


def as_used(run: Run, policy: Policy) -> Policy:
    """The policy as it is used after training: after a mistake, with the guidance of its right run."""
    used = copy.copy(policy)
    used.guidance = (run.right if isinstance(run, Mistake) else run).config.guidance
    return used


def drawn_otherwise(policy: Policy, draw: Draw) -> Policy:
    """The same weights, but samples come from a different distribution than the one that is scored."""

    def sample(labels: torch.Tensor, temperature: float, generator: torch.Generator) -> Rollout:
        tokens = draw(policy, labels, generator)
        with torch.no_grad():  # scored as in training: the first ratio is 1, and nothing looks wrong
            return Rollout(tokens, policy.log_probs(labels, tokens, temperature))

    used = copy.copy(policy)
    used.sample = sample
    return used


def learner(run: Run, policy: Policy) -> Policy:
    """What ``core.rl.train`` trains: the policy, or one that samples differently from how it is scored."""
    return drawn_otherwise(policy, run.draw) if isinstance(run, Mistake) and run.draw else policy


def cooler(policy: Policy, labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return policy.sample(labels, 0.6, generator).tokens


def guided(policy: Policy, labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    used = copy.copy(policy)
    used.guidance = GUIDED.guidance
    return used.sample(labels, 1.0, generator).tokens


@dataclass(frozen=True)
class FirstTokenLeftOut(GRPO):
    """GRPO whose surrogate leaves out the first token."""

    def surrogate(self, log_ratio, advantages):
        surrogate, clipped = super().surrogate(log_ratio, advantages)
        return torch.cat([torch.zeros_like(surrogate[:, :1]), surrogate[:, 1:]], 1), clipped


SHORTER = replace(SHORT, steps=22)  # each step samples twice, to learn and to show
RARE = replace(SHORT, digits=(4,))  # one in forty samples of its start fails
UNGUIDED = RLConfig(digits=(8,), group=24, steps=20, lr=2e-4, label_lr=20, average=0.9)
GUIDED = replace(UNGUIDED, guidance=2.0)
MISTAKES = {
    "no-kl": Mistake(
        says="leaving the start costs nothing",
        config=replace(SHORT, beta=0.0),
        right=replace(RIGHT, says="the KL to the start is charged"),
        happens="Nothing ties the policy to handwriting: it draws whatever pleases the classifier.",
        wild="Image models tuned on a reward alone over-optimise it (Black et al. 2024, arXiv 2305.13301).",
    ),
    "no-pretraining": Mistake(
        says="starts from random weights",
        start="random",
        happens="In noise no picture earns much more than another, so a group gives no direction. Below, its "
        "KL is measured from that noise.",
        wild="The course guide's script starts that way: after its 100 epochs it draws gray noise.",
    ),
    "no-baseline": Mistake(
        says="REINFORCE, raw rewards",
        algorithm=Reinforce(),
        right=Run(Reinforce(baseline=True), SHORT, "REINFORCE, minus the mean of earlier rewards"),
        happens="All samples are pushed up, good ones a little more: right on average, but very noisy.",
        wild="The course guide's script pays the raw probability; Williams (1992) already had a baseline.",
    ),
    "temperatures": Mistake(
        says="drawn at temperature 0.6, scored at 1",
        config=SHORTER,
        draw=cooler,
        right=replace(RIGHT, config=SHORTER),
        happens="Training sees good digits, drawn at 0.6; the policy at 1, which is scored, drifts unseen.",
        wild="TRL's GRPO trainer scored at 1, whatever it drew at, until pull request 3029 (March 2025).",
    ),
    "guidance": Mistake(
        says="drawn with guidance 2, scored without",
        config=UNGUIDED,
        draw=guided,
        right=Run(GRPO(), GUIDED, "guidance 2 in samples and in scores"),
        recipe="patches-28x28",
        task="refine",
        happens="The KL that is charged is small, but measured without guidance; samples end far away.",
        wild="AR-GRPO (arXiv 2508.06924): _get_per_token_logps of modified_grpo_trainer.py has no guidance.",
    ),
    "scaled": Mistake(
        says="advantages divided by the group's deviation",
        config=RARE,
        algorithm=GRPO(scale=True),
        right=Run(GRPO(), RARE, "GRPO, not divided"),
        task="refine",
        happens="One failure among forty counts six times as much, so the KL weighs a sixth.",
        wild="GRPO as published divides (Shao et al. 2024, arXiv 2402.03300), and AR-GRPO does; Liu et al. "
        "2025 (arXiv 2503.20783) call it a bias by difficulty.",
    ),
    "first-token": Mistake(
        says="the first token is not in the loss",
        algorithm=FirstTokenLeftOut(),
        happens="The first pixel is drawn like the others, and never learned.",
        wild="The course guide's script draws it and leaves its log-probability out of the sum.",
    ),
}

"""The shipped models of one recipe, and samples of them. Imports torch: the engine imports this late."""

import copy
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from core import CheckpointError, load_classifier, load_judge, load_policy
from core.policies import Policy
from core.recipes import RECIPES, STARTS
from core.rewards import Rewards
from demo import checks
from demo.checks import RequestError

KEPT = 64  # rollouts kept, so that looking closer at a sample need not draw it again


@dataclass(frozen=True)
class Samples:
    """Samples with what classifier and judge make of them."""

    tokens: torch.Tensor  # (B, T)
    images: torch.Tensor  # (B, 1, size, size)
    log_probs: torch.Tensor  # (B, T)
    rewards: torch.Tensor  # (B,) the classifier's confidence in the label
    reads: torch.Tensor  # (B,) what the judge reads


class Models:
    """Each model is loaded once, when it is first needed."""

    def __init__(self, recipe: str, root: Path):
        self.recipe, self.root = recipe, root
        self.lock = threading.Lock()
        self.loaded: dict[str, object] = {}
        self.guests: dict[str, tuple[Policy, str]] = {}  # policies trained in the page, and their starts
        self.draw = lru_cache(KEPT)(self._draw)

    def _once(self, name: str, make):
        with self.lock:
            if name not in self.loaded:
                try:
                    self.loaded[name] = make()
                except CheckpointError as error:
                    # Where on this machine that is, is no visitor's business.
                    words = str(error).replace(f"{self.root}{os.sep}", "")
                    raise RequestError(f"{self.recipe}/{name} cannot be used: {words}") from error
            return self.loaded[name]

    def policy(self, name: str) -> Policy:
        """A shipped policy by the name of its checkpoint, or a visitor's by "mine:KEY"."""
        if name.startswith("mine:"):
            return checks.guest(name, self.guests)[0]
        return self._once(name, lambda: load_policy(f"{self.recipe}/{name}", self.root))

    @property
    def classifier(self):
        return self._once("classifier", lambda: load_classifier(self.recipe, self.root))

    @property
    def judge(self):
        return self._once("judge", lambda: load_judge(self.recipe, self.root))

    @property
    def tokenizer(self):
        return self.policy("unlabelled").tokenizer

    def start(self, name: str) -> str:
        """The policy that another one's RL started from; itself where there was none."""
        if name.startswith("mine:"):
            return checks.guest(name, self.guests)[1]
        return STARTS.get(name.split("/")[0], name)

    def rewards(
        self, task: str, weights: Mapping[str, float] | None = None, drawing: torch.Tensor | None = None
    ) -> Rewards:
        """What is paid in a task, see ``Rewards.pay``; by default what its GRPO is paid."""
        usual = RECIPES[self.recipe].tasks[task]["grpo"].rewards
        reference, classifier = self.policy(STARTS[task]), self.classifier
        found = copy.copy(self._once(f"rewards {task}", lambda: Rewards(classifier, reference, usual)))
        found.pay(weights or usual, drawing)
        return found

    @torch.no_grad()
    def _draw(
        self, name: str, digit: int, temperature: float, seed: int, count: int, given: tuple[int, ...] = ()
    ) -> Samples:
        """Samples of a policy, whose first tokens may be given. ``draw`` does it, and keeps recent ones."""
        labels, prefix = torch.full((count,), digit), torch.tensor(given).expand(count, -1) if given else None
        policy, generator = self.policy(name), torch.Generator().manual_seed(seed)
        rollout = policy.sample(labels, temperature, generator, prefix)
        images = policy.tokenizer.decode(rollout.tokens)
        rewards = self.classifier(images).softmax(1)[:, digit]
        return Samples(rollout.tokens, images, rollout.log_probs, rewards, self.judge(images).argmax(1))

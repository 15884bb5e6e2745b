"""Where the checkpoints of a recipe are, and what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from core import checkpoints
from core.data import resize
from core.recipes import STARTS, Recipe
from core.tokenizers import PixelTokenizer

RUNS = Path("runs")  # what is trained without being shipped


@dataclass(frozen=True)
class Place:
    """Where a recipe's checkpoints are."""

    recipe: Recipe
    root: Path = checkpoints.ROOT
    runs: Path = RUNS
    data_root: Path | None = None  # of MNIST

    def folder(self, name: str) -> Path:
        """Of a checkpoint that ships."""
        return self.root / self.recipe.name / name

    def run_folder(self, name: str, seed: int) -> Path:
        """Of a checkpoint that does not ship."""
        return self.runs / self.recipe.name / name / f"seed-{seed}"

    def snapshots(self, task: str, name: str) -> Path:
        """Of the policies along the training of a run's seed 0, in folders "step-K"."""
        return self.runs / self.recipe.name / task / name / "snapshots"

    def require(self, *names: str) -> None:
        """Raise CheckpointError, with the command that mends it, unless the named checkpoints are there.

        The untrained policy is made on the spot: it takes no training.
        """
        makes = {"unlabelled": "pretrain --start unlabelled", "labelled": "pretrain --start labelled"}
        for name in names:
            borrowed = self.recipe.borrows if name in ("classifier", "judge") else ""
            recipe = borrowed or self.recipe.name
            if name == "random" and not checkpoints.exists(self.folder(name)):
                self.require(*["tokenizer"] if self.recipe.tokenizer else [])
                self.save_random(0)
            if not checkpoints.exists(self.root / recipe / name):
                command = f"python -m core.train {makes.get(name, name)} --recipe {recipe} --ship"
                raise checkpoints.CheckpointError(
                    f"{self.root / recipe / name} is missing; to make it: {command}"
                )

    def policy(self, name: str):
        return checkpoints.load_policy(f"{self.recipe.name}/{name}", self.root)

    def start(self, task: str, guidance: float = 1.0):
        """The policy that a task's RL starts from, with guidance as part of its distribution."""
        policy = self.policy(STARTS[task])
        if guidance != 1:
            if self.recipe.kind != "transformer":
                raise ValueError(
                    f"guidance is {guidance}; the policy of {self.recipe.name} knows only 1, which is none."
                )
            policy.guidance = guidance
        return policy

    def along(self, task: str, name: str):
        """(samples seen, policy) along the training of a run's seed 0: start, snapshots, end."""
        end = self.folder(f"{task}/{name}")
        yield 0, self.start(task, checkpoints.read_config(end)["config"]["guidance"])
        snapshots = self.snapshots(task, name).glob("step-*")
        for folder in [*sorted(snapshots, key=lambda path: int(path.name.removeprefix("step-"))), end]:
            yield checkpoints.read_config(folder)["samples"], checkpoints.load_policy(folder)

    def classifier(self):
        return checkpoints.load_classifier(self.recipe.borrows or self.recipe.name, self.root)

    def judge(self):
        return checkpoints.load_judge(self.recipe.borrows or self.recipe.name, self.root)

    def new_policy(self, seed: int):
        """An untrained policy; the seed decides its weights and leaves the global generator as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            policy = checkpoints.build(self.recipe.kind, self.shape)
        if self.recipe.tokenizer is not None:
            tokenizer = checkpoints.load_tokenizer(self.recipe.name, self.root)
            policy.tokenizer.load_state_dict(tokenizer.state_dict())
        return policy

    def save_random(self, seed: int) -> None:
        """Save the untrained policy that every pretraining and the scratch task start from."""
        about = {"recipe": self.recipe.name, "seed": seed}
        checkpoints.save(self.folder("random"), self.new_policy(seed), self.recipe.kind, self.shape, about)

    @property
    def shape(self) -> dict[str, float]:
        """The numbers that a policy is built from."""
        return {**self.recipe.tokenizer_shape, **self.recipe.shape}


def prepare(recipe: Recipe):
    """From MNIST's pictures to the recipe's: resized and, if tokens are pixels, rounded to grays."""
    if recipe.tokenizer is not None:
        return lambda images: resize(images, recipe.size)
    pixels = PixelTokenizer(recipe.size, recipe.levels)
    return lambda images: pixels.decode(pixels.encode(resize(images, recipe.size)))

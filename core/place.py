"""Where the checkpoints of a recipe are, and what every command has in common."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from core import checkpoints
from core.checkpoints import CheckpointError
from core.data import DataError, resize
from core.policies import Policy
from core.recipes import STARTS, Recipe, find_recipe
from core.tokenizers import PixelTokenizer

RUNS = Path("runs")  # what is trained but not shipped


@dataclass(frozen=True)
class Place:
    """Where a recipe's checkpoints are."""

    recipe: Recipe
    root: Path = checkpoints.ROOT  # of the checkpoints that ship with the project
    runs: Path = RUNS  # of all other checkpoints
    data_root: Path | None = None  # of MNIST
    device: torch.device = torch.device("cpu")  # of every model

    def folder(self, name: str) -> Path:
        """The folder of a checkpoint that ships."""
        return self.root / self.recipe.name / name

    def run_folder(self, name: str, seed: int) -> Path:
        """The folder of a checkpoint that does not ship."""
        return self.runs / self.recipe.name / name / f"seed-{seed}"

    def seeds(self, task: str, name: str) -> dict[str, Path]:
        """The folders of a run by seed: seed 0 ships, the others do not. A seed that was trained with
        other settings than seed 0 is left out.
        """
        found = {"0": self.folder(f"{task}/{name}")}
        wanted = trained_with(found["0"])
        for path in sorted(self.run_folder(f"{task}/{name}", 0).parent.glob("seed-*")):
            seed = path.name.removeprefix("seed-")
            if seed != "0" and checkpoints.exists(path) and trained_with(path) == wanted:
                found[seed] = path
        return found

    def snapshot_folder(self, task: str, name: str) -> Path:
        """The folder of snapshots: the policy at some steps of a run's seed 0, in folders "step-K"."""
        return self.runs / self.recipe.name / task / name / "snapshots"

    def snapshots(self, task: str, name: str) -> dict[int, Path]:
        """Those folders by number of steps; snapshots that were trained with other settings are left out."""
        end = self.folder(f"{task}/{name}")
        if not checkpoints.exists(end):
            return {}
        wanted, paths = trained_with(end), self.snapshot_folder(task, name).glob("step-*")
        found = {int(path.name.removeprefix("step-")): path for path in paths}
        return {step: found[step] for step in sorted(found) if trained_with(found[step]) == wanted}

    def require(self, *names: str) -> None:
        """Raise CheckpointError, with the command that makes it, if one of the named checkpoints is missing.

        The untrained policy is made on the spot: it needs no training.
        """
        makes = {"unlabelled": "pretrain --start unlabelled", "labelled": "pretrain --start labelled"}
        for name in names:
            recipe = self.judged_by if name in ("classifier", "judge") else self.recipe.name
            if name == "random" and not checkpoints.exists(self.folder(name)):
                self.require(*["tokenizer"] if self.recipe.tokenizer else [])
                self.save_random()
            if not checkpoints.exists(self.root / recipe / name):
                command = f"core.train {makes.get(name, name)} --recipe {recipe} --ship{self.flags}"
                raise CheckpointError(
                    f"{self.root / recipe / name} is missing; to make it: python -m {command}"
                )

    @property
    def flags(self) -> str:
        """The flag that tells a command where checkpoints are; empty for the default folder."""
        quoted = subprocess.list2cmdline([str(self.root)]) if os.name == "nt" else shlex.quote(str(self.root))
        return "" if self.root == checkpoints.ROOT else f" --checkpoints {quoted}"

    def policy(self, name: str | Path, guidance: float = 1.0) -> Policy:
        """A policy of the recipe, by its name or its folder; ``guidance`` other than 1 replaces its own."""
        name = name if isinstance(name, Path) else f"{self.recipe.name}/{name}"
        folder = checkpoints.locate(name, self.root)
        self.check(folder)
        policy = checkpoints.load_policy(folder).to(self.device)
        if guidance != 1:
            if self.recipe.kind != "transformer":
                raise ValueError(f"guidance is {guidance}; an LSTM of {self.recipe.name} knows only 1: none.")
            policy.guidance = guidance
        return policy

    def check(self, folder: Path) -> None:
        """Raise CheckpointError if a checkpoint is another recipe's, or a policy of another shape than the
        recipe's: what is trained from it would be saved with a wrong recipe or shape.
        """
        checkpoints.check_recipe(folder, self.recipe.name)
        config = checkpoints.read_config(folder)
        found, is_policy = config.get("model"), config.get("kind") in checkpoints.POLICIES
        if not is_policy or not isinstance(found, dict):
            return
        if found != self.recipe.policy_shape(found.get("guidance", 1.0)):
            raise CheckpointError(f"{folder} is not of the shape that {self.recipe.name} has; train it anew.")

    def start(self, task: str, guidance: float = 1.0) -> Policy:
        """The policy that a task's RL starts from; raises like ``require`` if it is missing."""
        self.require(STARTS[task])
        return self.policy(STARTS[task], guidance)

    def along(self, task: str, name: str) -> Iterator[tuple[int, Policy]]:
        """(samples seen, policy) along the training of a run's seed 0: start, snapshots, end."""
        end = self.folder(f"{task}/{name}")
        yield 0, self.start(task, checkpoints.read_config(end)["config"]["guidance"])
        for folder in [*self.snapshots(task, name).values(), end]:
            yield checkpoints.read_config(folder)["samples"], self.policy(folder)

    @property
    def judged_by(self) -> str:
        """The recipe whose classifier and judge are used."""
        return self.recipe.borrows or self.recipe.name

    def classifier(self):
        return checkpoints.load_classifier(self.judged_by, self.root).to(self.device)

    def judge(self):
        return checkpoints.load_judge(self.judged_by, self.root).to(self.device)

    def new_policy(self, seed: int) -> Policy:
        """An untrained policy; the seed decides its weights and leaves the global generator as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            policy = checkpoints.build(self.recipe.kind, self.recipe.policy_shape())
        if self.recipe.tokenizer is not None:
            folder = checkpoints.locate(f"{self.recipe.name}/tokenizer", self.root)
            policy.tokenizer.load_state_dict(checkpoints.load(folder, ("tokenizer",)).state_dict())
        return policy

    def save_random(self) -> None:
        """Save the untrained policy that every pretraining and the scratch task start from."""
        about = {"recipe": self.recipe.name, "seed": 0}
        shape = self.recipe.policy_shape()
        checkpoints.save(self.folder("random"), self.new_policy(0), self.recipe.kind, shape, about)


def trained_with(folder: Path) -> list:
    """What a run was trained with, except for its seed: the weights of its start, and the settings."""
    config = checkpoints.read_config(folder)
    return [config.get(name) for name in ("start", "algorithm", "config", "rewards")]


def prepare(recipe: Recipe) -> Callable[[torch.Tensor], torch.Tensor]:
    """From MNIST's pictures to the recipe's: resized and, if tokens are pixels, rounded to grays."""
    if recipe.tokenizer is not None:
        return lambda images: resize(images, recipe.size)
    pixels = PixelTokenizer(recipe.size, recipe.levels)
    return lambda images: pixels.decode(pixels.encode(resize(images, recipe.size)))


def find_device(name: str) -> torch.device:
    """The device by that name; "auto" is a GPU if there is one. Raises ValueError if it is not there."""
    number = int(os.environ.get("LOCAL_RANK", 0))  # torchrun gives each process a GPU of its own
    found = {
        "cuda": torch.cuda.device_count() > number,
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    here = [kind for kind, there in found.items() if there]
    name = here[0] if name == "auto" else name
    if name not in here:
        raise ValueError(f"--device {name} is not on this machine; PyTorch finds: {', '.join(here)}.")
    # Otherwise, on GPUs, cuDNN's LSTM would score in lower precision (TF32) than the policy samples in.
    torch.backends.cudnn.allow_tf32 = False
    return torch.device(name, number) if name == "cuda" else torch.device(name)


@dataclass(frozen=True)
class Where:
    """The options of every command."""

    recipe: str = "pixels-8x8"  # pixels-8x8, patches-28x28, tiny-4x4 or guide-8x8
    checkpoints: Path = checkpoints.ROOT  # folder of the checkpoints that ship
    runs: Path = RUNS  # folder of everything else that is trained
    data_root: Path | None = None  # folder that holds MNIST/raw; else $MNIST_ROOT, else data/
    device: Literal["cpu", "cuda", "mps", "auto"] = "cpu"  # auto: a GPU if there is one

    def place(self) -> Place:
        recipe, device = find_recipe(self.recipe), find_device(self.device)
        return Place(recipe, self.checkpoints, self.runs, self.data_root, device)


def command(work: Callable[[list[str]], None]) -> Callable[..., int]:
    """Turns a function of the command line into a ``main`` that returns the exit code.

    Errors are printed as one sentence; the code is 2 if the command is refused, 1 if it failed.
    """

    def main(arguments: list[str] | None = None) -> int:
        try:
            work(sys.argv[1:] if arguments is None else arguments)
        except KeyboardInterrupt:
            again = "A command that has --resume goes on with it; any other starts anew."
            print(f"stopped; what was finished is kept, nothing is half-written. {again}", file=sys.stderr)
            return 130
        except (ValueError, DataError, CheckpointError, FloatingPointError, OSError) as error:
            refused = isinstance(error, ValueError)
            if not refused or os.environ.get("RANK", "0") == "0":  # all of torchrun's processes refuse alike
                print(f"error: {error}", file=sys.stderr)
            return 2 if refused else 1
        return 0

    return main

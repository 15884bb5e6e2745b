"""The stages of training, from MNIST to shipped checkpoints. Each reads what earlier ones saved, so each can be rerun.

A stage is a generator of (done, total, note): the command line draws a progress bar from it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from core import checkpoints
from core.before import CHUNK, BeforeStep
from core.classifiers import accuracy, train_classifier
from core.configs import BeforeConfig, ClassifierConfig, ForesightConfig, PretrainConfig, RLConfig, TokenizerConfig
from core.data import halves, load_mnist, resize
from core.foresight import Critic, foresight
from core.patches import train_tokenizer
from core.pretrain import heldout_nll, pretrain
from core.recipes import STARTS, Recipe
from core.rewards import Rewards
from core.rl import RLStep, train
from core.tokenizers import PixelTokenizer
from core.unlikelihood import unlikelihood

Progress = Iterator[tuple[int, int, str]]


@dataclass(frozen=True)
class Place:
    """Where a recipe's checkpoints are."""

    recipe: Recipe
    root: Path = checkpoints.ROOT

    def folder(self, name: str) -> Path:
        return self.root / self.recipe.name / name

    def policy(self, name: str):
        return checkpoints.load_policy(f"{self.recipe.name}/{name}", self.root)

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
            policy.tokenizer.load_state_dict(checkpoints.load_tokenizer(self.recipe.name, self.root).state_dict())
        return policy

    @property
    def shape(self) -> dict[str, float]:
        return {**self.recipe.tokenizer_shape, **self.recipe.shape}

    def runs(self, task: str, algorithm: str, ablation: str = "") -> list[str]:
        """The policies that are there of a task's algorithm, or of an ablation of it, seed by seed."""
        names = (run_folder(task, algorithm, seed, ablation) for seed in range(SEEDS))
        return [name for name in names if checkpoints.exists(self.folder(name))]


SEEDS = 100  # at most, of one run


def run_folder(task: str, algorithm: str, seed: int, ablation: str = "") -> str:
    """Seed 0 is the run that ships under the plain name; further seeds lie beside it."""
    return f"{task}/{algorithm}" + (f"-{ablation}" if ablation else "") + (f"/seed-{seed}" if seed else "")


def prepare(recipe: Recipe):
    """A function from MNIST's pictures to the recipe's: resized and, where tokens are pixels, rounded to gray levels."""
    if recipe.tokenizer is not None:
        return lambda images: resize(images, recipe.size)
    pixels = PixelTokenizer(recipe.size, recipe.levels)
    return lambda images: pixels.decode(pixels.encode(resize(images, recipe.size)))


def classifier_stage(
    place: Place, kind: str, config: ClassifierConfig, seed: int = 0, data_root: str | Path | None = None
) -> Progress:
    """Train and save the classifier (kind "classifier") or the judge (kind "judge"), each on its own half of MNIST."""
    images, labels = load_mnist(True, data_root)
    picked = halves(len(images))[0 if kind == "classifier" else 1]
    shape = {"size": place.recipe.size, "width": config.width}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        model = checkpoints.build(kind, shape)
        fit = prepare(place.recipe)
        curve = []
        steps = train_classifier(model, images[picked], labels[picked], fit, config, torch.Generator().manual_seed(seed))
        for step in steps:  # dropout draws from the global generator: hence the fork around the loop
            curve.append(dataclasses.asdict(step))
            yield step.epoch + 1, config.epochs, f"accuracy in training {step.accuracy:.2%}"
    test_images, test_labels = load_mnist(False, data_root)
    right = accuracy(model, fit(test_images), test_labels)
    about = {"recipe": place.recipe.name, "seed": seed, "test_accuracy": right, "config": dataclasses.asdict(config)}
    checkpoints.save(place.folder(kind), model, kind, shape, about, curve)
    yield config.epochs, config.epochs, f"test accuracy {right:.2%}"


def tokenizer_stage(place: Place, config: TokenizerConfig, seed: int = 0, data_root: str | Path | None = None) -> Progress:
    """Train and save the patch tokenizer; the judge, trained before it, says how well digits survive it."""
    fit, judge = prepare(place.recipe), place.judge()
    shape = dataclasses.replace(place.recipe, tokenizer=config).tokenizer_shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = checkpoints.build("tokenizer", shape)
    curve = []
    images = fit(load_mnist(True, data_root)[0])
    for record in train_tokenizer(tokenizer, images, config, torch.Generator().manual_seed(seed)):
        if record.step % 20 == 0:
            curve.append({**dataclasses.asdict(record), "mse": round(record.mse, 5), "seconds": round(record.seconds, 1)})
        yield record.step + 1, config.steps, f"MSE {record.mse:.4f}, {record.used} of {config.codes} codes in use"
    test_images, test_labels = load_mnist(False, data_root)
    test_images = fit(test_images)
    tokens = torch.cat([tokenizer.encode(part) for part in test_images.split(500)])
    drawn = torch.cat([tokenizer.decode(part) for part in tokens.split(500)])
    found = {
        "test_mse": (drawn - test_images).square().mean().item(),
        "codes_in_use": len(tokens.unique()),
        "judge_accuracy": accuracy(judge, drawn, test_labels),
    }
    about = {"recipe": place.recipe.name, "seed": seed, **found, "config": dataclasses.asdict(config)}
    checkpoints.save(place.folder("tokenizer"), tokenizer, "tokenizer", shape, about, curve)
    note = "test MSE {test_mse:.4f}, {codes_in_use} codes in use, judge reads {judge_accuracy:.2%} of reconstructions"
    yield config.steps, config.steps, note.format(**found)


def random_stage(place: Place, seed: int = 0) -> Progress:
    """Save the untrained policy that every pretraining and the scratch task start from."""
    about = {"recipe": place.recipe.name, "seed": seed}
    checkpoints.save(place.folder("random"), place.new_policy(seed), place.recipe.kind, place.shape, about)
    yield 1, 1, "untrained policy saved"


def pretrain_stage(
    place: Place, start: str, config: PretrainConfig, seed: int = 0, data_root: str | Path | None = None
) -> Progress:
    """Pretrain and save a start, "unlabelled" or "labelled", from the untrained policy."""
    images, labels = load_mnist(True, data_root)
    policy = place.policy("random").train()
    known = labels if start == "labelled" else None
    curve = []
    steps = pretrain(policy, images, known, prepare(place.recipe), config, torch.Generator().manual_seed(seed))
    for record in steps:
        if record.step % 20 == 0:
            curve.append({"step": record.step, "nll": round(record.nll, 3), "seconds": round(record.seconds, 1)})
        yield record.step + 1, config.steps, f"NLL {record.nll:.2f} nats per image"
    test_images, test_labels = load_mnist(False, data_root)
    nll = heldout_nll(policy, prepare(place.recipe)(test_images), test_labels).mean().item()
    about = {"recipe": place.recipe.name, "seed": seed, "test_nll": nll, "config": dataclasses.asdict(config)}
    checkpoints.save(place.folder(start), policy, place.recipe.kind, place.shape, about, curve)
    yield config.steps, config.steps, f"test NLL {nll:.2f} nats per image"


def before_stage(place: Place, task: str, config: BeforeConfig, seed: int = 0) -> Progress:
    """What comes before a task's RL: save what that begins with, where it learns, and foresight's critic. Needs no MNIST."""
    reference, policy = place.policy(STARTS[task]), place.policy(STARTS[task])
    classifier, generator, critic = place.classifier(), torch.Generator().manual_seed(seed), None
    total, curve = math.ceil(config.pictures / CHUNK) + config.steps, []
    if isinstance(config, ForesightConfig):
        head = {"asked": not reference.blind(), "shades": config.shades, "tied": config.tied}
        critic, total = Critic(reference, **head), total + config.critic_steps
        records = foresight(policy, critic, reference, classifier, config, generator)
    else:
        records = unlikelihood(policy, reference, classifier, config, generator)
    for record in records:
        if record.step % 10 == 0:
            curve.append(curve_point(record))
        note = f"{record.samples:,} pictures drawn" if record.part == "drawing" else f"{record.part}, loss {record.loss:.3f}"
        yield record.step + 1, total, note
    about = {
        **{"recipe": place.recipe.name, "task": task, "seed": seed, "samples": record.samples},
        **{"config": dataclasses.asdict(config), "seconds": round(record.seconds, 1)},
    }
    kind = place.recipe.kind
    if critic is not None:
        shape = {**place.shape, "of": kind, **head}
        checkpoints.save(place.folder(f"{task}/critic"), critic, "critic", shape, about, None if config.steps else curve)
    if config.steps:
        checkpoints.save(place.folder(f"{task}/{config.name}"), policy, kind, place.shape, about, curve)


def rl_stage(
    place: Place,
    task: str,
    algorithm,
    config: RLConfig,
    seed: int = 0,
    out: str | Path | None = None,
    ablation: str = "",
) -> Progress:
    """Train a task's start by ``algorithm`` and save the result beside the start, or in ``out``.

    Needs no MNIST: rewards are all it learns from. ``ablation`` names one of the task's, which may have rewards of its own.
    """
    recipe = place.recipe
    reference = place.policy(STARTS[task])
    policy = place.policy(recipe.beginning(task, ablation))
    settings = recipe.tasks[task]
    weights = (settings.ablations[ablation].rewards if ablation else None) or settings.rewards
    rewards, generator = Rewards(place.classifier(), reference, weights), torch.Generator().manual_seed(seed)
    critic = checkpoints.load_critic(recipe.name, task, place.root) if algorithm.critic else None
    curve = []
    steps = train(policy, reference, rewards, place.judge(), algorithm, config, generator, critic=critic)
    for record in steps:
        curve.append(curve_point(record))
        yield record.step + 1, config.steps, f"reward {record.reward:.3f}, judge {record.success:.1%}, KL {record.kl:.2f}"
    about = {
        **{"recipe": recipe.name, "task": task, "algorithm": algorithm.name, "seed": seed, "samples": record.samples},
        **{"config": dataclasses.asdict(config), "settings": dataclasses.asdict(algorithm)},
        **{"rewards": weights, "seconds": round(record.seconds, 1)},
    }
    folder = Path(out) if out else place.folder(run_folder(task, algorithm.name, seed, ablation))
    shape = place.shape if settings.guidance == 1 else {**place.shape, "guidance": settings.guidance}
    checkpoints.save(folder, policy, recipe.kind, shape, about, curve)


def curve_point(record: RLStep | BeforeStep) -> dict:
    """The numbers of a record, without its samples, rounded for the curve that ships."""
    plain = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, dict):
            value = {name: round(part, 5) for name, part in value.items()}
        if not isinstance(value, torch.Tensor):
            plain[field.name] = round(value, 5) if isinstance(value, float) else value
    return plain

"""The stages of training, from MNIST to checkpoints. Each reads what earlier ones saved.

A stage is a generator of its progress: the command line draws a bar from it, and core.log curves.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core import checkpoints
from core.classifiers import accuracy, train_classifier
from core.configs import ClassifierConfig, PretrainConfig, TokenizerConfig
from core.data import halves, load_mnist
from core.files import replaced
from core.parallel import pooled, rank, ranks, share
from core.place import Place, prepare
from core.policies import Policy
from core.pretrain import heldout_nll, pretrain
from core.recipes import STARTS, Run
from core.rewards import Rewards
from core.rl import train
from core.vqvae import train_tokenizer


@dataclass(frozen=True)
class Progress:
    """How far a stage is."""

    done: int
    total: int
    note: str
    record: Any = None  # a step's, where there is one
    policy: Policy | None = None  # of a run: what is in training; it decodes the record's tokens


Stage = Iterator[Progress]


def classifier_stage(place: Place, kind: str, config: ClassifierConfig, seed: int, out: Path) -> Stage:
    """Train the classifier (kind "classifier") or the judge (kind "judge"), each on its own half of MNIST."""
    images, labels = load_mnist(True, place.data_root)
    test_images, test_labels = load_mnist(False, place.data_root)
    picked = halves(len(images))[0 if kind == "classifier" else 1]
    shape = {"size": place.recipe.size, "width": config.width}
    fit, generator, curve = prepare(place.recipe), torch.Generator().manual_seed(seed), []
    with torch.random.fork_rng(devices=[]):  # dropout draws from the global generator
        torch.manual_seed(seed + 1)
        model = checkpoints.build(kind, shape).to(place.device)
        for step in train_classifier(model, images[picked], labels[picked], fit, config, generator):
            curve.append(dataclasses.asdict(step))
            yield Progress(step.epoch + 1, config.epochs, f"accuracy in training {step.accuracy:.2%}", step)
    right = accuracy(model, fit(test_images), test_labels)
    about = {"recipe": place.recipe.name, "seed": seed, "config": dataclasses.asdict(config)}
    checkpoints.save(out, model, kind, shape, {**about, "test_accuracy": right}, curve)
    yield Progress(config.epochs, config.epochs, f"test accuracy {right:.2%}")


def tokenizer_stage(place: Place, config: TokenizerConfig, seed: int, out: Path) -> Stage:
    """Train the patch tokenizer; ``core.evaluate`` measures how well the judge reads what it decodes."""
    shape = dataclasses.replace(place.recipe, tokenizer=config).tokenizer_shape
    images, test = (prepare(place.recipe)(load_mnist(train, place.data_root)[0]) for train in (True, False))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = checkpoints.build("tokenizer", shape).to(place.device)
    curve = []
    for record in train_tokenizer(tokenizer, images, config, torch.Generator().manual_seed(seed)):
        if record.step % 20 == 0:
            curve.append(rounded(record))
        note = f"MSE {record.mse:.4f}, {record.used} of {config.codes} codes in use"
        yield Progress(record.step + 1, config.steps, note, record)
    test = test.to(place.device)
    drawn = torch.cat([tokenizer.decode(tokenizer.encode(part)) for part in test.split(500)])
    mse = (drawn - test).square().mean().item()
    about = {"recipe": place.recipe.name, "seed": seed, "test_mse": mse, "config": dataclasses.asdict(config)}
    checkpoints.save(out, tokenizer, "tokenizer", shape, about, curve)
    if out == place.folder("tokenizer"):
        place.save_random()  # it holds the tokenizer, and every policy starts from it
    yield Progress(config.steps, config.steps, f"test MSE {mse:.4f}")


def random_stage(place: Place) -> Stage:
    """Save the untrained policy."""
    place.save_random()
    yield Progress(1, 1, "saved")


def pretrain_stage(place: Place, start: str, config: PretrainConfig, seed: int, out: Path) -> Stage:
    """Pretrain the untrained policy: start is "unlabelled" or "labelled"."""
    images, labels = load_mnist(True, place.data_root)
    test_images, test_labels = load_mnist(False, place.data_root)
    policy, fit, curve = place.policy("random").train(), prepare(place.recipe), []
    known = labels if start == "labelled" else None
    for record in pretrain(policy, images, known, fit, config, torch.Generator().manual_seed(seed)):
        if record.step % 20 == 0:
            curve.append(rounded(record))
        yield Progress(record.step + 1, config.steps, f"NLL {record.nll:.2f} nats per image", record)
    nll = heldout_nll(policy, fit(test_images), test_labels).mean().item()
    about = {"recipe": place.recipe.name, "seed": seed, "test_nll": nll, "config": dataclasses.asdict(config)}
    checkpoints.save(out, policy, place.recipe.kind, place.recipe.policy_shape(), about, curve)
    yield Progress(config.steps, config.steps, f"test NLL {nll:.2f} nats per image")


def rl_stage(
    place: Place, task: str, name: str, run: Run, seed: int, out: Path, snapshots: bool = False
) -> Stage:
    """Train a task's start by one of its runs. Needs no MNIST: rewards are all it learns from.

    Args:
        snapshots: keep the policy along the way in ``place.snapshots``, for ``core.evaluate``: the weights of
            that step; only the end has their running average.
    """
    recipe, config = place.recipe, run.config
    reference, policy = place.start(task), place.start(task, config.guidance)
    shape = recipe.policy_shape(config.guidance)
    rewards = Rewards(place.classifier(), reference, run.rewards)
    about = {"recipe": recipe.name, "task": task, "run": name, "seed": seed, "rewards": rewards.weights}
    about["algorithm"] = {"name": type(run.algorithm).__name__, **dataclasses.asdict(run.algorithm)}
    about["config"] = dataclasses.asdict(config)
    # Each rank has random numbers of its own.
    generator, curve = torch.Generator(place.device).manual_seed(seed * ranks() + rank()), []
    wanted = {5, 10, 20, 40, 80, 160, config.steps // 2} if snapshots and rank() == 0 else set()
    own, judge = share(config), place.judge()
    with replaced(place.snapshots(task, name)) if wanted else nullcontext() as kept:
        for record in map(pooled, train(policy, reference, rewards, judge, run.algorithm, own, generator)):
            curve.append(rounded(record))
            if record.step + 1 in wanted and record.step + 1 < config.steps:
                along = {**about, "samples": record.samples}
                checkpoints.save(kept / f"step-{record.step + 1}", policy, recipe.kind, shape, along)
            note = f"reward {record.reward:.3f}, judge {record.success:.1%}, KL {record.kl:.2f}"
            yield Progress(record.step + 1, config.steps, note, record, policy)
        about |= {"samples": record.samples, "seconds": round(record.seconds, 1), "processes": ranks()}
        if rank() == 0:
            checkpoints.save(out, policy, recipe.kind, shape, about, curve)


def rounded(record) -> dict:
    """The numbers of a record, without its tensors, rounded for the curve that ships."""
    plain = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, dict):
            value = {name: round(part, 5) for name, part in value.items()}
        if not isinstance(value, torch.Tensor):
            plain[field.name] = round(value, 5) if isinstance(value, float) else value
    return plain


def stage_of(place: Place, name: str, config: Any, seed: int, out: Path) -> Stage:
    """The stage that trains a checkpoint, by its name, if it is no run's; ``config``: None for "random"."""
    if name in ("classifier", "judge"):
        return classifier_stage(place, name, config, seed, out)
    if name == "tokenizer":
        return tokenizer_stage(place, config, seed, out)
    if name == "random":
        return random_stage(place)
    return pretrain_stage(place, name, config, seed, out)


def unless_whole(folder: Path, kind: str, recipe: str, stage: Stage) -> Stage:
    """A stage that has nothing to do where a checkpoint of that kind and recipe is whole already."""
    try:
        checkpoints.load(folder, (kind,))
        checkpoints.check_recipe(folder, recipe)
        if "run" in checkpoints.read_config(folder):
            checkpoints.read_curve(folder)
        stage = iter([Progress(1, 1, "kept")])
    except checkpoints.CheckpointError:
        pass  # missing, damaged, or another one's: trained anew
    yield from stage


def every_stage(place: Place, seeds: int, resume: bool) -> list[tuple[str, Path, Stage]]:
    """(title, folder, stage) of all that a recipe needs, in order; with ``resume``, what is whole is kept."""
    recipe, work = place.recipe, []

    def add(title: str, folder: Path, stage: Stage, kind: str = recipe.kind) -> None:
        stage = unless_whole(folder, kind, recipe.name, stage) if resume else stage
        work.append((title, folder, stage))

    networks = () if recipe.borrows else ("classifier", "judge")
    trained = networks if recipe.tokenizer is None else (*networks, "tokenizer")
    starts = dict.fromkeys(["random", *(STARTS[task] for task in recipe.tasks)])  # each once
    for name in (*trained, *starts):
        kind, folder = name if name in trained else recipe.kind, place.folder(name)
        add(name, folder, stage_of(place, name, getattr(recipe, name, None), 0, folder), kind)
    for seed in range(seeds):
        for task, runs in recipe.tasks.items():
            for name, run in runs.items():
                folder = place.run_folder(f"{task}/{name}", seed) if seed else place.folder(f"{task}/{name}")
                title = f"{task}/{name}" + f" seed {seed}" * (seed > 0)
                add(title, folder, rl_stage(place, task, name, run, seed, folder, snapshots=seed == 0))
    return work

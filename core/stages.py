"""The stages of training, from MNIST to checkpoints. Each reads what earlier ones saved.

A stage yields the records of its training one by one: the command line draws a progress bar from them,
``logged`` curves. Once it is exhausted, its checkpoint is saved.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torchvision.utils import make_grid

from core import checkpoints
from core.classifiers import accuracy, train_classifier
from core.configs import ClassifierConfig, PretrainConfig, TokenizerConfig
from core.data import halves, load_mnist
from core.files import replaced, reserved
from core.parallel import pooled, rank, ranks, share
from core.place import Place, prepare
from core.pretrain import heldout_nll, pretrain
from core.recipes import STARTS, Run
from core.rewards import Rewards
from core.rl import RLStep, train
from core.vqvae import train_tokenizer

EVERY, ROW = 10, 8  # steps between sheets in a log; samples per label in a sheet


@dataclass(frozen=True)
class Stage:
    """What trains one checkpoint."""

    title: str
    folder: Path  # where it goes
    total: int  # number of its records
    records: Iterator[Any]


def classifier_stage(place: Place, kind: str, config: ClassifierConfig, seed: int, out: Path) -> Iterator:
    """Train the classifier (kind "classifier") or the judge (kind "judge"), each on its own half of MNIST."""
    images, labels = load_mnist(True, place.data_root)
    test_images, test_labels = load_mnist(False, place.data_root)
    picked = halves(len(images))[0 if kind == "classifier" else 1]
    shape = {"size": place.recipe.size, "width": config.width}
    fit, generator, curve = prepare(place.recipe), torch.Generator().manual_seed(seed), []
    with torch.random.fork_rng(devices=[]):  # dropout draws from the global generator
        torch.manual_seed(seed + 1)
        model = checkpoints.build(kind, shape).to(place.device)
        for record in train_classifier(model, images[picked], labels[picked], fit, config, generator):
            curve.append(record)
            yield record
    right = accuracy(model, fit(test_images), test_labels)
    about = {"recipe": place.recipe.name, "seed": seed, "config": dataclasses.asdict(config)}
    checkpoints.save(out, model, kind, shape, {**about, "test_accuracy": right}, curve)


def tokenizer_stage(place: Place, config: TokenizerConfig, seed: int, out: Path) -> Iterator:
    """Train the patch tokenizer; ``core.evaluate`` measures how well the judge reads what it decodes."""
    shape = dataclasses.replace(place.recipe, tokenizer=config).tokenizer_shape
    ships = out == place.folder("tokenizer")
    if ships and shape != place.recipe.tokenizer_shape:
        raise ValueError("--ship takes the recipe's own codes, dim and channels; leave it out for others.")
    images, test = (prepare(place.recipe)(load_mnist(half, place.data_root)[0]) for half in (True, False))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = checkpoints.build("tokenizer", shape).to(place.device)
    curve = []
    for record in train_tokenizer(tokenizer, images, config, torch.Generator().manual_seed(seed)):
        if record["step"] % 20 == 0:
            curve.append(rounded(record))
        yield record
    test = test.to(place.device)
    drawn = torch.cat([tokenizer.decode(tokenizer.encode(part)) for part in test.split(500)])
    mse = (drawn - test).square().mean().item()
    about = {"recipe": place.recipe.name, "seed": seed, "test_mse": mse, "config": dataclasses.asdict(config)}
    checkpoints.save(out, tokenizer, "tokenizer", shape, about, curve)
    if ships:
        place.save_random()  # it holds the tokenizer, and every policy starts from it


def random_stage(place: Place) -> Iterator:
    """Save the untrained policy; there is nothing to record."""
    place.save_random()
    yield from ()


def pretrain_stage(place: Place, start: str, config: PretrainConfig, seed: int, out: Path) -> Iterator:
    """Pretrain the untrained policy: start is "unlabelled" or "labelled"."""
    images, labels = load_mnist(True, place.data_root)
    test_images, test_labels = load_mnist(False, place.data_root)
    policy, curve = place.policy("random").train(), []
    known = labels if start == "labelled" else None
    for record in pretrain(policy, images, known, config, torch.Generator().manual_seed(seed)):
        if record["step"] % 20 == 0:
            curve.append(rounded(record))
        yield record
    nll = heldout_nll(policy, test_images, test_labels)
    about = {"recipe": place.recipe.name, "seed": seed, "test_nll": nll, "config": dataclasses.asdict(config)}
    checkpoints.save(out, policy, place.recipe.kind, place.recipe.policy_shape(), about, curve)


def rl_stage(
    place: Place, task: str, name: str, run: Run, seed: int, out: Path, snapshots: bool = False
) -> Iterator:
    """Train a task's start by one of its runs. Needs no MNIST: rewards are all it learns from.

    Args:
        snapshots: also save the policy at some steps, where ``place.snapshots`` finds it for
            ``core.evaluate``: with the weights of that step; only the end has their running average.
    """
    recipe, config = place.recipe, run.config
    reference, policy = place.start(task), place.start(task, config.guidance)
    shape = recipe.policy_shape(config.guidance)
    rewards = Rewards(place.classifier(), reference, run.rewards)
    about = {"recipe": recipe.name, "task": task, "run": name, "seed": seed, "rewards": rewards.weights}
    about["start"] = checkpoints.fingerprint(place.folder(STARTS[task]))
    about["algorithm"] = {"name": type(run.algorithm).__name__, **dataclasses.asdict(run.algorithm)}
    about["config"] = dataclasses.asdict(config)
    # Each rank has random numbers of its own.
    generator, curve = torch.Generator(place.device).manual_seed(seed * ranks() + rank()), []
    wanted = {5, 10, 20, 40, 80, 160, config.steps // 2} if snapshots and rank() == 0 else set()
    own, judge, folder = share(config), place.judge(), place.snapshot_folder(task, name)
    with ExitStack() as held:
        if wanted:
            held.enter_context(reserved(folder))
            kept = held.enter_context(replaced(folder))
        for record in map(pooled, train(policy, reference, rewards, judge, run.algorithm, own, generator)):
            curve.append(rounded(record))
            if record.step + 1 in wanted and record.step + 1 < config.steps:
                along = {**about, "samples": record.samples}
                checkpoints.save(kept / f"step-{record.step + 1}", policy, recipe.kind, shape, along)
            yield record
        about |= {"samples": record.samples, "seconds": round(record.seconds, 1), "processes": ranks()}
        if rank() == 0:
            checkpoints.save(out, policy, recipe.kind, shape, about, curve)


def rounded(record: RLStep | dict) -> dict:
    """The numbers of a record, without its tensors, rounded for curve.json."""
    plain = {}
    for name, value in (vars(record) if isinstance(record, RLStep) else record).items():
        if isinstance(value, dict):
            plain[name] = rounded(value)
        elif not isinstance(value, torch.Tensor):
            plain[name] = round(value, 5) if isinstance(value, float) else value
    return plain


def stage_of(place: Place, name: str, config: Any, seed: int, folder: Path, snapshots: bool = False) -> Stage:
    """The stage that trains the checkpoint of this name; for a name "TASK/RUN", ``config`` is the Run."""
    title, total = f"{name} seed {seed}" if seed else name, 0
    if name in ("classifier", "judge"):
        total, records = config.epochs, classifier_stage(place, name, config, seed, folder)
    elif name == "tokenizer":
        total, records = config.steps, tokenizer_stage(place, config, seed, folder)
    elif name == "random":
        records = random_stage(place)
    elif isinstance(config, Run):
        records = rl_stage(place, *name.split("/"), config, seed, folder, snapshots)
        total = config.config.steps
    else:
        total, records = config.steps, pretrain_stage(place, name, config, seed, folder)
    return Stage(title, folder, total, records)


def unless_whole(stage: Stage, place: Place) -> Iterator:
    """A stage's records, or none if its checkpoint is already complete."""
    kind = stage.title if stage.title in checkpoints.BUILDERS else place.recipe.kind
    try:
        checkpoints.load(stage.folder, (kind,))
        place.check(stage.folder)
        about, though = checkpoints.read_config(stage.folder), ""
        if "run" in about:
            checkpoints.read_curve(stage.folder)
            if str(about["seed"]) not in place.seeds(about["task"], about["run"]):
                though = ", though trained otherwise than seed 0: it is not measured with it"
        print(f"{stage.title}: kept{though}")
        return
    except (checkpoints.CheckpointError, KeyError):  # missing, damaged, or another recipe's
        pass
    # Not in the handler: there the error keeps the weights file open, and Windows refuses to replace it.
    yield from stage.records


def every_stage(place: Place, seeds: int, resume: bool) -> list[Stage]:
    """All stages of a recipe, in order; with ``resume``, complete checkpoints are kept."""
    recipe, stages = place.recipe, []
    names = [] if recipe.borrows else ["classifier", "judge"]
    names += ["tokenizer"] if recipe.tokenizer else []
    names += dict.fromkeys(["random", *(STARTS[task] for task in recipe.tasks)])  # each once
    for name in names:
        stages.append(stage_of(place, name, getattr(recipe, name, None), 0, place.folder(name)))
    runs = {f"{task}/{name}": run for task, runs in recipe.tasks.items() for name, run in runs.items()}
    for seed in range(seeds):
        for name, run in runs.items():
            folder = place.run_folder(name, seed) if seed else place.folder(name)
            stages.append(stage_of(place, name, run, seed, folder, snapshots=seed == 0))
    if resume:
        return [dataclasses.replace(stage, records=unless_whole(stage, place)) for stage in stages]
    return stages


def logged(records: Iterator, folder: Path) -> Iterator:
    """The same records, whose numbers are also logged: ``tensorboard --logdir FOLDER`` shows them.

    Raises ValueError, with the command that installs it, if TensorBoard is missing.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # late: slow to import, and few need it
    except ImportError:
        raise ValueError("--log needs a package that is missing: pip install tensorboard") from None
    with SummaryWriter(folder) as log:
        for done, record in enumerate(records, 1):
            numbers = rounded(record)
            numbers |= {f"terms/{name}": value for name, value in numbers.pop("terms", {}).items()}
            for name, number in numbers.items():
                log.add_scalar(name, number, done)
            if isinstance(record, RLStep) and record.step % EVERY == 0:
                log.add_image("sheet", sheet(record), done)
            yield record


def sheet(record: RLStep) -> torch.Tensor:
    """(3, H, W) in [0, 1]: a few of a step's samples, one row per label."""
    images = record.images.unflatten(0, record.rewards.shape)[:, :ROW]  # (L, 8, 1, H, W)
    zoom = max(1, 56 // images.shape[-1])
    images = images.repeat_interleave(zoom, 3).repeat_interleave(zoom, 4)
    return make_grid(images.flatten(0, 1), nrow=images.shape[1], pad_value=0.5)

"""The command line of training.

    python -m core.train STAGE --recipe NAME [--task TASK]

where STAGE is classifier, judge, tokenizer, pretrain, foresight, unlikelihood, reinforce, grpo or all.

Any hyperparameter of the stage can be set by its name, for example ``--beta 0.05 --steps 50 --digits 7``. ``all`` trains
everything from nothing, stages that do not need each other side by side, and ends with the ladder of ``core.evaluate``; with
``--resume yes`` it keeps the checkpoints that are there and trains the rest.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path

import torch
from tqdm import tqdm

from core import checkpoints
from core.configs import ForesightConfig, UnlikelihoodConfig
from core.data import DataError
from core.evaluate import WORKERS, evaluate, print_ladder
from core.fields import field_names, parse_field
from core.memory import keep_memory
from core.recipes import STARTS, find_recipe
from core.stages import (
    SEEDS,
    Place,
    before_stage,
    classifier_stage,
    pretrain_stage,
    random_stage,
    rl_stage,
    run_folder,
    tokenizer_stage,
)

BEFORE = {config.name: config for config in (ForesightConfig, UnlikelihoodConfig)}  # what may come before RL
STAGES = ("classifier", "judge", "tokenizer", "pretrain", *BEFORE, "reinforce", "grpo", "all")
# Waves of ``all``: each needs those before it only.
JUDGES, TOKENIZER, UNTRAINED, PRETRAINED, RUNS, LATER_RUNS = range(6)
GENERAL = ("recipe", "task", "seed", "seeds", "start", "data-root", "checkpoints", "out", "ablation", "resume")


class UsageError(ValueError):
    """The command line asks for something that there is not; the message says what is allowed."""


def parse(arguments: list[str]) -> tuple[str, dict[str, str]]:
    """["grpo", "--recipe", "tiny-4x4"] to ("grpo", {"recipe": "tiny-4x4"}); names are checked later, by the stage."""
    if not arguments or arguments[0] not in STAGES:
        found = repr(arguments[0]) if arguments else "nothing"
        raise UsageError(f"the first word is {found}; it names what to train: {', '.join(STAGES)}.")
    return arguments[0], parse_options(arguments[1:])


def parse_options(words: list[str]) -> dict[str, str]:
    """["--recipe", "tiny-4x4"] to {"recipe": "tiny-4x4"}."""
    options: dict[str, str] = {}
    rest = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    for name, value in zip(rest[::2], [*rest[1::2], None], strict=False):
        if not name.startswith("--") or value is None or value.startswith("--"):
            raise UsageError(f"{name!r} is not followed by a value; options are written --name value.")
        options[name[2:].replace("_", "-")] = value
    return options


def change(config, options: dict[str, str]):
    """A dataclass with the fields named in ``options`` (which loses them) replaced."""
    changes = {}
    for name in field_names(type(config)):
        if (flag := name.replace("_", "-")) in options:
            changes[name] = parse_field(type(config), name, options.pop(flag))
    return dataclasses.replace(config, **changes)


def plan(stage: str, options: dict[str, str]):
    """What a command line asks for, checked whole before anything runs.

    Returns:
        place, and a list of (wave, title, function that starts the stage) in the order in which they run.
    """
    options = dict(options)
    recipe = find_recipe(options.pop("recipe", "pixels-8x8"))
    place = Place(recipe, Path(options.pop("checkpoints", checkpoints.ROOT)))
    data_root = options.pop("data-root", None)
    seed = _whole("seed", options.pop("seed", "0"), 0, SEEDS - 1)
    resume = _one_of("resume", options.pop("resume", "no"), ("no", "yes") if stage == "all" else ("no",)) == "yes"
    work = []

    def add(wave, title, folder, stage, *arguments):
        if not (resume and checkpoints.exists(folder)):
            work.append((wave, title, partial(stage, place, *arguments)))

    def supervised(kinds, starts):
        for kind in kinds:
            config = change(getattr(recipe, kind), options)
            add(JUDGES, kind, place.folder(kind), classifier_stage, kind, config, seed, data_root)
        if kinds and starts and recipe.tokenizer is not None:
            add(TOKENIZER, "tokenizer", place.folder("tokenizer"), tokenizer_stage, recipe.tokenizer, seed, data_root)
        if starts:
            add(UNTRAINED, "untrained policy", place.folder("random"), random_stage, seed)
        for start in starts:
            config = change(getattr(recipe, start), options)
            add(PRETRAINED, f"pretrain {start}", place.folder(start), pretrain_stage, start, config, seed, data_root)

    def reinforced(task, name, seed, out=None, ablation=""):
        algorithm, config = getattr(recipe.tasks[task], name)
        title = f"{name} {task}" + f" seed {seed}" * (seed > 0)
        if ablation:
            other = recipe.tasks[task].ablations[ablation]
            algorithm, config, title = other.grpo or algorithm, other.config or config, f"{title} {other.says}"
        algorithm, config = change(algorithm, options), change(config, options)
        if algorithm.critic and not recipe.tasks[task].has_critic:
            raise UsageError(f"--critic is true, but {task} of {recipe.name} has none: only foresight leaves one.")
        folder = place.folder(run_folder(task, name, seed, ablation))
        wave = RUNS if recipe.beginning(task, ablation) == STARTS[task] and not algorithm.critic else LATER_RUNS
        add(wave, title, folder, rl_stage, task, algorithm, config, seed, out, ablation)

    def prepared(task):
        config = change(recipe.tasks[task].before, options)
        add(RUNS, f"{config.name} {task}", place.folder(recipe.prepared(task)), before_stage, task, config, seed)

    if stage == "tokenizer" and recipe.tokenizer is None:
        raise UsageError(f"recipe {recipe.name} needs no trained tokenizer: its tokens are pixels.")
    if stage in ("classifier", "judge", "pretrain") and recipe.borrows:
        raise UsageError(f"recipe {recipe.name} uses the {recipe.borrows} recipe's; train that one.")
    if stage in ("classifier", "judge"):
        supervised([stage], [])
    elif stage == "tokenizer":
        add(TOKENIZER, stage, place.folder(stage), tokenizer_stage, change(recipe.tokenizer, options), seed, data_root)
    elif stage == "pretrain":
        starts = _one_of("start", options.pop("start", "both"), ("both", "unlabelled", "labelled"))
        supervised([], ["unlabelled", "labelled"] if starts == "both" else [starts])
    elif stage in BEFORE:
        allowed = tuple(task for task, settings in recipe.tasks.items() if isinstance(settings.before, BEFORE[stage]))
        prepared(_one_of("task", options.pop("task", (*allowed, *recipe.tasks)[0]), allowed))
    elif stage in ("reinforce", "grpo"):
        task = _one_of("task", options.pop("task", next(iter(recipe.tasks))), tuple(recipe.tasks))
        ablation = options.pop("ablation", "")
        if ablation:
            _one_of("ablation", ablation, tuple(recipe.tasks[task].ablations) if stage == "grpo" else ())
        reinforced(task, stage, seed, options.pop("out", None), ablation)
    else:
        seeds = _whole("seeds", options.pop("seeds", "1"), 1, SEEDS)
        supervised([] if recipe.borrows else ["classifier", "judge"], [] if recipe.borrows else ["unlabelled", "labelled"])
        if recipe.borrows:
            add(UNTRAINED, "untrained policy", place.folder("random"), random_stage, seed)
        # What takes longer first: whichever ends last keeps a core waiting.
        for task in recipe.tasks:
            if recipe.tasks[task].before:
                prepared(task)
        for task in recipe.tasks:
            for name in ("grpo", "reinforce"):
                for number in range(seeds):
                    reinforced(task, name, number)
            for ablation in recipe.tasks[task].ablations:
                reinforced(task, "grpo", 0, ablation=ablation)
    work.sort(key=lambda item: item[0])
    if options:
        raise UsageError(f"unknown option --{next(iter(options))} for {stage}; {_allowed(stage, recipe)}")
    return place, work


def _allowed(stage: str, recipe) -> str:
    if stage in ("classifier", "judge"):
        names = field_names(type(getattr(recipe, stage)))
    elif stage in ("pretrain", "tokenizer"):
        names = field_names(type(recipe.labelled if stage == "pretrain" else recipe.tokenizer))
    elif stage in BEFORE:
        names = field_names(BEFORE[stage])
    elif stage in ("reinforce", "grpo"):
        algorithm, config = getattr(next(iter(recipe.tasks.values())), stage)
        names = field_names(type(config)) + field_names(type(algorithm))
    else:
        names = []
    return "allowed: " + ", ".join("--" + name.replace("_", "-") for name in (*GENERAL, *names)) + "."


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise UsageError(f"--{name} is {value!r}; allowed: {', '.join(allowed) or 'none here'}.")
    return value


def _whole(name: str, text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise UsageError(f"--{name} is {text!r}; allowed: a whole number from {low} to {high}.")
    return int(text)


_line: int | None = None  # of the terminal where this process shows its bar, where several do


def _prepare_worker(lock, lines) -> None:
    global _line
    torch.set_num_threads(1)
    keep_memory()
    tqdm.set_lock(lock)
    with lines.get_lock():
        _line = lines.value
        lines.value += 1


Stage = Callable[[], Iterator[tuple[int, int, str]]]  # starts it; see core.stages.Progress


def run(title: str, start: Stage) -> None:
    """Exhaust a stage under a progress bar."""
    bar, note = None, ""
    for done, total, note in start():
        bar = bar or tqdm(total=total, desc=title, dynamic_ncols=True, mininterval=1.0, position=_line, leave=_line is None)
        bar.set_postfix_str(note, refresh=False)
        bar.update(done - bar.n)
    if bar is not None:
        bar.close()
        tqdm.write(f"{title}: {note}")


def run_all(work: list[tuple[int, str, Stage]]) -> None:
    """Every stage, wave by wave; those of a wave side by side, in processes of one thread each."""
    for _, wave in groupby(work, key=lambda item: item[0]):
        _, titles, starts = zip(*wave, strict=True)
        if len(titles) == 1:
            run(titles[0], starts[0])
            continue
        context = get_context("spawn")
        arguments = (context.RLock(), context.Value("i", 0))
        with ProcessPoolExecutor(min(WORKERS, len(titles)), context, _prepare_worker, arguments) as pool:
            list(pool.map(run, titles, starts))


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(__doc__.strip())
        return 0
    keep_memory()
    try:
        stage, options = parse(arguments)
        place, work = plan(stage, options)
        if stage != "all":
            for _, title, start in work:
                run(title, start)
        else:
            run_all(work)
            print_ladder(evaluate(place, data_root=options.get("data-root")))
    except (ValueError, DataError, checkpoints.CheckpointError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

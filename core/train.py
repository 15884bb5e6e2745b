"""The command line of training.

    python -m core.train WHAT --recipe NAME [--task TASK] [--field value ...]

WHAT is classifier, judge, tokenizer, pretrain, a run of the recipe's task (reinforce, grpo, ...), or all.
Every hyperparameter is a flag: ``python -m core.train grpo --recipe tiny-4x4 --help`` lists them with their
defaults. What is trained goes to runs/, or to --out; with --ship it goes to checkpoints/, like seed 0 of
everything that ``all`` trains.
"""

import argparse
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import tyro
from tqdm import tqdm

from core import figures, parallel, stages
from core.algorithms import Algorithm
from core.configs import ClassifierConfig, PretrainConfig, RLConfig, TokenizerConfig, check_ranges
from core.evaluate import evaluate
from core.files import reserved
from core.log import find, logged
from core.place import Place, Where, Work, exit_code
from core.recipes import STARTS, Recipe, Run, find_recipe
from core.report import text
from core.rewards import TERMS

STAGES = ("classifier", "judge", "tokenizer", "pretrain", "all")


@dataclass(frozen=True)
class Training(Work):
    """What every command that trains knows."""

    log: Literal["tensorboard", "trackio"] | None = None  # log curves and samples; TensorBoard's: runs/log


@dataclass(frozen=True)
class One(Training):
    """What a command for one stage knows."""

    seed: int = 0  # of what is random in training; a policy's first weights are always the same
    out: Path | None = None  # write here instead
    ship: bool = False  # write into checkpoints

    def __post_init__(self):
        check_ranges(self, seed=(0, 2**31 - 1))
        if self.ship and (self.seed or self.out):
            raise ValueError("--ship ships seed 0 alone, into checkpoints; leave out --seed and --out.")


@dataclass(frozen=True, kw_only=True)
class StageOptions(One):
    config: ClassifierConfig | TokenizerConfig


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(One):
    start: Literal["unlabelled", "labelled"] = "labelled"  # with or without labels
    config: PretrainConfig


@dataclass(frozen=True, kw_only=True)
class RunOptions(One):
    task: str = "steer"  # where RL starts: steer (unlabelled), refine (labelled) or scratch (random)
    config: RLConfig
    algorithm: Algorithm
    rewards: dict[str, float]


@dataclass(frozen=True)
class AllOptions(Training):
    """Everything from nothing, into checkpoints/, and the ladder."""

    seeds: int = 1  # of each run; seeds above 0 are measured, and stay in runs/
    resume: bool = False  # keep what is whole, even if trained with other settings

    def __post_init__(self):
        check_ranges(self, seeds=(1, 1000))


def parse(arguments: list[str]) -> tuple[str, Any]:
    """The command line to what is asked for and its options. Raises ValueError, or exits as tyro does."""
    scan = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    scan.add_argument("--recipe", default=Where.recipe)
    scan.add_argument("--task")
    scan.add_argument("--start", default=PretrainOptions.start)
    try:
        known, _ = scan.parse_known_args(arguments[1:])
    except argparse.ArgumentError as error:
        raise ValueError(f"{error}.") from error
    recipe = find_recipe(known.recipe)
    runs = sorted({name for task in recipe.tasks.values() for name in task})
    what = arguments[0] if arguments else ""
    if what not in (*STAGES, *runs):
        allowed = ", ".join((*STAGES, *runs))
        raise ValueError(f"the first word is {what!r:.40}; it names what to train: {allowed}.")
    default = _defaults(what, recipe, known)
    says = type(default).__doc__ if what == "all" else f"Trains the {what} of {recipe.name}."
    if isinstance(default, RunOptions):
        says = f"{what} in {default.task}: {recipe.tasks[default.task][what].says}."
    options = tyro.cli(
        type(default),
        default=default,
        args=arguments[1:],
        prog=f"python -m core.train {what}",
        description=says,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands),
    )
    return what, options


def _defaults(what: str, recipe: Recipe, known: argparse.Namespace) -> Any:
    """The options of a command as they are when nothing is said."""
    if what == "all":
        return AllOptions(recipe=recipe.name)
    if what in ("classifier", "judge") and recipe.borrows:
        raise ValueError(f"recipe {recipe.name} uses what {recipe.borrows} has; train that one's {what}.")
    if what == "tokenizer" and recipe.tokenizer is None:
        raise ValueError(f"recipe {recipe.name} needs no trained tokenizer: its tokens are pixels.")
    if what == "pretrain":
        if known.start not in ("unlabelled", "labelled"):
            raise ValueError(f"--start is {known.start!r:.40}; allowed: unlabelled, labelled.")
        if not any(STARTS[task] == known.start for task in recipe.tasks):
            raise ValueError(f"no task of {recipe.name} starts from a policy pretrained {known.start}.")
        return PretrainOptions(recipe=recipe.name, start=known.start, config=getattr(recipe, known.start))
    if what in STAGES:
        return StageOptions(recipe=recipe.name, config=getattr(recipe, what))
    tasks = [task for task, runs in recipe.tasks.items() if what in runs]
    task = tasks[0] if known.task is None else known.task
    if task not in tasks:
        raise ValueError(f"--task is {task!r:.40}; {what} of {recipe.name} is a run of: {', '.join(tasks)}.")
    run = recipe.tasks[task][what]
    paid = {name: run.rewards.get(name, 0.0) for name in TERMS}
    return RunOptions(recipe=recipe.name, task=task, config=run.config, algorithm=run.algorithm, rewards=paid)


def check_replaceable(folder: Path) -> None:
    """Raise ValueError where something else than a checkpoint would be replaced."""
    known = {"weights.safetensors", "config.json", "curve.json", "curve.png", "samples.png"}
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not there <= known or folder.is_file():
        strange = next(iter(sorted(there - known)), "a file")
        raise ValueError(f"cannot write to {folder}: {strange} is there, which is no part of a checkpoint.")


def plan(place: Place, what: str, options: Any) -> list[tuple[str, Path, stages.Stage]]:
    """(title, folder, stage) of everything to be trained, in order; nothing has run yet."""
    if what == "all":
        return stages.every_stage(place, options.seeds, options.resume)
    needs: tuple[str, ...] = ()
    name = what
    if isinstance(options, PretrainOptions):
        name, needs = options.start, ("random",)
    elif isinstance(options, RunOptions):
        name, needs = f"{options.task}/{what}", ("classifier", "judge", STARTS[options.task])
    place.require(*needs)
    usual = place.folder(name) if options.ship else place.run_folder(name, options.seed)
    folder = options.out or usual
    if isinstance(options, RunOptions):
        run = Run(options.algorithm, options.config, "", options.rewards)
        stage = stages.rl_stage(place, options.task, what, run, options.seed, folder, snapshots=options.ship)
    else:
        stage = stages.stage_of(place, name, options.config, options.seed, folder)
    return [(name, folder, stage)]


def run_stage(title: str, stage: stages.Stage) -> None:
    """Exhaust a stage under a progress bar."""
    with tqdm(desc=title, dynamic_ncols=True, mininterval=1.0) as bar:
        for progress in stage:
            bar.total = progress.total
            bar.set_postfix_str(progress.note, refresh=False)
            bar.update(progress.done - bar.n)
    tqdm.write(f"{title}: {progress.note}")


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if arguments else 2

    def work() -> None:
        what, options = parse(arguments)
        place = options.place()
        if options.log:
            find(options.log)  # before time is spent
        with parallel.joined(place.device), ExitStack() as held:
            if parallel.ranks() > 1 and not isinstance(options, RunOptions):
                raise ValueError(f"torchrun shares out the groups of a run; {what} takes a single process.")
            with parallel.rank_0_first():
                todo = plan(place, what, options)
            if parallel.rank() > 0:  # takes part in the run; writes nothing and shows nothing
                ((_, _, stage),) = todo
                for _ in stage:
                    pass
                return
            for _, folder, _ in todo:
                held.enter_context(reserved(folder))
                check_replaceable(folder)
            for title, folder, stage in todo:
                if options.log:
                    name = f"{title}/{datetime.now():%Y-%m-%d-%H%M%S}"
                    stage = logged(stage, options.log, place.runs / "log" / place.recipe.name, name)
                run_stage(title, stage)
                if isinstance(options, RunOptions):
                    figures.beside_checkpoint(place, folder)
                print(f"{title} is in {folder}")
        if what == "all":
            print(text(evaluate(place, resume=options.resume)))

    if arguments[0] == "all":
        return exit_code(work, again="The same command with --resume goes on.")
    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())

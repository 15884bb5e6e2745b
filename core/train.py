"""The command line of training.

    python -m core.train WHAT --recipe NAME [--task TASK] [--field value ...]

WHAT is classifier, judge, tokenizer, pretrain, a run of the recipe's task (reinforce, grpo, ...), or all;
``--help`` lists them. Every hyperparameter is a flag: ``python -m core.train grpo --recipe tiny-4x4 --help``
lists them with their defaults. What is trained goes to runs/, or to --out; with --ship it goes to
checkpoints/, like seed 0 of everything that ``all`` trains.
"""

import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields, make_dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tqdm import tqdm

from core import checkpoints, figures, parallel, stages
from core.algorithms import Algorithm
from core.configs import ClassifierConfig, PretrainConfig, RLConfig, TokenizerConfig, check_ranges
from core.evaluate import evaluate
from core.files import reserved
from core.place import Place, Where, command
from core.recipes import STARTS, Recipe, Run, find_recipe
from core.report import text
from core.rewards import TERMS

PROGRAM = "python -m core.train"
SHOWN = ("accuracy", "mse", "used", "nll", "reward", "success", "kl")  # of a record, beside the progress bar


@dataclass(frozen=True, kw_only=True)
class Training(Where):
    """Options of every command that trains."""

    what: tyro.conf.Suppress[str]  # the command's first word
    log: Literal["tensorboard"] | None = None  # write curves and samples to runs/log


@dataclass(frozen=True, kw_only=True)
class One(Training):
    """Options of a command that trains one stage."""

    seed: int = 0  # of the randomness in training; a policy's initial weights are always the same
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


@dataclass(frozen=True)
class Weights:
    """The weight of each reward term; ``weights`` adds a flag for each."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(One):
    task: str  # where RL starts: steer (unlabelled), refine (labelled) or scratch (random)
    config: RLConfig
    algorithm: Algorithm
    rewards: Weights


@dataclass(frozen=True, kw_only=True)
class AllOptions(Training):
    seeds: int = 1  # number of seeds of each run; those above 0 are measured, but stay in runs/
    resume: bool = False  # keep complete checkpoints, even if trained with other settings

    def __post_init__(self):
        check_ranges(self, seeds=(1, 1000))


@dataclass(frozen=True)
class Scan:
    """What the defaults of all other options depend on."""

    recipe: str = Where.recipe
    task: str | None = None
    start: Literal["unlabelled", "labelled"] | None = None


def parse(arguments: list[str]) -> Training:
    """The command line to options. Raises ValueError, or exits as tyro does."""
    known, _ = tyro.cli(Scan, args=arguments, return_unknown_args=True, add_help=False)
    found, what = commands(find_recipe(known.recipe), known), arguments[0] if arguments else ""
    style = (tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands)
    if what in ("-h", "--help"):
        return tyro.extras.overridable_config_cli(found, args=arguments, prog=PROGRAM, config=style)
    if what not in found:
        where = f"{known.recipe} {known.task}" if known.task else known.recipe
        raise ValueError(f"the first word is {what!r:.40}; for {where}: {', '.join(found)}.")
    says, usual = found[what]
    prog = f"{PROGRAM} {what}"
    return tyro.cli(type(usual), default=usual, description=says, args=arguments[1:], prog=prog, config=style)


def commands(recipe: Recipe, known: Scan) -> dict[str, tuple[str, Training]]:
    """For the first word of each command: what it does, and its options with their defaults."""
    here, says = recipe.name, "Trains everything anew, into checkpoints/, and measures it."
    found: dict[str, tuple[str, Training]] = {"all": (says, AllOptions(what="all", recipe=here))}
    for name in () if recipe.borrows else ("classifier", "judge"):
        options = StageOptions(what=name, recipe=here, config=getattr(recipe, name))
        found[name] = f"Trains the {name}.", options
    if recipe.tokenizer is not None:
        options = StageOptions(what="tokenizer", recipe=here, config=recipe.tokenizer)
        found["tokenizer"] = "Trains the patch tokenizer.", options
    starts = {STARTS[task] for task in recipe.tasks}
    start = known.start or ("labelled" if "labelled" in starts else "unlabelled")
    if start in starts:
        config = getattr(recipe, start)
        options = PretrainOptions(what="pretrain", recipe=here, start=start, config=config)
        found["pretrain"] = "Trains on digits alone, before any reward is paid.", options
    if known.task not in (None, *recipe.tasks):
        raise ValueError(f"--task is {known.task!r:.40}; allowed: {', '.join(recipe.tasks)}.")
    for task in [known.task] if known.task else recipe.tasks:
        for name, run in recipe.tasks[task].items():
            options = RunOptions(
                what=name,
                recipe=here,
                task=task,
                config=run.config,
                algorithm=run.algorithm,
                rewards=weights(run),
            )
            check_names(options)
            found.setdefault(name, (f"{task}: {run.says}.", options))
    return found


def check_names(options: RunOptions) -> None:
    """Raise ValueError if two flags of a run would have the same name."""
    parts = (options, options.config, options.algorithm, options.rewards)
    names = [one.name for part in parts for one in fields(part)]
    for name in names:
        if names.count(name) > 1:
            where = "an algorithm's field or a reward term needs another name"
            raise ValueError(f"{options.what} has two flags --{name}; {where}.")


def weights(run: Run) -> Weights:
    """The reward terms as flags: their help from each function's docstring, their defaults from a run."""
    found = []
    for name, function in TERMS.items():
        says = tyro.conf.arg(help=(function.__doc__ or "").partition("\n")[0])
        found.append((name, Annotated[float, says], field(default=run.rewards.get(name, 0.0))))
    about = {"__doc__": "What each reward term weighs."}
    return make_dataclass("Weights", found, bases=(Weights,), namespace=about, frozen=True)()


def check_replaceable(folder: Path) -> None:
    """Raise ValueError if anything other than a checkpoint would be replaced."""
    known = {"weights.safetensors", "config.json", "curve.json", "curve.png", "samples.png", ".DS_Store"}
    if folder.is_symlink():
        strange = {"a link"}
    elif folder.is_dir():
        strange = {path.name for path in folder.iterdir()} - known
    else:
        strange = {"a file"} if folder.exists() else set()
    if strange:
        which = min(strange)
        raise ValueError(f"cannot write to {folder}: {which} is there, which is no part of a checkpoint.")


def plan(place: Place, options: Any) -> list[stages.Stage]:
    """Everything to be trained, in order; nothing has run yet."""
    if isinstance(options, AllOptions):
        return stages.every_stage(place, options.seeds, options.resume)
    name, config, needs = options.what, options.config, []
    if isinstance(options, PretrainOptions):
        name, needs = options.start, ["random"]
    elif isinstance(options, RunOptions):
        name = f"{options.task}/{options.what}"
        config = Run(options.algorithm, options.config, "", asdict(options.rewards))
        needs = ["classifier", "judge", STARTS[options.task]]
    if parallel.rank() == 0:  # it makes the untrained policy, if that is missing
        place.require(*needs)
    parallel.wait()
    if options.out and options.out.resolve().is_relative_to(place.root.resolve()):
        raise ValueError("--out is among the checkpoints: --ship writes there, each under its own name.")
    usual = place.folder(name) if options.ship else place.run_folder(name, options.seed)
    return [stages.stage_of(place, name, config, options.seed, options.out or usual, options.ship)]


def run_stage(stage: stages.Stage) -> None:
    """Run a stage to its end, with a progress bar."""
    bar = tqdm(stage.records, desc=stage.title, total=stage.total, dynamic_ncols=True, mininterval=1.0)
    for record in bar:
        numbers = stages.rounded(record)
        bar.set_postfix({name: numbers[name] for name in SHOWN if name in numbers}, refresh=False)


@command
def main(arguments: list[str]) -> None:
    options = parse(arguments)
    place = options.place()
    with parallel.joined(place.device), ExitStack() as held:
        if parallel.ranks() > 1 and not isinstance(options, RunOptions):
            raise ValueError(f"torchrun shares out the groups of a run; {options.what} takes one process.")
        todo = plan(place, options)
        if parallel.rank() > 0:  # takes part in the run; writes nothing and shows nothing
            for _ in todo[0].records:
                pass
            return
        for stage in todo:
            held.enter_context(reserved(stage.folder))
            check_replaceable(stage.folder)
        for stage in todo:
            if options.log:
                name = f"{stage.title}/{datetime.now():%Y-%m-%d-%H%M%S}"
                records = stages.logged(stage.records, place.runs / "log" / place.recipe.name / name)
                stage = replace(stage, records=records)
            run_stage(stage)
            if isinstance(options, RunOptions):
                figures.beside_checkpoint(place, stage.folder)
            about = checkpoints.read_config(stage.folder)
            tested = [f", {name} {value:.4g}" for name, value in about.items() if name.startswith("test_")]
            print(f"{stage.title} is in {stage.folder}{''.join(tested)}")
    if isinstance(options, AllOptions):
        print(text(evaluate(place, resume=options.resume)))


if __name__ == "__main__":
    sys.exit(main())

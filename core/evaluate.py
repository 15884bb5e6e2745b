"""The ladder (a table) and the staircase (a figure): all policies of a recipe, measured the same way.

    python -m core.evaluate --recipe NAME

draws 10,000 samples per row at temperature 1 from the checkpoints as they are (1,000 per digit, if a run
asks for fewer than ten), prints the ladder and writes metrics.json. Seeds above 0 are looked for in runs/.
Results of runs and seeds whose weights are no longer here are kept, unless the start of their task has
changed; with --resume, so are those of weights that have not changed.

    python -m core.evaluate --mistakes

trains each mistake of core.mistakes and the same done right, and adds their results.
"""

import dataclasses
import functools
import sys
from dataclasses import dataclass

import torch
import tyro
from tqdm import tqdm

from core import checkpoints
from core.checkpoints import fingerprint
from core.classifiers import predict
from core.files import reserved, write_json
from core.metrics import best_of_n_kl, best_of_n_success
from core.mistakes import MISTAKES, Mistake, as_used, learner, start_of
from core.place import Place, Where, command
from core.policies import Policy
from core.recipes import STARTS, Run, find_recipe
from core.report import Report, means, read_metrics, text
from core.rewards import Rewards
from core.rl import train
from core.yardstick import Yardstick, confident, draw, gradient_variance, samples_to_success

SAMPLES = 10_000
LEVELS = (0.5, 0.75, 0.9, 0.95)  # of success; the samples needed for each are counted


@dataclass(frozen=True)
class Options(Where):
    """Measures every checkpoint of a recipe."""

    resume: bool = False  # measure again only what has changed
    mistakes: bool = False  # train and measure the runs of core.mistakes instead: minutes


def evaluate(place: Place, samples: int = SAMPLES, resume: bool = False) -> dict:
    """Measure every checkpoint that a recipe has; write and return its metrics.json."""
    place.require("judge", "classifier")
    with reserved(place.folder("metrics.json")):
        return Evaluation(place, samples, resume).everything()


class Evaluation:
    """The measurements of a recipe, one after the other; each is saved as soon as it is made."""

    def __init__(self, place: Place, samples: int, resume: bool):
        self.place, self.samples, self.resume = place, samples, resume
        self.yardstick_of = functools.cache(functools.partial(Yardstick, place))  # by the digits drawn
        self.yardstick, self.report = self.yardstick_of(tuple(range(10))), Report(place, samples, resume)
        self.labels = torch.arange(10).repeat_interleave(samples // 10)

    def everything(self) -> dict:
        place, yardstick, report = self.place, self.yardstick, self.report
        report.measure("real against real", "", lambda: yardstick.real_digits(self.samples))
        if place.recipe.tokenizer is not None:
            weights = fingerprint(place.folder("tokenizer"))
            report.measure("real, through the tokenizer", weights, yardstick.reconstructed)
        report.measure("random pixels", "", lambda: yardstick.noise(self.samples))
        there = dataclasses.replace(place, recipe=find_recipe("guide-8x8"))
        guide = there.folder("scratch/reinforce")
        if place.recipe.name == "pixels-8x8" and checkpoints.exists(guide):
            sevens, of_sevens = torch.full((self.samples,), 7), functools.partial(self.yardstick_of, (7,))

            def drawn() -> dict[str, float]:
                return of_sevens().pictures(draw(there.policy(guide), None, sevens)[0], sevens)

            report.measure("random pixels, asked for a 7", "", lambda: of_sevens().noise(self.samples))
            report.measure("guide's recipe", fingerprint(guide), drawn)
        for task, runs in place.recipe.tasks.items():
            named = (STARTS[task], *(f"{task}/{name}" for name in runs))
            if any(checkpoints.exists(place.folder(name)) for name in named):
                self.task(task)
            else:
                report.keep_all(task)
        report.write(done=True)
        return read_metrics(place)

    def task(self, task: str) -> None:
        """The rows of a task: its start, its runs, and best-of-N; and the variance of each gradient."""
        place, report, runs = self.place, self.report, self.place.recipe.tasks[task]
        start, digits = place.start(task), {digit for run in runs.values() for digit in run.config.digits}
        yardstick, labels = self.asked_for(sorted(digits))
        weights = fingerprint(place.folder(STARTS[task]))
        if not report.known(start_row(task), weights):
            report.forget(task)  # earlier results are of runs from another start
        images, _ = draw(start, None, labels)  # for its row and for best-of-N

        def plain() -> dict[str, float]:
            return {**yardstick.pictures(images, labels), "kl": 0.0, "nll": yardstick.nll(start)}

        report.measure(start_row(task), weights, plain)
        for guidance in sorted({run.config.guidance for run in runs.values()} - {1.0}):
            guided = functools.partial(yardstick.measure, place.start(task, guidance), start, labels)
            report.measure(start_row(task, guidance), weights, guided)
        for name in tqdm(runs, desc=f"evaluate {task}"):
            if checkpoints.exists(place.folder(f"{task}/{name}")):
                self.run(task, name, start)
            else:
                report.keep(task, name)
        grpo = f"{task}: grpo"
        if STARTS[task] == "random" or grpo not in report.rows:
            return
        beliefs, reads = predict(yardstick.classifier, images), predict(yardstick.judge, images).argmax(1)
        best_of_n = functools.partial(best_of_n_row, beliefs, reads, labels, start.ignores_labels())
        equal = best_of_n(report.mean(grpo, "kl"))
        report.add(f"{task}: best-of-N at the KL of grpo", "", {"0": equal})
        line = [{"n": 2**i, **best_of_n(best_of_n_kl(2**i))} for i in range(9)]
        known = report.known(grpo, fingerprint(place.folder(f"{task}/grpo")))
        variance = report.runs_before.get(task, {}).get("variance", {}) if known else {}
        whole = "halfway" in variance and variance["start"].keys() >= confident(runs).keys()
        if not (self.resume and whole and all(report.unchanged(f"{task}: {name}") for name in runs)):
            variance = {**variance, **gradient_variance(place, task)}
        report.runs[task] |= {"best-of-N": line, "variance": variance}

    def asked_for(self, digits: list[int]) -> tuple[Yardstick, torch.Tensor]:
        """The yardstick for samples of these digits, and the labels to draw."""
        return self.yardstick_of(tuple(digits)), self.labels[torch.isin(self.labels, torch.tensor(digits))]

    def run(self, task: str, name: str, start: Policy) -> None:
        """The row of a run, over its seeds, and the curves of its training."""
        place, report = self.place, self.report
        folder, row = place.folder(f"{task}/{name}"), f"{task}: {name}"
        weights, digits = fingerprint(folder), checkpoints.read_config(folder)["config"]["digits"]
        yardstick, labels = self.asked_for(digits)
        seeds = dict(report.known(row, weights))
        before = report.runs_before.get(task, {}).get(name, {}) if seeds else {}
        curves = dict(before.get("curves", {}))
        for seed, path in place.seeds(task, name).items():
            mark = fingerprint(path)
            if not (self.resume and seeds.get(seed, {}).get("weights") == mark):
                values = yardstick.measure(place.policy(path), start, labels)
                seeds[seed] = {**values, "weights": mark}
            curve = checkpoints.read_curve(path)
            kept = ("samples", "reward", "success", "kl")
            curves[seed] = {column: [point[column] for point in curve] for column in kept}
        along = before.get("along", [])
        if place.snapshots(task, name) and not (self.resume and along):
            along = yardstick.along_training(task, name)
        success = report.mean(start_row(task, place.recipe.tasks[task][name].config.guidance), "success")
        report.runs.setdefault(task, {})[name] = {
            "says": place.recipe.tasks[task][name].says,
            "samples": {str(level): samples_to_success(curves, level, success) for level in LEVELS},
            "along": along,
            "curves": curves,
        }
        report.add(row, weights, seeds)


def start_row(task: str, guidance: float = 1.0) -> str:
    """The name of the row of a task's start."""
    return f"{task}: start ({STARTS[task]})" + (f", guidance {guidance:g}" if guidance != 1 else "")


def best_of_n_row(
    beliefs: torch.Tensor, reads: torch.Tensor, labels: torch.Tensor, mixed: bool, kl: float
) -> dict[str, float]:
    """Success of best-of-N at a given KL in nats, averaged over labels.

    Args:
        beliefs: (N, 10) from the classifier. reads: (N,) from the judge. labels: (N,) of the same samples.
        mixed: the policy ignores labels, so each label picks from all samples; else from its own.
    """
    successes = []
    for label in labels.unique():
        pool = (labels == label) | mixed
        successes.append(best_of_n_success(beliefs[pool, label], reads[pool] == label, kl))
    return {"success": sum(successes) / len(successes), "kl": kl}


def evaluate_mistakes(place: Place, resume: bool = False, seeds: int = 3, samples: int = 1000) -> dict:
    """Train each mistake and the same done right, measure both, and add them to the existing metrics.json.

    All go into the metrics.json of ``place``, whatever their recipe, each as soon as it is measured. Samples
    are drawn at temperature 1, see ``as_used``; the KL of both is to the task's start.
    """
    path = place.folder("metrics.json")
    with reserved(path):
        metrics = read_metrics(place)
        before = metrics.get("mistakes", {})
        metrics["mistakes"] = {name: before[name] for name in MISTAKES if name in before}
        for name, mistake in tqdm(MISTAKES.items(), desc="evaluate mistakes"):
            here = dataclasses.replace(place, recipe=find_recipe(mistake.recipe))
            labels = torch.tensor(mistake.config.digits).repeat_interleave(samples)
            about = {"samples": len(labels), "seeds": seeds, **provenance(here, mistake)}
            if resume and about.items() <= before.get(name, {}).items():
                continue
            yardstick = Yardstick(here, mistake.config.digits)
            for kind, run in (("mistake", mistake), ("right", mistake.right)):
                figures = []
                for seed in range(seeds):
                    policy = as_used(run, learn(here, mistake.task, run, seed))
                    figures.append(yardstick.measure(policy, here.start(mistake.task), labels, nll=False))
                about[kind] = means(figures)
            metrics["mistakes"][name] = about
            write_json(path, metrics, indent=0)
    return metrics


def provenance(place: Place, mistake: Mistake) -> dict[str, list[str]]:
    """What a mistake and the same done right depend on: if any of it changes, they are measured anew."""
    names = ("classifier", "judge", STARTS[mistake.task], start_of(mistake, mistake.task))
    settings = [f"{run.algorithm} {run.config}" for run in (mistake, mistake.right)]
    return {"weights": [fingerprint(place.folder(name)) for name in names], "settings": settings}


def learn(place: Place, task: str, run: Run, seed: int) -> Policy:
    """Train a run of a task, a mistake or not."""
    name = start_of(run, task)
    policy, start = place.policy(name, run.config.guidance), place.policy(name)
    rewards, judge = Rewards(place.classifier(), start, run.rewards), place.judge()
    generator = torch.Generator(place.device).manual_seed(seed)
    for _ in train(learner(run, policy), start, rewards, judge, run.algorithm, run.config, generator):
        pass
    return policy


@command
def main(arguments: list[str]) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m core.evaluate")
    measure = evaluate_mistakes if options.mistakes else evaluate
    print(text(measure(options.place(), resume=options.resume)))


if __name__ == "__main__":
    sys.exit(main())

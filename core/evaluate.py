"""The ladder and the staircase: every policy of a recipe measured the same way.

    python -m core.evaluate --recipe NAME

draws 10,000 samples a row at temperature 1 from the checkpoints as they are, prints the tables and writes
metrics.json. Seeds above 0 are looked for in runs/. What was measured before of weights that are not here,
or with --resume of weights that have not changed, is kept.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import tyro
from tqdm import tqdm

from core import checkpoints
from core.bestofn import best_of_n_kl, best_of_n_success
from core.checkpoints import CheckpointError
from core.classifiers import predict
from core.data import DataError
from core.place import RUNS, Place
from core.recipes import STARTS, find_recipe
from core.report import Report, fingerprint, text
from core.staircase import along_training, gradient_variance, samples_to_success
from core.yardstick import SEED, Yardstick, draw

SAMPLES = 10_000


@dataclass(frozen=True)
class Options:
    """Measures every checkpoint of a recipe."""

    recipe: str = "pixels-8x8"  # pixels-8x8, patches-28x28 or tiny-4x4
    checkpoints: Path = checkpoints.ROOT  # where the checkpoints are, and metrics.json will be
    runs: Path = RUNS  # where further seeds and snapshots are
    data_root: Path | None = None  # folder that holds MNIST/raw; else $MNIST_ROOT, else data/
    samples: int = SAMPLES  # samples a row
    resume: bool = False  # measure again only what has changed


def evaluate(place: Place, samples: int = SAMPLES, resume: bool = False) -> dict:
    """Measure every checkpoint of a recipe that is there; write and return its metrics.json."""
    place.require("judge", "classifier")
    yardstick, report = Yardstick(place), Report(place, samples, SEED, resume)
    labels = torch.arange(10).repeat_interleave(samples // 10)

    def row(name: str, weights: str, measure) -> None:
        seeds = report.known(name, weights) if resume else {}
        report.add(name, weights, seeds or {"0": measure()})

    row("real against real", "", lambda: yardstick.real_digits(samples))
    if place.recipe.tokenizer is not None:
        row("real, through the tokenizer", fingerprint(place.folder("tokenizer")), yardstick.reconstructed)
    row("random pixels", "", lambda: yardstick.noise(samples))
    guide = place.root / "guide-8x8" / "scratch" / "reinforce"
    if place.recipe.name == "pixels-8x8" and checkpoints.exists(guide):
        sevens = torch.full((samples,), 7)
        policy = checkpoints.load_policy(guide)
        row("guide's recipe", fingerprint(guide), lambda: yardstick.policy(policy, None, sevens))
    for task, runs in place.recipe.tasks.items():
        start = place.folder(STARTS[task])
        if not checkpoints.exists(start):
            continue
        of_start = fingerprint(start)
        for guidance in sorted({1.0} | {run.config.guidance for run in runs.values()}):
            guided = place.start(task, guidance)
            title = f"{task}: start ({STARTS[task]})" + (f", guidance {guidance:g}" if guidance != 1 else "")
            row(title, of_start, partial(yardstick.policy, guided, place.start(task), labels))
        for name in tqdm(runs, desc=f"evaluate {task}"):
            measure_run(place, yardstick, report, task, name, labels)
        if STARTS[task] != "random" and f"{task}: grpo" in report.rows:
            measure_bounds(place, yardstick, report, task, labels)
    report.write(done=True)
    return json.loads(report.path.read_text(encoding="utf-8"))


def measure_run(place, yardstick, report: Report, task: str, name: str, labels: torch.Tensor) -> None:
    """The rows of a run's seeds, and what its training looked like."""
    folders = {"0": place.folder(f"{task}/{name}")}
    for path in sorted((place.runs / place.recipe.name / task / name).glob("seed-*")):
        if path.name != "seed-0":
            folders[path.name.removeprefix("seed-")] = path
    if not checkpoints.exists(folders["0"]):
        return
    row, weights = f"{task}: {name}", fingerprint(folders["0"])
    known = report.known(row, weights)
    before = report.before["runs"].get(task, {}).get(name, {})
    config = checkpoints.read_config(folders["0"])["config"]
    asked = labels[torch.isin(labels, torch.tensor(config["digits"]))]
    seeds, curves = {}, {}
    for seed in sorted(set(folders) | set(known)):
        folder, old = folders.get(seed), known.get(seed)
        if folder is None or not checkpoints.exists(folder):
            seeds[seed] = old
            curves |= {seed: before["curves"][seed]} if seed in before.get("curves", {}) else {}
            continue
        mark = fingerprint(folder)
        if report.resume and old and old["weights"] == mark:
            seeds[seed] = old
        else:
            policy = checkpoints.load_policy(folder)
            seeds[seed] = {**yardstick.policy(policy, place.start(task), asked), "weights": mark}
        curve = json.loads((folder / "curve.json").read_text(encoding="utf-8"))
        kept = ("samples", "reward", "success", "kl")
        curves[seed] = {column: [point[column] for point in curve] for column in kept}
    found = {
        "says": place.recipe.tasks[task][name].says,
        "samples": {str(level): samples_to_success(curves, level) for level in (0.5, 0.75, 0.9, 0.95)},
        "along": before.get("along", []) if known else [],
        "curves": curves,
    }
    if place.snapshots(task, name).is_dir() and not (report.resume and found["along"]):
        found["along"] = along_training(place, yardstick, task, name)
    report.runs.setdefault(task, {})[name] = found
    report.add(row, weights, seeds)


def measure_bounds(place, yardstick: Yardstick, report: Report, task: str, labels: torch.Tensor) -> None:
    """What GRPO is compared with: best-of-N from its start, and how much each gradient scatters."""
    start = place.start(task)
    images, _ = draw(start, None, labels)
    beliefs, reads = predict(yardstick.classifier, images), predict(yardstick.judge, images).argmax(1)

    def best_of_n(kl: float) -> dict[str, float]:
        """Averaged over labels. A label's pool is its own samples, or all if the start ignores labels."""
        successes = []
        for label in range(10):
            pool = labels >= 0 if start.ignores_labels() else labels == label
            successes.append(best_of_n_success(beliefs[pool, label], reads[pool] == label, kl))
        return {"success": sum(successes) / 10, "kl": kl}

    price = report.rows[f"{task}: grpo"]["values"]["kl"]["mean"]
    report.add(f"{task}: best-of-N at the KL of grpo", "", {"0": best_of_n(price)})
    line = [{"n": 2**i, **best_of_n(best_of_n_kl(2**i))} for i in range(9)]
    known = report.before["runs"].get(task, {}).get("variance", {})
    variance = known if report.resume and "halfway" in known else {**known, **gradient_variance(place, task)}
    report.runs[task] |= {"best-of-N": line, "variance": variance}


def main(arguments: list[str] | None = None) -> int:
    try:
        options = tyro.cli(Options, args=arguments, prog="python -m core.evaluate")
        if options.samples < 100 or options.samples % 10:
            raise ValueError(f"--samples is {options.samples}; allowed: 100 or more, in tens.")
        place = Place(find_recipe(options.recipe), options.checkpoints, options.runs, options.data_root)
        print(text(evaluate(place, options.samples, options.resume)))
    except KeyboardInterrupt:
        print("stopped; what was measured so far is kept.", file=sys.stderr)
        return 130
    except (ValueError, DataError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

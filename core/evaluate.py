"""The ladder: every policy of a recipe measured the same way, from the course guide's script to GRPO.

    python -m core.evaluate --recipe NAME

draws 10,000 samples a row at temperature 1 from the checkpoints as they ship, prints the table and writes metrics.json. With
``--task steer`` only that task's rows are measured anew, after it alone was trained again; the others stay as they were.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from tqdm import tqdm

from core import checkpoints
from core.bestofn import best_of_n
from core.data import DataError
from core.memory import keep_memory
from core.metrics import interval
from core.recipes import STARTS, find_recipe
from core.rejection import rejection
from core.stages import Place
from core.yardstick import SAMPLES, SEED, Yardstick

# Worker processes of one thread each: at these sizes they use two cores far better than one process with two.
WORKERS = max(1, min(os.cpu_count() or 1, 8))
COLUMNS = {  # name: (heading, format)
    "reward": ("reward", ".4f"),
    "success": ("judge success", ".2%"),
    "kl": ("KL to start", ".3f"),
    "nll": ("NLL of real digits", ".2f"),
    "frechet": ("Frechet", ".2f"),
    "density": ("density", ".3f"),
    "coverage": ("coverage", ".3f"),
    "coherence": ("coherence", ".3f"),
    "ink": ("ink", ".3f"),
    "entropy": ("pixel entropy", ".3f"),
}


@dataclass(frozen=True)
class Job:
    """One row of the ladder, or one seed of it."""

    row: str
    recipe: str = ""
    name: str = ""  # of the checkpoint, below its recipe's folder; empty for rows that need none
    reference: str | None = None  # the KL is measured to it
    digits: tuple[int, ...] = tuple(range(10))
    guidance: float = 1.0
    price: float | None = None  # nats that best-of-N may spend
    sure: bool = False  # only pictures that the classifier is sure of


def jobs(place: Place) -> list[Job]:
    """What there is to measure: every checkpoint of the ladder that is there, row by row in the ladder's order."""
    recipe = place.recipe
    found = [Job("real against real"), Job("guide's recipe", "guide-8x8", "scratch/reinforce", "random", (7,))]
    if recipe.tokenizer is not None:
        found[1] = Job("real, through the tokenizer")
    found += [Job("random pixels"), Job("untrained", recipe.name, "random")]
    for task, settings in recipe.tasks.items():
        start = STARTS[task]
        found.append(Job(f"{task}: start ({start})", recipe.name, start, start))
        guidable = {f"{task}: start": start} if start == "labelled" else {}
        if settings.lesson:
            row, name = f"{task}: before RL ({settings.lesson.name})", recipe.beginning(task)
            found.append(Job(row, recipe.name, name, start))
            guidable[row] = name
        for row, name in guidable.items():
            for guidance in settings.guidances:
                found.append(Job(f"{row}, guidance {guidance:g}", recipe.name, name, start, guidance=guidance))
        if start != "random":  # the classifier is hardly ever sure of noise
            found.append(Job(f"{task}: rejection", recipe.name, start, sure=True))
        for algorithm in ("reinforce", "grpo"):
            digits = getattr(settings, algorithm)[1].digits
            for name in place.runs(task, algorithm):
                found.append(Job(f"{task}: {algorithm.upper()}", recipe.name, name, start, digits))
        for ablation, other in settings.ablations.items():
            for name in place.runs(task, "grpo", ablation):
                found.append(Job(f"{task}: GRPO {other.says}", recipe.name, name, start, settings.grpo[1].digits))
    return [job for job in found if not job.name or checkpoints.exists(place.root / job.recipe / job.name)]


_yardstick: Yardstick | None = None  # one a worker process


def _prepare_worker(place: Place, data_root) -> None:
    global _yardstick
    torch.set_num_threads(1)
    keep_memory()
    _yardstick = Yardstick(place, data_root)


def _measure(job: Job) -> dict[str, float]:
    if job.row == "random pixels":
        return _yardstick.noise()
    if job.row == "real against real":
        return _yardstick.pictures(_yardstick.others, _yardstick.other_labels)
    if job.row == "real, through the tokenizer":
        return _yardstick.reconstructed()
    place = Place(find_recipe(job.recipe), _yardstick.place.root)
    policy = place.policy(job.name)
    if job.price is not None:
        images, labels, kl = best_of_n(policy, _yardstick.classifier, job.price, SAMPLES, SEED)
        return {**_yardstick.pictures(images, labels), "kl": kl}
    if job.sure:
        found = rejection(policy, _yardstick.classifier, SAMPLES, SEED)
        return {**_yardstick.pictures(*found[:2]), "kl": found[2]} if found else {}
    if job.guidance != 1:
        policy.guidance = job.guidance
    return _yardstick.policy(policy, place.policy(job.reference) if job.reference else None, job.digits)


def evaluate(place: Place, data_root: str | Path | None = None, only: str = "") -> dict:
    """Measure every checkpoint of a recipe that is there, and write its metrics.json.

    Args:
        only: a task, whose rows alone are measured; all others are taken from the metrics.json that is there.

    Returns:
        {"recipe", "samples", "seed", "rows": [{"name", "seeds", "values": {metric: {"mean", "interval", "seeds"}}}]}

    Raises:
        ValueError: ``only`` is given, and there is no metrics.json, or none of as many samples.
    """
    path = place.root / place.recipe.name / "metrics.json"
    before = _read(path) if only else []
    first = [job for job in jobs(place) if job.row.startswith(f"{only}:" if only else "")]
    values: dict[str, list[dict[str, float]]] = {}
    with ProcessPoolExecutor(WORKERS, get_context("spawn"), _prepare_worker, (place, data_root)) as pool:
        for job, result in zip(first, _watch(pool.map(_measure, first), len(first)), strict=True):
            values.setdefault(job.row, []).append(result)
        second = []
        for task in [only] if only else place.recipe.tasks:
            if STARTS[task] == "random":  # the best of N pictures of noise is noise: nothing to compare with
                continue
            if f"{task}: GRPO" in values:  # the price GRPO paid decides the N that it is compared with
                price = sum(run["kl"] for run in values[f"{task}: GRPO"]) / len(values[f"{task}: GRPO"])
                second.append(Job(f"{task}: best-of-N", place.recipe.name, STARTS[task], price=price))
        for job, result in zip(second, _watch(pool.map(_measure, second), len(second)), strict=True):
            values[job.row] = [result]
    order = [row for row in values if not row.endswith("best-of-N")]
    for job in second:
        order.insert(order.index(f"{job.row.split(':')[0]}: REINFORCE"), job.row)
    rows = [{"name": name, "seeds": len(values[name]), "values": _summary(values[name])} for name in order]
    report = {
        **{"recipe": place.recipe.name, "samples": SAMPLES, "seed": SEED, "temperature": 1.0},
        "rows": _in_place(rows, before, only),
    }
    fresh = path.with_suffix(".writing")
    fresh.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    os.replace(fresh, path)
    return report


def _read(path: Path) -> list[dict]:
    """The rows of a metrics.json, to be kept beside new ones."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if found.get("samples") != SAMPLES or found.get("seed") != SEED:
        raise ValueError(
            f"{path} holds no ladder of {SAMPLES:,} samples a row to add to; measure all of it, without --task."
        )
    return found["rows"]


def _in_place(rows: list[dict], before: list[dict], task: str) -> list[dict]:
    """New rows of a task where its old ones stood among those that were there ``before``."""
    kept = [row for row in before if not row["name"].startswith(f"{task}:")]
    first = next((i for i, row in enumerate(before) if row not in kept), len(before))
    return kept[:first] + rows + kept[first:]


def _watch(results, total: int):
    return tqdm(results, total=total, desc="evaluate", dynamic_ncols=True)


def _summary(runs: list[dict[str, float]]) -> dict:
    summary = {}
    for name in COLUMNS:
        found = [run[name] for run in runs if name in run]
        if found:
            summary[name] = {"mean": sum(found) / len(found), "interval": interval(found), "seeds": found}
    return summary


def ladder(report: dict) -> str:
    """The report as a table in Markdown; plus-minus is the 95 % interval of the mean over seeds."""
    lines = ["| policy | seeds | " + " | ".join(heading for heading, _ in COLUMNS.values()) + " |"]
    lines.append("|---|---|" + "---|" * len(COLUMNS))
    for row in report["rows"]:
        cells = []
        for name, (_, style) in COLUMNS.items():
            value = row["values"].get(name)
            cell = "-" if value is None else format(value["mean"], style)
            if value is not None and value["interval"] is not None:
                cell += f" ± {format(value['interval'], style)}"
            cells.append(cell)
        lines.append(f"| {row['name']} | {row['seeds']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def print_ladder(report: dict) -> None:
    """The table under a line that says how it was measured."""
    print(f"\n{report['recipe']}: {report['samples']:,} samples a row at temperature {report['temperature']:g}")
    print(ladder(report))


def main(arguments: list[str] | None = None) -> int:
    from core.train import UsageError, parse_options  # late: train imports this module

    try:
        options = parse_options(sys.argv[1:] if arguments is None else arguments)
        recipe = find_recipe(options.pop("recipe", "pixels-8x8"))
        place = Place(recipe, Path(options.pop("checkpoints", checkpoints.ROOT)))
        data_root, task = options.pop("data-root", None), options.pop("task", "")
        if task and task not in recipe.tasks:
            raise UsageError(f"--task is {task!r}; allowed: {', '.join(recipe.tasks)}.")
        if options:
            raise UsageError(
                f"unknown option --{next(iter(options))}; allowed: --recipe, --task, --checkpoints, --data-root."
            )
        print_ladder(evaluate(place, data_root, task))
    except (ValueError, DataError, checkpoints.CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

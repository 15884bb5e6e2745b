"""The ladder: every policy of a recipe measured the same way, from the course guide's script to GRPO.

    python -m core.evaluate --recipe NAME

draws 10,000 samples a row at temperature 1 from the checkpoints as they ship, prints the table and writes metrics.json.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from tqdm import tqdm

from core import checkpoints
from core.bestofn import best_of_n
from core.classifiers import predict
from core.data import DataError, load_mnist
from core.memory import keep_memory
from core.metrics import (
    density_coverage,
    frechet,
    ink_fraction,
    interval,
    neighbour_radii,
    pixel_entropy,
)
from core.objectives import exact_kl
from core.policies import Policy
from core.pretrain import heldout_nll
from core.recipes import STARTS, find_recipe
from core.rewards import coherence
from core.stages import Place, prepare, run_folder

SAMPLES = 10_000
SEED = 20_250_808  # of the evaluation; training uses small seeds
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


class Yardstick:
    """What samples are measured against: real test digits, classifier and judge of a recipe."""

    def __init__(self, place: Place, data_root: str | Path | None):
        self.place = place
        images, self.labels = load_mnist(False, data_root)
        fit = prepare(place.recipe)
        self.images = fit(images)
        self.classifier, self.judge = place.classifier(), place.judge()
        self.real = self.features(self.images)
        self.radii = neighbour_radii(self.real)
        training, labels = load_mnist(True, data_root)
        picked = torch.randperm(len(training), generator=torch.Generator().manual_seed(SEED))[:SAMPLES]
        self.others, self.other_labels = fit(training[picked]), labels[picked]

    @torch.no_grad()
    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(N, D) the judge's features."""
        return torch.cat([self.judge.features(part) for part in images.split(1000)])

    def pictures(self, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """Every figure that needs pictures only."""
        levels = self.place.recipe.levels
        tokens = (images * (levels - 1)).round().long().flatten(1)
        density, coverage = density_coverage(self.real, self.radii, features := self.features(images))
        return {
            "reward": predict(self.classifier, images).gather(1, labels[:, None]).mean().item(),
            "success": (predict(self.judge, images).argmax(1) == labels).float().mean().item(),
            "frechet": frechet(self.real, features),
            "density": density,
            "coverage": coverage,
            "coherence": coherence(images).mean().item(),
            "ink": ink_fraction(images),
            "entropy": pixel_entropy(tokens, labels, levels),
        }

    def policy(self, policy: Policy, reference: Policy | None, digits: tuple[int, ...]) -> dict[str, float]:
        """Every figure of a policy, from SAMPLES samples at temperature 1; KL only where there is a reference."""
        labels = torch.tensor(digits).repeat_interleave(-(-SAMPLES // len(digits)))
        generator, tokens, nats = torch.Generator().manual_seed(SEED), [], []
        for part in labels.split(200):
            tokens.append(policy.sample(part, generator=generator).tokens)
            if reference is not None:
                with torch.no_grad():
                    kl = exact_kl(policy.log_probs(part, tokens[-1]), reference.log_probs(part, tokens[-1]))
                nats.append(kl.sum(1))
        values = self.pictures(policy.tokenizer.decode(torch.cat(tokens)), labels)
        if policy.tokenizer.levels == self.place.recipe.levels:
            values["nll"] = heldout_nll(policy, self.images, self.labels).mean().item()
        if reference is not None:
            values["kl"] = torch.cat(nats).mean().item()
        return values


def jobs(place: Place) -> list[tuple[str, str, str, str | None, tuple[int, ...]]]:
    """(row, seed's checkpoint, recipe, reference, digits) for every checkpoint of the ladder that is there."""
    found, everything = [], tuple(range(10))

    def add(row, recipe, name, reference, digits):
        if (place.root / recipe / name / "config.json").is_file():
            found.append((row, name, recipe, reference, digits))

    add("guide's recipe", "guide-8x8", "scratch/reinforce", "random", (7,))
    add("untrained", place.recipe.name, "random", None, everything)
    for task, settings in place.recipe.tasks.items():
        add(f"{task}: start ({STARTS[task]})", place.recipe.name, STARTS[task], STARTS[task], everything)
        for algorithm in ("reinforce", "grpo"):
            digits = getattr(settings, algorithm)[1].digits
            for seed in range(100):
                row = f"{task}: {algorithm.upper()}"
                add(row, place.recipe.name, run_folder(task, algorithm, seed), STARTS[task], digits)
    return found


_yardstick: Yardstick | None = None  # one a worker process


def _prepare_worker(place: Place, data_root) -> None:
    global _yardstick
    torch.set_num_threads(1)
    keep_memory()
    _yardstick = Yardstick(place, data_root)


def _measure(job) -> dict[str, float]:
    row, name, recipe, reference, digits = job
    if row == "random pixels":
        size, levels = _yardstick.place.recipe.size, _yardstick.place.recipe.levels
        generator = torch.Generator().manual_seed(SEED)
        images = torch.randint(levels, (SAMPLES, 1, size, size), generator=generator) / (levels - 1)
        return _yardstick.pictures(images, torch.arange(SAMPLES) % 10)
    if row == "real against real":
        return _yardstick.pictures(_yardstick.others, _yardstick.other_labels)
    place = Place(find_recipe(recipe), _yardstick.place.root)
    if row.endswith("best-of-N"):
        images, labels, kl = best_of_n(place.policy(name), _yardstick.classifier, reference, SAMPLES, SEED)
        return {**_yardstick.pictures(images, labels), "kl": kl}
    return _yardstick.policy(place.policy(name), place.policy(reference) if reference else None, digits)


def evaluate(place: Place, data_root: str | Path | None = None) -> dict:
    """Measure every checkpoint of a recipe that is there, and write its metrics.json.

    Returns:
        {"recipe", "samples", "seed", "rows": [{"name", "seeds", "values": {metric: {"mean", "interval", "seeds"}}}]}
    """
    first = [("random pixels", "", "", None, ()), ("real against real", "", "", None, ()), *jobs(place)]
    # Worker processes of one thread each: at these sizes they use two cores far better than one process with two.
    workers = max(1, min(os.cpu_count() or 1, 8))
    values: dict[str, list[dict[str, float]]] = {}
    with ProcessPoolExecutor(workers, get_context("spawn"), _prepare_worker, (place, data_root)) as pool:
        for job, result in zip(first, _watch(pool.map(_measure, first), len(first)), strict=True):
            values.setdefault(job[0], []).append(result)
        second = []
        for task in place.recipe.tasks:
            if f"{task}: GRPO" in values:  # the price GRPO paid decides the N that it is compared with
                price = sum(run["kl"] for run in values[f"{task}: GRPO"]) / len(values[f"{task}: GRPO"])
                second.append((f"{task}: best-of-N", STARTS[task], place.recipe.name, price, ()))
        for job, result in zip(second, _watch(pool.map(_measure, second), len(second)), strict=True):
            values[job[0]] = [result]
    order = ["real against real", "guide's recipe", "random pixels", "untrained"]
    for task in place.recipe.tasks:
        order += [f"{task}: {part}" for part in (f"start ({STARTS[task]})", "best-of-N", "REINFORCE", "GRPO")]
    report = {
        **{"recipe": place.recipe.name, "samples": SAMPLES, "seed": SEED, "temperature": 1.0},
        "rows": [
            {"name": name, "seeds": len(values[name]), "values": _summary(values[name])} for name in order if name in values
        ],
    }
    path = place.root / place.recipe.name / "metrics.json"
    fresh = path.with_suffix(".writing")
    fresh.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    os.replace(fresh, path)
    return report


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
        data_root = options.pop("data-root", None)
        if options:
            raise UsageError(f"unknown option --{next(iter(options))}; allowed: --recipe, --checkpoints, --data-root.")
        print_ladder(evaluate(place, data_root))
    except (ValueError, DataError, checkpoints.CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

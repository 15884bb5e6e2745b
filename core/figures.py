"""Pictures of what was measured, for the report and the talk.

    python -m core.figures --recipe NAME

draws into docs/figures/ from metrics.json and the checkpoints. Colours are Okabe and Ito's, which people
with any colour vision tell apart.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import tyro

from core import checkpoints
from core.checkpoints import CheckpointError
from core.place import Place, Where, exit_code
from core.recipes import STARTS
from core.sheets import draw_rewards, draw_sheet, draw_steps, save

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {  # one a run, the same in every figure and on the page
    "reinforce": "#E69F00",
    "reinforce-baseline": "#F0E442",
    "grpo-group": "#CC79A7",
    "grpo-kl": "#56B4E9",
    "grpo": "#009E73",
    "grpo-scaled": "#0072B2",
}
TRAINING = {"reward": "reward", "success": "judge success", "kl": "KL to the start, nats per image"}
DIVERSITY = {"success": "judge success", "frechet": "Frechet", "coverage": "coverage", "entropy": "entropy"}
GRAY = "#777777"  # of runs outside the staircase
plt.rcParams |= {"figure.constrained_layout.use": True, "savefig.dpi": 110, "font.size": 13}
plt.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}


def draw_lines(curves: dict[str, list[dict]], headings: dict[str, str], path: Path) -> None:
    """Against samples seen, a line a run: the mean over its seeds, in a band that is their range.

    Args:
        curves: by run, a dict of columns for each seed. headings: of the columns that are drawn.
    """
    figure, axes = plt.subplots(1, len(headings), figsize=(5 * len(headings), 4.5))
    for axis, (column, heading) in zip(axes, headings.items(), strict=True):
        for name, seeds in curves.items():
            samples, colour = seeds[0]["samples"], COLOURS.get(name, GRAY)
            values = np.array([seed[column] for seed in seeds])
            axis.plot(samples, values.mean(0), ".-", color=colour, label=f"{name}, seeds: {len(seeds)}")
            axis.fill_between(samples, values.min(0), values.max(0), color=colour, alpha=0.18, lw=0)
        axis.set(xlabel="samples seen", title=heading)
    if curves:
        axes[0].legend()
    save(figure, path)


def columns(points: list[dict], names: Iterable[str]) -> dict[str, list]:
    return {name: [point[name] for point in points] for name in ("samples", *names)}


def draw_staircase(report: dict, task: str, path: Path) -> None:
    """What each ingredient is worth: success, KL, coverage and samples to 90 %, a bar a run."""
    rows = {row["name"]: row["values"] for row in report["rows"]}
    names = [name for name in COLOURS if f"{task}: {name}" in rows]
    colours = [COLOURS[name] for name in names]
    figure, axes = plt.subplots(1, 4, figsize=(18, 4.4), sharey=True)
    headings = {"success": "judge success", "kl": "KL spent, nats", "coverage": "coverage of real digits"}
    for axis, (value, heading) in zip(axes, headings.items(), strict=False):
        found = [rows[f"{task}: {name}"][value] for name in names]
        means = [entry["mean"] for entry in found]
        axis.barh(names, means, xerr=[entry["interval"] or 0 for entry in found], color=colours)
        axis.set_title(heading)
        if value == "success":
            axis.set_xlim(max(0.0, min(means) - 0.1), 1)
    for i, name in enumerate(names):
        needed = report["runs"][task][name]["samples"]["0.9"]
        axes[3].barh(name, needed["mean"] or 0, color=COLOURS[name])
        if not needed["mean"]:
            axes[3].text(0, i, " as the start" if needed.get("above") else " never", va="center")
    axes[3].set_title("samples to 90 % success")
    axes[0].invert_yaxis()
    save(figure, path)


def draw_frontier(report: dict, task: str, path: Path) -> None:
    """Success against the KL that it cost, with best-of-N and the least that success must cost."""
    rows = {row["name"]: row["values"] for row in report["rows"]}
    figure, axis = plt.subplots(figsize=(9, 6))
    start = rows[f"{task}: start ({STARTS[task]})"]["success"]["mean"]
    line = report["runs"][task]["best-of-N"]
    axis.plot([p["kl"] for p in line], [p["success"] for p in line], "o--", color=GRAY, label="best-of-N")
    axis.axvline(-math.log(start), color=GRAY, lw=1, label="bound: all of them right, at no further price")
    for name in (name for name in report["runs"][task] if f"{task}: {name}" in rows):
        x, y = rows[f"{task}: {name}"]["kl"], rows[f"{task}: {name}"]["success"]
        spread, colour = (y["interval"] or 0, x["interval"] or 0), COLOURS.get(name, GRAY)
        axis.errorbar(x["mean"], y["mean"], *spread, fmt="s", ms=10, color=colour, label=name)
    axis.set(xlabel="KL to the start, nats per image", ylabel="judge success", title=task)
    axis.set_xscale("symlog", linthresh=0.1)
    axis.legend()
    save(figure, path)


def draw_variance(report: dict, task: str, path: Path) -> None:
    """How much the gradient estimate of one step scatters, over the squared norm of its mean."""
    variance = report["runs"][task]["variance"]
    names = [name for name in COLOURS if name in variance["start"]]
    places, colours = np.arange(len(names)), [COLOURS[name] for name in names]
    figure, axis = plt.subplots(figsize=(10, 4.6))
    axis.set(yscale="log", ylim=(1, None), title=f"{task}: relative variance of one step's gradient")
    for i, (point, title) in enumerate({"start": "at the start", "halfway": "half way"}.items()):
        if point in variance:
            heights = [variance[point][name] or math.nan for name in names]
            axis.bar(places + 0.4 * i, heights, 0.38, color=colours, alpha=1 - i / 2, label=title)
    axis.set_xticks(places + 0.2, names)
    axis.legend()
    save(figure, path)


def beside_checkpoint(place: Place, folder: Path) -> None:
    """curve.png and samples.png of a single run, beside its weights."""
    config = checkpoints.read_config(folder)
    curve = json.loads((folder / "curve.json").read_text(encoding="utf-8"))
    draw_lines({config["run"]: [columns(curve, TRAINING)]}, TRAINING, folder / "curve.png")
    policy = checkpoints.load_policy(folder)
    draw_sheet(policy, place.judge(), f"{config['task']}/{config['run']}", folder / "samples.png")


def draw_all(place: Place, out: Path) -> None:
    """Every figure of a recipe, from its metrics.json and its checkpoints."""
    path = place.folder("metrics.json")
    if not path.is_file():
        command = f"python -m core.evaluate --recipe {place.recipe.name}"
        raise CheckpointError(f"{path} is missing; to make it: {command}")
    report = json.loads(path.read_text(encoding="utf-8"))
    for task, runs in report["runs"].items():
        steps = [name for name in COLOURS if name in runs]
        curves = {name: list(runs[name]["curves"].values()) for name in steps}
        draw_lines(curves, TRAINING, out / f"{task}-curves.png")
        along = {name: [columns(runs[name]["along"], DIVERSITY)] for name in steps if runs[name]["along"]}
        draw_lines(along, DIVERSITY, out / f"{task}-diversity.png")
        for name in (name for name in runs if "curves" in runs[name]):
            policy = place.policy(f"{task}/{name}")
            draw_sheet(policy, place.judge(), f"{task}/{name}", out / f"{task}-{name}-samples.png")
        if "best-of-N" in runs:
            draw_staircase(report, task, out / f"{task}-staircase.png")
            draw_frontier(report, task, out / f"{task}-frontier.png")
            draw_variance(report, task, out / f"{task}-variance.png")
            draw_rewards(place, task, out / f"{task}-rewards.png")
            for name in ("reinforce", "grpo"):
                if place.snapshots(task, name).is_dir():
                    draw_steps(place, task, name, out / f"{task}-{name}-steps.png")


@dataclass(frozen=True)
class Options(Where):
    """Draws every figure of a recipe into docs/figures/."""

    out: Path = Path("docs/figures")  # where the figures go


def main(arguments: list[str] | None = None) -> int:
    def work() -> None:
        options = tyro.cli(Options, args=arguments, prog="python -m core.figures")
        draw_all(options.place(), options.out / options.recipe)
        print(f"drawn into {options.out}")

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())

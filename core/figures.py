"""Pictures of what was measured, for the report and the talk.

    python -m core.figures --recipe NAME

draws into docs/figures/ from metrics.json, the curves in it and the checkpoints. Colours are Okabe and
Ito's, which people with any colour vision tell apart.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import tyro

from core import checkpoints
from core.checkpoints import CheckpointError
from core.place import RUNS, Place
from core.recipes import STARTS, find_recipe
from core.sheets import draw_rewards, draw_sheet, draw_steps, save_figure

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
GRAY = "#777777"
plt.rcParams.update(
    {"font.size": 13, "axes.spines.top": False, "axes.spines.right": False, "savefig.dpi": 110}
)


def colour(name: str) -> str:
    """Of a run; runs outside the staircase are gray."""
    return COLOURS.get(name, GRAY)


def draw_curves(report: dict, task: str, path: Path) -> None:
    """Reward, success and KL against samples seen; the band is the range over seeds."""
    figure, axes = plt.subplots(1, 3, figsize=(16, 4.6), layout="constrained")
    headings = {"reward": "reward", "success": "judge success", "kl": "KL to the start, nats per image"}
    for axis, (value, heading) in zip(axes, headings.items(), strict=True):
        for name in (name for name in COLOURS if name in report["runs"][task]):
            curves = list(report["runs"][task][name]["curves"].values())
            samples, values = curves[0]["samples"], np.array([curve[value] for curve in curves])
            axis.plot(samples, values.mean(0), color=colour(name), label=f"{name} ({len(curves)} seeds)")
            axis.fill_between(samples, values.min(0), values.max(0), color=colour(name), alpha=0.18, lw=0)
        axis.set(xlabel="samples seen", title=heading)
    axes[0].legend(fontsize=10, frameon=False)
    save_figure(figure, path)


def draw_staircase(report: dict, task: str, path: Path) -> None:
    """What each ingredient is worth: success, KL, coverage, samples to 90 % and variance, a bar a run."""
    rows = {row["name"]: row["values"] for row in report["rows"]}
    names = [name for name in COLOURS if f"{task}: {name}" in rows]
    figure, axes = plt.subplots(1, 4, figsize=(18, 4.4), layout="constrained", sharey=True)
    headings = {"success": "judge success", "kl": "KL spent, nats", "coverage": "coverage of real digits"}
    for axis, (value, heading) in zip(axes, headings.items(), strict=False):
        found = [rows[f"{task}: {name}"][value] for name in names]
        spread = [entry["interval"] or 0 for entry in found]
        means = [entry["mean"] for entry in found]
        axis.barh(names, means, xerr=spread, color=[colour(name) for name in names])
        axis.set_title(heading)
        if value == "success":
            axis.set_xlim(max(0.0, min(means) - 0.1), 1)
    needed = [report["runs"][task][name]["samples"]["0.9"]["mean"] for name in names]
    axes[3].barh(names, [value or 0 for value in needed], color=[colour(name) for name in names])
    for i, value in enumerate(needed):
        if value is None:
            axes[3].text(0, i, " never", va="center")
    axes[3].set_title("samples to 90 % success")
    axes[0].invert_yaxis()
    save_figure(figure, path)


def draw_frontier(report: dict, task: str, path: Path) -> None:
    """Success against the KL that it cost, with best-of-N and the least that success must cost."""
    rows = {row["name"]: row["values"] for row in report["rows"]}
    figure, axis = plt.subplots(figsize=(9, 6), layout="constrained")
    start = rows[f"{task}: start ({STARTS[task]})"]["success"]["mean"]
    line = report["runs"][task]["best-of-N"]
    axis.plot([p["kl"] for p in line], [p["success"] for p in line], "o--", color=GRAY, label="best-of-N")
    axis.axvline(-math.log(start), color=GRAY, lw=1, label="bound: all of them right, at no further price")
    for name in (name for name in report["runs"][task] if f"{task}: {name}" in rows):
        kl, success = rows[f"{task}: {name}"]["kl"], rows[f"{task}: {name}"]["success"]
        axis.errorbar(
            kl["mean"],
            success["mean"],
            xerr=kl["interval"] or 0,
            yerr=success["interval"] or 0,
            fmt="s",
            ms=10,
            color=colour(name),
            label=name,
        )
    axis.set(
        xlabel="KL to the start, nats per image",
        ylabel="judge success",
        title=f"{task}: success and its price",
    )
    axis.set_xscale("symlog", linthresh=0.1)
    axis.legend(frameon=False)
    save_figure(figure, path)


def draw_variance(report: dict, task: str, path: Path) -> None:
    """How much the gradient estimate of one step scatters, over the squared norm of its mean."""
    variance = report["runs"][task]["variance"]
    names = [name for name in COLOURS if name in variance["start"]]
    figure, axis = plt.subplots(figsize=(10, 4.6), layout="constrained")
    for i, (point, title) in enumerate({"start": "at the start", "halfway": "half way"}.items()):
        if point in variance:
            places = [k + 0.4 * i for k in range(len(names))]
            fill = [colour(name) for name in names]
            heights = [variance[point][name] or 0 for name in names]
            axis.bar(places, heights, 0.38, color=fill, alpha=1 - 0.45 * i, label=title)
    axis.set_xticks([k + 0.2 for k in range(len(names))], names)
    axis.set(yscale="log", title=f"{task}: relative variance of one step's gradient")
    axis.legend(frameon=False)
    save_figure(figure, path)


def draw_diversity(report: dict, task: str, path: Path) -> None:
    """Quality against diversity along the training of seed 0: does success rise while variety is lost?"""
    figure, axes = plt.subplots(1, 4, figsize=(18, 4.4), layout="constrained")
    headings = {"success": "judge success", "frechet": "Frechet distance", "coverage": "coverage"}
    for axis, (value, heading) in zip(axes, {**headings, "entropy": "pixel entropy"}.items(), strict=True):
        for name in (name for name in COLOURS if report["runs"][task].get(name, {}).get("along")):
            points = report["runs"][task][name]["along"]
            samples = [point["samples"] for point in points]
            axis.plot(samples, [point[value] for point in points], "o-", color=colour(name), label=name)
        axis.set(xlabel="samples seen", title=heading)
    axes[0].legend(fontsize=10, frameon=False)
    save_figure(figure, path)


def beside_checkpoint(place: Place, folder: Path) -> None:
    """curve.png and samples.png of a single run, beside its weights."""
    config = checkpoints.read_config(folder)
    curve = json.loads((folder / "curve.json").read_text(encoding="utf-8"))
    figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    for axis, name in zip(axes, ("reward", "success", "kl"), strict=True):
        axis.plot(
            [point["samples"] for point in curve],
            [point[name] for point in curve],
            color=colour(config["run"]),
        )
        axis.set(xlabel="samples seen", title=name)
    save_figure(figure, folder / "curve.png")
    title = f"{config['task']}/{config['run']}"
    draw_sheet(checkpoints.load_policy(folder), place.judge(), title, folder / "samples.png")


@dataclass(frozen=True)
class Options:
    """Draws every figure of a recipe into docs/figures/."""

    recipe: str = "pixels-8x8"  # pixels-8x8, patches-28x28 or tiny-4x4
    checkpoints: Path = checkpoints.ROOT  # where the checkpoints and metrics.json are
    runs: Path = RUNS  # where snapshots are
    out: Path = Path("docs/figures")  # where the figures go


def main(arguments: list[str] | None = None) -> int:
    try:
        options = tyro.cli(Options, args=arguments, prog="python -m core.figures")
        place = Place(find_recipe(options.recipe), options.checkpoints, options.runs)
        path = place.folder("metrics.json")
        if not path.is_file():
            command = f"python -m core.evaluate --recipe {options.recipe}"
            raise CheckpointError(f"{path} is missing; to make it: {command}")
        report, out = json.loads(path.read_text(encoding="utf-8")), options.out / options.recipe
        for task, runs in report["runs"].items():
            draw_curves(report, task, out / f"{task}-curves.png")
            draw_diversity(report, task, out / f"{task}-diversity.png")
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
    except (ValueError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    print(f"drawn into {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

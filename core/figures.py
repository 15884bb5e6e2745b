"""Pictures of what was measured, for the report and the talk.

    python -m core.figures --recipe NAME

draws into docs/figures/ from metrics.json and the checkpoints. Colours are Okabe and Ito's, which people
with any kind of colour vision can tell apart.
"""

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from torchvision.utils import make_grid

from core import checkpoints
from core.classifiers import Classifier, predict
from core.place import Place, Where, command
from core.policies import Policy
from core.recipes import STARTS
from core.report import brief, read_metrics
from core.rewards import TERMS, Rewards
from core.yardstick import ALONG, confident, draw

plt.switch_backend("agg")  # no window is opened
COLOURS = {  # one per run, the same in every figure and on the page
    "reinforce": "#E69F00",
    "reinforce-baseline": "#F0E442",
    "grpo-group": "#CC79A7",
    "grpo-kl": "#56B4E9",
    "grpo": "#009E73",
    "grpo-scaled": "#0072B2",
}
TRAINING = {"reward": "reward", "success": "judge success", "kl": "KL to the start, nats per image"}
DIVERSITY = {"success": "judge success", "frechet": f"Frechet, {ALONG:,} samples"}  # lower with more of them
DIVERSITY |= {"entropy": "pixel entropy, nats", "coverage": f"coverage, {ALONG:,} samples"}  # higher
FAILED = "#D55E00"  # the frame of a sample that the judge reads as another digit
GRAY = "#777777"  # of runs outside the staircase
plt.rcParams |= {"figure.constrained_layout.use": True, "savefig.dpi": 110, "font.size": 13}
plt.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}


def save(figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def draw_lines(curves: dict[str, list[dict]], headings: dict[str, str], path: Path) -> None:
    """One line per run, against samples seen: the mean over its seeds, in a band that spans their range.

    Args:
        curves: by run, a dict of columns for each seed. headings: of the columns that are drawn.
    """
    figure, axes = plt.subplots(1, len(headings), figsize=(5 * len(headings) + 3, 4.5))
    for axis, (column, heading) in zip(axes, headings.items(), strict=True):
        for name, seeds in curves.items():
            samples, colour = seeds[0]["samples"], COLOURS.get(name, GRAY)
            values = np.array([seed[column] for seed in seeds])
            axis.plot(samples, values.mean(0), ".-", color=colour, label=f"{name}, seeds: {len(seeds)}")
            axis.fill_between(samples, values.min(0), values.max(0), color=colour, alpha=0.18, lw=0)
        axis.set(xlabel="samples seen", title=heading)
    if curves:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    save(figure, path)


def columns(points: list[dict], names: Iterable[str]) -> dict[str, list]:
    return {name: [point[name] for point in points] for name in ("samples", *names)}


def draw_staircase(report: dict, task: str, names: list[str], path: Path) -> None:
    """What each ingredient is worth, one line per run. The variance is one step's gradient's, relative."""
    runs, rows = report["runs"][task], {row["name"]: row["values"] for row in report["rows"]}
    headings = {"success": "judge success", "kl": "KL spent, nats", "coverage": "coverage of real digits"}
    panels = {title: [rows[f"{task}: {name}"][key] for name in names] for key, title in headings.items()}
    needed = [runs[name]["samples"]["0.9"] for name in names]
    if not all(found["above"] for found in needed):  # else the start's success is above it: nothing to count
        panels["samples to 90 % success"] = needed
    for key, title in {"start": "variance at the start", "halfway": "variance half way"}.items():
        if any(runs["variance"].get(key, {}).values()):  # else no mean can be told from zero
            panels[title] = [{"mean": runs["variance"][key].get(name), "interval": None} for name in names]
    figure, axes = plt.subplots(2, 3, figsize=(16, 8), sharey=True)
    for axis, (title, found) in zip(axes.flat, panels.items(), strict=False):
        means, spread = ([entry[key] or 0 for entry in found] for key in ("mean", "interval"))
        if title == "judge success":  # dots, because the axis does not begin at 0
            for name, mean, wide in zip(names, means, spread, strict=True):
                axis.errorbar(mean, name, xerr=wide, fmt="o", ms=12, color=COLOURS.get(name, GRAY))
            axis.set(title=title, xlim=(max(0.0, min(means) - 0.1), 1.01))
        else:
            axis.barh(names, means, xerr=spread, color=[COLOURS.get(name, GRAY) for name in names])
            axis.set(title=title, xlim=(0, 1.15 * max(means) or 1))  # an interval may reach further
        axis.locator_params(axis="x", nbins=5)
        for i, entry in enumerate(found):
            axis.text(1.02, i, brief(entry), transform=axis.get_yaxis_transform(), va="center")
    for axis in axes.flat[len(panels) :]:  # not measured
        axis.set_axis_off()
    axes[0, 0].invert_yaxis()
    save(figure, path)


def draw_frontier(report: dict, task: str, path: Path) -> None:
    """Success against the KL spent, with best-of-N and the least KL of a policy that is always right."""
    rows = {row["name"]: row["values"] for row in report["rows"]}
    figure, axis = plt.subplots(figsize=(13, 6))
    start = rows[f"{task}: start ({STARTS[task]})"]["success"]["mean"]
    line = report["runs"][task]["best-of-N"]
    axis.plot([p["kl"] for p in line], [p["success"] for p in line], "o--", color=GRAY, label="best-of-N")
    axis.axvline(-math.log(start), color=GRAY, lw=1, label="to be always right costs more than this")
    for i, name in enumerate(name for name in report["runs"][task] if f"{task}: {name}" in rows):
        x, y = rows[f"{task}: {name}"]["kl"], rows[f"{task}: {name}"]["success"]
        spread, colour = (y["interval"] or 0, x["interval"] or 0), COLOURS.get(name, GRAY)
        marker = "s" if name in COLOURS else "^vDP"[i % 4]
        axis.errorbar(x["mean"], y["mean"], *spread, fmt=marker, ms=10, color=colour, label=name)
    axis.set(xlabel="KL to the start, nats per image", ylabel="judge success", title=task)
    axis.set_xscale("symlog", linthresh=0.1)
    axis.set_ylim(top=min(1.01, axis.get_ylim()[1]))  # an interval may reach further
    figure.legend(loc="outside right center")
    save(figure, path)


def draw_sheet(run: Path, judge: Classifier, path: Path) -> None:
    """Rows of ten samples for each digit that a run learned, framed if the judge reads another digit."""
    config = checkpoints.read_config(run)
    digits = torch.tensor(config["config"]["digits"])
    labels = digits.repeat_interleave(10 * (10 // len(digits)))
    images, failed = judged_samples(checkpoints.load_policy(run), judge, labels, seed=0)
    figure, axis = plt.subplots(figsize=(8, 8.4))
    show(axis, images, failed, columns=10)
    right = len(labels) - int(failed.sum())
    axis.set_title(f"{config['task']}/{config['run']}: the judge reads {right} of {len(labels)} as asked")
    save(figure, path)


def draw_steps(place: Place, judge: Classifier, task: str, name: str, path: Path) -> None:
    """One sample a label along a run's training, from the same random numbers."""
    digits = checkpoints.read_config(place.folder(f"{task}/{name}"))["config"]["digits"]
    seen, parts = [], []
    for samples, policy in place.along(task, name):
        seen.append(f"{samples:,}")
        parts.append(judged_samples(policy, judge, torch.tensor(digits), seed=3))
    images, failed = (torch.cat(part) for part in zip(*parts, strict=True))
    figure, axis = plt.subplots(figsize=(9, 0.9 * len(seen) + 0.5))
    height = show(axis, images, failed, columns=len(digits))
    axis.set_xticks([height * (i + 0.5) for i in range(len(digits))], digits)
    axis.set_yticks([height * (i + 0.5) for i in range(len(seen))], seen)
    axis.set(title=f"{task}/{name}", xlabel="digit asked for", ylabel="samples seen")
    save(figure, path)


def draw_rewards(place: Place, task: str, path: Path) -> None:
    """The start's samples as each reward term ranks them, from the worst to the best."""
    reference = place.start(task)
    rewards = Rewards(place.classifier(), reference, {"confidence": 1.0})
    labels = torch.arange(300, device=place.device) % 10
    rollout = reference.sample(labels, generator=torch.Generator(place.device).manual_seed(0))
    images = reference.tokenizer.decode(rollout.tokens)
    terms = rewards.terms(images, labels, rollout.tokens, TERMS)
    images, labels = images.cpu(), labels.cpu()
    figure, axes = plt.subplots(len(TERMS), 1, figsize=(13, 1.6 * len(TERMS)))
    for axis, (name, values) in zip(axes, terms.items(), strict=True):
        shown = values.cpu().argsort()[torch.linspace(0, len(values) - 1, 12).long()]
        side = show(axis, images[shown], torch.zeros(12, dtype=torch.bool), columns=12)
        captions = [f"{labels[i]}: {values[i]:.2f}" for i in shown]
        axis.set_xticks([side * (i + 0.5) for i in range(12)], captions)
        axis.set_ylabel(name)
    save(figure, path)


def judged_samples(policy: Policy, judge: Classifier, labels: torch.Tensor, seed: int):
    """One sample per label, (B, 1, H, W), and whether the judge, on the CPU, reads another digit, (B,)."""
    images, _ = draw(policy, None, labels, seed)
    return images, predict(judge, images).argmax(1) != labels


def show(axis, images: torch.Tensor, failed: torch.Tensor, columns: int) -> int:
    """Draw (B, 1, H, W) images in rows, those that failed in a frame; returns the side of one in pixels."""
    zoom, edge = 112 // images.shape[-1], 8
    images = images.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)
    frames = torch.where(failed[:, None], torch.tensor(to_rgb(FAILED)), torch.ones(3))[:, :, None, None]
    side = images.shape[-1] + 2 * edge
    tiles = frames.repeat(1, 1, side, side)
    tiles[:, :, edge:-edge, edge:-edge] = images
    axis.imshow(make_grid(tiles, columns, padding=0).permute(1, 2, 0).numpy())
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    return side


def beside_checkpoint(place: Place, folder: Path) -> None:
    """curve.png and samples.png of a single run, beside its weights."""
    name, curve = checkpoints.read_config(folder)["run"], columns(checkpoints.read_curve(folder), TRAINING)
    draw_lines({name: [curve]}, TRAINING, folder / "curve.png")
    draw_sheet(folder, place.judge().cpu(), folder / "samples.png")


def draw_all(place: Place, out: Path) -> None:
    """Every figure of a recipe, from its metrics.json and those of its checkpoints that are here."""
    report, judge = read_metrics(place), place.judge().cpu()  # pictures are judged on the CPU
    for task, runs in report["runs"].items():
        steps = [name for name in confident(place.recipe.tasks[task]) if name in runs]  # of the staircase
        curves = {name: list(runs[name]["curves"].values()) for name in steps}
        draw_lines(curves, TRAINING, out / f"{task}-curves.png")
        along = {name: [columns(runs[name]["along"], DIVERSITY)] for name in steps if runs[name]["along"]}
        draw_lines(along, DIVERSITY, out / f"{task}-diversity.png")
        for name in (name for name in runs if checkpoints.exists(place.folder(f"{task}/{name}"))):
            draw_sheet(place.folder(f"{task}/{name}"), judge, out / f"{task}-{name}-samples.png")
        if "best-of-N" in runs:
            if steps:
                draw_staircase(report, task, steps, out / f"{task}-staircase.png")
            draw_frontier(report, task, out / f"{task}-frontier.png")
            draw_rewards(place, task, out / f"{task}-rewards.png")
            for name in ("reinforce", "grpo"):
                if place.snapshots(task, name):
                    draw_steps(place, judge, task, name, out / f"{task}-{name}-steps.png")


@dataclass(frozen=True)
class Options(Where):
    """Draws every figure of a recipe into docs/figures/."""

    out: Path = Path("docs/figures")  # where the figures go


@command
def main(arguments: list[str]) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m core.figures")
    draw_all(options.place(), options.out / options.recipe)
    print(f"drawn into {options.out / options.recipe}")


if __name__ == "__main__":
    sys.exit(main())

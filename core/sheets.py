"""Sheets of pictures: what a policy draws, how that changes in training, what the rewards see in it."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import torch

from core.classifiers import predict
from core.place import Place
from core.rewards import TERMS, Rewards

matplotlib.use("Agg")
from matplotlib import pyplot as plt

FAILED = "#D55E00"  # the frame of a sample that the judge reads as another digit
WALL = 10  # samples a label in a sheet


def draw_sheet(policy, judge, title: str, path: Path, seed: int = 0) -> None:
    """A hundred samples, ten a label; what the judge reads as another digit stands in a frame."""
    labels = torch.arange(10).repeat_interleave(WALL)
    figure, axes = plt.subplots(10, WALL, figsize=(8, 8.4), layout="constrained")
    right = _samples(axes.flat, policy, judge, labels, seed)
    figure.suptitle(f"{title}: the judge reads {right} of {len(labels)} as asked")
    save_figure(figure, path)


def draw_steps(place: Place, task: str, name: str, path: Path) -> None:
    """One sample a label along a run's training, from the same random numbers."""
    labels, judge = torch.arange(10), place.judge()
    points = list(place.along(task, name))
    figure, axes = plt.subplots(
        len(points), 10, figsize=(9, 0.95 * len(points)), layout="constrained", squeeze=False
    )
    for row, (samples, policy) in zip(axes, points, strict=True):
        _samples(row, policy, judge, labels, seed=3)
        row[0].set_ylabel(f"{samples:,}", rotation=0, ha="right", va="center")
    figure.suptitle(f"{task}/{name}, after so many samples")
    save_figure(figure, path)


def draw_rewards(place: Place, task: str, path: Path) -> None:
    """What each reward term makes of the start's samples: the worst, the middle and the best by each."""
    reference = place.start(task)
    rewards = Rewards(place.classifier(), reference, {"confidence": 1.0})
    labels = torch.arange(300) % 10
    rollout = reference.sample(labels, generator=torch.Generator().manual_seed(0))
    images = reference.tokenizer.decode(rollout.tokens)
    terms = rewards.terms(images, labels, rollout.tokens, TERMS)
    figure, axes = plt.subplots(len(TERMS), 12, figsize=(13, 1.5 * len(TERMS)), layout="constrained")
    for row, (name, values) in zip(axes, terms.items(), strict=True):
        order = values.argsort()
        for axis, i in zip(row, order[torch.linspace(0, len(order) - 1, 12).long()].tolist(), strict=True):
            _picture(axis, images[i], failed=False)
            axis.set_title(f"{labels[i]}: {values[i]:.2f}", fontsize=10)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    save_figure(figure, path)


def _samples(axes, policy, judge, labels: torch.Tensor, seed: int) -> int:
    """Draw a sample a label; returns how many the judge reads as asked."""
    rollout = policy.sample(labels, generator=torch.Generator().manual_seed(seed))
    images = policy.tokenizer.decode(rollout.tokens)
    failed = predict(judge, images).argmax(1) != labels
    for axis, image, wrong in zip(axes, images, failed.tolist(), strict=True):
        _picture(axis, image, failed=wrong)
    return len(labels) - int(failed.sum())


def _picture(axis, image: torch.Tensor, failed: bool) -> None:
    axis.imshow(image[0].numpy(), cmap="gray", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(visible=failed, color=FAILED, linewidth=2)


def save_figure(figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)

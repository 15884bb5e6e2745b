"""Sheets of samples: what a policy draws, how that changes in training, what the rewards see in it."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import torch
from matplotlib.colors import to_rgb
from torchvision.utils import make_grid

from core.classifiers import Classifier, predict
from core.place import Place
from core.policies import Policy
from core.rewards import TERMS, Rewards

matplotlib.use("Agg")
from matplotlib import pyplot as plt

FAILED = "#D55E00"  # the frame of a sample that the judge reads as another digit


def draw_sheet(policy: Policy, judge: Classifier, title: str, path: Path) -> None:
    """A hundred samples, ten a label; what the judge reads as another digit stands in a frame."""
    images, failed = judged_samples(policy, judge, torch.arange(10).repeat_interleave(10), seed=0)
    figure, axis = plt.subplots(figsize=(8, 8.4))
    show(axis, images, failed, columns=10)
    axis.set_title(f"{title}: the judge reads {100 - int(failed.sum())} of 100 as asked")
    save(figure, path)


def draw_steps(place: Place, task: str, name: str, path: Path) -> None:
    """One sample a label along a run's training, from the same random numbers."""
    judge, seen, parts = place.judge(), [], []
    for samples, policy in place.along(task, name):
        seen.append(f"{samples:,}")
        parts.append(judged_samples(policy, judge, torch.arange(10), seed=3))
    images, failed = (torch.cat(part) for part in zip(*parts, strict=True))
    figure, axis = plt.subplots(figsize=(9, 0.9 * len(seen) + 0.5))
    height = show(axis, images, failed, columns=10)
    axis.set_yticks([height * (i + 0.5) for i in range(len(seen))], seen)
    axis.set_title(f"{task}/{name}, after so many samples")
    save(figure, path)


def draw_rewards(place: Place, task: str, path: Path) -> None:
    """What each reward term makes of the start's samples, from the worst to the best by each."""
    reference = place.start(task)
    rewards = Rewards(place.classifier(), reference, {"confidence": 1.0})
    labels = torch.arange(300) % 10
    rollout = reference.sample(labels, generator=torch.Generator().manual_seed(0))
    images = reference.tokenizer.decode(rollout.tokens)
    terms = rewards.terms(images, labels, rollout.tokens, TERMS)
    figure, axes = plt.subplots(len(TERMS), 1, figsize=(13, 1.6 * len(TERMS)))
    for axis, (name, values) in zip(axes, terms.items(), strict=True):
        shown = values.argsort()[torch.linspace(0, len(values) - 1, 12).long()]
        side = show(axis, images[shown], torch.zeros(12, dtype=torch.bool), columns=12)
        captions = [f"{labels[i]}: {values[i]:.2f}" for i in shown]
        axis.set_xticks([side * (i + 0.5) for i in range(12)], captions)
        axis.set_ylabel(name)
    save(figure, path)


def judged_samples(policy: Policy, judge: Classifier, labels: torch.Tensor, seed: int):
    """A sample a label, (B, 1, H, W), and whether the judge reads each as another digit, (B,)."""
    rollout = policy.sample(labels, generator=torch.Generator().manual_seed(seed))
    images = policy.tokenizer.decode(rollout.tokens)
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


def save(figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)

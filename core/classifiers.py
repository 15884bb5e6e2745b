"""The classifier, whose confidence is the reward, and the judge, which is never optimised against.

They share no training picture (one half of MNIST's training set each) and no architecture: a policy that
learns a trick to please one need not please the other. But it may: both read a blank picture as a 1.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional as F

from core.configs import ClassifierConfig
from core.data import augment
from core.tokenizers import check_images


class Classifier(nn.Module):
    """What classifier and judge share: input checks, and the features before the last layer."""

    def __init__(self, size: int, body: nn.Module, features: int):
        super().__init__()
        self.size = size
        self.body = body
        self.head = nn.Linear(features, 10)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, size, size) in [0, 1] to (B, D): the last layer before the logits.

        Raises TypeError unless floating point, ValueError for a wrong shape, values out of range or NaN.
        """
        check_images(images, self.size)
        return self.body(images.float() * 2 - 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, size, size) in [0, 1] to (B, 10) logits."""
        return self.head(self.features(images))


def _convolution(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class _Residual(nn.Module):
    """Two convolutions and a skip connection around them (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.first = _convolution(inputs, outputs, stride)
        self.second = _convolution(outputs, outputs)
        straight = stride == 1 and inputs == outputs
        self.around = nn.Identity() if straight else _convolution(inputs, outputs, stride, kernel=1)

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.around(x))


class DigitClassifier(Classifier):
    """Gives the reward: a small residual network that ends in an average over the picture."""

    def __init__(self, size: int, width: int):
        stem = nn.Sequential(_convolution(1, width, 2 if size > 16 else 1), nn.ReLU())
        blocks = [_Residual(width, width, 1), _Residual(width, 2 * width, 2)]
        blocks.append(_Residual(2 * width, 2 * width, 1))
        super().__init__(size, nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 2 * width)


class Judge(Classifier):
    """Measures success: a plain network with large kernels, which sees where each feature is."""

    def __init__(self, size: int, width: int):
        stride = 2 if size > 16 else 1
        layers = [_convolution(1, width, stride, kernel=5), nn.GELU()]
        layers += [_convolution(width, 2 * width, 2, kernel=5), nn.GELU()]
        layers += [_convolution(2 * width, 2 * width, 1, kernel=3), nn.GELU()]
        side = math.ceil(math.ceil(size / stride) / 2)
        layers += [nn.Flatten(), nn.Dropout(0.3), nn.Linear(2 * width * side * side, 64), nn.GELU()]
        super().__init__(size, nn.Sequential(*layers), 64)


def train_classifier(
    model: Classifier,
    images: torch.Tensor,
    labels: torch.Tensor,
    prepare: Callable[[torch.Tensor], torch.Tensor],
    config: ClassifierConfig,
    generator: torch.Generator,
) -> Iterator[dict[str, float]]:
    """Train in place; yields each epoch's averages. The model is left in evaluation mode.

    Args:
        images: (N, 1, 28, 28) in [0, 1], as in MNIST: they are augmented before they are resized.
        labels: (N,) int64.
        prepare: (B, 1, 28, 28) to pictures that the policy could draw: resized, rounded to its grays.
        generator: shuffles and augments, on the CPU.
    """
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=0.02)
    steps = config.epochs * math.ceil(len(images) / config.batch)
    warmup = 0.1 if steps > 10 else 0.3  # the schedule divides by zero if its warm-up is one step
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, steps, pct_start=warmup)
    for epoch in range(config.epochs):
        model.train()
        losses, right = [], 0
        for picked in torch.randperm(len(images), generator=generator).split(config.batch):
            logits = model(prepare(augment(images[picked], 1.0, generator)).to(device))
            wanted = labels[picked].to(device)
            loss = F.cross_entropy(logits, wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses.append(loss.detach())
            right += int((logits.argmax(1) == wanted).sum())
        model.eval()
        loss = torch.stack(losses).mean().item()
        yield {"epoch": epoch, "loss": loss, "accuracy": right / len(images)}


@torch.no_grad()
def predict(model: Classifier, images: torch.Tensor, chunk: int = 1000) -> torch.Tensor:
    """(N, 1, H, W) to (N, 10) class probabilities, in chunks that fit the cache."""
    return torch.cat([model(part).softmax(1) for part in images.split(chunk)])


def accuracy(model: Classifier, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of pictures whose label is the model's first choice."""
    device = next(model.parameters()).device
    return (predict(model, images.to(device)).argmax(1) == labels.to(device)).float().mean().item()

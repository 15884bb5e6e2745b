"""MNIST, resized and split.

torchvision downloads the data by itself. ``--data-root`` or the environment variable MNIST_ROOT names another folder.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch.nn import functional as F
from torchvision.datasets import MNIST

DEFAULT_ROOT = Path("data")
FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


class DataError(RuntimeError):
    """MNIST is missing or damaged; the message says which file, where, and what mends it."""


def load_mnist(train: bool, root: str | Path | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The training (60,000) or test (10,000) set, as it comes.

    Args:
        train: which of the two.
        root: folder that holds ``MNIST/raw``; None means $MNIST_ROOT, else ``data/``. Downloaded into it if absent.

    Returns:
        images (N, 1, 28, 28) float32 in [0, 1]; labels (N,) int64 in [0, 10).

    Raises:
        DataError: a file is missing and cannot be downloaded, or is damaged.
    """
    root = Path(root or os.environ.get("MNIST_ROOT") or DEFAULT_ROOT)
    raw = root / "MNIST" / "raw"
    try:
        dataset = MNIST(root, train=train, download=not all((raw / name).is_file() for name in FILES))
    except Exception as error:  # torchvision raises whatever its downloader or its parser met
        missing = [name for name in FILES if not (raw / name).is_file()]
        what = f"is missing and could not be downloaded ({error})" if missing else f"is damaged ({error})"
        raise _broken(missing[0] if missing else _file(train, "images"), raw, what) from error
    expected = 60_000 if train else 10_000
    for kind, found in (("images", len(dataset.data)), ("labels", len(dataset.targets))):
        if found != expected:
            raise _broken(_file(train, kind), raw, f"is damaged ({found:,} entries, not {expected:,})")
    if dataset.targets.min() < 0 or dataset.targets.max() > 9 or dataset.data.shape[1:] != (28, 28):
        raise _broken(_file(train, "images"), raw, "is damaged (not 28x28 digits with labels 0 to 9)")
    return dataset.data[:, None].float() / 255, dataset.targets.long()


def _file(train: bool, kind: str) -> str:
    return f"{'train' if train else 't10k'}-{'images-idx3' if kind == 'images' else 'labels-idx1'}-ubyte"


def _broken(name: str, folder: Path, what: str) -> DataError:
    download = f"from torchvision.datasets import MNIST; MNIST('{folder.parents[1]}', download=True)"
    mend = f'rm -rf {folder} && python -c "{download}"'
    return DataError(f"MNIST file {name} {what}; looked for in {folder.resolve()}. To mend it: {mend}")


def resize(images: torch.Tensor, size: int) -> torch.Tensor:
    """(B, 1, H, W) to (B, 1, size, size), antialiased: without it, an 8x8 digit loses strokes that fall between pixels."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True).clamp(0, 1)


def halves(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two disjoint random halves of ``range(count)``: the classifier learns from one, the judge from the other."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[: count // 2], order[count // 2 :]


def augment(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Each picture a little turned (12 degrees at strength 1), scaled (12 %), sheared and shifted (2 pixels of 28).

    Args:
        images: (B, 1, H, W) in [0, 1].
        strength: 1 for a classifier; a quarter of it is within what MNIST's own centring leaves undecided.
        generator: where the randomness comes from.
    """
    chance = strength * (torch.rand(6, len(images), generator=generator) * 2 - 1)
    angle, scale_x, scale_y, shear, shift_x, shift_y = chance.unbind()
    angle = angle * 0.21
    theta = torch.stack(
        [
            torch.stack([angle.cos() * (1 + 0.12 * scale_x), -angle.sin() + 0.2 * shear, 0.14 * shift_x], 1),
            torch.stack([angle.sin(), angle.cos() * (1 + 0.12 * scale_y), 0.14 * shift_y], 1),
        ],
        1,
    )  # (B, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False).clamp(0, 1)

"""MNIST, resized and split.

torchvision downloads the data by itself. ``--data-root`` or the environment variable MNIST_ROOT names
another folder.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch.nn import functional as F
from torchvision.datasets import MNIST
from torchvision.transforms.v2 import functional as transforms

DEFAULT_ROOT = Path("data")
COUNTS = {"train": 60_000, "t10k": 10_000}
# Bytes of each file: a header, then one byte a pixel or a label.
SIZES = {f"{part}-images-idx3-ubyte": 16 + 784 * count for part, count in COUNTS.items()}
SIZES |= {f"{part}-labels-idx1-ubyte": 8 + count for part, count in COUNTS.items()}


class DataError(RuntimeError):
    """MNIST is missing or damaged; the message says which file, where, and what mends it."""


def load_mnist(train: bool, root: str | Path | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The training (60,000) or test (10,000) set, as it comes; downloaded if it is absent.

    Args:
        train: which of the two.
        root: folder that holds ``MNIST/raw``; None means $MNIST_ROOT, else ``data/``.

    Returns:
        images (N, 1, 28, 28) float32 in [0, 1]; labels (N,) int64 in [0, 10).

    Raises:
        DataError: a file is missing and cannot be downloaded, or is damaged.
    """
    root = Path(root or os.environ.get("MNIST_ROOT") or DEFAULT_ROOT)
    raw = root / "MNIST" / "raw"
    damaged = "{} is damaged ({}); delete it to download it again."
    for name, size in SIZES.items():
        path = raw / name
        if path.is_file() and path.stat().st_size != size:
            raise DataError(damaged.format(path, f"{path.stat().st_size:,} bytes, not {size:,}"))
    missing = [name for name in SIZES if not (raw / name).is_file()]
    existed = root.is_dir()
    try:
        dataset = MNIST(root, train=train, download=bool(missing))
    except Exception as error:  # torchvision raises whatever its downloader or its parser met
        for folder in () if existed else (raw, raw.parent, root):  # what torchvision made, if it is empty
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        what = "the files cannot be read"
        if missing:
            what = f"{missing[0]} is missing and could not be downloaded"
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(f"MNIST: {what} ({reason}); looked for in {raw.resolve()}.") from error
    if int(dataset.targets.max()) > 9:
        path = raw / f"{'train' if train else 't10k'}-labels-idx1-ubyte"
        raise DataError(damaged.format(path, "labels other than 0 to 9"))
    return dataset.data[:, None].float() / 255, dataset.targets.long()


def resize(images: torch.Tensor, size: int) -> torch.Tensor:
    """(B, 1, H, W) to (B, 1, size, size). Antialiased: else strokes that fall between pixels are lost."""
    return transforms.resize(images, [size, size], antialias=True).clamp(0, 1)


def halves(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two random halves of ``range(count)``: the classifier learns from one, the judge from the other."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[: count // 2], order[count // 2 :]


def augment(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """(B, 1, H, W) in [0, 1], each turned (at most 12 degrees at strength 1), scaled, sheared and shifted.

    A quarter of that is within what MNIST's own centring leaves undecided. torchvision's transform draws from
    the global generator, and moves all pictures of a batch alike.
    """
    chance = strength * (torch.rand(6, len(images), generator=generator) * 2 - 1)
    angle, scale_x, scale_y, shear, shift_x, shift_y = chance.unbind()
    angle = angle * 0.21
    row_x = torch.stack([angle.cos() * (1 + 0.12 * scale_x), -angle.sin() + 0.2 * shear, 0.14 * shift_x], 1)
    row_y = torch.stack([angle.sin(), angle.cos() * (1 + 0.12 * scale_y), 0.14 * shift_y], 1)
    grid = F.affine_grid(torch.stack([row_x, row_y], 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False).clamp(0, 1)

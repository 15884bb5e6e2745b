"""MNIST, resized and split.

torchvision downloads the data into data/ if it is missing. ``--data-root`` or the environment variable
MNIST_ROOT names another folder.
"""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F
from torchvision.datasets.mnist import MNIST, read_image_file, read_label_file
from torchvision.datasets.utils import download_and_extract_archive

from core.files import made


class DataError(RuntimeError):
    """MNIST is missing or damaged; the message says which file, where, and how to fix it."""


def load_mnist(train: bool, root: str | Path | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The training (60,000) or test (10,000) set, as it comes; files that are absent are downloaded.

    Args:
        root: folder that holds ``MNIST/raw``; None means $MNIST_ROOT, else ``data/``.

    Returns:
        images (N, 1, 28, 28) float32 in [0, 1]; labels (N,) int64 in [0, 10).

    Raises:
        DataError: a file is missing and cannot be downloaded, or is damaged.
    """
    raw = Path(root or os.environ.get("MNIST_ROOT") or "data").absolute() / "MNIST" / "raw"
    pictures, digits = MNIST.resources[:2] if train else MNIST.resources[2:]
    images = read(raw, *pictures, read_image_file)
    labels = read(raw, *digits, read_label_file)
    return images[:, None].float() / 255, labels


def read(raw: Path, archive: str, md5: str, reader: Callable[[Path], torch.Tensor]) -> torch.Tensor:
    """Read one of MNIST's files. If it is missing, its archive is unpacked, and downloaded if need be."""
    path = raw / archive.removesuffix(".gz")
    try:
        if not path.exists():
            with made(raw):
                download_and_extract_archive(MNIST.mirrors[0] + archive, raw, md5=md5)
    except (OSError, RuntimeError, ValueError) as error:  # no network, a refusal, a damaged archive
        why = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(
            f"{path} is missing and could not be downloaded ({why}); put it there, or name a folder that "
            "holds MNIST/raw with --data-root."
        ) from error
    try:
        return reader(path)
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AssertionError) as error:
        raise DataError(f"{path} is damaged; delete it to download it again.") from error


def resize(images: torch.Tensor, size: int) -> torch.Tensor:
    """(B, 1, H, W) to (B, 1, size, size). Antialiased; otherwise strokes between pixels are lost."""
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True).clamp(0, 1)


def halves(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two random halves of ``range(count)``: the classifier learns from one, the judge from the other."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order[: count // 2], order[count // 2 :]


def augment(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """(B, 1, H, W) in [0, 1], each rotated (at most 12 degrees at strength 1), scaled, sheared and shifted.

    At strength 0.25, digits move by less than the error of MNIST's own centring. torchvision's transform is
    not used: it draws from the global generator, and moves all pictures of a batch alike.
    """
    chance = strength * (torch.rand(6, len(images), generator=generator) * 2 - 1)
    angle, scale_x, scale_y, shear, shift_x, shift_y = chance.unbind()
    angle = angle * 0.21
    row_x = torch.stack([angle.cos() * (1 + 0.12 * scale_x), -angle.sin() + 0.2 * shear, 0.14 * shift_x], 1)
    row_y = torch.stack([angle.sin(), angle.cos() * (1 + 0.12 * scale_y), 0.14 * shift_y], 1)
    grid = F.affine_grid(torch.stack([row_x, row_y], 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False).clamp(0, 1)

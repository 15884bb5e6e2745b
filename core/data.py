"""MNIST, resized and split.

torchvision downloads the data by itself. ``--data-root`` or the environment variable MNIST_ROOT names
another folder.
"""

import math
import os
import shutil
import struct
import tempfile
from pathlib import Path

import torch
from torch.nn import functional as F
from torchvision.datasets import MNIST
from torchvision.datasets.utils import check_integrity, download_and_extract_archive
from torchvision.transforms.v2 import functional as transforms

from core.files import made

COUNTS = {"train": 60_000, "t10k": 10_000}
# How each file begins, and how many bytes follow: one a pixel or a label.
HEADS = {f"{part}-images-idx3-ubyte": (2051, count, 28, 28) for part, count in COUNTS.items()}
HEADS |= {f"{part}-labels-idx1-ubyte": (2049, count) for part, count in COUNTS.items()}


class DataError(RuntimeError):
    """MNIST is missing or damaged; the message says which file, where, and what mends it."""


def load_mnist(train: bool, root: str | Path | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The training (60,000) or test (10,000) set, as it comes; files that are absent are downloaded.

    Args:
        root: folder that holds ``MNIST/raw``; None means $MNIST_ROOT, else ``data/``.

    Returns:
        images (N, 1, 28, 28) float32 in [0, 1]; labels (N,) int64 in [0, 10).

    Raises:
        DataError: a file is missing and cannot be downloaded, or is damaged.
    """
    root = Path(root or os.environ.get("MNIST_ROOT") or "data")
    raw = root.absolute() / "MNIST" / "raw"
    missing = [name for name in HEADS if not os.path.exists(raw / name)]
    for name in sorted(set(HEADS) - set(missing)):
        check_file(raw / name)
    for archive, md5 in MNIST.resources:
        if archive.removesuffix(".gz") in missing:
            fetch(raw / archive, md5)
    try:
        dataset = MNIST(root, train=train)
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"MNIST in {raw} cannot be read: {error}.") from error
    labels = dataset.targets.long()
    if int(labels.max()) > 9:
        path = raw / f"{'train' if train else 't10k'}-labels-idx1-ubyte"
        raise damaged(path, "labels other than 0 to 9")
    return dataset.data[:, None].float() / 255, labels


def size_of(name: str) -> int:
    """Bytes of one of MNIST's files."""
    return 4 * len(HEADS[name]) + math.prod(HEADS[name][1:])


def check_file(path: Path) -> None:
    """Raise DataError unless one of MNIST's files has its size, and begins as it should."""
    head = struct.pack(f">{len(HEADS[path.name])}i", *HEADS[path.name])
    try:
        with path.open("rb") as file:
            size, begins = os.fstat(file.fileno()).st_size, file.read(len(head))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    if size != size_of(path.name):
        raise damaged(path, f"{size:,} bytes, not {size_of(path.name):,}")
    if begins != head:
        raise damaged(path, "it does not begin as it should")


def damaged(path: Path, how: str) -> DataError:
    return DataError(f"{path} is damaged ({how}); delete it to download it again.")


def fetch(archive: Path, md5: str) -> None:
    """Make one of MNIST's files from its archive, which is there or is downloaded. Raises DataError."""
    path, raw, reason = archive.with_suffix(""), archive.parent, ""
    try:
        with made(raw), tempfile.TemporaryDirectory(prefix=".writing-", dir=raw) as scratch:
            if check_integrity(archive, md5):
                shutil.copy(archive, scratch)
            for mirror in MNIST.mirrors:
                try:
                    url = mirror + archive.name
                    download_and_extract_archive(url, scratch, filename=archive.name, md5=md5)
                except (OSError, RuntimeError) as error:  # no network, a refusal, a damaged archive
                    reason = reason or str(error).partition("\n")[0] or type(error).__name__
                else:
                    os.replace(Path(scratch) / path.name, path)
                    return
            twins = [file for file in raw.iterdir() if file.is_file() and file.name not in HEADS]
            for twin in twins:
                if twin.stat().st_size == size_of(path.name):
                    reason += f"; {twin.name} has its size and may be it, renamed"
    except (OSError, ValueError) as error:  # no such folder can be made
        reason = str(error)
    mend = "put it there, or name a folder that holds MNIST/raw with --data-root."
    raise DataError(f"{path} is missing and could not be downloaded ({reason}); {mend}")


def resize(images: torch.Tensor, size: int) -> torch.Tensor:
    """(B, 1, H, W) to (B, 1, size, size). Antialiased: else strokes that fall between pixels are lost."""
    return transforms.resize(images, [size, size], antialias=True).clamp(0, 1)


def halves(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two random halves of ``range(count)``: the classifier learns from one, the judge from the other."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
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

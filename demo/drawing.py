"""A drawing, brought into the form that MNIST's digits have: a small or faint one is unlike all of them.

MNIST's authors scaled each digit into a box of 20 x 20 pixels and put its centre of mass in the middle of
28 x 28 (LeCun et al. 1998); its strokes are about three pixels wide.
"""

import torch
from torch.nn import functional as F

BOX, SIZE = 20, 28
THIN, THICK = 2.0, 4.5  # mean stroke widths, in pixels, between which MNIST's strokes lie


def is_empty(drawing: torch.Tensor) -> bool:
    """Whether a (1, 1, 28, 28) drawing in [0, 1] holds next to no ink."""
    return drawing.sum().item() < 2


def like_mnist(drawing: torch.Tensor) -> torch.Tensor:
    """A (1, 1, 28, 28) drawing in [0, 1] as MNIST would have it: full ink, boxed, centred, of usual width."""
    drawing = drawing / drawing.max()
    ink = drawing[0, 0] > 0.2
    rows, columns = ink.any(1).nonzero().flatten(), ink.any(0).nonzero().flatten()
    part = drawing[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(part.shape[-2:])
    height, width = (max(1, round(side * scale)) for side in part.shape[-2:])
    part = F.interpolate(part, (height, width), mode="bilinear", antialias=True).clamp(0, 1)
    below, right = SIZE - height, SIZE - width
    canvas = F.pad(part, (right // 2, right - right // 2, below // 2, below - below // 2))
    return centred(usual_width(canvas))


def stroke_width(drawing: torch.Tensor) -> float:
    """Mean width of the strokes, in pixels: what two pixels less, one on each side, would leave of them."""
    area = drawing.sum()
    left = -F.max_pool2d(-drawing, 3, 1, 1)
    return 2 / max(1e-6, 1 - (left.sum() / area).item())


def usual_width(drawing: torch.Tensor) -> torch.Tensor:
    """Thin strokes thickened, thick ones thinned, by a pixel at a time."""
    for _ in range(3):
        width = stroke_width(drawing)
        if width < THIN + 0.1:  # a stroke of two pixels leaves nothing: the measure cannot go below
            drawing = (drawing + 0.7 * F.max_pool2d(drawing, 3, 1, 1)).clamp(0, 1)
        elif width > THICK:
            drawing = -F.max_pool2d(-drawing, 3, 1, 1)
        else:
            break
    return drawing


def centred(drawing: torch.Tensor) -> torch.Tensor:
    """The centre of mass moved to the middle, by whole pixels."""
    places = torch.arange(SIZE, dtype=torch.float32)
    ink = drawing[0, 0] / drawing.sum()
    down = round((SIZE - 1) / 2 - (ink.sum(1) @ places).item())
    right = round((SIZE - 1) / 2 - (ink.sum(0) @ places).item())
    wide = F.pad(drawing, (SIZE,) * 4)  # what is moved out of the picture is gone
    return wide[:, :, SIZE - down : 2 * SIZE - down, SIZE - right : 2 * SIZE - right]

"""How pictures and numbers travel to the browser: as one PNG, and as base64 of a byte each.

Nested lists of the same numbers take ten times as long to arrive.
"""

import base64
import io

import torch
from PIL import Image
from torchvision.utils import make_grid

GRAYS = 15  # steps from black to white: a quarter of the size of 255, and no difference to the eye


def png(pixels: torch.Tensor) -> str:
    """(H, W) in [0, 1], or (H, W, 3), to a PNG as a data URL."""
    values = (pixels.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def sheet(images: torch.Tensor, columns: int) -> str:
    """(B, 1, H, W) pictures to one PNG, ``columns`` of them in a row."""
    pixels = make_grid(images, columns, padding=0)[0]
    return png((pixels * GRAYS).round() / GRAYS)


def heat(values: torch.Tensor) -> str:
    """(H, W) values from 0 up to a PNG: black, orange, white, so that it reads without colour as well."""
    share = values / values.max().clamp(min=1e-9)
    return png(torch.stack([(2 * share), (1.25 * share), (2 * share - 1)], -1).clamp(0, 1))


def shares(values: torch.Tensor) -> str:
    """Values in [0, 1] of any shape to base64, one byte each."""
    return whole_bytes((values.clamp(0, 1) * 255).round())


def whole_bytes(values: torch.Tensor) -> str:
    """Whole numbers from 0 to 255 of any shape to base64, one byte each."""
    return base64.b64encode(values.to(torch.uint8).contiguous().numpy().tobytes()).decode()


def rounded(values: torch.Tensor, places: int = 4) -> list[float]:
    return [round(value, places) for value in values.flatten().tolist()]

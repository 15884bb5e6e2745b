"""From pictures to sequences of tokens and back.

An autoregressive policy knows nothing of pictures: it only continues a sequence of small integers. A
tokenizer fixes which integers stand for which picture, and is the one place where the two meet.
"""

import torch


class PixelTokenizer:
    """One token per pixel, in raster order (row by row from the top left); its value is a gray level.

    Token ``k`` stands for the gray value ``k / (levels - 1)``: 0 is the background (black), the last one is
    full ink (white).
    """

    def __init__(self, size: int, levels: int):
        """``size``: height and width in pixels, 1 to 64. ``levels``: number of gray levels, 2 to 256."""
        if not (isinstance(size, int) and 1 <= size <= 64):
            raise ValueError(f"size is {size!r}; a picture is 1 to 64 pixels high and wide.")
        if not (isinstance(levels, int) and 2 <= levels <= 256):
            raise ValueError(f"levels is {levels!r}; a pixel has 2 to 256 gray levels.")
        self.size = self.grid = size  # grid: tokens a side
        self.length = size * size  # tokens a picture (T)
        self.vocabulary = self.levels = levels  # values that a token can take (V)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, size, size) pictures in [0, 1] to (B, T) int64 tokens: each pixel's nearest gray level.

        Raises TypeError unless floating point, ValueError for a wrong shape, values out of range or NaN.
        """
        check_images(images, self.size)
        return (images * (self.levels - 1)).round().long().flatten(1)

    def decode(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) int64 tokens to (B, 1, size, size) float32 pictures in [0, 1]; ``encode`` inverts it.

        Raises TypeError unless int64, ValueError for a wrong shape or tokens outside [0, levels).
        """
        check_tokens(tokens, self.length, self.levels)
        return (tokens.float() / (self.levels - 1)).view(-1, 1, self.size, self.size)


def check_images(images: torch.Tensor, size: int) -> None:
    """Raise a readable error unless ``images`` is (B, 1, size, size) floating point in [0, 1]."""
    if not isinstance(images, torch.Tensor) or not images.is_floating_point():
        kind = images.dtype if isinstance(images, torch.Tensor) else type(images).__name__
        raise TypeError(f"images are {kind}; expected floating-point tensors in [0, 1].")
    if images.ndim != 4 or images.shape[1:] != (1, size, size):
        raise ValueError(f"images have shape {tuple(images.shape)}; expected (B, 1, {size}, {size}).")
    if not bool(((images >= 0) & (images <= 1)).all()):  # written so that NaN fails too
        raise ValueError("images hold values outside [0, 1] (or NaN); scale them to [0, 1] first.")


def check_tokens(tokens: torch.Tensor, length: int, vocabulary: int) -> None:
    """Raise a readable error unless ``tokens`` is (B, length) int64 in [0, vocabulary)."""
    if not isinstance(tokens, torch.Tensor) or tokens.dtype != torch.int64:
        kind = tokens.dtype if isinstance(tokens, torch.Tensor) else type(tokens).__name__
        raise TypeError(f"tokens are {kind}; expected a tensor of torch.int64.")
    if tokens.ndim != 2 or tokens.shape[1] != length:
        raise ValueError(f"tokens have shape {tuple(tokens.shape)}; expected (B, {length}).")
    if tokens.numel():
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= vocabulary:
            raise ValueError(f"tokens range from {low} to {high}; allowed: 0 to {vocabulary - 1}.")

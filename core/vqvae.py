"""Pictures as sequences of patches: a small VQ-VAE (van den Oord et al. 2017).

An encoder turns each patch of 4x4 pixels, with some of what surrounds it, into a vector. This is replaced by
the nearest vector of a small learned codebook, whose index there is the token. A decoder draws the picture
from these code vectors. AR-GRPO draws with LlamaGen, whose tokens are made the same way (Sun et al. 2024);
as there, the tokenizer is trained first and then never again.
"""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

from core.configs import TokenizerConfig
from core.data import augment
from core.tokenizers import check_images, check_tokens

PATCH = 4  # pixels a side: two convolutions of stride 2


class _Refine(nn.Module):
    """A residual 3x3 convolution: lets neighbouring patches agree where a stroke crosses their border."""

    def __init__(self, width: int):
        super().__init__()
        inner = nn.Conv2d(width, width, 3, 1, 1)
        self.body = nn.Sequential(nn.ReLU(), inner, nn.ReLU(), nn.Conv2d(width, width, 1))

    def forward(self, x):
        return x + self.body(x)


class PatchTokenizer(nn.Module):
    """One token per patch of 4x4 pixels, in raster order; its value is the index of a code.

    Unlike pixels, patches overlap in the picture: the decoder's convolutions reach across their borders, so
    the pixels of a patch also depend on the codes around it.
    """

    def __init__(self, size: int, codes: int, dim: int, channels: int):
        """
        Args:
            size: height and width of the picture in pixels, a multiple of 4.
            codes, dim: size of the codebook (V), numbers in a code (D).
            channels: of the first convolution; the second has twice as many.
        """
        super().__init__()
        if size % PATCH or not 4 <= size <= 64:
            raise ValueError(f"size is {size!r}; a picture cut into patches is 4, 8, ... or 64 pixels wide.")
        self.size, self.vocabulary, self.grid = size, codes, size // PATCH
        self.length = self.grid**2
        wide = 2 * channels
        down = [nn.Conv2d(1, channels, 4, 2, 1), nn.ReLU(), nn.Conv2d(channels, wide, 4, 2, 1)]
        self.encoder = nn.Sequential(*down, _Refine(wide), nn.ReLU(), nn.Conv2d(wide, dim, 1))
        join = [nn.Conv2d(dim, wide, 3, 1, 1), _Refine(wide), nn.ReLU()]
        up = [nn.ConvTranspose2d(wide, channels, 4, 2, 1), nn.ReLU()]
        self.decoder = nn.Sequential(*join, *up, nn.ConvTranspose2d(channels, 1, 4, 2, 1))
        self.register_buffer("codebook", torch.randn(codes, dim))

    def nearest(self, vectors: torch.Tensor) -> torch.Tensor:
        """(N, D) vectors to (N,) the nearest code of each."""
        return torch.cdist(vectors, self.codebook).argmin(1)

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, size, size) pictures in [0, 1] to (B, T) int64 tokens. Raises like PixelTokenizer's."""
        check_images(images, self.size)
        vectors = self.encoder(images.float() * 2 - 1).permute(0, 2, 3, 1)  # (B, grid, grid, D)
        return self.nearest(vectors.flatten(0, 2)).view(len(images), self.length)

    @torch.no_grad()
    def decode(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) int64 tokens to (B, 1, size, size) float32 pictures in [0, 1]. Raises like PixelTokenizer's.

        Not the inverse of ``encode``: several sequences may draw nearly the same picture.
        """
        check_tokens(tokens, self.length, self.vocabulary)
        return self.draw(self.codebook[tokens])

    def draw(self, vectors: torch.Tensor) -> torch.Tensor:
        """(B, T, D) code vectors to (B, 1, size, size) pictures in [0, 1]."""
        grid = vectors.view(len(vectors), self.grid, self.grid, -1).permute(0, 3, 1, 2)
        return self.decoder(grid).sigmoid()


def train_tokenizer(
    tokenizer: PatchTokenizer, images: torch.Tensor, config: TokenizerConfig, generator: torch.Generator
) -> Iterator[dict[str, float]]:
    """Train in place; yields each step's pixel error, and how many codes are in use: those that lately got
    at least a tenth of an equal share of the patches.

    The codebook follows the encoder by a running average instead of a gradient (van den Oord et al. 2017,
    appendix A.1). A code that is hardly used is moved to one of the encoder's outputs (Dhariwal et al.
    2020, section 3): otherwise most codes die.

    Args:
        images: (N, 1, size, size) in [0, 1].
        generator: picks and augments batches, and places new and restarted codes, on the CPU.
    """
    book = tokenizer.codebook
    share = torch.full_like(book[:, 0], 1 / len(book))  # running share of patches that fall to each code
    total = torch.zeros_like(book)  # running sum of each code's vectors, per patch
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=config.lr, fused=True)
    for step in range(config.steps):
        left = 1 - step / config.steps
        rate = min(1.0, (step + 1) / 50, 2 * left)  # falls over the second half
        optimizer.param_groups[0]["lr"] = config.lr * rate
        picked = torch.randint(len(images), (config.batch,), generator=generator)
        batch = augment(images[picked], config.strength, generator).to(book.device)
        vectors = tokenizer.encoder(batch * 2 - 1).permute(0, 2, 3, 1).flatten(1, 2)  # (B, T, D)
        flat = vectors.detach().flatten(0, 1)
        with torch.no_grad():
            if step == 0:  # if all codes were far off, one would win every patch, and pull the encoder to it
                book.copy_(flat[torch.randint(len(flat), (len(book),), generator=generator)])
                total.copy_(book * share[:, None])
            chosen = tokenizer.nearest(flat)
            found = torch.bincount(chosen, minlength=len(book)) / len(chosen)
            # A code is the running sum of its vectors over the running count of them.
            share.lerp_(found, 1 - config.decay)
            total.lerp_(torch.zeros_like(book).index_add_(0, chosen, flat) / len(chosen), 1 - config.decay)
            dead = (share < 0.1 / len(book)).nonzero().squeeze(1)
            if len(dead) and step < config.steps // 2:  # later, the decoder cannot learn a new code in time
                places = flat[torch.randint(len(flat), (len(dead),), generator=generator)]
                share[dead] = 1 / len(book)
                total[dead] = places / len(book)
            book.copy_(total / share.clamp(min=1e-8)[:, None])
        quantised = book[chosen].view_as(vectors)
        # Straight-through estimator: the gradient passes as if nothing had been rounded to a code.
        drawn = tokenizer.draw(vectors + (quantised - vectors).detach())
        mse = F.mse_loss(drawn, batch)
        loss = mse + config.commitment * F.mse_loss(vectors, quantised)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        used = int((share >= 0.1 / len(book)).sum())
        yield {"step": step, "mse": mse.item(), "used": used}

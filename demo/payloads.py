"""What is sent to a browser: small dicts of numbers, with pictures and distributions as base64 of one byte a
value.

Nested lists of the same numbers take ten times as long to arrive. A *trajectory* is everything that one
sample's drawing needs; it is sent once and animated there.
"""

from __future__ import annotations

import base64
import math
import tempfile
from pathlib import Path

import torch

from core.checkpoints import save
from core.objectives import entropy, exact_kl
from core.place import Place
from core.policies import gather
from core.recipes import find_recipe
from demo.models import Models, Samples

BARS = 16  # values of a token that are shown: all gray levels, or the most probable codes


def pack(values: torch.Tensor) -> str:
    """Values in [0, 1] of any shape to base64, one byte each."""
    return base64.b64encode(
        (values.clamp(0, 1) * 255).round().to(torch.uint8).contiguous().numpy().tobytes()
    ).decode()


def pack_bytes(values: torch.Tensor) -> str:
    """Whole numbers from 0 to 255 of any shape to base64, one byte each."""
    return base64.b64encode(values.to(torch.uint8).contiguous().numpy().tobytes()).decode()


def rounded(values: torch.Tensor, places: int = 4) -> list[float]:
    return [round(value, places) for value in values.flatten().tolist()]


def grid_of(samples: Samples) -> dict:
    """What a grid of samples shows of each: picture, reward, what the judge reads, NLL in nats."""
    return {
        "images": pack(samples.images),
        "rewards": rounded(samples.rewards),
        "reads": samples.reads.tolist(),
        "surprise": rounded(-samples.log_probs.sum(1), 2),
    }


@torch.no_grad()
def trajectory(
    models: Models, name: str, samples: Samples, index: int, digit: int, temperature: float
) -> dict:
    """How one sample was drawn, token by token.

    Returns:
        "frames": (T + 1, size, size) the picture before each token and at the end; "belief": (T + 1, 10) of
        the classifier; "probs" and "reference_probs": (T, K) for the K values in "values" (T, K); "tokens";
        "entropy" in nats; "log_probs" and "reference" of the drawn tokens; reward, "read" by the judge, and
        sizes.
    """
    policy = models.policy(name)
    tokenizer, tokens = policy.tokenizer, samples.tokens[index : index + 1]
    length = tokenizer.length
    drawn = torch.arange(length) < torch.arange(length + 1)[:, None]  # (T + 1, T)
    frames = tokenizer.decode(torch.where(drawn, tokens, tokenizer.blank))
    frames[-1] = samples.images[index]
    own = models.distributions(name, tokens, digit, temperature)[0]  # (T, V)
    reference = models.distributions(models.start(name), tokens, digit, temperature)[0]
    most = min(BARS, own.shape[1])
    values = own.topk(most, dim=1).indices if own.shape[1] > most else torch.arange(most).expand(length, most)
    return {
        **{"size": tokenizer.size, "grid": tokenizer.grid, "vocabulary": tokenizer.vocabulary, "bars": most},
        **{"digit": digit, "index": index, "policy": name, "reference_policy": models.start(name)},
        "frames": pack(frames),
        "belief": pack(models.classifier(frames).softmax(1)),
        "values": pack_bytes(values),
        "probs": pack(own.exp().gather(1, values)),
        "reference_probs": pack(reference.exp().gather(1, values)),
        "tokens": pack_bytes(tokens),
        "entropy": rounded(entropy(own), 3),
        "log_probs": rounded(gather(own[None], tokens), 3),
        "reference": rounded(gather(reference[None], tokens), 3),
        "reward": round(samples.rewards[index].item(), 4),
        "read": int(samples.reads[index]),
    }


def weights(recipe: str, policy) -> dict:
    """A policy as the two files of a checkpoint: safetensors (base64) and config.json (text)."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(find_recipe(recipe))
        save(
            folder, policy, place.recipe.kind, place.shape, {"recipe": recipe, "trained": "live, in the page"}
        )
        data = (Path(folder) / "weights.safetensors").read_bytes()
        config = (Path(folder) / "config.json").read_text(encoding="utf-8")
    return {"weights": base64.b64encode(data).decode(), "config": config}


@torch.no_grad()
def survey(models: Models, name: str, digit: int, seed: int, count: int) -> dict:
    """What a larger sample says of a policy: success with its 95 % interval, mean reward, diversity, KL at each token."""
    samples = models.draw(name, digit, 1.0, seed, count)
    right = int((samples.reads == digit).sum())
    own = models.distributions(name, samples.tokens, digit, 1.0)
    kl = exact_kl(own, models.distributions(models.start(name), samples.tokens, digit, 1.0)).mean(0)  # (T,)
    images = samples.images.flatten(1)
    spread = (images - images.mean(0)).square().mean().sqrt()
    return {
        **{"policy": name, "count": count, "right": right, "interval": wilson(right, count)},
        **{"reward": round(samples.rewards.mean().item(), 4), "spread": round(spread.item(), 4)},
        **{"kl": rounded(kl), "total": round(kl.sum().item(), 3), "grid": math.isqrt(kl.numel())},
    }


def wilson(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share of successes (Wilson 1927), honest at 0 and at 1 too."""
    share, weight = right / count, z * z / count
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + weight)
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)

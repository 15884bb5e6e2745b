"""What a picture costs as it grows: sampling it, and learning from it, at each size of this project.

    python -m benchmarks.sizes

prints milliseconds a picture and writes sizes.json; docs/concepts.md shows it. The last row is the
transformer of 28x28 with the length of LlamaGen's 24x24 codes. Untrained policies: speed is the same.
"""

import timeit
from collections.abc import Callable

import torch
import tyro

from benchmarks.report import write
from core.place import Place
from core.policies import Policy, gather
from core.recipes import PATCHES, PIXELS, TINY
from core.tokenizers import PixelTokenizer
from core.transformer import TransformerPolicy

BATCH = 64  # pictures at once


def cost(policy: Policy) -> dict[str, float]:
    """Size of a policy, and milliseconds a picture, the best of several runs."""
    labels = torch.arange(BATCH) % 10
    tokens = policy.sample(labels).tokens

    def learn() -> None:
        policy.zero_grad()
        gather(policy.log_probs(labels, tokens), tokens).mean().backward()

    def best(work: Callable[[], object]) -> float:
        return round(1e3 * min(timeit.repeat(work, number=1, repeat=5)) / BATCH, 3)

    trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    return {
        "tokens": policy.tokenizer.length,
        "values": policy.tokenizer.vocabulary,
        "parameters": sum(parameter.numel() for parameter in trained),
        "sample": best(lambda: policy.sample(labels)),
        "learn": best(learn),
    }


def main() -> None:
    torch.manual_seed(0)
    long = PixelTokenizer(24, PATCHES.tokenizer.codes)  # as many tokens, laid out as LlamaGen's
    policies = {recipe.name: Place(recipe).new_policy(0) for recipe in (TINY, PIXELS, PATCHES)}
    policies["24x24 codes"] = TransformerPolicy(long, **PATCHES.shape)
    report = {name: cost(policy) for name, policy in policies.items()}
    for name, row in report.items():
        print(name, row)
    write("sizes", {"batch": BATCH, "threads": torch.get_num_threads(), **report})


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)

"""Sampling here beside its peers, and beside the bare matrix products that it cannot do without.

The LSTM has a GPT-2 of about its size beside it, the transformer a Llama with the same weights (Hugging
Face's ``generate``, with a cache), and our sampler in the guide's shape the guide's own. Untrained policies:
speed is the same. The contestants take turns, so that a busy moment of the machine hits all alike.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from benchmarks import peers
from benchmarks.report import spread
from core.place import Place
from core.policies import Policy
from core.recipes import GUIDE, PATCHES, PIXELS, Recipe

BATCHES, ROUNDS = (1, 16, 160), 7
PEERS = {
    PIXELS.name: "generate, a GPT-2 of the LSTM's size",
    PATCHES.name: "generate, a Llama with the transformer's weights",
    GUIDE.name: "the course guide's generate, in its own shape",
}


def in_turn(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each, minimum and median."""
    times = {name: [] for name in contestants}
    for round_ in range(rounds + 1):  # the first warms up
        for name, work in contestants.items():
            started = time.perf_counter()
            work()
            if round_:
                times[name].append(1e3 * (time.perf_counter() - started))
    return {name: spread(found) for name, found in times.items()}


def floor(policy: Policy, batch: int) -> Callable[[], None]:
    """The products of a policy's matrices with a batch of features, once for each token."""
    pairs = [(torch.randn(batch, len(matrix)), matrix) for matrix in peers.matrices(policy)]

    @torch.inference_mode()
    def multiply() -> None:
        for _ in range(policy.tokenizer.length):
            for features, matrix in pairs:
                features @ matrix

    return multiply


def sampler(recipe: Recipe, policy: Policy) -> tuple[Callable[[torch.Tensor], torch.Tensor], int]:
    """A recipe's peer: (B,) labels to (B, T) tokens, and how many parameters it has."""
    length, codes = policy.tokenizer.length, policy.tokenizer.vocabulary
    if recipe is GUIDE:
        model = peers.Guide(recipe.levels, recipe.shape["width"])
        return lambda labels: model.generate(labels, length), size(model)
    model = peers.fit(peers.stock(policy), policy).eval()
    return lambda labels: peers.generate(model, labels, length, codes), size(model)


def size(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def measure(
    recipes: Sequence[Recipe] = (PIXELS, PATCHES, GUIDE),
    batches: Sequence[int] = BATCHES,
    rounds: int = ROUNDS,
) -> dict:
    """Milliseconds to sample a batch."""
    report = {"unit": "ms", "peers": PEERS, "parameters": {}, "rows": {}}
    for recipe in recipes:
        policy = Place(recipe).new_policy(0).eval()
        peer, parameters = sampler(recipe, policy)
        report["parameters"][recipe.name] = {"ours": size(policy), "peer": parameters}
        for batch in batches:
            labels = torch.arange(batch) % 10
            contestants = {
                "ours": partial(policy.sample, labels),
                "peer": partial(peer, labels),
                "floor": floor(policy, batch),
            }
            report["rows"][f"{recipe.name}, batch {batch}"] = in_turn(contestants, rounds)
    return report

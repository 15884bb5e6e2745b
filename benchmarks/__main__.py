"""Speed as ratios, measured in one run on one machine: ours, Hugging Face ``generate``, and the bare matrix products.

    pip install -r benchmarks/requirements.txt && python -m benchmarks

prints the tables and writes results.json. Every figure is the best of several runs taken in turn, so that a busy moment of
the machine hits all contestants alike. The peer is a GPT-2 of the same parameter count with its own key-value cache.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable

import torch

from benchmarks.report import write
from core.algorithms import GRPO
from core.checkpoints import build
from core.configs import RLConfig
from core.patches import PatchTokenizer
from core.policies import LSTMPolicy
from core.recipes import RECIPES
from core.rewards import Rewards
from core.rl import train
from core.stages import Place
from core.transformer import TransformerPolicy

ROUNDS = 7
PLACE = Place(RECIPES["pixels-8x8"])
WIDTH = PLACE.recipe.shape["width"]
GENERATE = {"max_new_tokens": 64, "min_new_tokens": 64, "do_sample": True, "use_cache": True, "pad_token_id": 16}


def best_of(contestants: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """The fastest of several runs of each, in milliseconds; the contestants take turns."""
    times: dict[str, float] = {name: float("inf") for name in contestants}
    for round_ in range(rounds + 1):  # the first round warms up
        for name, function in contestants.items():
            started = time.perf_counter()
            function()
            if round_:
                times[name] = min(times[name], 1e3 * (time.perf_counter() - started))
    return times


def products(batch: int, length: int, passes: int = 1) -> Callable[[], object]:
    """Only the matrix products of sampling: two LSTM layers and the head, token by token."""
    one, both = torch.randn(batch, WIDTH), torch.randn(batch, 2 * WIDTH)
    first, second, head = torch.randn(WIDTH, 4 * WIDTH), torch.randn(2 * WIDTH, 4 * WIDTH), torch.randn(WIDTH, 16)

    def run():
        with torch.inference_mode():
            for _ in range(passes * length):
                torch.mm(one, first)
                torch.mm(both, second)
                torch.mm(one, head)

    return run


def training_products(batch: int, length: int) -> Callable[[], object]:
    """Only the matrix products of one gradient: forward, back through time, and the weights' gradients."""
    small, wide = torch.randn(batch, WIDTH), torch.randn(batch, 4 * WIDTH)
    weight, back = torch.randn(WIDTH, 4 * WIDTH), torch.randn(4 * WIDTH, WIDTH)
    states, gates = torch.randn(batch * length, WIDTH), torch.randn(batch * length, 4 * WIDTH)

    def run():
        with torch.inference_mode():
            for _ in range(2 * length):  # both layers
                torch.mm(small, weight)
                torch.mm(wide, back)
            torch.mm(states, weight), torch.mm(gates, back)  # between the layers
            for _ in range(3):  # recurrent, between, recurrent
                torch.mm(states.t(), gates)

    return run


def scoring_products(batch: int, length: int) -> Callable[[], object]:
    """Only the matrix products of the reference's forward pass."""
    small, weight, states = torch.randn(batch, WIDTH), torch.randn(WIDTH, 4 * WIDTH), torch.randn(batch * length, WIDTH)

    def run():
        with torch.inference_mode():
            for _ in range(2 * length):
                torch.mm(small, weight)
            torch.mm(states, weight)

    return run


def sampling(policy: LSTMPolicy, untrained: LSTMPolicy) -> list[dict]:
    """Sampling one batch of 64 tokens, at three batch sizes.

    The untrained policy shows what is spared where a trained one's pictures begin alike (core.strands): its own do not.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    count = sum(parameter.numel() for parameter in policy.parameters())
    peer = GPT2LMHeadModel(
        GPT2Config(vocab_size=17, n_positions=65, n_embd=104, n_layer=4, n_head=4, bos_token_id=16, eos_token_id=None)
    ).eval()
    peer_count = sum(parameter.numel() for parameter in peer.parameters())
    print(f"parameters: ours {count:,}, GPT-2 shape {peer_count:,}")
    rows = []
    for batch in (1, 16, 160):
        labels, start = torch.arange(batch) % 10, torch.full((batch, 1), 16)
        contestants = {
            "ours": lambda labels=labels: policy.sample(labels),
            "untrained": lambda labels=labels: untrained.sample(labels),
            "peer": lambda start=start: peer.generate(start, attention_mask=torch.ones_like(start), **GENERATE),
            "products": products(batch, 64),
        }
        times = best_of(contestants)
        ratios = {"faster_than_generate": times["peer"] / times["ours"], "of_products": times["ours"] / times["products"]}
        rows.append({"batch": batch, **{name: round(value, 2) for name, value in (times | ratios).items()}})
    return rows


def patch_sampling() -> list[dict]:
    """Sampling one batch of 49 codes with a transformer, against a Llama of the same shape."""
    from transformers import LlamaConfig, LlamaForCausalLM

    policy = TransformerPolicy(PatchTokenizer(28, 128, 16, 32), 128, layers=4, heads=4).eval()
    sizes = {"hidden_size": 128, "intermediate_size": 341, "num_hidden_layers": 4, "num_attention_heads": 4}
    peer = LlamaForCausalLM(
        LlamaConfig(vocab_size=129, max_position_embeddings=64, bos_token_id=128, eos_token_id=None, **sizes)
    ).eval()
    length = {"max_new_tokens": 49, "min_new_tokens": 49, "pad_token_id": 128}
    rows = []
    for batch in (1, 16, 160):
        labels, start = torch.arange(batch) % 10, torch.full((batch, 1), 128)
        mask = torch.ones_like(start)
        contestants = {
            "ours": lambda labels=labels: policy.sample(labels),
            "peer": lambda start=start, mask=mask: peer.generate(start, attention_mask=mask, **{**GENERATE, **length}),
        }
        times = best_of(contestants)
        ratio = {"faster_than_generate": times["peer"] / times["ours"]}
        rows.append({"batch": batch, **{name: round(value, 2) for name, value in (times | ratio).items()}})
    return rows


def step() -> dict:
    """One GRPO step of 160 samples: rollout, rewards, reference, one update."""
    policy, reference = (PLACE.policy("unlabelled") for _ in range(2))
    rewards = Rewards(PLACE.classifier(), reference, {"confidence": 1.0})
    config = RLConfig(group=16, steps=10_000)
    generator = torch.Generator().manual_seed(0)
    records = train(policy, reference, rewards, PLACE.judge(), GRPO(updates=1), config, generator)
    parts = [products(160, 64), scoring_products(160, 64), training_products(160, 64)]
    times = best_of({"ours": lambda: next(records), "products": lambda: [part() for part in parts]})
    return {**{k: round(v, 1) for k, v in times.items()}, "of_products": round(times["ours"] / times["products"], 2)}


def main() -> None:
    torch.manual_seed(0)
    rows = sampling(PLACE.policy("labelled"), build(PLACE.recipe.kind, PLACE.shape).eval())
    print("\nSampling 64 tokens, milliseconds")
    print("| batch | ours | ours, untrained | generate | bare products | faster than generate | x bare products |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(f"{value:g}" for value in row.values()) + " |")
    patches = patch_sampling()
    print("\nSampling 49 codes with the transformer, milliseconds")
    print("| batch | ours | generate, Llama | faster than generate |\n|---|---|---|---|")
    for row in patches:
        print("| " + " | ".join(f"{value:g}" for value in row.values()) + " |")
    one = step()
    print("\nOne GRPO step of 160 samples, milliseconds\n| ours | bare products | x bare products |\n|---|---|---|")
    print("| " + " | ".join(f"{value:g}" for value in one.values()) + " |")
    about = {"torch": torch.__version__, "threads": torch.get_num_threads(), "cores": os.cpu_count()}
    report = {**about, "machine": platform.machine(), "sampling": rows, "patch_sampling": patches, "grpo_step": one}
    write("results", report)


if __name__ == "__main__":
    main()

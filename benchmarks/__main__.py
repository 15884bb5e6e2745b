"""Speed as ratios, measured in one run on one machine: sampling here beside Hugging Face ``generate``.

    pip install -r benchmarks/requirements.txt && python -m benchmarks

prints the tables and writes results.json. Every figure is the best of several runs taken in turn, so that a
busy moment of the machine hits all contestants alike. The peers are a GPT-2 of the LSTM's parameter count and
a Llama of the transformer's shape, each with its own key-value cache.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable

import torch

from benchmarks.report import write
from core.place import Place
from core.policies import Policy
from core.recipes import PATCHES, PIXELS

ROUNDS = 7


def best_of(contestants: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The fastest of several runs of each, in milliseconds; the contestants take turns."""
    times = dict.fromkeys(contestants, float("inf"))
    for round_ in range(ROUNDS + 1):  # the first round warms up
        for name, function in contestants.items():
            started = time.perf_counter()
            function()
            if round_:
                times[name] = min(times[name], 1e3 * (time.perf_counter() - started))
    return times


def sampling(policy: Policy, peer) -> list[dict]:
    """Sampling one batch of pictures, at three batch sizes."""
    length, start_token = policy.tokenizer.length, policy.tokenizer.vocabulary
    rows = []
    for batch in (1, 16, 160):
        labels = torch.arange(batch) % 10
        start = torch.full((batch, 1), start_token)

        def generate(start=start):
            return peer.generate(
                start,
                attention_mask=torch.ones_like(start),
                max_new_tokens=length,
                min_new_tokens=length,
                do_sample=True,
                use_cache=True,
                pad_token_id=start_token,
            )

        times = best_of({"ours": lambda labels=labels: policy.sample(labels), "generate": generate})
        found = {"ours": round(times["ours"], 2), "generate": round(times["generate"], 2)}
        rows.append({"batch": batch, **found, "faster": round(times["generate"] / times["ours"], 2)})
    return rows


def peers():
    """A GPT-2 of the LSTM's size and a Llama of the transformer's shape, untrained: speed is the same."""
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    gpt2 = GPT2Config(
        vocab_size=PIXELS.levels + 1,
        n_positions=65,
        n_embd=96,
        n_layer=4,
        n_head=4,
        bos_token_id=PIXELS.levels,
        eos_token_id=None,
    )
    llama = LlamaConfig(
        vocab_size=PATCHES.tokenizer.codes + 1,
        max_position_embeddings=64,
        hidden_size=PATCHES.shape["width"],
        intermediate_size=8 * PATCHES.shape["width"] // 3,
        num_hidden_layers=PATCHES.shape["layers"],
        num_attention_heads=PATCHES.shape["heads"],
        bos_token_id=PATCHES.tokenizer.codes,
        eos_token_id=None,
    )
    return GPT2LMHeadModel(gpt2).eval(), LlamaForCausalLM(llama).eval()


def size(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    torch.manual_seed(0)
    report = {"torch": torch.__version__, "threads": torch.get_num_threads(), "cores": os.cpu_count()}
    report["machine"] = platform.machine()
    for recipe, peer in zip((PIXELS, PATCHES), peers(), strict=True):
        policy = Place(recipe).new_policy(0).eval()
        rows = sampling(policy, peer)
        report[recipe.name] = {
            "parameters": size(policy),
            "parameters of generate's": size(peer),
            "sampling": rows,
        }
        print(f"\n{recipe.name}, milliseconds; parameters: ours {size(policy):,}, generate's {size(peer):,}")
        print("| batch | ours | generate | times faster |\n|---|---|---|---|")
        for row in rows:
            print("| " + " | ".join(f"{value:g}" for value in row.values()) + " |")
    write("results", report)


if __name__ == "__main__":
    main()

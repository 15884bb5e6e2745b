"""How long until one digit is learned: GRPO from the unlabelled policy, each of the ten digits once, a seed each.

    python -m benchmarks.one_digit

trains for at most 20 seconds a digit, then measures the policy on 2,000 samples, and writes one_digit.json.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path

import torch

from core import load_classifier, load_judge, load_policy
from core.algorithms import GRPO
from core.classifiers import predict
from core.objectives import exact_kl
from core.recipes import ONE_DIGIT
from core.rewards import Rewards
from core.rl import train

SECONDS = 20.0
SAMPLES = 2000
RECIPE = "pixels-8x8"


def learn(digit: int) -> dict:
    """One run: seconds used, steps made, and what the policy does afterwards."""
    policy, reference = load_policy(f"{RECIPE}/unlabelled"), load_policy(f"{RECIPE}/unlabelled")
    judge = load_judge(RECIPE)
    rewards = Rewards(load_classifier(RECIPE), reference, {"confidence": 1.0})
    config = dataclasses.replace(ONE_DIGIT, digits=(digit,))
    records = train(policy, reference, rewards, judge, GRPO(updates=2), config, torch.Generator().manual_seed(digit))
    reached = None
    for record in records:
        if reached is None and record.success >= 0.9:
            reached = record.seconds
        if record.seconds * (record.step + 2) / (record.step + 1) > SECONDS:  # no time for another step
            break
    records.close()
    labels, generator = torch.full((SAMPLES,), digit), torch.Generator().manual_seed(1000 + digit)
    tokens = policy.sample(labels, generator=generator).tokens
    with torch.no_grad():
        pairs = zip(labels.split(500), tokens.split(500), strict=True)
        kl = torch.cat([exact_kl(policy.log_probs(a, b), reference.log_probs(a, b)).sum(1) for a, b in pairs]).mean().item()
    success = (predict(judge, policy.tokenizer.decode(tokens)).argmax(1) == labels).float().mean().item()
    found = {"seconds": record.seconds, "steps": record.step + 1, "seconds_to_90": reached, "success": success, "kl": kl}
    return {"digit": digit, **{name: value if value is None else round(value, 4) for name, value in found.items()}}


def main() -> None:
    rows = []
    print("| digit | seconds | steps | seconds to 90 % in training | judge success | KL to start |")
    print("|---|---|---|---|---|---|")
    for digit in range(10):
        rows.append(learn(digit))
        print("| " + " | ".join(str(value) for value in rows[-1].values()) + " |", flush=True)
    middle = {name: statistics.median(row[name] for row in rows) for name in ("seconds", "success", "kl")}
    print(f"median: {middle['success']:.2%} at {middle['kl']:.2f} nats after {middle['seconds']:.1f} s")
    report = {"samples": SAMPLES, "threads": torch.get_num_threads(), "median": middle, "runs": rows}
    Path(__file__).with_name("one_digit.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

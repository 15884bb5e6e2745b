"""What each of two processes does for test_devices.py: trains with the other, and leaves what it saw; then it
does what core.train would.

torchrun --nproc-per-node 2 tests/two_ranks.py FOLDER ARGUMENTS
"""

import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from toys import Brightness, make_policy

from core import parallel
from core.algorithms import GRPO, Reinforce
from core.configs import RLConfig
from core.parallel import joined, pooled, rank, share
from core.rewards import Rewards
from core.rl import train
from core.train import main

ALGORITHMS = {"grpo": GRPO(), "reinforce-baseline": Reinforce(baseline=True)}
CONFIG = RLConfig(digits=(1, 7, 3, 0), group=8, steps=4, lr=0.01, beta=0.02, clip=0.05, warmup=1)


def setting(generator: torch.Generator, algorithm, config: RLConfig, device="cpu"):
    """A policy, and its training: 3x3 pixels, and a reward that differs from sample to sample."""
    policy, reference = (make_policy("lstm", size=3, levels=3, seed=5).to(device) for _ in range(2))
    rewards = Rewards(Brightness(), reference, {"confidence": 1.0, "little_ink": 0.5})
    return policy, (reference, rewards, Brightness(), algorithm, config, generator)


def watch(policy, records) -> list[dict]:
    """Each step's record, and the gradient of its last update as it was limited."""
    seen = []
    for record in records:
        seen.append(
            {**vars(record), "gradient": [parameter.grad.clone() for parameter in policy.parameters()]}
        )
    return seen


if __name__ == "__main__":
    seen = {}
    with joined(torch.device("cpu")):
        for name, algorithm in ALGORITHMS.items():
            generator = torch.Generator().manual_seed(rank())
            policy, settings = setting(generator, algorithm, share(CONFIG))
            seen[name] = watch(policy, map(pooled, train(policy, *settings)))
        torch.save(seen, Path(sys.argv[1]) / f"seen-{rank()}.pt")
        parallel.joined = nullcontext  # they have found each other already
        sys.exit(main(sys.argv[2:]))

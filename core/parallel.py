"""Several processes that train as one.

    torchrun --nproc-per-node 2 -m core.train grpo

starts two, called ranks, with the same weights. Each samples and scores whole groups, those of its share of
the digits. Shares are equally large, so the mean of the ranks' gradients is the gradient of the whole batch,
and all take the same step. For a single process, nothing here changes anything.
"""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed as dist

from core.configs import RLConfig
from core.policies import Policy


def ranks() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them. Only rank 0 writes files and shows progress."""
    return dist.get_rank() if ranks() > 1 else 0


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Connect the processes, if torchrun has started several. Raises ValueError for Apple's mps."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    if device.type == "mps":
        raise ValueError("several processes cannot share --device mps; allowed with torchrun: cpu, cuda.")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def wait() -> None:
    """Wait until all ranks are here."""
    if ranks() > 1:
        dist.barrier()


def share(config: RLConfig) -> RLConfig:
    """The config with this rank's digits only. Raises ValueError if digits cannot be shared out evenly."""
    digits, left = len(config.digits) // ranks(), len(config.digits) % ranks()
    if left:
        found = f"{len(config.digits)} digits cannot be shared out evenly among {ranks()} processes"
        raise ValueError(f"{found}; --nproc-per-node has to divide the number of --digits.")
    return dataclasses.replace(config, digits=config.digits[rank() * digits :][:digits])


def mean_over_ranks(value: torch.Tensor) -> torch.Tensor:
    """Replace a tensor's values by their means over all ranks, in place, and return it."""
    if ranks() > 1:
        dist.all_reduce(value)  # the sum
        value /= ranks()
    return value


def average_gradients(policy: Policy) -> None:
    for parameter in policy.parameters():
        if parameter.grad is not None:
            mean_over_ranks(parameter.grad)


def pooled(record):
    """The record of a step over all ranks: the means of its figures, the sums of its counts, all samples."""
    if ranks() == 1:
        return record
    own = {name: value.cpu() if torch.is_tensor(value) else value for name, value in vars(record).items()}
    everyone: list = [None] * ranks()
    dist.all_gather_object(everyone, own)

    def pool(name: str, values: list):
        if torch.is_tensor(values[0]):
            return torch.cat(values)
        if isinstance(values[0], dict):
            return {key: pool(key, [value[key] for value in values]) for key in values[0]}
        total = sum(values)
        return total if name in ("samples", "zero_variance") else type(total)(total / ranks())

    return dataclasses.replace(record, **{name: pool(name, [one[name] for one in everyone]) for name in own})

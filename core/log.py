"""Curves of a training in TensorBoard or trackio: ``--log tensorboard`` or ``--log trackio``.

Off unless it is asked for, and neither package is a requirement. Every number of every record is kept under
its name and, of a run, now and then a sheet of samples.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torchvision.utils import make_grid

from core.policies import Policy
from core.rl import RLStep
from core.stages import Stage, rounded

EVERY, ROW = 10, 8  # steps between sheets; samples a label
# Takes a step, its numbers and, now and then, a sheet of samples, (H, W, 3) uint8.
Write = Callable[[int, dict[str, float], torch.Tensor | None], None]


def find(name: str):
    """A package that is not a requirement. Raises ValueError, with the command that installs it."""
    try:
        return importlib.import_module({"tensorboard": "torch.utils.tensorboard"}.get(name, name))
    except ImportError:
        raise ValueError(f"--log {name} needs a package that is missing: pip install {name}") from None


@contextmanager
def tensorboard(folder: Path, title: str) -> Iterator[Write]:
    """Files in folder/title, which ``tensorboard --logdir FOLDER`` shows."""
    with find("tensorboard").SummaryWriter(folder / title) as writer:

        def write(step: int, numbers: dict[str, float], sheet: torch.Tensor | None) -> None:
            for name, number in numbers.items():
                writer.add_scalar(name, number, step)
            if sheet is not None:
                writer.add_image("sheet", sheet, step, dataformats="HWC")

        yield write


@contextmanager
def trackio(folder: Path, title: str) -> Iterator[Write]:
    """A run of trackio's project by the folder's name, which ``trackio show`` shows."""
    package = find("trackio")
    package.init(project=folder.name, name=title)

    def write(step: int, numbers: dict[str, float], sheet: torch.Tensor | None) -> None:
        pictures = {} if sheet is None else {"sheet": package.Image(sheet.numpy())}
        package.log({**numbers, **pictures}, step=step)

    try:
        yield write
    finally:
        package.finish()


LOGS = {"tensorboard": tensorboard, "trackio": trackio}


def logged(stage: Stage, kind: str, folder: Path, title: str) -> Stage:
    """The same stage; what it records goes into a log as well, which its first record opens."""
    write = None
    with ExitStack() as log:
        for progress in stage:
            if progress.record is not None:
                write = write or log.enter_context(LOGS[kind](folder, title))
                sheet = None
                if progress.policy is not None and progress.record.step % EVERY == 0:
                    sheet = draw_sheet(progress.policy, progress.record)
                numbers = rounded(progress.record)
                numbers.pop("step", None)  # the axis that the others are drawn on; classifiers count epochs
                terms = numbers.pop("terms", {}).items()
                numbers |= {f"terms/{name}": value for name, value in terms}
                write(progress.done, numbers, sheet)
            yield progress


def draw_sheet(policy: Policy, record: RLStep) -> torch.Tensor:
    """(H, W, 3) uint8: a few of a step's samples, a row a label."""
    tokens = record.tokens.unflatten(0, record.rewards.shape)[:, :ROW]  # (L, 8, T)
    images = policy.tokenizer.decode(tokens.flatten(0, 1).to(policy.device))
    zoom = max(1, 56 // images.shape[-1])
    images = images.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)
    sheet = make_grid(images, nrow=tokens.shape[1], pad_value=0.5)
    return (255 * sheet).byte().cpu().permute(1, 2, 0).contiguous()

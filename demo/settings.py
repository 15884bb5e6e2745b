"""What a live race is trained with: what is usual, and what a visitor may ask for."""

import dataclasses
from typing import Any

from core.configs import RLConfig
from core.recipes import ONE_DIGIT, RECIPES
from demo import checks
from demo.checks import RequestError
from demo.shipped import PIXELS

MOST = 640  # samples a step
USUAL = {  # what a step of all ten digits can afford
    "pixels-8x8": RLConfig(group=16, steps=40, lr=1e-3, label_lr=20, beta=0.05, average=0.9),
    "patches-28x28": RLConfig(group=16, steps=40, lr=2e-4, label_lr=100, beta=0.05, average=0.9),
}
LARGER = dataclasses.replace(USUAL["patches-28x28"], group=ONE_DIGIT.group, steps=ONE_DIGIT.steps)
ALONE = {"pixels-8x8": ONE_DIGIT, "patches-28x28": LARGER}  # of a single digit


def settings(recipe: str, task: str, digits: Any, steps=None, group=None, beta=None, lr=None) -> RLConfig:
    """A checked request to train, where None means what is usual. Raises RequestError."""
    digits = tuple(checks.digits(digits))
    usual = (ALONE if len(digits) == 1 else USUAL)[recipe]
    group = usual.group if group is None else checks.whole("group", group, 2, 128)
    if group * len(digits) > MOST:
        allowed = f"at most {MOST} samples a step in all"
        raise RequestError(f"group is {group} for {len(digits)} digits; allowed: {allowed}.")
    return dataclasses.replace(
        usual,
        digits=digits,
        group=group,
        steps=usual.steps if steps is None else checks.whole("steps", steps, 1, 300),
        lr=usual.lr if lr is None else checks.number("lr", lr, 1e-6, 1e-2),
        beta=usual.beta if beta is None else checks.number("beta", beta, 0, 1),
        guidance=RECIPES[recipe].tasks[task]["grpo"].config.guidance,
    )


def layout(recipe: str, config: RLConfig) -> dict:
    """What stays the same during a race. Samples of a step: a row for each digit, several for one alone."""
    columns = min(8, config.group)
    rows = config.group // columns if len(config.digits) == 1 else 1
    digits = [digit for digit in config.digits for _ in range(columns * rows)]
    return {
        "steps": config.steps,
        "most_samples": config.steps * config.group * len(config.digits),
        "wall": {"columns": columns, "count": len(digits), "digits": digits, "size": PIXELS[recipe]},
    }

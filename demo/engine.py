"""What the tabs call: plain Python over core, no gradio in it. Every answer is ready to be sent to a browser.

Only what ships with the project is loaded: no data, no training, no network. torch is imported with the first model, not
with this module, so that the page is up before it.
"""

from __future__ import annotations

import base64
import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"  # not core's: that would import torch
RECIPE = "pixels-8x8"
POLICIES = {  # checkpoint: what a person reads
    "random": "Random · untrained",
    "unlabelled": "Steer · start, no labels",
    "steer/reinforce": "Steer · REINFORCE",
    "steer/grpo": "Steer · GRPO",
    "labelled": "Refine · start, labels",
    "refine/reinforce": "Refine · REINFORCE",
    "refine/grpo": "Refine · GRPO",
}
COLOURS = {"random": "#999999", "unlabelled": "#56B4E9", "labelled": "#56B4E9", "reinforce": "#E69F00", "grpo": "#009E73"}
LARGEST_SEED = 2**31 - 1
MOST_SAMPLES = 64


class RequestError(ValueError):
    """A request asks for something that there is not; the message is one sentence for the person who asked."""


@dataclass(frozen=True)
class Request:
    """A checked request for samples."""

    policy: str
    digit: int
    temperature: float
    seed: int
    count: int

    @classmethod
    def check(cls, policy: Any, digit: Any, temperature: Any, seed: Any, count: Any, known: list[str]) -> Request:
        """Raises RequestError that names the argument and what is allowed."""
        if policy not in known:
            raise RequestError(f"policy is {_shown(policy)}; allowed: {', '.join(known)}.")
        return cls(
            policy,
            _whole("digit", digit, 0, 9),
            _number("temperature", temperature, 0.25, 2.0),
            _whole("seed", seed, 0, LARGEST_SEED),
            _whole("count", count, 1, MOST_SAMPLES),
        )


def _number(name: str, value: Any, low: float, high: float) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high:
        raise RequestError(f"{name} is {_shown(value)}; allowed: a number from {low} to {high}.")
    return float(value)


def _whole(name: str, value: Any, low: int, high: int) -> int:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value != int(value) or not low <= value <= high:
        raise RequestError(f"{name} is {_shown(value)}; allowed: a whole number from {low} to {high}.")
    return int(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "..."


class Engine:
    """The shipped models of a recipe, each loaded once, when it is first needed."""

    def __init__(self, root: Path | None = None):
        self.root = root or CHECKPOINTS
        self.lock = threading.Lock()
        self.models: dict[str, Any] = {}

    def policies(self) -> list[str]:
        """Names of the policies whose checkpoints are there, in the order in which they are shown."""
        return [name for name in POLICIES if (self.root / RECIPE / name / "config.json").is_file()]

    def model(self, name: str):
        """A policy by its name in POLICIES, or "classifier" or "judge"."""
        with self.lock:
            if name not in self.models:
                from core import load_classifier, load_judge, load_policy

                loaders = {"classifier": load_classifier, "judge": load_judge}
                load = loaders.get(name)
                path = f"{RECIPE}/{name}"
                self.models[name] = load(RECIPE, self.root) if load else load_policy(path, self.root)
            return self.models[name]

    def warm_up(self) -> None:
        """Import torch and load every model: a server calls this in a thread, once its page is up."""
        for name in ("classifier", "judge", *self.policies()):
            self.model(name)

    def generate(self, policy: Any, digit: Any, temperature: Any, seed: Any, count: Any) -> dict[str, Any]:
        """Draw samples and score them.

        Args:
            policy: a name from ``policies()``.
            digit: the target, 0 to 9.
            temperature: 0.25 to 2.
            seed: 0 to 2**31 - 1; the same request gives the same samples.
            count: 1 to 64.

        Returns:
            A payload for the player: the request; size and levels; "tokens" (count x T bytes, base64); for each sample its
            "rewards" (the classifier's confidence in the digit), "reads" (what the judge reads) and "surprise" (NLL, nats).

        Raises:
            RequestError: an argument is not what it may be.
        """
        request = Request.check(policy, digit, temperature, seed, count, self.policies())
        import torch

        drawer = self.model(request.policy)
        labels = torch.full((request.count,), request.digit)
        rollout = drawer.sample(labels, request.temperature, torch.Generator().manual_seed(request.seed))
        images = drawer.tokenizer.decode(rollout.tokens)
        with torch.no_grad():
            rewards = self.model("classifier")(images).softmax(1)[:, request.digit]
            reads = self.model("judge")(images).argmax(1)
        return {
            **{"policy": request.policy, "title": POLICIES[request.policy]},
            "colour": COLOURS[request.policy.split("/")[-1]],
            **{"digit": request.digit, "temperature": request.temperature, "seed": request.seed, "count": request.count},
            **{"size": drawer.tokenizer.size, "levels": drawer.tokenizer.levels},
            "tokens": base64.b64encode(rollout.tokens.to(torch.uint8).numpy().tobytes()).decode(),
            "rewards": [round(value, 4) for value in rewards.tolist()],
            "reads": reads.tolist(),
            "surprise": [round(-value, 2) for value in rollout.log_probs.sum(1).tolist()],
        }

"""What the tabs call: plain Python over core, no gradio in it. Every answer is a dict that is ready to be
sent to a browser.

Only what ships with the project is loaded: no data, no network. torch is imported with the first model, not
with this module, so that the page is up before it.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from demo import requests
from demo.requests import RequestError

CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"  # not core's: that would import torch
RECIPES = {"pixels-8x8": "8\u00d78, pixel by pixel", "patches-28x28": "28\u00d728, patch by patch"}
STARTING = {
    "random": "Random · untrained",
    "unlabelled": "Steer · start, no labels",
    "labelled": "Refine · start, labels",
}
COLOURS = {  # of runs, as in core.figures; starts are sky blue, everything else is gray
    "reinforce": "#E69F00",
    "reinforce-baseline": "#F0E442",
    "grpo-group": "#CC79A7",
    "grpo-kl": "#56B4E9",
    "grpo": "#009E73",
    "grpo-scaled": "#0072B2",
    "unlabelled": "#56B4E9",
    "labelled": "#56B4E9",
}
STARTS = {"steer": "unlabelled", "refine": "labelled"}
TASKS = tuple(STARTS)
WAITING = 16  # requests that may wait for the models; more are refused
SURVEY = 200  # samples behind a live figure
GROUP = 16


class Engine:
    """The answers to every tab. Thread-safe: one request at a time uses the models."""

    def __init__(self, root: Path | None = None):
        self.root = root or CHECKPOINTS
        self._models: dict[str, Any] = {}
        self._loading, self._turn = threading.Lock(), threading.Lock()
        self._waiting = 0

    @cached_property
    def recipes(self) -> list[str]:
        """Names of the recipes that have what every tab needs: both networks, the starts, and the two ends of each task."""
        ends = [f"{task}/{run}" for task in TASKS for run in ("reinforce", "grpo")]
        parts = ("classifier", "judge", *STARTING, *ends)
        return [
            name
            for name in RECIPES
            if all((self.root / name / part / "config.json").is_file() for part in parts)
        ]

    def policies(self, recipe: str) -> list[str]:
        """Names of the policies of a recipe that are here, in the order in which they are shown."""
        found = list(STARTING)
        for task in TASKS:
            runs = [path.parent.name for path in (self.root / recipe / task).glob("*/config.json")]
            known = [run for run in COLOURS if run in runs]
            found += [f"{task}/{run}" for run in known + sorted(set(runs) - set(known))]
        return found

    def recorded(self, recipe: str) -> dict:
        """What ships for a recipe so that each tab shows something true before any model is loaded; {} if there is none."""
        path = self.root / recipe / "recorded.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def models(self, recipe: str):
        """The models of a recipe. The first call imports torch."""
        with self._loading:
            if recipe not in self._models:
                from demo.models import Models

                self._models[recipe] = Models(recipe, self.root)
            return self._models[recipe]

    def warm_up(self) -> None:
        """Import torch, load every model, and draw once with each: a server calls this in a thread, once its page is up."""
        for recipe in self.recipes:
            for name in self.policies(recipe):
                self.generate(name, 0, 1.0, 0, 1, recipe)
            for task in TASKS:
                self.score([[0.0] * requests.DRAWN] * requests.DRAWN, 0, task, recipe)

    @contextmanager
    def turn(self):
        """Wait for the models. Raises RequestError where too many wait already."""
        if self._waiting >= WAITING:
            raise RequestError(
                f"the server is busy: {WAITING} requests are waiting; please try again in a moment."
            )
        self._waiting += 1
        try:
            with self._turn:
                if "trainer" in self.__dict__:
                    self.trainer.share_cores()
                yield
        finally:
            self._waiting -= 1

    def _recipe(self, value: Any) -> str:
        return requests.one_of("recipe", value, self.recipes)

    def _policy(self, value: Any, recipe: str) -> str:
        guests = self._models[recipe].guests if recipe in self._models else {}
        return (
            value
            if isinstance(value, str) and value in guests
            else requests.one_of("policy", value, self.policies(recipe))
        )

    def _sampling(
        self, recipe: Any, policy: Any, digit: Any, temperature: Any, seed: Any, count: Any
    ) -> tuple:
        """What every request for samples says, checked, in the same order."""
        recipe = self._recipe(recipe)
        policy, digit = self._policy(policy, recipe), requests.digit(digit)
        return (
            recipe,
            policy,
            digit,
            requests.temperature(temperature),
            requests.seed(seed),
            requests.count(count),
        )

    def generate(
        self,
        policy: Any,
        digit: Any,
        temperature: Any = 1.0,
        seed: Any = 0,
        count: Any = 24,
        recipe: Any = "pixels-8x8",
    ) -> dict[str, Any]:
        """Draw samples of a digit and score them.

        Args:
            policy: "random", "unlabelled", "labelled", or a run such as "steer/reinforce" or "refine/grpo".
            digit: the target, 0 to 9.
            temperature: 0.25 to 2; 1 is the policy itself.
            seed: 0 to 2147483647; the same request gives the same samples.
            count: 1 to 64 samples.
            recipe: "pixels-8x8" or "patches-28x28".

        Returns:
            the request; "images" (count x size x size, base64, one byte a pixel); for each sample its
            "rewards" (the classifier's confidence in the digit), what the judge "reads", and its "surprise"
            (NLL in nats).

        Raises:
            RequestError: an argument is not what it may be.
        """
        recipe, policy, digit, temperature, seed, count = self._sampling(
            recipe, policy, digit, temperature, seed, count
        )
        with self.turn():
            samples = self.models(recipe).draw(policy, digit, temperature, seed, count)
            return self._drawn(recipe, policy, digit, temperature, seed, samples)

    def _drawn(self, recipe, policy, digit, temperature, seed, samples) -> dict[str, Any]:
        """The request for samples, and the samples."""
        from demo import payloads

        return {
            "recipe": recipe,
            "policy": policy,
            "digit": digit,
            "temperature": temperature,
            "seed": seed,
            "count": len(samples.images),
            "size": samples.images.shape[-1],
            **self.look(policy),
            **payloads.grid_of(samples),
        }

    def look(self, policy: str) -> dict[str, str]:
        """The title and the colour of a policy."""
        if policy.startswith("mine:"):
            return {"title": "Yours · trained here", "colour": "#CC79A7"}
        task, _, run = policy.rpartition("/")
        words = {"reinforce": "REINFORCE", "grpo": "GRPO"}
        title = STARTING.get(policy) or f"{task.capitalize()} · {words.get(run, run)}"
        return {"title": title, "colour": COLOURS.get(run, "#999999")}

    def trajectory(
        self,
        policy: Any,
        digit: Any,
        temperature: Any,
        seed: Any,
        count: Any,
        index: Any,
        recipe: Any = "pixels-8x8",
    ) -> dict[str, Any]:
        """How sample ``index`` of ``generate`` with the same arguments was drawn, see ``payloads.trajectory``."""
        recipe, policy, digit, temperature, seed, count = self._sampling(
            recipe, policy, digit, temperature, seed, count
        )
        index = requests.whole("index", index, 0, count - 1)
        with self.turn():
            models = self.models(recipe)
            from demo import payloads

            samples = models.draw(policy, digit, temperature, seed, count)
            return {
                **payloads.trajectory(models, policy, samples, index, digit, temperature),
                **self.look(policy),
            }

    def compare(self, task: Any, digit: Any, seed: Any = 0, recipe: Any = "pixels-8x8") -> dict[str, Any]:
        """The four policies of a task side by side: eight samples each, same random numbers, and the drawing
        of one of each.

        Args:
            task: "steer" or "refine".
            digit, seed, recipe: as for ``generate``.

        Returns:
            the request, and "policies": for each a grid of samples as ``generate`` has it, with its
            "trajectory".
        """
        recipe, task = self._recipe(recipe), requests.one_of("task", task, TASKS)
        digit, seed = requests.digit(digit), requests.seed(seed)
        names = ("random", STARTS[task], f"{task}/reinforce", f"{task}/grpo")
        with self.turn():
            models = self.models(recipe)
            from demo import payloads

            rows = []
            for name in names:
                samples = models.draw(name, digit, 1.0, seed, 8)
                path = payloads.trajectory(models, name, samples, 0, digit, 1.0)
                rows.append(
                    {**payloads.grid_of(samples), **self.look(name), "policy": name, "trajectory": path}
                )
            about = {"recipe": recipe, "task": task, "digit": digit, "seed": seed, "size": path["size"]}
            return {**about, "policies": rows}

    def survey(self, policy: Any, digit: Any, seed: Any = 0, recipe: Any = "pixels-8x8") -> dict[str, Any]:
        """What 200 fresh samples say of a policy: success with its interval, reward, spread, KL to its start by token."""
        recipe = self._recipe(recipe)
        policy, digit, seed = self._policy(policy, recipe), requests.digit(digit), requests.seed(seed)
        with self.turn():
            models = self.models(recipe)
            from demo import payloads

            return {**payloads.survey(models, policy, digit, seed, SURVEY), **self.look(policy)}

    def score(
        self, picture: Any, digit: Any, task: Any = "refine", recipe: Any = "pixels-8x8"
    ) -> dict[str, Any]:
        """What the classifier, the judge and the reward make of a picture.

        Args:
            picture: rows of numbers from 0 (paper) to 1 (ink), as large as the recipe's pictures or 28 x 28.
            digit: the target, 0 to 9.
            task: whose reward: "steer" or "refine".
            recipe: "pixels-8x8" or "patches-28x28".

        Returns:
            "classifier" and "judge" (probabilities of the ten digits), "terms" (each reward's value and
            weight), "reward", "image" and "saliency" (size x size, base64, one byte a pixel).
        """
        recipe, task = self._recipe(recipe), requests.one_of("task", task, TASKS)
        digit = requests.digit(digit)
        with self.turn():
            models = self.models(recipe)
            from demo import studies

            rows = requests.picture(picture, models.classifier.size)
            return {"recipe": recipe, "task": task, **studies.score(models, rows, digit, task)}

    def group(self, task: Any, digit: Any, seed: Any = 0, recipe: Any = "pixels-8x8") -> dict[str, Any]:
        """One real GRPO group of 16 samples from a task's start, with the weights that GRPO and REINFORCE give each."""
        recipe, task = self._recipe(recipe), requests.one_of("task", task, TASKS)
        digit, seed = requests.digit(digit), requests.seed(seed)
        with self.turn():
            models = self.models(recipe)
            from demo import studies

            found = studies.group(models, task, digit, seed, GROUP)
            return {"recipe": recipe, "task": task, "seed": seed, **found}

    def fool(self, digit: Any, seed: Any = 0, recipe: Any = "pixels-8x8") -> dict[str, Any]:
        """A picture that the classifier believes and the judge does not, climbed from noise."""
        recipe, digit, seed = self._recipe(recipe), requests.digit(digit), requests.seed(seed)
        with self.turn():
            models = self.models(recipe)
            from demo import studies

            return {"recipe": recipe, "seed": seed, **studies.fool(models, digit, seed)}

    def complete(
        self,
        policy: Any,
        digit: Any,
        picture: Any,
        rows: Any,
        temperature: Any = 1.0,
        seed: Any = 0,
        count: Any = 12,
        recipe: Any = "pixels-8x8",
    ) -> dict[str, Any]:
        """Finish a drawing: its top rows become the first tokens, and the policy draws the rest.

        Args:
            policy, digit, temperature, seed, count, recipe: as for ``generate``.
            picture: as for ``score``; only its top rows are read.
            rows: how many rows of tokens are given: 0 to 8 at 8x8, 0 to 7 at 28x28 (of four pixels each).

        Returns:
            as ``generate``, and "given": the number of tokens that were given.
        """
        recipe, policy, digit, temperature, seed, count = self._sampling(
            recipe, policy, digit, temperature, seed, count
        )
        with self.turn():
            models = self.models(recipe)
            from demo import studies

            tokenizer = models.policy("random").tokenizer
            rows = requests.whole("rows", rows, 0, tokenizer.grid)
            image = studies.fitted(models, requests.picture(picture, tokenizer.size))
            prefix = tokenizer.encode(image)[0, : rows * tokenizer.grid]
            samples = models.draw(policy, digit, temperature, seed, count, prefix)
            found = self._drawn(recipe, policy, digit, temperature, seed, samples)
            return {**found, "rows": rows, "given": rows * tokenizer.grid}

    def tape(self, tab: Any, recipe: Any = "pixels-8x8") -> dict[str, Any]:
        """What was recorded for a tab, see demo/record.py."""
        recipe = self._recipe(recipe)
        recorded = self.recorded(recipe)
        return recorded[requests.one_of("tab", tab, tuple(recorded))]

    @cached_property
    def trainer(self):
        """All live runs. The first use imports torch."""
        from demo.training import Trainer

        return Trainer()

    def train(self, settings: Any, recipe: Any = "pixels-8x8") -> dict[str, Any]:
        """Start a race of REINFORCE and GRPO, or queue it.

        Args:
            settings: {"task": "steer", "refine" or "scratch", "digits": [7], "steps", "group", "beta",
                "epsilon", "lr", "seed"}; what is left out has its usual value.
            recipe: "pixels-8x8" or "patches-28x28".

        Returns:
            {"key"}: what ``news`` and ``control`` know the run by. A run that nobody asks about for 1.6
            seconds stops.
        """
        recipe = self._recipe(recipe)
        models = self.models(recipe)
        return {"key": self.trainer.start(models, settings), "recipe": recipe}

    def news(self, key: Any, since: Any) -> dict[str, Any]:
        """What happened in a run since the steps in ``since``, see ``training.Trainer.news``."""
        return self.trainer.news(key, since)

    def control(self, key: Any, action: Any) -> dict[str, Any]:
        """Pause, resume or stop a run."""
        return self.trainer.control(key, action)

    def weights(self, key: Any) -> dict[str, Any]:
        """The GRPO policy of a finished run: safetensors in base64, and the config.json that goes beside it."""
        from demo import payloads

        race = self.trainer.race(key)
        return payloads.weights(race.models.recipe, race.runners[1].policy)

    def references(self, task: Any, digit: Any, recipe: Any = "pixels-8x8") -> dict[str, Any]:
        """What RL is measured against for a digit: best-of-N from the same start, and the least KL that success costs."""
        recipe, task = self._recipe(recipe), requests.one_of("task", task, ("steer", "refine", "scratch"))
        digit = requests.digit(digit)
        with self.turn():
            models = self.models(recipe)
            from demo import training

            line = training.best_of_n(models, task, digit)
            return {
                "task": task,
                "digit": digit,
                "count": training.POOL,
                "line": line,
                "bound": training.bound(line[0][1]),
            }

    def answer(self, question: Any) -> dict[str, Any]:
        """A browser's question, {"call": name, "arguments": {...}}, to {"answer": ...} or {"error": one sentence}."""
        calls = ("generate", "trajectory", "compare", "survey", "score", "group", "fool", "complete", "tape")
        calls += ("train", "news", "control", "weights", "references")
        try:
            if not isinstance(question, dict) or not isinstance(question.get("arguments"), dict):
                raise RequestError('a question is {"call": name, "arguments": {...}}.')
            call = requests.one_of("call", question.get("call"), calls)
            try:
                return {"answer": getattr(self, call)(**question["arguments"])}
            except TypeError as error:
                if "argument" not in str(error):
                    raise
                raise RequestError(
                    f"the arguments of {call} are not complete, or hold an unknown one."
                ) from error
        except RequestError as error:
            return {"error": str(error)}

"""What the tabs call: checked questions in, dicts that are ready for the browser out. No gradio in it.

Only what ships with the project is loaded: no data, no network. torch is imported at the first question
whose answer is not recorded.
"""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Literal

from demo import checks, walks
from demo.checks import RequestError
from demo.races import ENDS, Races
from demo.sentences import samples_to, verdict
from demo.shipped import RECIPES, STARTS, TOKENS

Recipe = Literal["pixels-8x8", "patches-28x28"]
Task = Literal["steer", "refine"]
GROUPS = (4, 16, 64)  # samples of a group in One step
UPDATES = 40  # the most that are taken there: the learning rate is then zero
LOOK = 0.3  # seconds between two looks at whether an answer is still wanted


def on_one_core() -> None:
    """For a thread that answers. A second core would save a third of the time, but where that core is busy,
    PyTorch waits for it many times longer.
    """
    import torch

    torch.set_num_threads(1)


class Engine(Races):
    """The answers to every tab. Thread-safe: for each recipe one question is computed at a time; a race has
    threads of its own.
    """

    def __init__(self, root: Path | None = None):
        super().__init__(root)
        self.recording: dict[str, Any] | None = None  # where fresh answers are noted, see demo/record.py
        # One thread for each recipe: of several, each would keep memory of its own.
        self._workers = {recipe: ThreadPoolExecutor(1, initializer=on_one_core) for recipe in RECIPES}
        self.wanted: Callable[[], bool] = lambda: True  # whether the one who asks still waits: the page knows

    def ask(self, recipe: str, call: str, *asked: Any) -> Any:
        """The answer to a checked question: as recorded, or a fresh one from that function of answers.py."""
        key = f"{call} {hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]}"
        if key in self.recorded(recipe):
            return self.recorded(recipe)[key]

        def answer() -> Any:
            models = self.models(recipe)
            from demo import answers

            return getattr(answers, call)(models, *asked)

        found = self.work(recipe, answer)
        if self.recording is not None:
            self.recording[key] = found
        return found

    def work(self, recipe: str, task: Callable[[], Any]) -> Any:
        """A task's result, from the thread of a recipe's models. How many may wait is the queue's business,
        see demo/turns.py. Raises RequestError where nobody waits for it any more.
        """
        future = self._workers[recipe].submit(task)
        while not wait([future], LOOK).done:
            if not self.wanted():
                future.cancel()
                raise RequestError("the question was taken back.")
        return future.result()

    def warm_up(self) -> None:
        """Import torch and draw once with each policy: a server does so in a thread, once its page is up."""
        for recipe in self.recipes:
            for _, name in self.policies(recipe):
                try:
                    self.generate(name, count=1, recipe=recipe)
                except RequestError as error:  # a damaged checkpoint takes out that policy, and nothing else
                    print(f"left out: {error}")
                except RuntimeError:  # no thread takes anything more: the server is being stopped
                    return

    # Checks that need to know what is here.

    def _policy(self, value: Any, recipe: str) -> str:
        if isinstance(value, str) and value.startswith("mine:"):
            checks.guest(value, self._models[recipe].guests if recipe in self._models else {})
            return value  # not listed among what is allowed: it is one visitor's
        return checks.one_of("policy", value, [name for _, name in self.policies(recipe)])

    def _sampling(self, recipe, policy, digit, temperature, seed, count) -> tuple:
        recipe = self._recipe(recipe)
        temperature = checks.number("temperature", temperature, 0.25, 2.0)
        digit, seed = checks.digit(digit), checks.seed(seed)
        count = checks.whole("count", count, 1, checks.MOST_SAMPLES)
        return recipe, self._policy(policy, recipe), digit, temperature, seed, count

    # Questions. Each checks all that it is asked before anything else: see demo/api.py.

    def generate(
        self,
        policy: str = "steer/grpo",
        digit: int = 7,
        temperature: float = 1.0,
        seed: int = 0,
        count: int = 24,
        recipe: Recipe = "pixels-8x8",
    ) -> dict:
        """Draw samples of a digit and score them.

        Args:
            policy: "random", "unlabelled", "labelled", or a run such as "steer/reinforce" or "refine/grpo".
            digit: the target, 0 to 9.
            temperature: 0.25 to 2; 1 is the policy itself.
            seed: 0 to 2147483647; the same request gives the same samples.
            count: 1 to 64 samples.
            recipe: "pixels-8x8" or "patches-28x28".

        Returns:
            "sheet": all samples in one PNG (data URL), "columns" in a row, "size" pixels each; for each
            sample its "rewards" (the classifier's confidence in the digit), what the judge "reads", and its
            "nll" in nats.
        """
        recipe, *asked = self._sampling(recipe, policy, digit, temperature, seed, count)
        return {**self.style(policy), **self.ask(recipe, "generate", *asked)}

    def trajectory(self, policy, digit, temperature, seed, count, index, recipe) -> dict:
        """How sample ``index`` of ``generate`` with the same arguments was drawn."""
        recipe, *asked = self._sampling(recipe, policy, digit, temperature, seed, count)
        found = self.ask(recipe, "trajectory", *asked, checks.whole("index", index, 0, asked[-1] - 1))
        return {**self.style(policy), **found, "codes": self.ask(recipe, "codebook")}

    def portrait(self, policy: str, task: str, digit: int, seed: int, recipe: str) -> dict:
        """A policy in Compare: 100 samples and what they say, see ``answers.portrait``. All was checked.

        Args:
            task: that of the others; a title leaves it out.
        """
        found, style = self.ask(recipe, "portrait", policy, digit, seed), self.style(policy)
        style["title"] = style["title"].removeprefix(f"{task.capitalize()}: ")
        of, _, run = policy.rpartition("/")
        return {
            **found,
            **style,
            "policy": policy,
            "to90": samples_to(self.measured(recipe, of, run)),
            "trajectory": {**found["trajectory"], **style},
        }

    def compare(
        self,
        task: Task = "steer",
        digit: int = 7,
        seed: int = 0,
        recipe: Recipe = "pixels-8x8",
        other: str = "",
    ) -> dict:
        """Random, start, REINFORCE and GRPO side by side: 100 samples each, same random numbers.

        Args:
            task: "steer" (the start knows no labels) or "refine" (it does).
            digit, seed, recipe: as for generate.
            other: one more policy by name; "" for none.

        Returns:
            "policies": for each its wall of samples, how many are "right", the "interval" of that share,
            the "kl" in nats to its start; and "verdict", a sentence.
        """
        recipe, task = self._task(recipe, task)
        digit, seed = checks.digit(digit), checks.seed(seed)
        ends = [f"{task}/{run}" for run in ENDS if run in self.runs(recipe, task)]
        names = ["random", STARTS[task], *ends]
        if other:
            names.append(self._policy(other, recipe))
        rows = [self.portrait(name, task, digit, seed, recipe) for name in dict.fromkeys(names)]
        said = verdict(*rows[2:4]) if len(ends) == 2 else ""
        return {"digit": digit, "policies": rows, "verdict": said}

    def score(
        self,
        picture: list | str,
        digit: int = 7,
        task: Task = "steer",
        recipe: Recipe = "pixels-8x8",
        centre: bool = True,
    ) -> dict:
        """What the classifier, the judge and the reward make of a picture.

        Args:
            picture: 28 rows of 28 numbers from 0 (paper) to 1 (ink).
            digit: the target, 0 to 9.
            task: whose reward: "steer" or "refine".
            recipe: "pixels-8x8" or "patches-28x28".
            centre: bring it into the form of MNIST's digits first: scaled into the box, centred, full ink.

        Returns:
            "empty" where nothing is drawn; else "classifier" and "judge" (probabilities of the ten digits),
            each reward's value in "terms" and its weight in "weights", the "reward", and two PNGs: the
            "picture" that was graded and the "saliency" of its pixels.
        """
        recipe, task = self._task(recipe, task)
        picture, digit, centre = checks.picture(picture), checks.digit(digit), checks.switch("centre", centre)
        return self.ask(recipe, "score", picture, digit, task, centre)

    def fool(self, what: str, digit: int, task: str, seed: int, recipe: str) -> dict:
        """``score`` of an empty sheet ("blank"), or of what the classifier believes, climbed from noise."""
        recipe, task = self._task(recipe, task)
        what = checks.one_of("what", what, ("blank", "noise"))
        return self.ask(recipe, "fool", what, checks.digit(digit), task, checks.seed(seed))

    def group(
        self, task: Task = "steer", digit: int = 7, seed: int = 0, recipe: Recipe = "pixels-8x8"
    ) -> dict:
        """One real GRPO group of 16 samples from a task's start.

        Args:
            task, digit, seed, recipe: as for compare.

        Returns:
            as generate, "mean" and "std" of the rewards, and each sample's weight: "advantages" (GRPO's) and
            "scaled" (divided by the standard deviation, as the paper has it). REINFORCE's are the rewards.
        """
        recipe, task = self._task(recipe, task)
        return self.ask(recipe, "group", task, checks.digit(digit), checks.seed(seed))

    def one_step(
        self,
        digit: int = 7,
        group: int = 16,
        updates: int = 0,
        fresh: bool = True,
        sample: int | None = None,
        recipe: Recipe = "pixels-8x8",
    ) -> dict:
        """GRPO one update at a time, from the start that knows no labels: a group, and what it taught.

        Args:
            digit, recipe: as for generate.
            group: 4, 16 or 64 samples.
            updates: how many were taken, 0 to 40; the same number gives the same group.
            fresh: the group that the next update will learn from; otherwise the one that the last update
                learned from, and what it changed.
            sample: whose tokens are shown, from 0; None is the one with the largest advantage.

        Returns:
            as generate; the "weights" that each algorithm gives the samples; how many nats likelier each
            became, in "changed"; the "kl" to the start before and after; of the "tokens" of one "sample"
            the log-probabilities "before" and "after", "ratio", "advantage", "surrogate", "clipped" and "kl";
            and "recorded": up to how many updates groups are recorded (-1: none); beyond, they are live.
        """
        recipe, digit = self._recipe(recipe), checks.digit(digit)
        group, updates = checks.whole("group", group, 4, 64), checks.whole("updates", updates, 0, UPDATES)
        if group not in GROUPS:
            raise RequestError(f"group is {group}; allowed: 4, 16 or 64.")
        sample = None if sample is None else checks.whole("sample", sample, 0, group - 1)
        fresh = checks.switch("fresh", fresh) or updates == 0
        known = self.recorded(recipe).get(f"one_step {digit} {group}", [])
        at = updates if fresh else updates - 1
        if updates < len(known):
            found = walks.unpack(known[at])
        else:
            models = self.models(recipe)
            from demo import answers, stepping

            walk = self.work(recipe, lambda: stepping.walk(models, digit, group))
            while walk.updates < updates:  # between two updates others get their turn, and may take them too
                self.work(recipe, lambda: walk.updates < updates and walk.update())
            found = self.work(recipe, lambda: answers.in_walk(walk, at))
        return {**walks.view(found, fresh, sample), "updates": updates, "recorded": len(known) - 1}

    def spread(self, digit: int, recipe: str) -> dict:
        """How much the mean of a group varies, by its size."""
        return self.ask(self._recipe(recipe), "spread", checks.digit(digit))

    def complete(
        self,
        picture: list | str,
        policy: str = "refine/grpo",
        digit: int = 7,
        rows: int = 4,
        temperature: float = 1.0,
        seed: int = 0,
        count: int = 12,
        recipe: Recipe = "pixels-8x8",
    ) -> dict:
        """Finish a drawing: its top rows become the first tokens, and the policy draws the rest.

        Args:
            picture: as for score, but never centred; only the top rows are read.
            policy, digit, temperature, seed, count, recipe: as for generate.
            rows: how many rows of tokens are given: 0 to 8 at 8x8, 0 to 7 at 28x28 (of four pixels each).

        Returns:
            as generate, and "given": the number of tokens that were given.
        """
        recipe, policy, *asked = self._sampling(recipe, policy, digit, temperature, seed, count)
        rows = checks.whole("rows", rows, 0, TOKENS[recipe])
        found = self.ask(recipe, "complete", policy, *asked, checks.picture(picture), rows)
        path = {**found["trajectory"], **self.style(policy), "codes": self.ask(recipe, "codebook")}
        return {**self.style(policy), **found, "trajectory": path}

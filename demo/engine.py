"""What the tabs call: checked questions in, dicts that are ready for the browser out. No gradio in it.

Only what ships with the project is loaded: no data, no network. torch is imported with the first question
that was not recorded, so that the page is up before it.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import threading
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from demo import checks, sources, walks
from demo.checks import RequestError
from demo.sentences import finding, mixed, verdict

CODE = Path(__file__).resolve().parents[1]  # read, and not imported from core: that would import torch
CHECKPOINTS, REWARDS = CODE / "checkpoints", CODE / "core" / "rewards.py"
RECIPES = {"pixels-8x8": "8×8 pixels", "patches-28x28": "28×28 patches"}
STARTS = {"steer": "unlabelled", "refine": "labelled"}
STARTING = ("random", *STARTS.values())
Recipe = Literal["pixels-8x8", "patches-28x28"]
Task = Literal["steer", "refine"]
TITLES = {  # of runs; one that is not here shows its own name
    "random": "Random: untrained",
    "unlabelled": "Start: knows no labels",
    "labelled": "Start: knows its labels",
    "reinforce": "REINFORCE",
    "reinforce-baseline": "REINFORCE with a baseline",
    "grpo-group": "Group mean, no KL",
    "grpo-kl": "Group mean and KL",
    "grpo": "GRPO",
    "grpo-scaled": "GRPO, scaled",
}
COLOURS = {  # of runs, as in core.figures (Okabe and Ito); starts are slate, everything else is gray
    "reinforce": "#E69F00",
    "reinforce-baseline": "#F0E442",
    "grpo-group": "#CC79A7",
    "grpo-kl": "#56B4E9",
    "grpo": "#009E73",
    "grpo-scaled": "#0072B2",
    "unlabelled": "#5B7083",
    "labelled": "#5B7083",
}
GROUPS = (4, 16, 64)  # samples of a group in One step
UPDATES = 40  # the most that are taken there: the learning rate is then zero
# A race on a reward of one's own that is recorded: all digits, from the start that knows no labels.
EXAMPLE = {"confidence": 1.0, "symmetry": 1.0}
MISTAKES = {  # of core.mistakes, by name: the title, and the recipe that it is shown with
    "no-kl": ("No KL", "pixels-8x8"),
    "no-pretraining": ("No pretraining", "pixels-8x8"),
    "no-baseline": ("No baseline", "pixels-8x8"),
    "temperatures": ("Two temperatures", "pixels-8x8"),
    "guidance": ("Guidance in samples only", "patches-28x28"),
    "scaled": ("Divided by the deviation", "pixels-8x8"),
    "first-token": ("First token left out", "pixels-8x8"),
}
WAITING = 16  # questions that may wait for the models; more are refused


class Engine:
    """The answers to every tab. Thread-safe: one question at a time uses the models."""

    def __init__(self, root: Path | None = None):
        self.root = root or CHECKPOINTS
        self._models: dict[str, Any] = {}
        self._records: dict[str, dict] = {}
        self._metrics: dict[str, dict] = {}
        self.recording: dict[str, Any] | None = None  # where fresh answers are noted, see demo/record.py
        self._loading, self._turn = threading.Lock(), threading.Lock()
        self._waiting = 0

    # What is here.

    @cached_property
    def recipes(self) -> list[str]:
        """Names of the recipes that have what every tab needs: both networks, both starts and a run of
        each task.
        """
        return [name for name in RECIPES if not self.missing(name)]

    def missing(self, recipe: str) -> list[str]:
        """What a recipe lacks to be shown at all. A run that is not here is only left out."""
        parts = ("classifier", "judge", *STARTING)
        lacks = [part for part in parts if not self._is_here(recipe, part)]
        return lacks + [f"{task}/..." for task in STARTS if not self.runs(recipe, task)]

    def _is_here(self, recipe: str, name: str) -> bool:
        folder = self.root / recipe / name
        return (folder / "config.json").is_file() and (folder / "weights.safetensors").is_file()

    def runs(self, recipe: str, task: str) -> list[str]:
        """Names of a task's runs that are here, in the order of the staircase."""
        found = [path.parent.name for path in (self.root / recipe / task).glob("*/config.json")]
        found = [name for name in found if self._is_here(recipe, f"{task}/{name}")]
        known = [name for name in COLOURS if name in found]
        return known + sorted(set(found) - set(known))

    def policies(self, recipe: str, own: list | tuple = ()) -> list[tuple[str, str]]:
        """(title, name) of the policies of a recipe, a visitor's own among them: (recipe, name, title)
        each.
        """
        names = [*STARTING, *(f"{task}/{run}" for task in STARTS for run in self.runs(recipe, task))]
        mine = [(title, name) for of, name, title in own if of == recipe]
        return [(self.look(name)["title"], name) for name in names] + mine

    def look(self, policy: str) -> dict[str, str]:
        """The title and the colour of a policy."""
        task, _, run = policy.rpartition("/")
        if policy.startswith("mine:"):
            return {"title": "Yours, trained here", "colour": "#B07AA1"}
        title = TITLES.get(run, run)
        return {
            "title": f"{task.capitalize()}: {title}" if task else title,
            "colour": COLOURS.get(run, "#888888"),
        }

    @cached_property
    def terms(self) -> dict[str, str]:
        """The reward terms of core.rewards, likeness to a drawing among them, by name: what each is."""
        found = {}
        for part in ast.parse(REWARDS.read_text(encoding="utf-8")).body:
            marks = [ast.unparse(mark) for mark in getattr(part, "decorator_list", [])]
            if marks == ["term"] or getattr(part, "name", "") == "likeness":
                found[part.name] = (ast.get_docstring(part) or "").partition("\n")[0]
        return found

    def metrics(self, recipe: str) -> dict:
        """What core.evaluate measured, read once; {} where nothing was, or it cannot be read."""
        if recipe not in self._metrics:
            self._metrics[recipe] = _read(self.root / recipe / "metrics.json", dict)
        return self._metrics[recipe]

    def measured(self, recipe: str, task: str, run: str) -> dict:
        """What was measured along a run's training; {} where nothing was."""
        return self.metrics(recipe).get("runs", {}).get(task, {}).get(run, {})

    # Recorded answers: given without the models, as long as the weights are those that were recorded.

    def recorded(self, recipe: str) -> dict[str, Any]:
        """Answers by question, see demo/record.py; {} where there are none of these weights."""
        if recipe not in self._records:
            found = _read(self.root / recipe / "recorded.json", dict)
            fits = found.get("weights") == self.fingerprint(recipe)
            self._records[recipe] = found.get("answers", {}) if fits else {}
        return self._records[recipe]

    def fingerprint(self, recipe: str) -> str:
        """Of all weights of a recipe."""
        found = hashlib.sha256()
        for path in sorted((self.root / recipe).glob("**/weights.safetensors")):
            found.update(path.read_bytes())
        return found.hexdigest()[:16]

    def ask(self, recipe: str, call: str, *asked: Any) -> Any:
        """The recorded answer to a checked question, or a fresh one from the function of that name in
        answers.py.
        """
        key = self._key(call, asked)
        if key in self.recorded(recipe):
            return self.recorded(recipe)[key]
        with self.turn():
            models = self.models(recipe)
            from demo import answers

            found = getattr(answers, call)(models, *asked)
        if self.recording is not None:
            self.recording[key] = found
        return found

    def _key(self, call: str, asked: tuple) -> str:
        return f"{call} {hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]}"

    def models(self, recipe: str):
        """The models of a recipe. The first call imports torch."""
        with self._loading:
            if recipe not in self._models:
                from demo.models import Models

                self._models[recipe] = Models(recipe, self.root)
            return self._models[recipe]

    def warm_up(self) -> None:
        """Import torch and draw once with each policy: a server calls this in a thread, once its page is
        up.
        """
        for recipe in self.recipes:
            for _, name in self.policies(recipe):
                try:
                    with self.turn():
                        self.models(recipe).draw(name, 0, 1.0, 0, 1)
                except RequestError as error:  # a damaged checkpoint takes out that policy, and nothing else
                    print(f"left out: {error}")

    @contextmanager
    def turn(self):
        """Wait for the models. Raises RequestError where too many wait."""
        if self._waiting >= WAITING:
            raise RequestError(
                f"the server is busy: {WAITING} questions are waiting; please try again in a moment."
            )
        self._waiting += 1
        try:
            with self._turn:
                if "trainer" in self.__dict__:
                    self.trainer.share_cores()
                yield
        finally:
            self._waiting -= 1

    @cached_property
    def trainer(self):
        """All live races. The first use imports torch."""
        from demo.training import Trainer

        return Trainer()

    def weights(self, key: str) -> str:
        """The last policy of a race as a zip of safetensors and config.json; returns its path."""
        if not isinstance(key, str) or key not in self.trainer.races:
            raise RequestError("this training is gone: the server was restarted, or others came after it.")
        from demo.answers import packed

        return packed(self.trainer.races[key].models, f"mine:{key}")

    # Checks that need to know what is here.

    def _recipe(self, value: Any) -> str:
        return checks.one_of("recipe", value, self.recipes)

    def _policy(self, value: Any, recipe: str) -> str:
        guests = self._models[recipe].guests if recipe in self._models else {}
        if isinstance(value, str) and value in guests:
            return value
        return checks.one_of("policy", value, [name for _, name in self.policies(recipe)])

    def _runs(self, value: Any, recipe: str, task: str) -> list[str]:
        """One to three different runs of a task that are here."""
        here = self.runs(recipe, task)
        if not isinstance(value, list) or not 1 <= len(value) <= 3:
            raise RequestError(f"runs is {checks.shown(value)}; allowed: one to three of {', '.join(here)}.")
        names = [checks.one_of("run", name, here) for name in value]
        if len(set(names)) < len(names):
            raise RequestError(f"runs is {checks.shown(value)}; allowed: one to three of {', '.join(here)}.")
        return names

    def _mistake(self, value: Any) -> str:
        return checks.one_of("mistake", value, [name for _, name in self.mistakes()])

    def _sampling(self, recipe, policy, digit, temperature, seed, count) -> tuple:
        recipe = self._recipe(recipe)
        return (
            recipe,
            self._policy(policy, recipe),
            checks.digit(digit),
            checks.temperature(temperature),
            checks.seed(seed),
            checks.whole("count", count, 1, checks.MOST_SAMPLES),
        )

    # Questions.

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
        return {**self.look(policy), **self.ask(recipe, "generate", *asked)}

    def trajectory(self, policy, digit, temperature, seed, count, index, recipe) -> dict:
        """How sample ``index`` of ``generate`` with the same arguments was drawn."""
        recipe, *asked = self._sampling(recipe, policy, digit, temperature, seed, count)
        found = self.ask(recipe, "trajectory", *asked, checks.whole("index", index, 0, asked[-1] - 1))
        return {**self.look(policy), **found, "codes": self.ask(recipe, "codebook")}

    def portrait(self, policy: str, digit: int, seed: int, recipe: str) -> dict:
        """A policy in Compare: 100 samples and what they say, see ``answers.portrait``."""
        found = self.ask(recipe, "portrait", policy, digit, seed)
        look, (task, _, run) = self.look(policy), policy.rpartition("/")
        look["title"] = look["title"].rpartition(": ")[2] if task else look["title"]
        measured = self.measured(recipe, task, run).get("samples", {}).get("0.9")
        path = {**found["trajectory"], **look}
        return {**found, **look, "policy": policy, "to90": (measured or {}).get("mean"), "trajectory": path}

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
        recipe, task = self._recipe(recipe), checks.one_of("task", task, tuple(STARTS))
        digit, seed = checks.digit(digit), checks.seed(seed)
        ends = [f"{task}/{run}" for run in ("reinforce", "grpo") if run in self.runs(recipe, task)]
        names = ["random", STARTS[task], *ends]
        if other:
            names.append(self._policy(other, recipe))
        rows = [self.portrait(name, digit, seed, recipe) for name in dict.fromkeys(names)]
        by_name = {row["policy"]: row for row in rows}
        return {
            "task": task,
            "digit": digit,
            "seed": seed,
            "recipe": recipe,
            "policies": rows,
            "verdict": verdict(by_name[ends[0]], by_name[ends[1]]) if len(ends) == 2 else "",
        }

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
        recipe, task = self._recipe(recipe), checks.one_of("task", task, tuple(STARTS))
        return self.ask(recipe, "score", checks.picture(picture), checks.digit(digit), task, bool(centre))

    def fool(self, what: str, digit: int, task: str, seed: int, recipe: str) -> dict:
        """``score`` of an empty sheet ("blank"), or of a picture climbed from noise until the classifier
        believes it.
        """
        recipe, task = self._recipe(recipe), checks.one_of("task", task, tuple(STARTS))
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
        recipe, task = self._recipe(recipe), checks.one_of("task", task, tuple(STARTS))
        return self.ask(recipe, "group", task, checks.digit(digit), checks.seed(seed))

    def lesson(self, digit: int, recipe: str) -> dict:
        """The group that the story tells of, and what one real step on it changed."""
        return self.ask(self._recipe(recipe), "lesson", checks.digit(digit))

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
            and up to how many updates groups are "recorded", -1 where none is: beyond, they are live.
        """
        recipe, digit = self._recipe(recipe), checks.digit(digit)
        if checks.whole("group", group, 4, 64) not in GROUPS:
            raise RequestError(f"group is {group}; allowed: 4, 16 or 64.")
        group, updates = int(group), checks.whole("updates", updates, 0, UPDATES)
        sample = None if sample is None else checks.whole("sample", sample, 0, group - 1)
        fresh = bool(fresh) or updates == 0
        known = self.recorded(recipe).get(f"one_step {digit} {group}", [])
        if updates < len(known):
            found = walks.unpack(known[updates if fresh else updates - 1])
        else:
            self._walk(recipe, digit, group, updates)
            found = self.ask(recipe, "one_step", digit, group, updates, fresh)
        return {**walks.view(found, fresh, sample), "updates": updates, "recorded": len(known) - 1}

    def _walk(self, recipe: str, digit: int, group: int, updates: int) -> None:
        """Take the updates of One step that nobody took yet; between two of them others get their turn."""
        models = self.models(recipe)
        from demo import stepping

        with self.turn():
            walk = stepping.walk(models, digit, group)
        while walk.updates < updates:
            with self.turn():
                if walk.updates < updates:  # another visitor may have taken it
                    walk.update()

    def spread(self, digit: int, recipe: str) -> dict:
        """How much the mean of a group varies, by its size."""
        return self.ask(self._recipe(recipe), "spread", checks.digit(digit))

    @cached_property
    def sources(self) -> dict[str, dict]:
        """The lines of core/ that compute what One step shows, see demo/sources.py."""
        return sources.find_all()

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
            picture: as for score, as it is drawn; only the top rows are read.
            policy, digit, temperature, seed, count, recipe: as for generate.
            rows: how many rows of tokens are given: 0 to 8 at 8x8, 0 to 7 at 28x28 (of four pixels each).

        Returns:
            as generate, and "given": the number of tokens that were given.
        """
        recipe, policy, *asked = self._sampling(recipe, policy, digit, temperature, seed, count)
        rows = checks.whole("rows", rows, 0, self.grid(recipe))
        found = self.ask(recipe, "complete", policy, *asked, checks.picture(picture), rows)
        path = {**found["trajectory"], **self.look(policy), "codes": self.ask(recipe, "codebook")}
        return {**self.look(policy), **found, "trajectory": path}

    def training(self, task: str, names: list[str], recipe: str, rewards: dict | None = None) -> dict:
        """The recorded training of shipped runs, for ``components.race``: every step's figures, some
        steps' samples. Of a reward of one's own, only the example is recorded.
        """
        recipe, task = self._recipe(recipe), checks.one_of("task", task, tuple(STARTS))
        names = self._runs(names, recipe, task)
        rewards = checks.weights(rewards, tuple(self.terms)) if rewards else {}
        example = self.recorded(recipe).get("example")
        if example and (task, rewards) == ("steer", EXAMPLE):
            return example
        frames = {name: self.recorded(recipe).get(json.dumps(["frames", task, name]), {}) for name in names}
        curves = [_read(self.root / recipe / task / name / "curve.json", list) for name in names]
        points = []
        for at, rows in enumerate(zip(*curves, strict=False)):
            racers = [
                {"success": row["success"], "kl": row["kl"], "frame": frames[name].get(str(at))}
                for name, row in zip(names, rows, strict=True)
            ]
            points.append({"step": at, "samples": rows[0]["samples"], "racers": racers})
        says = "Recorded: how the policies that ship were trained. Move the slider, or press Train."
        if rewards:
            says = f"Recorded, with the usual reward. Train takes yours: {mixed(rewards)}."
        return {
            "key": f"recorded {recipe} {task} {' '.join(names)}",
            "state": "recorded",
            "over": True,
            "says": says,
            "from": 0,
            "points": points,
            "racers": self.racers(recipe, task, names),
            "steps": len(points),
            "most_samples": points[-1]["samples"] if points else 1,
            "wall": {
                "columns": 8,
                "count": 80,
                "digits": [k for k in range(10) for _ in range(8)],
                "size": self.size(recipe),
            },
        }

    def racers(self, recipe: str, task: str, names: list[str]) -> list[dict]:
        """Title, colour and what tells it from the others, of each run."""
        found = []
        for name in names:
            says = self.measured(recipe, task, name).get("says", "")
            found.append(
                {"title": TITLES.get(name, name), "colour": COLOURS.get(name, "#888888"), "says": says}
            )
        return found

    def race_of(self, recipe: str, racers: list[dict], config) -> dict:
        """What stays the same during a live race."""
        from demo.settings import wall

        return {
            "racers": racers,
            "steps": config.steps,
            "most_samples": config.steps * config.group * len(config.digits),
            "wall": {**wall(config), "size": self.size(recipe)},
        }

    def mistakes(self) -> list[tuple[str, str]]:
        """(title, name) of the mistakes whose recipes are here."""
        return [(title, name) for name, (title, recipe) in MISTAKES.items() if recipe in self.recipes]

    def mistake(self, name: str = "no-kl") -> dict:
        """One way to get it wrong, what it leads to, and a recorded training beside the same done right.

        Args:
            name: "no-kl", "no-pretraining", "no-baseline", "temperatures", "guidance", "scaled" or
                "first-token".

        Returns:
            "happens" and "wild": what goes wrong, and where it did; "finding": what was measured; "race": of
            each step the figures of the mistake and of the same done right, and some steps' samples.
        """
        name = self._mistake(name)
        measured = self.metrics("pixels-8x8").get("mistakes", {}).get(name)
        known = self.recorded(MISTAKES[name][1]).get(json.dumps(["mistake", name]))
        if known is None:
            says = "Not recorded of these weights. Train runs it now."
            nothing = {"state": "recorded", "over": True, "says": says, "from": 0, "points": []}
            known = {**self.about_mistake(name), **nothing, "key": f"recorded {name}"}
        happens, wild = known["happens"], known["wild"]
        return {"happens": happens, "wild": wild, "finding": finding(measured), "race": known}

    def about_mistake(self, name: str) -> dict:
        """What stays the same during the race of a mistake. Imports torch."""
        from core.mistakes import MISTAKES as ALL

        mistake, (title, recipe) = ALL[name], MISTAKES[name]
        racers = [
            {
                "title": f"Mistake: {title[0].lower()}{title[1:]}",
                "colour": "#D55E00",
                "says": mistake.says,
            },
            {"title": "Done right", "colour": COLOURS["grpo"], "says": mistake.right.says},
        ]
        about = self.race_of(recipe, racers, mistake.config)
        return {"happens": mistake.happens, "wild": mistake.wild, **about}

    def train_mistake(self, name: Any) -> dict:
        """Start the race of a mistake and the same done right; returns its first news."""
        name = self._mistake(name)
        models, about = self.models(MISTAKES[name][1]), self.about_mistake(name)
        from core.mistakes import MISTAKES as ALL

        mistake = ALL[name]
        runs = {"mistake": mistake, "right": mistake.right}
        key = self.trainer.start(about, models, mistake.task, runs, 0)
        return self.trainer.follow(key, 0)

    def size(self, recipe: str) -> int:
        """Pixels a side."""
        return 8 if recipe == "pixels-8x8" else 28

    def grid(self, recipe: str) -> int:
        """Tokens a side."""
        return 8 if recipe == "pixels-8x8" else 7

    def train(
        self,
        task: Any,
        names: Any,
        digits: Any,
        steps: Any = None,
        group: Any = None,
        beta: Any = None,
        lr: Any = None,
        seed: Any = 0,
        recipe: Any = "pixels-8x8",
        rewards: Any = None,
        picture: Any = None,
    ) -> dict:
        """Start a race, or let it wait; returns its first news. None means what is usual.

        Args:
            rewards: weights of ``terms`` that all runs are paid; empty: each is paid what it always is.
            picture: a drawing, for likeness.
        """
        recipe, task = self._recipe(recipe), checks.one_of("task", task, tuple(STARTS))
        names = self._runs(names, recipe, task)
        rewards = checks.weights(rewards, tuple(self.terms)) if rewards else {}
        picture = checks.picture(picture) if "likeness" in rewards else None
        models = self.models(recipe)
        from core.recipes import find_recipe
        from demo.answers import likeness_of
        from demo.settings import settings

        config = settings(recipe, task, digits, steps, group, beta, lr)
        about = self.race_of(recipe, self.racers(recipe, task, names), config)
        runs = {}
        for name in names:
            run = find_recipe(recipe).tasks[task][name]
            beta = config.beta if run.config.beta else 0.0  # a run without a KL stays without
            runs[name] = dataclasses.replace(
                run, config=dataclasses.replace(config, beta=beta), rewards=rewards or run.rewards
            )
        if rewards:
            about["paid"] = f"Paid is {mixed(rewards)}."
            about["terms"] = sorted(rewards, key=lambda name: (name == "confidence", -rewards[name]))
        drawing = None if picture is None else likeness_of(models, picture)
        key = self.trainer.start(about, models, task, runs, checks.seed(seed), drawing)
        return self.trainer.follow(key, 0)


def _read(path: Path, kind: type) -> Any:
    """A JSON file of the page's own; empty where it is missing or damaged, which takes out what it holds
    and no more.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return kind()
    return found if isinstance(found, kind) else kind()

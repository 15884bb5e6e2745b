"""Trainings that the page shows: recorded ones from files, live ones from demo/training.py."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from demo import checks
from demo.checks import MOST_RACERS, RequestError
from demo.sentences import finding, mixed
from demo.shipped import COLOURS, GRAY, PIXELS, TITLES, Shipped, read

# The recorded race on an unusual reward: all digits, from the start that knows no labels.
EXAMPLE = {"confidence": 1.0, "symmetry": 1.0}
ENDS = ["reinforce", "grpo"]  # of the staircase: who races if nothing is said
MISTAKES = {  # of core.mistakes, by name: the title, and the recipe that it is shown with
    "no-kl": ("No KL", "pixels-8x8"),
    "no-pretraining": ("No pretraining", "pixels-8x8"),
    "no-baseline": ("No baseline", "pixels-8x8"),
    "temperatures": ("Two temperatures", "pixels-8x8"),
    "guidance": ("Guidance in samples only", "patches-28x28"),
    "scaled": ("Divided by the deviation", "pixels-8x8"),
    "first-token": ("First token left out", "pixels-8x8"),
}


class Races(Shipped):
    """What Train live and Mistakes ask for: recorded races and live ones, for ``components.race``."""

    def __init__(self, root: Path | None = None):
        super().__init__(root)
        self._trainer: Any = None

    @property
    def trainer(self):
        """All live races. The first use imports torch."""
        with self._loading:
            if self._trainer is None:
                from demo.training import Trainer

                self._trainer = Trainer()
            return self._trainer

    def trained(self, keys: str) -> list[list[str]]:
        """The policies that a page trained before it was loaded anew, by the keys of its races."""
        found = self._trainer.trained(list(dict.fromkeys(keys.split()))) if self._trainer else []
        return [[recipe, name, yours(at, title)] for at, (recipe, name, title) in enumerate(found, start=1)]

    def leave(self, session: str) -> None:
        """A page was closed, or lost its connection."""
        if self._trainer is not None:
            self._trainer.leave(session)

    def close(self) -> None:
        """The server stops: no race goes on."""
        if self._trainer is not None:
            self._trainer.close()

    def _race(self, recipe: Any, task: Any, names: Any, rewards: Any) -> tuple:
        """The checked recipe, task, one to three different runs of it that are here, and what they are paid:
        {} for what is usual.
        """
        recipe, task = self._task(recipe, task)
        here = self.runs(recipe, task)
        names = [checks.one_of("run", name, here) for name in names] if isinstance(names, list) else names
        if not isinstance(names, list) or not 1 <= len(names) <= MOST_RACERS or len(set(names)) < len(names):
            raise RequestError(f"runs is {checks.shown(names)}; allowed: one to three of {', '.join(here)}.")
        return recipe, task, names, checks.weights(rewards, self.terms) if rewards else {}

    def has_example(self, recipe: str) -> bool:
        """Whether the race on a reward of one's own is recorded."""
        return "example" in self.recorded(recipe)

    def training(self, task: str, names: list[str], recipe: str, rewards: dict | None = None) -> dict:
        """The recorded training of shipped runs: every step's figures, some steps' samples. Of a reward of
        one's own, only the example is recorded: of ``ENDS``.
        """
        recipe, task, names, rewards = self._race(recipe, task, names, rewards)
        known = self.recorded(recipe)
        if self.has_example(recipe) and (task, set(names), rewards) == ("steer", set(ENDS), EXAMPLE):
            return known["example"]
        frames = [known.get(json.dumps(["frames", task, name]), {}) for name in names]
        curves = [read(self.root / recipe / task / name / "curve.json", list) for name in names]
        points = []
        for at, rows in enumerate(zip(*curves, strict=False)):
            racers = [
                {"success": row["success"], "kl": row["kl"], "frame": kept.get(str(at))}
                for row, kept in zip(rows, frames, strict=True)
            ]
            points.append({"step": at, "samples": rows[0]["samples"], "racers": racers})
        says = "Recorded: how the policies that ship were trained. Move the slider, or press Train."
        if rewards:
            says = f"Recorded, with the usual reward. Train takes yours: {mixed(rewards)}."
        digits = [digit for digit in range(10) for _ in range(8)]
        return {
            **recording(f"{recipe} {task} {' '.join(names)}", says, points),
            "racers": self._racers(recipe, task, names),
            "steps": len(points),
            "most_samples": points[-1]["samples"] if points else 1,
            "wall": {"columns": 8, "count": 80, "digits": digits, "size": PIXELS[recipe]},
        }

    def train(
        self,
        task,
        names,
        digits,
        steps=None,
        group=None,
        beta=None,
        lr=None,
        seed=0,
        recipe="pixels-8x8",
        rewards=None,
        picture=None,
    ) -> dict:
        """Start a race, or let it wait; returns its first news. All is checked here. None means as usual.

        Args:
            rewards: weights of ``terms`` that all runs are paid; empty: each is paid what it always is.
            picture: a drawing, for likeness.
        """
        recipe, task, names, rewards = self._race(recipe, task, names, rewards)
        picture, seed = checks.picture(picture) if "likeness" in rewards else None, checks.seed(seed)
        models = self.models(recipe)
        from core.recipes import find_recipe
        from demo.answers import likeness_of
        from demo.settings import layout, settings

        config = settings(recipe, task, digits, steps, group, beta, lr)
        about, runs = {"racers": self._racers(recipe, task, names), **layout(recipe, config)}, []
        for name in names:
            run = find_recipe(recipe).tasks[task].get(name)
            if run is None:
                raise RequestError(f"run is {name}, which ships, but core/recipes.py has no such run.")
            beta = config.beta if run.config.beta else 0.0  # a run without a KL stays without
            fitted = dataclasses.replace(config, beta=beta)
            runs.append(dataclasses.replace(run, config=fitted, rewards=rewards or run.rewards))
        if rewards:
            about["paid"] = f"The reward is {mixed(rewards)}."
            about["terms"] = sorted(rewards, key=lambda name: (name == "confidence", -rewards[name]))
        drawing = None if picture is None else likeness_of(models, picture)
        return self.trainer.start(about, models, task, runs, seed, drawing)

    def _racers(self, recipe: str, task: str, names: list[str]) -> list[dict]:
        """Title, colour and what tells it from the others, of each run."""
        return [
            {
                "title": TITLES.get(name, name),
                "colour": COLOURS.get(name, GRAY),
                "says": self.measured(recipe, task, name).get("says", ""),
            }
            for name in names
        ]

    def mistakes(self) -> list[tuple[str, str]]:
        """(title, name) of the mistakes whose recipes are here."""
        return [(title, name) for name, (title, recipe) in MISTAKES.items() if recipe in self.recipes]

    def _mistake(self, name: Any) -> str:
        return checks.one_of("mistake", name, [name for _, name in self.mistakes()])

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
        race = self.recorded(MISTAKES[name][1]).get(json.dumps(["mistake", name]))
        if race is None:
            says = "Not recorded for these weights. Train runs it now."
            race = {**self._about_mistake(name)[1], **recording(name, says, [])}
        return {
            "happens": race["happens"],
            "wild": race["wild"],
            "finding": finding(measured),
            "race": race,
        }

    def train_mistake(self, name: Any) -> dict:
        """Start the race of a mistake and the same done right; returns its first news."""
        name = self._mistake(name)
        models, (mistake, about) = self.models(MISTAKES[name][1]), self._about_mistake(name)
        return self.trainer.start(about, models, mistake.task, [mistake, mistake.right], 0)

    def _about_mistake(self, name: str) -> tuple:
        """A mistake of core, and what stays the same during its race. Imports torch."""
        from core import mistakes
        from demo.settings import layout

        mistake, (title, recipe) = mistakes.MISTAKES[name], MISTAKES[name]
        wrong = {"title": f"Mistake: {title[0].lower()}{title[1:]}", "colour": "#D55E00"}
        racers = [
            {**wrong, "says": mistake.says},
            {"title": "Done right", "colour": COLOURS["grpo"], "says": mistake.right.says},
        ]
        about = {"happens": mistake.happens, "wild": mistake.wild, "racers": racers}
        return mistake, {**about, **layout(recipe, mistake.config)}


def yours(number: int, title: str) -> str:
    """How a policy that a visitor trained is called in lists."""
    return f"Yours ({number}): {title}"


def recording(name: str, says: str, points: list[dict]) -> dict:
    """A recorded race in the form of news of a live one."""
    still = {"state": "recorded", "over": True, "from": 0}
    return {**still, "key": f"recorded {name}", "says": says, "points": points}

"""What ships with the project: policies, their titles and colours, what was measured and recorded of them.

Files are read, and nothing of core is imported, because that imports torch: the page is up sooner.
"""

import ast
import hashlib
import json
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from demo import checks

CODE = Path(__file__).resolve().parents[1]
CHECKPOINTS, REWARDS = CODE / "checkpoints", CODE / "core" / "rewards.py"
RECIPES = {"pixels-8x8": "8×8 pixels", "patches-28x28": "28×28 patches"}
PIXELS, TOKENS = {"pixels-8x8": 8, "patches-28x28": 28}, {"pixels-8x8": 8, "patches-28x28": 7}  # a side
STARTS = {"steer": "unlabelled", "refine": "labelled"}
STARTING = ("random", *STARTS.values())
TITLES = {  # of runs, and of rows of metrics.json; what is not here shows its own name
    "random": "Random: untrained",
    "unlabelled": "Start: knows no labels",
    "labelled": "Start: knows its labels",
    "reinforce": "REINFORCE",
    "reinforce-baseline": "REINFORCE with a baseline",
    "grpo-group": "Group mean, no KL",
    "grpo-kl": "Group mean and KL",
    "grpo": "GRPO",
    "grpo-scaled": "GRPO, scaled",
    "coherence": "GRPO, paid for coherence",
    "realism": "GRPO, paid for realism",
    "all-rewards": "GRPO, paid for all three",
    "random pixels, asked for a 7": "random pixels, for a 7",
    "guide's recipe": "guide's recipe, for a 7",
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
GRAY = "#888888"


class Shipped:
    """The checkpoints of a folder. A file that is missing or damaged takes out what it holds, and no more."""

    def __init__(self, root: Path | None = None):
        self.root = root or CHECKPOINTS
        self._models: dict[str, Any] = {}
        self._records: dict[str, dict] = {}
        self._metrics: dict[str, dict] = {}
        self._loading = threading.Lock()

    @cached_property
    def recipes(self) -> list[str]:
        """Recipes that have what every tab needs: both networks, both starts, and a run of each task."""
        parts = ("classifier", "judge", *STARTING)
        return [
            name
            for name in RECIPES
            if all(self._is_here(name, part) for part in parts)
            and all(self.runs(name, task) for task in STARTS)
        ]

    def _recipe(self, value: Any) -> str:
        return checks.one_of("recipe", value, self.recipes)

    def _task(self, recipe: Any, task: Any) -> tuple[str, str]:
        return self._recipe(recipe), checks.one_of("task", task, STARTS)

    def _folder(self, recipe: Any) -> Path:
        """Where a recipe's files are. Raises RequestError for another name: no other folder is read."""
        return self.root / checks.one_of("recipe", recipe, RECIPES)

    def _is_here(self, recipe: str, name: str) -> bool:
        folder = self.root / recipe / name
        return (folder / "config.json").is_file() and (folder / "weights.safetensors").is_file()

    def runs(self, recipe: str, task: str) -> list[str]:
        """Names of a task's runs that are here, in the order of the staircase."""
        folder = self._folder(recipe) / checks.one_of("task", task, STARTS)
        names = {path.parent.name for path in folder.glob("*/config.json")}
        found = [name for name in COLOURS if name in names] + sorted(names - set(COLOURS))
        return [name for name in found if self._is_here(recipe, f"{task}/{name}")]

    def policies(self, recipe: str, trained: list | tuple = ()) -> list[tuple[str, str]]:
        """(title, name) of a recipe's policies, a visitor's own among them: (recipe, name, title) each."""
        names = [*STARTING, *(f"{task}/{run}" for task in STARTS for run in self.runs(recipe, task))]
        mine = [(title, name) for of, name, title in trained if of == recipe]
        return [(self.style(name)["title"], name) for name in names] + mine

    def style(self, policy: str) -> dict[str, str]:
        """The title and the colour of a policy."""
        if policy.startswith("mine:"):
            return {"title": "Yours, trained here", "colour": "#B07AA1"}
        task, _, run = policy.rpartition("/")
        title = TITLES.get(run, run)
        title = f"{task.capitalize()}: {title}" if task else title
        return {"title": title, "colour": COLOURS.get(run, GRAY)}

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
        """What core.evaluate measured, read once."""
        path = self._folder(recipe) / "metrics.json"
        if recipe not in self._metrics:
            self._metrics[recipe] = read(path, dict)
        return self._metrics[recipe]

    def measured(self, recipe: str, task: str, run: str) -> dict:
        """What was measured along a run's training; {} where nothing was."""
        return self.metrics(recipe).get("runs", {}).get(task, {}).get(run, {})

    def recorded(self, recipe: str) -> dict[str, Any]:
        """Answers by question, see demo/record.py; {} where there are none for these weights."""
        path = self._folder(recipe) / "recorded.json"
        if recipe not in self._records:
            found = read(path, dict)
            of, here = found.get("weights"), self.weights(recipe)
            fits = isinstance(of, dict) and all(of.get(name, mark) == mark for name, mark in here.items())
            self._records[recipe] = found.get("answers", {}) if fits else {}
        return self._records[recipe]

    def weights(self, recipe: str) -> dict[str, str]:
        """A hash of each of a recipe's weights, by the name of the checkpoint. A recording holds for those
        that it names: it stays valid if a run is new, or gone.
        """
        folder, found = self.root / recipe, {}
        for path in sorted(folder.glob("**/weights.safetensors")):
            name = path.parent.relative_to(folder).as_posix()
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        return found

    def models(self, recipe: str):
        """The models of a recipe, see demo/models.py. The first call imports torch."""
        with self._loading:
            if recipe not in self._models:
                from demo.models import Models

                self._models[recipe] = Models(recipe, self.root)
            return self._models[recipe]


def read(path: Path, kind: type) -> Any:
    """A JSON file of the page's own; empty where it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return kind()
    return found if isinstance(found, kind) else kind()

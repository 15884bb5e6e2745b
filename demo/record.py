"""Record what each tab shows before any model is loaded: python -m demo.record writes
checkpoints/RECIPE/recorded.json.

Every figure comes from the shipped checkpoints, through the same engine that answers live; run it after
training.
"""

from __future__ import annotations

import itertools
import json
import os

from demo import studies, training
from demo.engine import GROUP, Engine

# The drawing that the pads start with, as the page draws it: see SEVEN in player/pad.js.
SEVEN = ((7, 7), (20, 7), (12, 22))


def seven() -> list[list[float]]:
    """The pad's first drawing: two strokes of a 7, 28 x 28."""
    rows = [[0.0] * 28 for _ in range(28)]
    for (x0, y0), (x1, y1) in itertools.pairwise(SEVEN):
        dx, dy = x1 - x0, y1 - y0
        for i in range(28):
            for j in range(28):
                x, y = j + 0.5, i + 0.5
                along = max(0.0, min(1.0, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)))
                far = ((x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2) ** 0.5
                rows[i][j] = max(rows[i][j], max(0.0, min(1.0, 2.1 - far)))
    return [[round(value, 3) for value in row] for row in rows]


def story(engine: Engine, recipe: str, digit: int = 7, seed: int = 2) -> dict:
    """What the six beats of the story show: a drawing, a group, what training changed, before and after."""
    models, names = engine.models(recipe), ("unlabelled", "steer/grpo")
    curve = json.loads((engine.root / recipe / "steer/grpo/curve.json").read_text(encoding="utf-8"))
    return {
        **{"recipe": recipe, "digit": digit, "seed": seed},
        "trajectory": engine.trajectory("steer/grpo", digit, 1.0, seed, 16, 0, recipe),
        "group": engine.group("steer", digit, seed, recipe),
        "changed": studies.changed(models, "steer", digit, seed, GROUP),
        **dict(
            zip(
                ("before", "after"),
                (engine.generate(name, digit, 1.0, seed, 16, recipe) for name in names),
                strict=True,
            )
        ),
        "surveys": [engine.survey(name, digit, seed, recipe) for name in names],
        "curve": [{name: point[name] for name in ("samples", "reward", "success", "kl")} for point in curve],
    }


def race(engine: Engine, recipe: str, digit: int = 7) -> dict:
    """A whole live race on one digit, as the page's first preset runs it."""
    models = engine.models(recipe)
    own = {} if recipe == "pixels-8x8" else training.PATCHES
    found = training.record(models, {"task": "steer", "digits": [digit], **own})
    about = {"recipe": recipe, "task": "steer", "digit": digit, "machine": f"{os.cpu_count()} cores"}
    return {
        **about,
        "size": models.classifier.size,
        **found,
        "references": engine.references("steer", digit, recipe),
    }


def record(engine: Engine, recipe: str) -> dict:
    """What each tab starts from: the answers to its first questions."""
    compared = engine.compare("steer", 7, 0, recipe)
    return {
        "train": {"train": race(engine, recipe)},
        "story": {"story": story(engine, recipe)},
        "generate": {
            "generate": engine.generate("steer/grpo", 7, 1.0, 0, 24, recipe),
            "trajectory": engine.trajectory("steer/grpo", 7, 1.0, 0, 24, 0, recipe),
        },
        "compare": {
            "compare": compared,
            "surveys": [engine.survey(one["policy"], 7, 0, recipe) for one in compared["policies"]],
        },
        "rewards": {
            "score": engine.score(seven(), 7, "steer", recipe),
            "group": engine.group("steer", 7, 0, recipe),
        },
        "complete": {"complete": engine.complete("refine/grpo", 7, seven(), 4, 1.0, 0, 12, recipe)},
    }


def main() -> None:
    engine = Engine()
    for recipe in engine.recipes:
        path = engine.root / recipe / "recorded.json"
        fresh = path.with_suffix(".writing")
        fresh.write_text(json.dumps(record(engine, recipe)) + "\n", encoding="utf-8")
        os.replace(fresh, path)
        print(f"{path.relative_to(engine.root.parent)}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()

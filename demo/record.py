"""Record the answers to the first questions of every tab: python -m demo.record writes
checkpoints/RECIPE/recorded.json, in about ten minutes.

With them each tab shows something true, for every digit, before any model is loaded. The answers are the
engine's own, from the shipped checkpoints; run this after training. What is recorded of the training comes
from the snapshots that core.train keeps in runs/; where those are missing, what was recorded of them before
is kept, if the start and the end of that run still draw the same.
"""

import json
import time

import torch
import tyro
from tqdm import tqdm

from core.files import write_json
from core.place import Place
from core.recipes import find_recipe
from demo import answers, pictures, stepping, training, walks
from demo.components import SEVEN
from demo.engine import GROUPS, UPDATES, Engine
from demo.races import ENDS, EXAMPLE, MISTAKES, recording
from demo.shipped import STARTS, read

SHOWN = (0, 1, 2, 4, 7, 11, 16, 22, 30)  # steps of a race whose samples are kept; the last one's are as well


def record(engine: Engine, recipe: str) -> dict:
    """Answers by question: what each tab asks when it is opened, for every digit."""
    engine.recording, engine._records[recipe] = {}, {}
    for digit in tqdm(range(10), desc=f"record {recipe}, digits"):
        engine.spread(digit, recipe)
        for group in GROUPS:
            # All updates of the view that opens first; of other groups of 16, the one that the story shows.
            updates = UPDATES if (digit, group) == (7, 16) else int(group == 16)
            engine.recording[f"one_step {digit} {group}"] = steps(engine, recipe, digit, group, updates)
        engine.trajectory("steer/grpo", digit, 1.0, 2, 16, 0, recipe)
        engine.generate("steer/grpo", digit, 1.0, 2, 16, recipe)
        engine.generate("steer/grpo", digit, 1.0, 0, 24, recipe)
        engine.trajectory("steer/grpo", digit, 1.0, 0, 24, 0, recipe)
        for task in STARTS:
            engine.compare(task, digit, 0, recipe)
            engine.score(SEVEN, digit, task, recipe)
            engine.group(task, digit, 0, recipe)
            engine.fool("blank", digit, task, 0, recipe)
            engine.fool("noise", digit, task, 0, recipe)
        engine.complete(SEVEN, "refine/grpo", digit, 4, 1.0, 0, 12, recipe)
    return engine.recording


def steps(engine: Engine, recipe: str, digit: int, group: int, updates: int) -> list[str]:
    """The groups of One step up to that update, packed: the last one as it is drawn."""
    walk = stepping.walk(engine.models(recipe), digit, group)
    while walk.updates < updates:
        walk.update()
    return [walks.pack(answers.in_walk(walk, at)) for at in range(updates + 1)]


def frames(engine: Engine, recipe: str, task: str, run: str) -> dict[str, dict]:
    """Samples of a run as its training went on: by the number of steps done, eight of each digit."""
    place, models, found = Place(find_recipe(recipe), engine.root), engine.models(recipe), {}
    labels = torch.arange(10).repeat_interleave(8)
    config = place.recipe.tasks[task][run].config
    for samples, policy in place.along(task, run):
        rollout = policy.sample(labels, 1.0, torch.Generator().manual_seed(0))
        with torch.no_grad():
            images = policy.tokenizer.decode(rollout.tokens)
            reads = models.judge(images).argmax(1).tolist()
        step = min(samples // (10 * config.group), config.steps - 1)  # the end stands at the last step
        found[str(step)] = {"sheet": pictures.sheet(images, 8), "reads": reads}
    return found


def finished(engine: Engine, first: dict, name: str, says: str) -> dict:
    """A live race, followed from its first news to its end, as a recording for ``components.race``."""
    training.LONGEST = float("inf")  # a busy machine may take longer than a visitor may
    points, news = [], first
    while not news["over"]:
        time.sleep(0.2)
        news = engine.trainer.follow(first["key"], len(points))
        points += news["points"]
    if news["state"] != "done":
        raise RuntimeError(news["says"])
    for point in points[:-1]:
        if point["step"] not in SHOWN:
            for racer in point["racers"]:
                racer["frame"] = None
    return {**first, **recording(name, says, points)}


def example(engine: Engine, recipe: str) -> dict:
    """The example of a reward of one's own, trained on as Train live would."""
    first = engine.train("steer", ENDS, list(range(10)), recipe=recipe, rewards=EXAMPLE)
    says = "Recorded: a race with a different reward from the usual one. Move the slider, or press Train."
    return finished(engine, first, f"{recipe} example", says)


def mistake(engine: Engine, name: str) -> dict:
    """A mistake beside the same done right, trained as a visitor would."""
    says = "Recorded: a training as it runs live. Move the slider, or press Train."
    return finished(engine, engine.train_mistake(name), name, says)


def main() -> None:
    engine = Engine()
    for recipe in engine.recipes:
        path = engine.root / recipe / "recorded.json"
        before = read(path, dict).get("answers", {})  # also where a run was added since
        answers = record(engine, recipe)
        for task in STARTS:
            for run in tqdm(engine.runs(recipe, task), desc=f"record {recipe}, {task}"):
                key = json.dumps(["frames", task, run])
                found = frames(engine, recipe, task, run)
                known = before.get(key, {})
                answers[key] = known if found.items() <= known.items() else found
        if recipe == "pixels-8x8":  # at 28x28 it takes longer than a visitor waits
            answers["example"] = example(engine, recipe)
        for name, (_, shown_with) in tqdm(MISTAKES.items(), desc=f"record {recipe}, mistakes"):
            if shown_with == recipe:
                answers[json.dumps(["mistake", name])] = mistake(engine, name)
        write_json(path, {"weights": engine.weights(recipe), "answers": answers})
        print(f"{path.relative_to(engine.root.parent)}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)

"""What the Hub shows of the checkpoints and of the demo: text for people, and a head for the Hub itself.

``python -m core.report`` writes the model card into checkpoints/README.md.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData, SpaceCardData

from core import checkpoints, report
from core.place import Place
from core.recipes import find_recipe

TAGS = ["reinforcement-learning", "grpo", "reinforce", "autoregressive", "mnist", "pytorch"]
ABOUT = """\
# GRPO, pixel by pixel: the checkpoints

Small autoregressive policies that draw handwritten digits one token at a time. REINFORCE and GRPO taught them
to draw what they are asked for; a classifier paid the reward, and a judge that was never optimised against
measures success. With the project's code:

```python
import torch
from core import load_classifier, load_judge, load_policy

policy = load_policy("{repo}/pixels-8x8/steer/grpo")  # "{repo}" alone is this one
rollout = policy.sample(torch.full((16,), 7), generator=torch.Generator().manual_seed(0))
images = policy.tokenizer.decode(rollout.tokens)  # (16, 1, 8, 8) in [0, 1]
print(load_judge("{repo}/pixels-8x8")(images).argmax(1))
```

Each recipe has a `classifier`, a `judge`, the starts `random`, `unlabelled` and `labelled`, and its runs as
`TASK/RUN`: `config.json` says how each was trained, `weights.safetensors` are in half precision. All learned
from MNIST's 60,000 training digits; classifier and judge from one half each. They draw digits and nothing
else, and a judge's opinion is no proof: look at the pictures.

*Success*, *coverage* and *Frechet* are measured at temperature 1, *KL* in nats per picture from the start.
Plus-minus is the 95 % interval over seeds. Written from `metrics.json` by `python -m core.report`.
"""


def model(repo: str = "OWNER/NAME", root: Path = checkpoints.ROOT) -> str:
    """The model card: what was measured, for people and, in its head, for the Hub."""
    results, parts = [], []
    for path in sorted(root.glob("*/metrics.json")):
        measured = json.loads(path.read_text(encoding="utf-8"))
        recipe, rows = measured["recipe"], {row["name"]: row["values"] for row in measured["rows"]}
        judge = checkpoints.read_config(root / Place(find_recipe(recipe)).judged_by / "judge")
        read = judge["test_accuracy"]
        parts += [
            f"## {recipe}",
            f"{measured['samples']:,} samples a row. The judge reads {read:.2%} of real digits.",
        ]
        for task, runs in measured["runs"].items():
            parts += [f"### `{recipe}/{task}`", report.staircase(measured, task)]
            for run in runs:
                if f"{task}: {run}" in rows:
                    success = round(rows[f"{task}: {run}"]["success"]["mean"], 4)
                    results.append(
                        EvalResult(
                            task_type="unconditional-image-generation",
                            task_name="Handwritten digits on request",
                            dataset_type="ylecun/mnist",
                            dataset_name="MNIST",
                            metric_type="success",
                            metric_name=f"judge success of {recipe}/{task}/{run}",
                            metric_value=success,
                        )
                    )
    head = ModelCardData(
        license="mit",
        library_name="grpo-pixel-by-pixel",
        tags=TAGS,
        datasets=["ylecun/mnist"],
        pipeline_tag="unconditional-image-generation",
        model_name="GRPO, pixel by pixel",
        eval_results=results,
    )
    return f"---\n{head.to_yaml()}\n---\n\n{ABOUT.format(repo=repo)}\n" + "\n\n".join(parts) + "\n"


def space(readme: str) -> str:
    """The project's README under the head that a Space needs."""
    head = SpaceCardData(
        title="GRPO, pixel by pixel",
        emoji="✏️",
        colorFrom="green",
        colorTo="blue",
        sdk="gradio",
        sdk_version=version("gradio"),
        python_version="3.11",
        app_file="app.py",
        license="mit",
        datasets=["ylecun/mnist"],
        tags=TAGS,
        short_description="See reinforcement learning teach a model to draw digits",
    )
    text = re.sub(r"\A---\n.*?\n---\n+", "", readme, flags=re.DOTALL)
    return f"---\n{head.to_yaml()}\n---\n\n{text}"

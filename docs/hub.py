"""What is put on the Hugging Face Hub: the checkpoints as a model, the demo as a Space, and their cards.

    python -m core.hub push --repo OWNER/NAME [--private]
    python -m core.hub space --repo OWNER/NAME

Both need a token that may write (``hf auth login``, or HF_TOKEN). What they upload replaces what they
uploaded before, in one commit; a repository that holds anything else is left alone.
"""

import json
import re
from importlib.metadata import version
from pathlib import Path

import huggingface_hub as hf
import tyro
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    EvalResult,
    ModelCardData,
    SpaceCardData,
    get_token,
)
from huggingface_hub.utils import validate_repo_id

from core import checkpoints
from core.hub import CHECKPOINT, HubError, asking, is_name
from core.place import Place, command
from core.recipes import PIXELS, SHIPPED, find_recipe
from docs.results import metrics_files, staircase

Files = dict[str, Path | bytes]  # by path in the repository: a file, or its content
PROJECT = checkpoints.ROOT.parent
FILES = (*CHECKPOINT, "curve.json", "metrics.json")
SOURCES = (".py", ".js", ".css", ".svg", ".png", ".md")
FRONT = {  # what "OWNER/NAME" alone stands for: a policy, and what pays and judges it
    "": f"{PIXELS.name}/steer/grpo",
    "classifier/": f"{PIXELS.name}/classifier",
    "judge/": f"{PIXELS.name}/judge",
}
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

A recipe has a `classifier`, a `judge`, the starts `random`, `unlabelled` and `labelled`, and its runs as
`TASK/RUN` (`guide-8x8` has runs alone, and borrows the rest from `pixels-8x8`): `config.json` says how each
was trained, `weights.safetensors` are in half precision. All learned from MNIST's 60,000 training digits;
classifier and judge from one half each. They draw digits and nothing else, and a judge's opinion is no proof:
look at the pictures.

*Success*, *coverage* and *Frechet* are measured at temperature 1, *KL* in nats per picture from the start.
Plus-minus is the 95 % interval over seeds. Written from `metrics.json` by `python -m docs.build`.
"""


def model_card(repo: str = "OWNER/NAME", root: Path = checkpoints.ROOT) -> str:
    """The model card: what was measured, for people and, in its head, for the Hub."""
    results, parts = [], []
    for path in metrics_files(root):
        measured = json.loads(path.read_text(encoding="utf-8"))
        recipe, rows = measured["recipe"], {row["name"]: row["seeds"] for row in measured["rows"]}
        judge = checkpoints.read_config(root / Place(find_recipe(recipe)).judged_by / "judge")
        read = judge["test_accuracy"]
        parts += [
            f"## {recipe}",
            f"{measured['samples']:,} samples a row; means over seeds. "
            f"The judge reads {read:.2%} of real digits.",
        ]
        for task, runs in measured["runs"].items():
            here = [
                run
                for run in runs
                if f"{task}: {run}" in rows and checkpoints.exists(root / recipe / task / run)
            ]
            shipped = ", ".join(f"`{run}`" for run in here) or "none"
            parts += [
                f"### `{recipe}/{task}`",
                staircase(measured, task),
                f"Weights here, of seed 0: {shipped}.",
            ]
            results += [
                EvalResult(
                    task_type="unconditional-image-generation",
                    task_name="Handwritten digits on request",
                    dataset_type="ylecun/mnist",
                    dataset_name="MNIST",
                    metric_type="success",
                    metric_name=f"judge success of {recipe}/{task}/{run}",
                    metric_value=round(rows[f"{task}: {run}"]["0"]["success"], 4),
                )
                for run in here
            ]
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


def space_card(readme: str) -> str:
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


def publish(repo: str, kind: str, files: Files, mark: str, private: bool = False) -> str:
    """Create a repository, or take one that was published before, and make it hold these files.

    Of an earlier upload, files that there are no longer go; what else is there stays.

    Args:
        kind: "model" or "space".
        mark: the file that tells an earlier upload from somebody's other work.

    Returns:
        its address.
    """
    if repo.count("/") != 1 or not is_name(repo):
        raise ValueError(f"--repo is {repo!r}; allowed: OWNER/NAME, and not the name of a checkpoint.")
    validate_repo_id(repo)
    with asking(repo):
        token = get_token()
        if token is None or not re.fullmatch(r"[!-~]+", token):
            raise HubError("there is no usable token; `hf auth login` or HF_TOKEN sets one that may write.")
        api, sdk = hf.HfApi(), "gradio" if kind == "space" else None
        api.create_repo(repo, repo_type=kind, private=private or None, space_sdk=sdk, exist_ok=True)
        found = api.repo_info(repo, repo_type=kind)
        there = {file.rfilename for file in found.siblings} - {".gitattributes"}
        if there - {"README.md"} and mark not in there:
            raise HubError(f"{repo} is taken: it holds something else, which is left as it is.")
        if private and not found.private:
            raise HubError(f"{repo} is there already and public; make it private in its settings.")
        changes = [CommitOperationAdd(name, source) for name, source in files.items()]
        folders = {name.split("/")[0] for name in files if "/" in name}
        gone = [name for name in there - set(files) if "/" in name and name.split("/")[0] in folders]
        changes += [CommitOperationDelete(name) for name in sorted(gone)]
        done = api.create_commit(repo, changes, commit_message=f"Upload the {kind}", repo_type=kind)
    return str(done.repo_url)


def model_files(repo: str, root: Path = checkpoints.ROOT) -> Files:
    """What ``push`` uploads: every checkpoint, and those of FRONT a second time at the top."""
    paths = [path for recipe in SHIPPED for path in (root / recipe).rglob("*") if path.name in FILES]
    files: Files = {path.relative_to(root).as_posix(): path for path in paths}
    for place, name in FRONT.items():
        for file in CHECKPOINT:
            files[place + file] = root / name / file
    return {"README.md": model_card(repo, root).encode(), **files}


def space_files(project: Path = PROJECT) -> Files:
    """What ``space`` uploads: the demo, and the recipes that it shows, which are those it recorded."""
    paths = [project / name for name in ("app.py", "requirements.txt", "LICENSE")]
    for folder in ("core", "demo"):
        paths += [path for path in project.glob(f"{folder}/**/*") if path.suffix in SOURCES]
    for recorded in project.glob("checkpoints/*/recorded.json"):
        paths += [path for path in recorded.parent.rglob("*") if path.name in (*FILES, recorded.name)]
    files: Files = {path.relative_to(project).as_posix(): path for path in paths}
    readme = (project / "README.md").read_text(encoding="utf-8")
    return {"README.md": space_card(readme).encode(), **files}


def push(repo: str, private: bool = False) -> None:
    """Uploads checkpoints/ as a model.

    Args:
        repo: OWNER/NAME on the Hub; created where it is new.
        private: seen by its owner alone.
    """
    print(publish(repo, "model", model_files(repo), "pixels-8x8/classifier/weights.safetensors", private))


def space(repo: str) -> None:
    """Uploads the demo as a Gradio Space.

    Args:
        repo: OWNER/NAME on the Hub; created where it is new.
    """
    print(publish(repo, "space", space_files(), "core/hub.py"))


@command
def main(arguments: list[str]) -> None:
    commands = {"push": push, "space": space}
    tyro.extras.subcommand_cli_from_dict(commands, args=arguments, prog="python -m core.hub")

"""The engine behind the page, the shape of the code, and what the shipped checkpoints can do."""

import ast
import json
import math
from pathlib import Path

import pytest
import torch

from core import checkpoints, load_judge, load_policy
from core.configs import RLConfig
from core.evaluate import ladder
from core.recipes import RECIPES
from demo.engine import Engine

REPO = Path(__file__).resolve().parents[1]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name.split(".")[0] for name in found}


def test_core_knows_nothing_of_the_demo_and_tabs_nothing_of_torch():
    for path in REPO.glob("core/**/*.py"):
        assert not imports(path) & {"demo", "gradio"}, path
    for path in [REPO / "app.py", REPO / "demo/ui.py", REPO / "demo/api.py", *REPO.glob("demo/player/*.py")]:
        assert not imports(path) & {"torch", "core"}, path
    for name in ("engine", "models", "payloads", "studies", "training", "requests", "record"):
        assert "gradio" not in imports(REPO / f"demo/{name}.py")


def test_every_shipped_file_is_small_and_no_pickle():
    files = [path for path in checkpoints.ROOT.rglob("*") if path.is_file()]
    assert files and all(path.stat().st_size < 10_000_000 for path in files)
    assert {path.suffix for path in files} <= {".json", ".safetensors"}


def test_all_policies_of_both_tasks_ship():
    assert Engine().recipes == ["pixels-8x8", "patches-28x28"]


@pytest.mark.parametrize(("recipe", "samples"), [("pixels-8x8", 1000), ("patches-28x28", 300)])  # the latter are slower
@pytest.mark.parametrize("task", ["steer", "refine"])
def test_the_shipped_grpo_beats_its_start_on_the_judge(recipe, samples, task):
    judge, labels = load_judge(recipe), torch.arange(samples) % 10
    success = []
    for name in ({"steer": "unlabelled", "refine": "labelled"}[task], f"{task}/grpo"):
        policy = load_policy(f"{recipe}/{name}")
        tokens = policy.sample(labels, generator=torch.Generator().manual_seed(0)).tokens
        with torch.no_grad():
            success.append((judge(policy.tokenizer.decode(tokens)).argmax(1) == labels).float().mean().item())
    spread = math.sqrt(sum(p * (1 - p) for p in success) / samples)
    assert success[1] - success[0] > 1.645 * spread  # better, and not by chance (one-sided 95 %)


def test_the_readme_shows_the_ladder_that_was_measured():
    found = list(checkpoints.ROOT.glob("*/metrics.json"))
    assert found
    for path in found:
        assert ladder(json.loads(path.read_text(encoding="utf-8"))) in (REPO / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("recipe", sorted(path.parent.name for path in checkpoints.ROOT.glob("*/metrics.json")))
def test_checkpoints_and_metrics_belong_together(recipe):
    """Every shipped run has its row in the ladder, with as many seeds as there are checkpoints and its recipe's settings."""
    report = json.loads((checkpoints.ROOT / recipe / "metrics.json").read_text(encoding="utf-8"))
    seeds = {row["name"]: row["seeds"] for row in report["rows"]}
    for task, settings in RECIPES[recipe].tasks.items():
        method, config = settings.grpo
        runs = {
            "reinforce": ("REINFORCE", settings.reinforce[0], config, settings.rewards),
            "grpo": ("GRPO", method, config, settings.rewards),
        }
        for name, other in settings.ablations.items():
            chosen = other.grpo or method, other.config or config, other.rewards or settings.rewards
            runs[f"grpo-{name}"] = (f"GRPO {other.says}", *chosen)
        if settings.before:
            path = checkpoints.ROOT / recipe / RECIPES[recipe].prepared(task) / "config.json"
            assert type(settings.before)(**json.loads(path.read_text(encoding="utf-8"))["config"]) == settings.before
        for folder, (row, method, config, rewards) in runs.items():
            found = list((checkpoints.ROOT / recipe / task / folder).rglob("config.json"))
            assert seeds[f"{task}: {row}"] == len(found) > 0
            for path in found:
                about = json.loads(path.read_text(encoding="utf-8"))
                saved = {**about["config"], "digits": tuple(about["config"]["digits"])}
                assert RLConfig(**saved) == config  # a field that is younger had its default
                assert type(method)(**about["settings"]) == method
                assert about["rewards"] == rewards
                assert about["model"].get("guidance", 1.0) == settings.guidance

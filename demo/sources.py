"""Where the numbers of One step come from: file and line, read from core's text without importing it."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINES = {  # by number: the file, the function, and how the line in it begins
    "reward": ("core/rewards.py", "confidence", "return"),
    "reinforce": ("core/algorithms.py", "Reinforce.advantages", "return rewards"),
    "advantage": ("core/objectives.py", "group_advantages", "centred = rewards -"),
    "scaled": ("core/objectives.py", "group_advantages", "centred = centred /"),
    "token": ("core/rl.py", "make_batch", "per_token ="),
    "chance": ("core/policies.py", "distribution", "return"),
    "ratio": ("core/objectives.py", "clipped_surrogate", "ratio ="),
    "clip": ("core/objectives.py", "clipped_surrogate", "bounded ="),
    "kl": ("core/objectives.py", "exact_kl", "return"),
    "objective": ("core/rl.py", "objective", "return"),
    "update": ("core/rl.py", "descend", "optimizer.step()"),
}


def find(file: str, function: str, begins: str) -> dict | None:
    """A line of a function: {"where": "core/objectives.py:41", "text": the function, "line": within it}; None
    where it is gone.
    """
    text = (ROOT / file).read_text(encoding="utf-8")
    node = ast.parse(text)
    for name in function.split("."):
        node = next((one for one in getattr(node, "body", ()) if getattr(one, "name", "") == name), None)
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno] if node else []
    for at, line in enumerate(lines):
        if line.strip().startswith(begins):
            return {"where": f"{file}:{node.lineno + at}", "text": "\n".join(lines), "line": at}
    return None


def find_all() -> dict[str, dict]:
    """``find`` of every number; one whose line is gone is left out, and takes nothing else with it."""
    return {name: found for name, line in LINES.items() if (found := find(*line))}

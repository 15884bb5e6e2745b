"""metrics.json: what was measured of a recipe, and the tables that are printed from it.

``python -m core.report`` writes them into docs/results.md and the model card.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from pathlib import Path

from core import checkpoints
from core.metrics import interval
from core.place import Place
from core.yardstick import SEED

COLUMNS = {  # name: (heading, format)
    "reward": ("reward", ".4f"),
    "success": ("judge success", ".2%"),
    "kl": ("KL to start", ".3f"),
    "nll": ("NLL of real digits", ".2f"),
    "frechet": ("Frechet", ".2f"),
    "density": ("density", ".3f"),
    "coverage": ("coverage", ".3f"),
    "coherence": ("coherence", ".3f"),
    "ink": ("ink", ".3f"),
    "entropy": ("pixel entropy", ".3f"),
}


ABOUT = """\
Written by `python -m core.report` from the `metrics.json` of each recipe, which `python -m core.evaluate`
writes. Plus-minus is the 95 % interval of the mean over seeds (Student's t). *KL* is in nats per picture,
from the start of the task; *NLL* in nats per picture, of MNIST's test digits. Frechet, density and
coverage use the judge's features: read them beside "real against real". The variance is that of one
step's gradient estimate over the squared norm of its mean, from the same policy for all runs. "-" stands
where too few batches tell that mean from zero, and where the start already is above that success."""


class Report:
    """metrics.json: what was measured before, and what is measured now."""

    def __init__(self, place: Place, samples: int, resume: bool):
        self.path, self.resume = place.folder("metrics.json"), resume
        judge = fingerprint(place.root / place.judged_by / "judge")
        self.about = {"recipe": place.recipe.name, "samples": samples, "seed": SEED}
        self.about |= {"temperature": 1.0, "judge": judge}
        self.rows: dict[str, dict] = {}
        self.runs: dict[str, dict] = {}
        self.before: dict = {"rows": [], "runs": {}}
        self.mistakes: dict = {}  # core.evaluate --mistakes measures them; here they are kept
        if self.path.is_file():
            try:
                found = json.loads(self.path.read_text(encoding="utf-8"))
            except ValueError:  # damaged: measure all of it again
                found = {}
            self.mistakes = {"mistakes": found["mistakes"]} if "mistakes" in found else {}
            if self.about.items() <= found.items():
                self.before = found

    def known(self, row: str, weights: str) -> dict[str, dict]:
        """What was measured before of each seed of a row whose seed 0 has these weights."""
        for found in self.before["rows"]:
            if found["name"] == row and found["weights"] == weights:
                return found["seeds"]
        return {}

    def measure(self, row: str, weights: str, values: Callable[[], dict[str, float]]) -> None:
        """A row without seeds; ``values`` is called only if they are not known."""
        self.add(row, weights, (self.resume and self.known(row, weights)) or {"0": values()})

    def add(self, row: str, weights: str, seeds: dict[str, dict]) -> None:
        """A row, with the means over its seeds."""
        self.rows[row] = {"name": row, "weights": weights, "values": means(seeds.values()), "seeds": seeds}
        self.write()

    def mean(self, row: str, column: str) -> float:
        return self.rows[row]["values"][column]["mean"]

    def write(self, done: bool = False) -> None:
        """Until all is ``done``, what was measured before stands in for what has not been measured yet."""
        rows, runs = self.rows, self.runs
        if not done:
            rows = {row["name"]: row for row in self.before["rows"]} | rows
            runs = self.before["runs"] | runs
        content = {**self.about, "rows": list(rows.values()), "runs": runs, **self.mistakes}
        checkpoints.write_json(self.path, content, indent=1)


def means(seeds: Collection[dict]) -> dict[str, dict]:
    """The mean of each figure over seeds, and its 95 % interval."""
    found = {}
    for name in COLUMNS:
        values = [seed[name] for seed in seeds if name in seed]
        if values:
            found[name] = {"mean": sum(values) / len(values), "interval": interval(values)}
    return found


def fingerprint(folder: Path) -> str:
    """A short name for the very weights in a folder; empty where there are none."""
    path = folder / "weights.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""


def cell(value: dict | None, style: str) -> str:
    """A mean, with the 95 % interval over seeds where there are several; "-" where nothing was measured."""
    if value is None:
        return "-"
    spread = "" if value["interval"] is None else f" ± {format(value['interval'], style)}"
    return format(value["mean"], style) + spread


def samples_cell(found: dict) -> str:
    """Samples that a run needed, and how many of its seeds got there; "-" where its start is above that."""
    if found.get("above"):
        return "-"
    if not found["reached"]:
        return "never"
    missing = "" if found["reached"] == found["seeds"] else f" ({found['reached']} of {found['seeds']} seeds)"
    return cell(found, ",.0f") + missing


def markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ladder(report: dict) -> str:
    """Every row with all its figures."""
    header = ["policy", "seeds", *(heading for heading, _ in COLUMNS.values())]
    rows = []
    for row in report["rows"]:
        values = [cell(row["values"].get(name), style) for name, (_, style) in COLUMNS.items()]
        rows.append([row["name"], str(len(row["seeds"])), *values])
    return markdown(header, rows)


def staircase(report: dict, task: str) -> str:
    """What each run of a task came to, in the figures that tell them apart."""
    figures = {"success": ".2%", "kl": ".2f", "coverage": ".3f", "frechet": ".1f"}
    header = ["run", "what it is", "seeds", "judge success", "KL", "coverage", "Frechet", "samples to 90 %"]
    ladder_rows = {row["name"]: row for row in report["rows"]}
    rows = []
    for name, run in report["runs"][task].items():
        row = ladder_rows.get(f"{task}: {name}")
        if row:
            values = [cell(row["values"].get(figure), style) for figure, style in figures.items()]
            needed = samples_cell(run["samples"]["0.9"])
            rows.append([f"`{name}`", run["says"], str(len(row["seeds"])), *values, needed])
    return markdown(header, rows)


def efficiency(report: dict, task: str) -> str:
    """Samples until the judge reads a share as asked, and how much one step's gradient scatters."""
    runs = report["runs"][task]
    header = ["run", "50 %", "75 %", "90 %", "95 %", "variance at the start", "variance half way"]
    rows = []
    for name, run in runs.items():
        if "curves" in run:
            scatter = [runs.get("variance", {}).get(point, {}).get(name) for point in ("start", "halfway")]
            needed = [samples_cell(found) for found in run["samples"].values()]
            rows.append([name, *needed, *("-" if value is None else f"{value:.1f}" for value in scatter)])
    return markdown(header, rows)


def mistakes(report: dict) -> str:
    """Each mistake of core.mistakes above the same done right."""
    figures = {"reward": ".3f", "success": ".1%", "kl": ".2f", "coverage": ".3f"}
    header = ["mistake", "run", "seeds", *(COLUMNS[name][0] for name in figures)]
    rows = []
    for name, found in report["mistakes"].items():
        for run in ("mistake", "right"):
            values = [cell(found[run].get(figure), style) for figure, style in figures.items()]
            rows.append([f"`{name}`", run, str(found["seeds"]), *values])
    return markdown(header, rows)


def text(report: dict) -> str:
    """All tables of a recipe, in Markdown."""
    parts = [f"## {report['recipe']}: {report['samples']:,} samples a row, temperature 1"]
    parts.append(ladder(report))
    for task in report["runs"]:
        parts += [f"### {task}, step by step", staircase(report, task)]
        parts += [f"### {task}: samples until the judge reads that share as asked", efficiency(report, task)]
    if "mistakes" in report:
        parts += ["### Mistakes, one digit each, beside the same done right", mistakes(report)]
    return "\n\n".join(parts)


def main() -> None:
    """Write docs/results.md and checkpoints/README.md, the model card, from every metrics.json that ships."""
    from core import cards  # late: it reads this module's tables

    parts = ["# Results", ABOUT]
    for path in sorted(checkpoints.ROOT.glob("*/metrics.json")):
        parts.append(text(json.loads(path.read_text(encoding="utf-8"))))
    path = checkpoints.ROOT.parent / "docs" / "results.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    (checkpoints.ROOT / "README.md").write_text(cards.model(), encoding="utf-8")


if __name__ == "__main__":
    main()

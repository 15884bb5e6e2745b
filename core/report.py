"""metrics.json: the measurements of a recipe, and the ladder, the table that is printed from them.

``python -m docs.results`` writes the other tables.
"""

from collections.abc import Callable, Collection

from core.checkpoints import CheckpointError, fingerprint
from core.files import read_json, write_json
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


class Report:
    """metrics.json: what was measured before, and what is measured now."""

    def __init__(self, place: Place, samples: int, resume: bool):
        self.path, self.resume = place.folder("metrics.json"), resume
        self.about = {"recipe": place.recipe.name, "samples": samples, "seed": SEED, "temperature": 1.0}
        for name in ("classifier", "judge"):
            self.about[name] = fingerprint(place.root / place.judged_by / name)
        self.rows: dict[str, dict] = {}
        self.runs: dict[str, dict] = {}
        try:
            found = read_metrics(place)
        except CheckpointError:  # none yet, or damaged: measure all of it
            found = {}
        same = self.about.items() <= found.items()
        self.rows_before = {row["name"]: row for row in found["rows"]} if same else {}
        self.runs_before = found["runs"] if same else {}
        # core.evaluate --mistakes measures them; here they are kept.
        self.mistakes = {"mistakes": found["mistakes"]} if "mistakes" in found else {}

    def known(self, row: str, weights: str) -> dict[str, dict]:
        """The earlier measurements of a row, by seed; none if its seed 0 had other weights then."""
        found = self.rows_before.get(row, {})
        return found["seeds"] if found.get("weights") == weights else {}

    def unchanged(self, row: str) -> bool:
        """Whether a row has the same weights as before, or is absent both now and before."""
        return self.rows.get(row, {}).get("weights") == self.rows_before.get(row, {}).get("weights")

    def measure(self, row: str, weights: str, values: Callable[[], dict[str, float]]) -> None:
        """Add a row without seeds; ``values`` is called only if they are not known."""
        seeds = self.known(row, weights) if self.resume else {}
        self.add(row, weights, seeds or {"0": values()})

    def add(self, row: str, weights: str, seeds: dict[str, dict]) -> None:
        """Add a row, with the means over its seeds."""
        self.rows[row] = {"name": row, "weights": weights, "values": means(seeds.values()), "seeds": seeds}
        self.write()

    def keep(self, task: str, name: str) -> None:
        """Keep the earlier measurements of a run, if there are any."""
        row = f"{task}: {name}"
        if row in self.rows_before:
            self.rows[row] = self.rows_before[row]
            self.runs.setdefault(task, {})[name] = self.runs_before[task][name]

    def keep_all(self, task: str) -> None:
        """Keep the earlier measurements of a task."""
        self.rows |= {row: found for row, found in self.rows_before.items() if row.startswith(f"{task}: ")}
        if task in self.runs_before:
            self.runs[task] = self.runs_before[task]

    def forget(self, task: str) -> None:
        """Drop the earlier measurements of a task, so that all are made anew."""
        for row in [row for row in self.rows_before if row.startswith(f"{task}: ")]:
            del self.rows_before[row]
        self.runs_before.pop(task, None)

    def mean(self, row: str, column: str) -> float:
        return self.rows[row]["values"][column]["mean"]

    def write(self, done: bool = False) -> None:
        """Write the file; until all is ``done``, earlier measurements stand in for those not yet made."""
        rows = self.rows if done else self.rows_before | self.rows
        before = {} if done else self.runs_before
        runs = {task: before.get(task, {}) | self.runs.get(task, {}) for task in before | self.runs}
        content = {**self.about, "rows": list(rows.values()), "runs": runs, **self.mistakes}
        write_json(self.path, content, indent=0)


def read_metrics(place: Place) -> dict:
    """A recipe's metrics.json. Raises CheckpointError, saying how to make it, if missing or damaged."""
    path = place.folder("metrics.json")
    found = read_json(path)
    if not isinstance(found, dict) or not {"rows", "runs"} <= set(found):
        command = f"python -m core.evaluate --recipe {place.recipe.name}{place.flags}"
        raise CheckpointError(f"{path} is missing or damaged; to make it: {command}")
    return found


def means(seeds: Collection[dict]) -> dict[str, dict]:
    """The mean of each figure over seeds, and its 95 % interval."""
    found = {}
    for name in COLUMNS:
        values = [seed[name] for seed in seeds if name in seed]
        if values:
            found[name] = {"mean": sum(values) / len(values), "interval": interval(values)}
    return found


def cell(value: dict | None, style: str) -> str:
    """A mean and, for several seeds, its 95 % interval, with enough decimals that it does not round to zero;
    "-" if nothing was measured.
    """
    if value is None:
        return "-"
    mean, spread = value["mean"], value["interval"]
    if spread is None:
        return format(mean, style)
    while spread and not any(digit in "123456789" for digit in format(spread, style)):
        style = f"{style[:-2]}{int(style[-2]) + 1}{style[-1]}"
    return f"{format(mean, style)} ± {format(spread, style)}"


def reached(each: list[int | None]) -> str:
    """How many seeds reached a level of success; ``each`` is from ``samples_to_success``."""
    return f"{len(each) - each.count(None)} of {len(each)} seeds"


def brief(value: dict) -> str:
    """A mean in three digits or more; if there is none, how many seeds reached the level, or "-"."""
    mean = value["mean"]
    if mean is None:
        return reached(value["each"]) if value.get("each") else "-"
    return f"{mean:,.0f}" if mean >= 100 else f"{mean:#.3g}"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ladder(rows: list[dict]) -> str:
    """Rows of metrics.json with all their figures, as a table in Markdown."""
    header = ["policy", "seeds", *(heading for heading, _ in COLUMNS.values())]
    lines = []
    for row in rows:
        values = [cell(row["values"].get(name), style) for name, (_, style) in COLUMNS.items()]
        lines.append([row["name"], str(len(row["seeds"])), *values])
    return markdown(header, lines)


def text(report: dict) -> str:
    """A metrics.json as the terminal shows it: the ladder, and mistakes beside the same done right."""
    rows = list(report["rows"])
    for name, found in report.get("mistakes", {}).items():
        for run in ("mistake", "right"):
            seeds = range(found["seeds"])
            rows.append({"name": f"{name}: {run}", "seeds": seeds, "values": found[run]})
    title = f"{report['recipe']}: up to {report['samples']:,} samples a row, temperature 1"
    return f"{title}\n\n{ladder(rows)}\n\npython -m docs.results writes further tables of what ships."

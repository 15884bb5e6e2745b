"""docs/results.md: every table of what was measured, from the metrics.json of each recipe.

    python -m docs.results

``python -m core.evaluate`` measures, and prints the ladder alone.
"""

import json
from pathlib import Path

import tyro

from core import checkpoints
from core.mistakes import MISTAKES
from core.recipes import SHIPPED
from core.report import COLUMNS, cell, ladder, markdown, reached

DOCS = Path(__file__).resolve().parent
ABOUT = """\
Written by `python -m docs.results` from the `metrics.json` of each recipe, which `python -m core.evaluate`
writes. Plus-minus is the 95 % interval of the mean over seeds (Student's t). *KL* is in nats per picture,
from the start of the task; *NLL* in nats per picture, of MNIST's test digits. Frechet, density and
coverage use the judge's features: read them beside "real against real" ("real, through the tokenizer" is
compared with the same digits, so its coverage is 1). *Density* says how closely samples lie to real
digits, *ink* what share of the pixels has at least a quarter of full ink, *pixel entropy* how much a token
varies over the samples of a label, in nats. Of the rewards, *coherence* is the share of ink in the largest
stroke, *realism* how likely a picture is to the start. The variance is that of one step's gradient estimate,
divided by the squared norm of its mean, at the same policy for all runs: the start, or GRPO's halfway
through its training; the norm is known to about a quarter. "-" stands where nothing was measured (a variance
for other rewards or in `scratch`, or halfway for a run added where there are no snapshots of `grpo`; a KL
where there is no start), where too few batches tell that mean from zero, and where the start is already
above that success. Best-of-N picks from one pool of as many samples as a row has."""


def metrics_files(root: Path) -> list[Path]:
    """Those of the recipes that ship."""
    return [path for name in sorted(SHIPPED) if (path := root / name / "metrics.json").is_file()]


def samples_cell(found: dict) -> str:
    """Samples that a run needed, those of the best seed where not all get there; "-" where none are.

    Where seeds lie so far apart that their interval would reach zero, the fewest and the most.
    """
    if found["above"]:
        return "-"
    mean, each = found["mean"], found["each"]
    if mean is None:
        return "never" if each[0] is None else f"{each[0]:,} at best ({reached(each)} get there)"
    wide = (found["interval"] or 0) >= mean
    return f"{each[0]:,} to {each[-1]:,}" if wide else cell(found, ",.0f")


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
    header = ["mistake", "at", "run", "seeds", *(COLUMNS[name][0] for name in figures)]
    rows = []
    for name, mistake in MISTAKES.items():
        if name not in report["mistakes"]:
            continue
        found = report["mistakes"][name]
        of = f"{mistake.recipe} {mistake.task}, digit {mistake.config.digits[0]}"
        for run, says in (("mistake", mistake.says), ("right", mistake.right.says)):
            values = [cell(found[run].get(figure), style) for figure, style in figures.items()]
            rows.append([f"`{name}`", of, f"{run}: {says}", str(found["seeds"]), *values])
    return markdown(header, rows)


def text(report: dict) -> str:
    """All tables of a recipe."""
    parts = [f"## {report['recipe']}: {report['samples']:,} samples a row, temperature 1"]
    parts.append(ladder(report["rows"]))
    for task in report["runs"]:
        parts += [f"### {task}, step by step", staircase(report, task)]
        parts += [f"### {task}: samples until the judge reads that share as asked", efficiency(report, task)]
    if "mistakes" in report:
        samples = min(found["samples"] for found in report["mistakes"].values())
        parts += [f"### Mistakes beside the same done right: {samples:,} samples a seed", mistakes(report)]
    return "\n\n".join(parts)


def main() -> None:
    parts = ["# Results", ABOUT]
    for path in metrics_files(checkpoints.ROOT):
        parts.append(text(json.loads(path.read_text(encoding="utf-8"))))
    (DOCS / "results.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)

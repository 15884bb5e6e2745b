"""README, report, review, concepts and presentation, from docs/sources and what was measured.

    python -m docs.build

A source is Markdown in which ``{{ ... }}`` and ``{% if ... %}`` (Jinja) ask the functions in ``GLOBALS`` for
every figure, and for most words that depend on one: read them again after something is trained anew. Report
and review also become docs/NAME.html and docs/NAME.pdf (pandoc, typst).
"""

import itertools
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import jinja2
import pypandoc
import torch
import typst
import tyro

from core import checkpoints, load_classifier, load_judge, report
from core.classifiers import predict
from core.metrics import best_of_n_kl
from core.objectives import group_advantages
from core.recipes import RECIPES
from docs import hub, results

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
DOCUMENTS = {  # source: what is made of it
    "readme": ROOT / "README.md",
    "report": DOCS / "report.md",
    "literature": DOCS / "literature.md",
    "concepts": DOCS / "concepts.md",
    "presentation": DOCS / "presentation.md",
}
PRINTED = ("report", "literature")  # these have references, and become HTML and PDF as well
MARGIN = 0.1  # of a figure without an interval, on either side
SHORT = {
    "reward": ".2f",
    "success": ".1%",
    "kl": ".1f",
    "frechet": ".1f",
    "coverage": ".2f",
    "entropy": ".2f",
}
GITHUB = "gfm-tex_math_gfm+tex_math_dollars"


@dataclass(frozen=True)
class Figure:
    """A measured figure. ``<`` and ``>`` hold only where the ranges do not touch: else it is a tie."""

    mean: float
    low: float  # of its 95 % interval, or of what counts as a tie
    high: float
    text: str

    def __str__(self) -> str:
        return self.text

    def __lt__(self, other: Self) -> bool:
        return self.high < other.low

    def __gt__(self, other: Self) -> bool:
        return other < self


def about(mean: float, margin: float | None, text: str) -> Figure:
    """A figure with half of its 95 % interval; of one without, two tie where they are a fifth apart."""
    margin = MARGIN * mean if margin is None else margin
    return Figure(mean, mean - margin, mean + margin, text)


def metrics(recipe: str) -> dict:
    return json.loads((checkpoints.ROOT / recipe / "metrics.json").read_text(encoding="utf-8"))


def row(name: str, recipe: str = "pixels-8x8") -> dict:
    """A row of the ladder. Raises KeyError where it was not measured."""
    for found in metrics(recipe)["rows"]:
        if found["name"] == name:
            return found
    raise KeyError(f"{recipe} has no row {name!r}")


def has(name: str, recipe: str = "pixels-8x8") -> bool:
    """Whether a row of the ladder was measured."""
    return any(found["name"] == name for found in metrics(recipe)["rows"])


def measured(name: str, column: str, recipe: str = "pixels-8x8") -> Figure:
    """A figure of the ladder. Success and reward also have the sampling error of so many samples."""
    found = row(name, recipe)
    value, seeds = found["values"][column], len(found["seeds"])
    mean, margin = value["mean"], value["interval"]
    if column in ("success", "reward"):
        share = min(max(mean, 1e-3), 1 - 1e-3)
        sampling = 1.96 * math.sqrt(share * (1 - share) / (seeds * metrics(recipe)["samples"]))
        margin = max(margin or 0.0, sampling)
    return about(mean, margin, report.cell(value, SHORT[column]))


def needed(task: str, run: str, level: str = "0.9", recipe: str = "pixels-8x8") -> Figure:
    """Samples that a run saw until its success first passed ``level``; infinitely many for never.

    Its range is that of the seeds: a mean of three or five says little where one takes five times as many.
    """
    found = metrics(recipe)["runs"][task][run]["samples"][level]
    each = [math.inf if samples is None else samples for samples in found["each"]]
    return Figure(sum(each) / len(each), each[0], each[-1], results.samples_cell(found))


def variance(task: str, point: str, run: str, recipe: str = "pixels-8x8") -> Figure | None:
    """Relative variance of one step's gradient at the "start" or "halfway"; None where unknown.

    The squared norm of its mean is known to about a quarter (a jackknife over the batches).
    """
    found = metrics(recipe)["runs"].get(task, {}).get("variance", {}).get(point, {}).get(run)
    return None if found is None else about(found, found / 4, f"{found:,.0f}")


def choose(a: Figure, b: Figure, less: str, tie: str, more: str) -> str:
    """The words for a beside b."""
    return less if a < b else more if a > b else tie


def thousands(number: float) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,.0f}"


def ladder(rows: list[tuple[str, str, str]], columns: list[str]) -> str:
    """A table of (recipe, row, what it is); rows that were not measured are left out."""
    header = ["", "seeds", *(report.COLUMNS[column][0] for column in columns)]
    lines = []
    for recipe, name, title in rows:
        if has(name, recipe):
            found = row(name, recipe)
            figures = [found["values"].get(column) for column in columns]
            texts = [report.cell(value, SHORT[name]) for name, value in zip(columns, figures, strict=True)]
            lines.append([title, str(len(found["seeds"])), *texts])
    return report.markdown(header, lines)


def find(path: str, line: str) -> tuple[int, str]:
    """Number and text of the one line of a file that is ``line``, or else begins with it."""
    lines = [text.strip() for text in (ROOT / path).read_text(encoding="utf-8").splitlines()]
    found = [number for number, text in enumerate(lines, 1) if text.startswith(line)]
    found = [number for number in found if lines[number - 1] == line] or found
    if len(found) != 1:
        raise ValueError(f"{path} has {len(found)} lines that begin with {line!r}; expected one.")
    return found[0], lines[found[0] - 1]


def code(path: str, line: str) -> str:
    """A link to a line of the code, by its file and number."""
    number, _ = find(path, line)
    return f"[`{path}:{number}`](../{path}#L{number})"


def quote(path: str, line: str) -> str:
    """A link to a line of the code, by what it says."""
    number, text = find(path, line)
    return f"[`{text.split('  # ')[0]}`](../{path}#L{number})"


def blank(recipe: str, digit: int, network: Literal["classifier", "judge"] = "classifier") -> str:
    """How sure the classifier, which pays for it, or the judge is that an empty picture is a digit."""
    size, load = RECIPES[recipe].size, {"classifier": load_classifier, "judge": load_judge}[network]
    return f"{predict(load(recipe), torch.zeros(1, 1, size, size))[0, digit].item():.2f}"


def loudest(group: int) -> str:
    """The advantage of the only failure in a group, once it is divided by the standard deviation."""
    rewards = torch.ones(1, group)
    rewards[0, 0] = 0
    return f"{-group_advantages(rewards, scale=True).min().item():.1f}"


def benchmark(name: str) -> dict:
    """benchmarks/NAME.json."""
    return json.loads((ROOT / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))


def checkpoint(name: str) -> dict:
    """The config.json of a shipped checkpoint: how it was trained, and what that took."""
    return checkpoints.read_config(checkpoints.ROOT / name)


def most_clipped(name: str) -> str:
    """The largest share of a step's tokens that clipping held back, along the training of a shipped run."""
    curve = json.loads((checkpoints.ROOT / name / "curve.json").read_text(encoding="utf-8"))
    return f"{max(point['clip_fraction'] for point in curve):.1%}"


def run(recipe: str, task: str, name: str):
    """A run as core.recipes has it."""
    return RECIPES[recipe].tasks[task][name]


def seen(recipe: str, task: str, name: str) -> int:
    """The samples that a run learns from."""
    config = run(recipe, task, name).config
    return config.steps * config.group * len(config.digits)


def best_of(kl: float) -> int:
    """N, of best-of-N at that KL."""
    return next(n for n in itertools.count(1) if best_of_n_kl(n) >= kl)


def cited(number: str) -> str:
    """A number that others report, beside its reference: the only kind that is typed in."""
    return number


GLOBALS = (metrics, has, measured, needed, variance, choose, thousands, ladder, code, quote, blank)
GLOBALS += (loudest, benchmark, checkpoint, most_clipped, run, seen, best_of, cited)


def resolve(name: str) -> str:
    """A source with everything measured put in."""
    loader = jinja2.FileSystemLoader(DOCS / "sources")
    world = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True)
    world.globals |= {function.__name__: function for function in GLOBALS}
    return world.get_template(f"{name}.md").render().rstrip() + "\n"


def convert(text: str, to: str, *options: str) -> str:
    """Markdown with references, by pandoc."""
    sources = (f"--bibliography={DOCS / 'references.bib'}", f"--resource-path={DOCS}")
    options = ("--citeproc", "--columns=120", *sources, *options)
    return pypandoc.convert_text(text, to, format="markdown-smart", extra_args=options)


def markdown(name: str) -> str:
    """A document as it stands on GitHub."""
    text = resolve(name)
    if name not in PRINTED:
        return text
    title = re.search(r'^title: "(.*)"$', text, re.MULTILINE)[1]
    note = f"<!-- Made by `python -m docs.build` from docs/sources/{name}.md: change that. -->"
    return f"{note}\n\n# {title}\n\n{convert(text, GITHUB)}"


def print_(name: str, folder: Path) -> None:
    """NAME.html, which holds its figures, and NAME.pdf."""
    text, sources = resolve(name), DOCS / "sources"
    style = ("--standalone", "--mathml", "--embed-resources", f"--css={sources / 'page.css'}")
    (folder / f"{name}.html").write_text(convert(text, "html5", *style), encoding="utf-8")
    pages = DOCS / f".{name}.typ"  # beside the figures that it names
    pages.write_text(convert(text, "typst", "--standalone", f"--template={sources / 'page.typ'}"), "utf-8")
    try:
        typst.compile(pages, output=folder / f"{name}.pdf", root=ROOT)
    finally:
        pages.unlink()


def main() -> None:
    results.main()
    (checkpoints.ROOT / "README.md").write_text(hub.model_card(), encoding="utf-8")
    for name, path in DOCUMENTS.items():
        path.write_text(markdown(name), encoding="utf-8")
        print(path.relative_to(ROOT))
    for name in PRINTED:
        print_(name, DOCS)
        print(f"docs/{name}.html, docs/{name}.pdf")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)

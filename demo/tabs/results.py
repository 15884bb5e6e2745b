"""Results: what each step from REINFORCE to GRPO is worth, and the paper beside this demo."""

import base64

import gradio as gr

from demo.components import HERE, live_chart, table, words
from demo.page import Page, View
from demo.races import MISTAKES
from demo.sentences import finding, samples_to
from demo.shipped import COLOURS, GRAY, STARTING, TITLES

BOUNDS = ("real against real", "random pixels, asked", "guide's recipe", "best-of-N")  # no policy of the task
PAPER = (  # what the paper and its code do, and what is done here
    ("pictures", "photographs, from 256x256", "digits, 8x8 and 28x28"),
    ("policy", "LlamaGen", "LSTM, small transformer"),
    ("tokens", "from 256 codes, of 16,384", "64 pixels of 16 grays, 49 codes of 128"),
    ("rewards", "eight, of weight 1", "confidence; others can be tried"),
    ("group", "8 samples", "32 or 64 samples"),
    ("KL", "estimated (k3), beta 0.1 for classes", "summed, beta 0.018 to 0.07"),
    ("advantage", "divided by the deviation", "not divided, or GRPO, scaled"),
    ("guidance", "in samples, not in scores", "in both, or in neither"),
)

LADDER = ("success", "", "KL, nats", "coverage", "samples to 90&nbsp;%", "gradient variance", "seeds")
FAR = 100  # nats; a mistake beyond would leave the others no room on the chart
FIGURES = {"success": "{:.1%}", "kl": "{:.1f}", "coverage": "{:.2f}"}  # of a mistake


def build(page: Page) -> View:
    engine = page.engine
    with gr.Row(elem_classes="slide"):
        with gr.Column(elem_classes="stage"):
            says = words(style="claim", name="results-says")
            figures = words(style="ladder", name="results-ladder")
        with gr.Column(elem_classes="narrative"):
            with gr.Row(elem_classes="paper"):
                beside = live_chart("results-frontier")
                code = base64.b64encode((HERE / "arxiv.svg").read_bytes()).decode()
                words(
                    f"<a href='https://arxiv.org/abs/2508.06924'><img src='data:image/svg+xml;base64,{code}' "
                    "alt='QR code of the paper'>AR-GRPO, Yuan et al. 2025: arXiv 2508.06924</a>",
                    "code",
                )
            words(table(PAPER, ("AR-GRPO", "this demo")), "facts")
    with gr.Row(elem_classes="transport wide"):
        tables = [("steer: the start knows no labels", "steer"), ("refine: it knows its labels", "refine")]
        tables.append(("mistakes: beside the same done right", "mistakes"))
        task = gr.Dropdown(tables, value="steer", label="What is compared", elem_id="results-table")
    page.caption(
        "Measured by python -m core.evaluate at temperature 1, with 95 % intervals over seeds. Success: by a "
        "judge that never pays, and takes a blank square for a 1."
    )

    def show(recipe, task):
        if task == "mistakes":
            return mistakes(engine.metrics("pixels-8x8").get("mistakes", {}))
        metrics = engine.metrics(recipe)
        rows = ladder(metrics, task)
        if not rows:
            return ["Not yet measured for this recipe: python -m core.evaluate does it.", "", gr.skip()]
        return [headline(rows), render(rows), frontier(metrics, task, rows)]

    inputs, outputs = [page.recipe, task], [says, figures, beside]
    page.link("task", task)
    return View(show, inputs, outputs, [task.input])


def chart(series: list[dict], says: str, y: dict) -> dict:
    """What ``y`` says against KL, for ``live_chart``."""
    most = max((point[0] for line in series for point in line["points"]), default=1)
    return {"series": series, "x": {"label": f"KL in nats. {says}", "max": 1.1 * most}, "y": y}


def frontier(metrics: dict, task: str, rows: list[dict]) -> dict:
    """Success against KL: where the training of each run's seed 0 went, and where best-of-N does."""
    runs = metrics.get("runs", {}).get(task, {})
    lines = [(GRAY, "6 5", runs.get("best-of-N", []))]
    lines += [(row["colour"], "", runs.get(row["run"], {}).get("along", [])) for row in rows]
    lowest = min((point["success"] for *_, line in lines for point in line), default=0)
    series = [
        {"colour": colour, "dash": dash, "points": [[point["kl"], point["success"]] for point in line]}
        for colour, dash, line in lines
    ]
    # Where all are high, the axis begins high, too: else nothing could be told apart.
    low = next(low for low in (0.96, 0.9, 0) if lowest >= low)
    y = {"label": "success, as seed 0 is trained", "min": low, "max": 1, "percent": True}
    return chart(series, "Dashed: best-of-N", y)


def ladder(metrics: dict, task: str) -> list[dict]:
    """The rows of a task, from what is random to what is real, with title and colour; None where unknown."""
    runs, found = metrics.get("runs", {}).get(task, {}), []
    variance = runs.get("variance", {}).get("halfway", {})
    for row in metrics.get("rows", []):
        name, values = row["name"], row["values"]
        of, _, run = name.partition(": ")
        if of != task and not name.startswith(BOUNDS):
            continue
        found.append(
            {
                "run": run if run in TITLES or run in runs else "",
                "title": titled(run or name),
                "colour": COLOURS.get(run, GRAY),
                "success": values["success"]["mean"],
                "interval": values["success"]["interval"],
                "kl": values.get("kl", {}).get("mean") or None,  # a start without guidance has gone nowhere
                "coverage": values.get("coverage", {}).get("mean"),
                "to90": samples_to(runs.get(run, {})).removesuffix(" seeds") or None,
                "variance": variance.get(run),
                "seeds": len(row.get("seeds", {})),
            }
        )
    return found


def titled(name: str) -> str:
    """What a row of metrics.json is called on the page."""
    for start in STARTING:
        name = name.replace(f"start ({start}),", "Start,").replace(f"start ({start})", TITLES[start])
    return TITLES.get(name, name.replace(" at the KL of grpo", ", at GRPO's KL"))


def headline(rows: list[dict]) -> str:
    """What the ladder says of the two ends of the staircase."""
    by_run = {row["run"]: row for row in rows}
    if "grpo" not in by_run or "reinforce" not in by_run:
        return "Not every run is measured yet."
    return "<br>".join(
        f"{row['title']}: <b class='run' style='border-color:{row['colour']}'>"
        f"{100 * row['success']:.1f} %</b> right at {row['kl']:.1f} nats, coverage {row['coverage']:.2f}."
        for row in (by_run["grpo"], by_run["reinforce"])
    )


def render(rows: list[dict]) -> str:
    """The ladder as a table with bars. Numbers and fixed words alone."""
    lines = []
    for row in rows:
        style = f"width:{100 * row['success']:.1f}%;background:{row['colour']}"
        forms = {"kl": "{:,.1f}", "coverage": "{:.2f}", "to90": "{}", "variance": "{:,.1f}", "seeds": "{}"}
        rest = ["–" if row[name] is None else form.format(row[name]) for name, form in forms.items()]
        bar = f"<span class='track'><i style='{style}'></i></span>"
        lines.append((row["title"], bar, with_interval(row["success"], row["interval"], "{:.1%}"), *rest))
    return table(lines, LADDER)


def mistakes(measured: dict) -> list:
    """What is shown of the mistakes: a sentence, a table, and a chart from the same done right to each."""
    if not measured:
        return ["No mistake is measured yet: python -m core.evaluate --mistakes does it.", "", gr.skip()]
    harmful = [name for name in measured if finding(measured[name]).startswith("Harm")]
    lines, series = [], []
    for name, found in measured.items():
        pairs = []
        for figure, form in FIGURES.items():
            wrong, right = (with_interval(**found[run][figure], form=form) for run in ("mistake", "right"))
            pairs.append(f"<b>{wrong}</b><br>{right}")
        lines.append((MISTAKES.get(name, (name,))[0], *pairs, "yes" if name in harmful else "none"))
        ends = [[found[run]["kl"]["mean"], found[run]["coverage"]["mean"]] for run in ("right", "mistake")]
        series.append({"colour": "#D55E00" if name in harmful else GRAY, "points": ends})
    near = [line for line in series if line["points"][1][0] < FAR]
    says = f"{len(harmful)} of {len(measured)} mistakes do harm here. Bold: the mistake; below: done right."
    heads = ("success", "KL, nats", "coverage", "harm")
    beyond = f"; off chart: {len(series) - len(near)}" if len(near) < len(series) else ""
    shown = chart(near, f"Dots: the mistakes{beyond}", {"label": "coverage", "max": 1})
    return [says, table(lines, heads), shown]


def with_interval(mean: float, interval: float | None, form: str) -> str:
    """A figure and its interval over seeds; a share in percent: 98.9 ± 0.2 %, or 99.97 ± 0.02 %."""
    while interval and not any(digit in "123456789" for digit in form.format(interval)):
        places = int(form[3])
        form = form.replace(f".{places}", f".{places + 1}")
    said = [form.format(value) for value in (mean, interval) if value is not None]
    percent = " %" if said[0].endswith("%") else ""
    return " ± ".join(part.rstrip("%") for part in said) + percent

"""Results: what each step from REINFORCE to GRPO is worth, and what the paper does beside what is done
here.
"""

from __future__ import annotations

import base64

import gradio as gr

from demo.components import HERE, live_chart, words
from demo.page import Page, View
from demo.races import MISTAKES
from demo.sentences import finding
from demo.shipped import COLOURS, TITLES

BOUNDS = ("real against real", "guide's recipe", "best-of-N")  # rows that are no policy of the task
PAPER = (  # what the paper and its code do, and what is done here
    ("pictures", "photographs, from 256x256", "digits, 8x8 and 28x28"),
    ("policy", "LlamaGen", "LSTM, small transformer"),
    ("tokens", "from 256 codes, of 16,384", "64 grays of 16, 49 codes of 128"),
    ("rewards", "eight, of weight 1", "confidence, coherence, realism"),
    ("group", "8 samples", "32 or 64 samples"),
    ("KL", "estimated (k3), beta 0.1", "summed, beta 0.018 to 0.07"),
    ("advantage", "divided by the deviation", "not divided, or GRPO, scaled"),
    ("guidance", "in samples, not in scores", "in both, or in neither"),
)


def build(page: Page) -> View:
    engine = page.engine
    with gr.Row(elem_classes="slide"):
        with gr.Column(elem_classes="stage"):
            says = words(style="claim", name="results-says")
            table = words(style="ladder", name="results-ladder")
        with gr.Column(elem_classes="narrative"):
            with gr.Row(elem_classes="paper"):
                frontier = live_chart("results-frontier")
                code = base64.b64encode((HERE / "arxiv.svg").read_bytes()).decode()
                words(
                    f"<a href='https://arxiv.org/abs/2508.06924'><img src='data:image/svg+xml;base64,{code}' "
                    "alt='QR code of the paper'>the paper: arXiv 2508.06924</a>",
                    "code",
                )
            rows = "".join(
                f"<tr><th>{name}</th><td>{paper}</td><td>{here}</td></tr>" for name, paper, here in PAPER
            )
            words(f"<table><tr><th></th><th>AR-GRPO</th><th>this demo</th></tr>{rows}</table>", "facts")
    with gr.Row(elem_classes="transport wide"):
        tables = [("steer: the start knows no labels", "steer"), ("refine: it knows its labels", "refine")]
        tables.append(("mistakes: beside the same done right", "mistakes"))
        task = gr.Dropdown(tables, value="steer", label="What is compared", elem_id="results-table")
    page.caption(
        "Measured by python -m core.evaluate at temperature 1, with 95 % intervals over seeds. Success: by a "
        "judge that never pays."
    )

    def show(recipe, task):
        if task == "mistakes":
            return mistakes(engine.metrics("pixels-8x8").get("mistakes", {}))
        metrics = engine.metrics(recipe)
        rows = ladder(metrics, task)
        if not rows:
            return ["Nothing is measured of this recipe yet: python -m core.evaluate does it.", "", gr.skip()]
        dots = [
            {"colour": row["colour"], "points": [[row["kl"], row["success"]]]}
            for row in rows
            if row["kl"] is not None and row["run"]
        ]
        most = max([1.0, *(dot["points"][0][0] for dot in dots)])
        line = metrics.get("runs", {}).get(task, {}).get("best-of-N", [])
        best = [[point["kl"], point["success"]] for point in line]
        chart = {
            "series": [{"colour": "#888888", "dash": "6 5", "points": best}, *dots],
            "x": {"label": "KL in nats. Dashed: best-of-N", "max": 1.1 * most},
            "y": {"label": "success", "max": 1, "percent": True},
        }
        return [headline(rows), render(rows), chart]

    inputs, outputs = [page.recipe, task], [says, table, frontier]
    page.linked |= {"task": task}
    page.on([task.input], show, inputs, outputs)
    return View(show, inputs, outputs)


def ladder(metrics: dict, task: str) -> list[dict]:
    """The rows of a task, from what is random to what is real: titles, colours and figures; None where
    unknown.
    """
    runs, found = metrics.get("runs", {}).get(task, {}), []
    variance = runs.get("variance", {}).get("halfway", {})
    for row in metrics.get("rows", []):
        name, values = row["name"], row["values"]
        of, _, run = name.partition(": ")
        if of != task and not name.startswith(BOUNDS):
            continue
        known = runs.get(run, {})
        samples = known.get("samples", {}).get("0.9", {})
        kl = values.get("kl", {})
        found.append(
            {
                "run": run if run in TITLES or run in runs else "",
                "title": TITLES.get(run, run.replace(" at the KL of grpo", ", at GRPO's KL") or name),
                "colour": COLOURS.get(run, "#888888"),
                "success": values["success"]["mean"],
                "interval": values["success"]["interval"],
                "kl": kl.get("mean") if run and not run.startswith("start") else None,
                "coverage": values.get("coverage", {}).get("mean"),
                "seeds": len(row.get("seeds", {})),
                "to90": samples.get("mean") if samples.get("reached") else None,
                "variance": variance.get(run),
            }
        )
    return found


def mistakes(measured: dict) -> list:
    """What is shown of the mistakes: a sentence, a table, and a chart from the same done right to each."""
    if not measured:
        return ["No mistake is measured yet: python -m core.evaluate --mistakes does it.", "", gr.skip()]
    harmful = [name for name in measured if finding(measured[name]).startswith("Harm")]
    lines, series = [], []
    for name, found in measured.items():
        title, colour = MISTAKES[name][0], "#D55E00" if name in harmful else "#888888"
        cells = "".join(f"<td>{_pair(found, *figure)}</td>" for figure in FIGURES)
        lines.append(f"<tr><th>{title}</th>{cells}<td>{'yes' if name in harmful else 'none'}</td></tr>")
        ends = [[found[run]["kl"]["mean"], found[run]["success"]["mean"]] for run in ("right", "mistake")]
        series.append({"colour": colour, "points": ends})
    heads = "".join(f"<th>{head}</th>" for head in ("", "reward", "success", "KL, nats", "coverage", "harm"))
    most = max(point[0] for line in series for point in line["points"])
    chart = {
        "series": series,
        "x": {"label": "KL in nats. Dots: the mistakes", "max": 1.1 * most},
        "y": {"label": "success", "max": 1, "percent": True},
    }
    says = f"{len(harmful)} of {len(measured)} mistakes do harm here. In bold; below it, the same done right."
    return [says, f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>", chart]


FIGURES = (
    ("reward", "{:.2f}", 1),
    ("success", "{:.1f}", 100),
    ("kl", "{:.1f}", 1),
    ("coverage", "{:.2f}", 1),
)


def _pair(found: dict, name: str, form: str, scale: float) -> str:
    """A figure of a mistake and of the same done right, each with its interval over seeds."""
    cells = []
    for run in ("mistake", "right"):
        mean, interval = (found[run][name][part] for part in ("mean", "interval"))
        spread = "" if interval is None else f" ± {form.format(scale * interval)}"
        cells.append(form.format(scale * mean) + spread + (" %" if scale == 100 else ""))
    return f"<b>{cells[0]}</b><br>{cells[1]}"


def headline(rows: list[dict]) -> str:
    """What the ladder says of the two ends of the staircase; ties are called ties."""
    by_run = {row["run"]: row for row in rows}
    if "grpo" not in by_run or "reinforce" not in by_run:
        return "Not every run is measured yet."
    grpo, other = by_run["grpo"], by_run["reinforce"]
    return "<br>".join(
        f"{row['title']}: <b class='run' style='border-color:{row['colour']}'>{row['success']:.1%}</b>"
        f" right at {row['kl']:.1f} nats, coverage {row['coverage']:.2f}.".replace("%</b>", " %</b>")
        for row in (grpo, other)
    )


def render(rows: list[dict]) -> str:
    """The ladder as a table with bars. Numbers and fixed words alone."""
    lines = []
    for row in rows:
        interval = f" ± {100 * row['interval']:.1f}" if row["interval"] is not None else ""
        cells = [
            _figure(row["kl"], "{:.1f}"),
            _figure(row["coverage"], "{:.2f}"),
            _figure(row["to90"], "{:,.0f}"),
            _figure(row["variance"], "{:.1f}"),
            str(row["seeds"]),
        ]
        lines.append(
            f"<tr><th>{row['title']}</th><td><span class='track'><i style='width:{100 * row['success']:.1f}%;"
            f"background:{row['colour']}'></i></span></td><td>{100 * row['success']:.1f}{interval} %</td>"
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    heads = ("", "success", "", "KL, nats", "coverage", "samples to 90 %", "gradient variance", "seeds")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)

"""Compare: random, start, REINFORCE and GRPO, from the same start with the same random numbers."""

import gradio as gr

from demo.components import player, sample_grid, words
from demo.page import Page, View
from demo.shipped import STARTING

MOST = 5  # policies side by side


def build(page: Page) -> View:
    engine, columns, outputs = page.engine, [], []
    verdict = words(style="claim", name="compare-verdict")
    with gr.Row(elem_classes="slide columns"):
        for i in range(MOST):
            with gr.Column(visible=i < MOST - 1, min_width=150, elem_classes="policy") as column:
                title = words(style="title")
                with gr.Row(elem_classes="small"):
                    drawing = player(f"compare-player-{i}", small=True)
                    maps = words(style="maps")
                    success = words(style="success")
                more = words(style="label lines")
                wall = sample_grid(f"compare-wall-{i}")
            columns.append(column)
            outputs += [column, title, drawing, maps, success, more, wall]
    with gr.Row(elem_classes="transport"):
        task = page.task()
        other = page.policy("", "One more policy")
        seed = page.seed()
        page.draw_anew(seed)
    page.caption(
        "100 samples each. The first digit shown was chosen to show a difference. Cross: the judge "
        "reads another digit. Dot: a near-twin."
    )

    def show(recipe, digit, task, other, seed):
        found = engine.compare(task, digit, seed, recipe, other)
        values = [found["verdict"]]
        for one in found["policies"]:
            low, high = (round(100 * end) for end in one["interval"])
            twins = len(one["wall"]["twins"])
            moved = f", moved {one['kl']:.1f} nats" if one["policy"] not in STARTING else ""
            lines = [f"{twins} near-twins{moved}"]
            if one["to90"]:
                lines = [*lines, f"all digits to 90 %: {one['to90']}"]
            values += [
                gr.Column(visible=True),
                f"<span style='border-color:{one['colour']}'>{one['title']}</span>",
                one["trajectory"],
                f"<img src='{one['mean']}' alt='mean picture'><img src='{one['map']}' alt='where the "
                f"policy changed'>",
                f"<b>{one['right']} %</b><br>right ({low}–{high})<span class='track'>"
                f"<i style='width:{one['right']}%;background:{one['colour']}'></i></span>",
                "<br>".join(lines),
                {**one["wall"], "says": f"{one['right']} of 100 right, {twins} near-twins"},
            ]
        rest = MOST - len(found["policies"])
        return values + [gr.Column(visible=False), *[gr.skip()] * 6] * rest

    inputs = [page.recipe, page.digit, task, other, seed]
    return View(show, inputs, [verdict, *outputs], [task.input, other.input, seed.submit, seed.blur])

"""Complete: begin a drawing, and let a policy finish it."""

import gradio as gr

from demo.checks import within
from demo.components import drawing_pad, player, sample_grid, words
from demo.page import Page, View
from demo.shipped import TOKENS

COUNT = 12


def build(page: Page) -> View:
    engine = page.engine
    with gr.Row(elem_classes="slide"):
        with gr.Column(elem_classes="stage two"):
            pad = drawing_pad("complete-pad")
            drawing = player("complete-player")
        with gr.Column(elem_classes="narrative"):
            summary = words(style="claim", name="complete-summary")
            samples = sample_grid("complete-samples")
    with gr.Row(elem_classes="transport"):
        policy = page.policy("refine/grpo")
        rows = gr.Slider(0, 8, 4, step=1, label="Rows that are yours", buttons=[], min_width=150)
        seed = page.seed(visible=False)
        page.draw_anew(seed)
    page.caption(
        "The rows above the yellow line are yours: they become the first tokens, and the policy draws the "
        "rest."
    )

    def show(recipe, digit, policy, picture, rows, seed):
        most = TOKENS[recipe]
        given = within(rows, 0, most)
        found = engine.complete(picture, policy, digit, given, 1.0, seed, COUNT, recipe)
        right = found["reads"].count(digit)
        does = f"<b>{found['title']}</b> goes on" if given < most else "All of it is yours already"
        says = f"{does}: the judge reads {right} of {COUNT} as {digit}."
        fitted = gr.Slider(maximum=most, value=given) if given != rows else gr.Slider(maximum=most)
        return found, found["trajectory"], says, fitted

    pad_of = "document.querySelector('#complete-pad .pad')"
    keep = f"(rows, recipe) => {pad_of}.keep(rows / (recipe === 'pixels-8x8' ? 8 : 7))"
    gr.on([rows.input, samples.change], None, [rows, page.recipe], None, js=keep)
    page.link("rows", rows)
    inputs = [page.recipe, page.digit, policy, pad, rows, seed]
    return View(show, inputs, [samples, drawing, summary, rows], [policy.input, rows.input, pad.change])

"""Generate: any policy draws any digit, token by token."""

import gradio as gr

from demo.components import beliefs, distribution, player, sample_grid, words
from demo.page import Page, View

COUNT = 24


def build(page: Page) -> View:
    engine = page.engine
    with gr.Row(elem_classes="slide"):
        with gr.Column(elem_classes="stage"):
            drawing = player("generate-player")
        with gr.Column(elem_classes="narrative"):
            summary = words(style="claim", name="generate-summary")
            samples = sample_grid("generate-samples", choose=True)
            with gr.Row(elem_classes="pair"):
                with gr.Column():
                    words("What comes next", "label")
                    distribution("generate-next", follows="generate-player")
                with gr.Column():
                    words("What the classifier sees so far", "label")
                    beliefs("generate-beliefs", follows="generate-player")
    with gr.Row(elem_classes="transport"):
        policy = page.policy("steer/grpo")
        temperature = gr.Slider(0.25, 2, 1, step=0.05, label="Temperature", buttons=[], min_width=150)
        seed = page.seed()
        page.draw_anew(seed)
    page.caption(
        "Under each picture: the classifier's confidence in the digit asked for, which is the reward. A "
        "cross: a third network, the judge, reads another digit."
    )

    def show(recipe, digit, policy, temperature, seed):
        found = engine.generate(policy, digit, temperature, seed, COUNT, recipe)
        path = engine.trajectory(policy, digit, temperature, seed, COUNT, 0, recipe)
        right = found["reads"].count(digit)
        says = f"<b>{found['title']}</b> draws {digit}: the judge reads {right} of {COUNT} as {digit}."
        notes = [f"{reward:.2f}" for reward in found["rewards"]]
        return {**found, "notes": notes, "says": f"{COUNT} samples of {digit}, {right} right"}, path, says

    def choose(recipe, digit, policy, temperature, seed, event: gr.EventData):
        return [engine.trajectory(policy, digit, temperature, seed, COUNT, event.index, recipe)]

    inputs = [page.recipe, page.digit, policy, temperature, seed]
    outputs = [samples, drawing, summary]
    page.on(samples.select, choose, inputs, [drawing])
    page.link("temperature", temperature)
    return View(show, inputs, outputs, [policy.input, temperature.input, seed.submit, seed.blur])

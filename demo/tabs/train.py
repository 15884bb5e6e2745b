"""Train live: REINFORCE and GRPO race on this machine; before, how the policies that ship were trained."""

import time

import gradio as gr

from demo import checks, live
from demo.components import drawing_pad, race
from demo.page import AGAIN, Page, View
from demo.races import ENDS, EXAMPLE


def build(page: Page) -> View:
    engine = page.engine

    def choices(recipe, task):
        return [(engine.style(name)["title"], name) for name in engine.runs(recipe, task)]

    with gr.Row(elem_classes="slide whole"):
        shown = race("train-race")
    with gr.Row(elem_classes="transport wide"):
        digits = gr.CheckboxGroup(
            list(range(10)), value=list(range(10)), label="Digits to learn", elem_id="train-digits"
        )
        task = page.task()
        names = gr.Dropdown(
            choices(page.recipe.value, "steer"),
            value=ENDS,
            multiselect=True,
            max_choices=checks.MOST_RACERS,
            label="Who races",
            elem_id="train-who",
        )
        pressed = live.buttons("train")
    page.caption(
        "Same start, same random numbers, same number of samples. Cross: the judge reads another digit."
    )
    with gr.Accordion("Your own reward", open=False, elem_classes="more", elem_id="train-reward"), gr.Row():
        with gr.Column(scale=3):
            gr.Markdown(
                "All racers are paid this mix instead of their usual reward. Push one term too far, and "
                "see what the judge makes of it. The address holds the weights, not the drawing."
            )
            with gr.Row():
                mix = [_slider(name, says) for name, says in engine.terms.items()]
            example = gr.Button("Show a recorded one: symmetric digits", elem_id="train-example")
        with gr.Column(scale=1, min_width=220):
            gr.Markdown("What likeness compares with:")
            pad = drawing_pad("train-pad")
    with gr.Accordion("More settings", open=False, elem_classes="more"), gr.Row():
        # Text, because Gradio makes a zero of an empty number.
        labels = ("Steps", "Samples per digit", "Price of the KL (beta)", "Learning rate")
        more = [gr.Textbox(label=label, placeholder="as usual", min_width=120) for label in labels]
        seed = gr.Number(0, label="Seed", precision=0)

    usual = [slider.value for slider in mix]

    def paid(weights):
        """The mix of the sliders; none where they stand as they did at first."""
        return {} if list(weights) == usual else dict(zip(engine.terms, weights, strict=True))

    def recorded(recipe, task, names, *weights):
        return [engine.training(task, names, recipe, paid(weights))]

    def show(recipe, task, names, *weights):
        """For another recipe or task, which has other runs."""
        here = engine.runs(recipe, task)
        ends = [name for name in ENDS if name in here] or here[-1:]
        known = [name for name in names if name in here] or ends
        who = gr.Dropdown(choices=choices(recipe, task), value=known)
        offered = gr.Button(visible=engine.has_example(recipe))
        return [*recorded(recipe, task, known, *weights), who, offered]

    def begin(recipe, task, names, digits, steps, group, beta, lr, seed, picture, *weights):
        given = [checks.typed(text) for text in (steps, group, beta, lr)]
        return engine.train(task, names, digits, *given, seed, recipe, paid(weights), picture)

    settings = [page.recipe, task, names, digits, *more, seed, pad, *mix]
    live.follow(page, "train", shown, pressed, begin, settings, held=[example])
    inputs = [page.recipe, task, names, *mix]
    page.on([names.change, *(slider.input for slider in mix)], recorded, inputs, [shown])
    shown_mix = [EXAMPLE.get(name, 0) for name in engine.terms]

    def exemplify(recipe):
        # The time makes it a new value: else a page that shows a live race would not take it up.
        found = engine.training("steer", ENDS, recipe, EXAMPLE) | {"anew": time.time()}
        return [found, "steer", ENDS, *shown_mix]

    outputs = [shown, task, names, *mix]
    shows = example.click(exemplify, page.recipe, outputs, api_visibility="private", queue=False)
    shows.then(None, None, None, js=AGAIN)
    page.link("digits", digits)
    page.link("runs", names)
    for name, slider in zip(engine.terms, mix, strict=True):
        page.link(name, slider)
    return View(show, inputs, [shown, names, example], [task.input])


def _slider(name: str, says: str) -> gr.Slider:
    """What a reward term weighs; as a rule, confidence is all that is paid."""
    usual = 1 if name == "confidence" else 0
    return gr.Slider(
        0, 1, usual, step=0.05, label=name.replace("_", " "), info=says, buttons=[], min_width=300
    )

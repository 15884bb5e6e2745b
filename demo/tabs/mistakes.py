"""Mistakes: seven known ways to get it wrong, each beside the same done right, recorded and live."""

import gradio as gr

from demo import live
from demo.components import race, words
from demo.page import Page, View
from demo.races import MISTAKES
from demo.shipped import RECIPES


def build(page: Page) -> View:
    engine = page.engine
    names = engine.mistakes()
    with gr.Row(elem_classes="slide whole"), gr.Column():
        finding = words(style="claim", name="mistakes-finding")
        about = words(name="mistakes-about")
        shown = race("mistakes-race")
    with gr.Row(elem_classes="transport wide"):
        which = gr.Dropdown(names, value=names[0][1], label="The mistake", elem_id="mistakes-which")
        pressed = live.buttons("mistakes")
    page.caption(
        "One thing is wrong on the left; start, random numbers and samples are the same. Cross: the judge "
        "reads another digit."
    )

    def show(name):
        found = engine.mistake(name)
        at = RECIPES[MISTAKES[name][1]]
        return [found["finding"], f"At {at}. {found['happens']} <i>{found['wild']}</i>", found["race"]]

    live.follow(page, "mistakes", shown, pressed, engine.train_mistake, [which], held=[which])
    inputs, outputs = [which], [finding, about, shown]
    page.link("mistake", which)
    return View(show, inputs, outputs, [which.input])

"""Mistakes: seven known ways to get it wrong, each beside the same done right, recorded and live."""

import gradio as gr

from demo import live
from demo.components import race, words
from demo.page import Page, View
from demo.races import MISTAKES
from demo.sentences import a_digit
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
        "One thing is wrong on the left; all else is the same, even the seed and the number of samples. "
        "Cross: the judge reads another digit."
    )

    def show(name):
        found = engine.mistake(name)
        asked = f"At {RECIPES[MISTAKES[name][1]]}, asked for {a_digit(found['race']['wall']['digits'][0])}."
        return [found["finding"], f"{asked} {found['happens']} <i>{found['wild']}</i>", found["race"]]

    live.follow(page, "mistakes", shown, pressed, engine.train_mistake, [which], held=[which])
    inputs, outputs = [which], [finding, about, shown]
    page.link("mistake", which)
    return View(show, inputs, outputs, [which.input])

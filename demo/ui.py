"""Assembles the page: header, tabs, theme, queue and launch settings, and the endpoints of the API."""

from __future__ import annotations

import contextlib
import copy
import functools
import html
import json
import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio reads it

import gradio as gr
from starlette.middleware import Middleware

from demo.checks import RequestError
from demo.components import head, words
from demo.engine import GROUPS, RECIPES, UPDATES, Engine
from demo.guard import Guard
from demo.page import Page, View
from demo.tabs import compare, complete, generate, mistakes, onestep, results, rewards, story, train
from demo.turns import FairQueue, visitor

TABS = {  # a new tab is one file and one line here
    "story": ("Story", story.build),
    "onestep": ("One step", onestep.build),
    "train": ("Train live", train.build),
    "mistakes": ("Mistakes", mistakes.build),
    "generate": ("Generate", generate.build),
    "compare": ("Compare", compare.build),
    "rewards": ("Rewards", rewards.build),
    "complete": ("Complete", complete.build),
    "results": ("Results", results.build),
}
# What /train does where nothing is said.
ONE_DIGIT, ENDS, AS_USUAL, NO_PICTURE = [7], ["reinforce", "grpo"], {}, []
ENDPOINTS = ("generate", "compare", "score", "complete", "group", "one_step", "mistake")
GREEN = gr.themes.Color(  # Okabe and Ito's, GRPO's own colour, from light to dark
    "#e6f6f1",
    "#c2e9dd",
    "#8fd6c0",
    "#4fbd9c",
    "#1fa67f",
    "#007a59",
    "#006b4e",
    "#005c43",
    "#004a36",
    "#003b2b",
    "#00281d",
)
# In rem, so that presenter mode scales everything by the page's own font size.
TEXT = gr.themes.Size("0.7rem", "0.8rem", "0.92rem", "1rem", "1.1rem", "1.4rem", "2rem")
THEME = gr.themes.Default(
    primary_hue=GREEN,
    secondary_hue=GREEN,
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
    text_size=TEXT,
)


def build(engine: Engine) -> gr.Blocks:
    """The whole page over an engine."""
    with gr.Blocks(
        title="GRPO, pixel by pixel", analytics_enabled=False, fill_width=True, delete_cache=(3600, 3600)
    ) as page:
        if not engine.recipes:
            gr.Markdown(
                "# GRPO, pixel by pixel\nNo checkpoints are here. `python -m core.train all` trains them."
            )
            return page
        words("GRPO, pixel by pixel", "brand", "brand")
        with gr.Row(elem_id="tools"):
            words("", "chip", "chip")  # filled in by page.js while this page trains
            recipe = gr.Radio(
                [(RECIPES[name], name) for name in engine.recipes],
                value=engine.recipes[0],
                show_label=False,
                container=False,
                elem_id="recipe",
            )
            present = gr.Button("Present", size="sm", elem_id="present", min_width=80)
        notice = words("", "notice", "notice")
        digit = gr.Radio(list(range(10)), value=7, label="Digit asked for", elem_id="digit")
        shared = Page(page, engine, recipe, digit, notice, gr.State([]), {})
        linked = {"": {"recipe": recipe, "digit": digit}}
        views: dict[str, View] = {}
        tabs = {}
        with gr.Tabs(selected="story", elem_id="tabs") as all_tabs:
            for name, (title, build_tab) in TABS.items():
                shared.linked = linked[name] = {}
                with gr.Tab(title, id=name, elem_id=name) as tabs[name]:
                    views[name] = build_tab(shared)
        present.click(None, None, None, js="() => grpo.present(!grpo.root.classList.contains('presenter'))")
        links = [(tab, *one) for tab, controls in linked.items() for one in controls.items()]
        wire(page, shared, views, tabs, all_tabs, links)
        endpoints(engine)
    page.queue(max_size=64, default_concurrency_limit=4)
    page._queue.__class__ = FairQueue  # Gradio makes its queue by itself
    return page


def wire(page: gr.Blocks, shared: Page, views: dict[str, View], tabs: dict, all_tabs: gr.Tabs, links) -> None:
    """What holds for all tabs: opened by hand or by a link, another recipe, another digit.

    Args:
        links: (tab, name, control) of what a link sets; the tab is "" where all share the control.
    """
    for name, view in views.items():
        js = f"(...values) => {{ grpo.remember({{ tab: '{name}' }}); return values; }}"
        shared.on(tabs[name].select, view.show, view.inputs, view.outputs, js=js)
    usual = json.dumps([[tab, name, control.value] for tab, name, control in links])
    controls = [control for _, _, control in links]
    moved = [control.change for control in controls] + [tab.select for tab in tabs.values()]
    gr.on(moved, None, controls, None, js=f"(...values) => grpo.link({usual}, values)")

    # The tab that is open answers; the others do when they are opened.
    inputs = list(dict.fromkeys(control for view in views.values() for control in view.inputs))
    outputs = list(dict.fromkeys(output for view in views.values() for output in view.outputs))
    opened = gr.Textbox("story", visible=False)

    def answer(tab: str, given: dict) -> list:
        """What the outputs of all tabs become: those of one tab are answered, the rest stay as they are."""
        found = views[tab].show(*(given[control] for control in views[tab].inputs))
        shown = dict(zip(views[tab].outputs, found, strict=True))
        return [shown.get(output, gr.skip()) for output in outputs]

    def refresh(tab, *values):
        return answer(tab if tab in views else "story", dict(zip(inputs, values, strict=True)))

    def policies(recipe, own, *chosen):
        """The dropdowns of policies, fitted to the recipe; what is chosen stays where it is in the list."""
        found = []
        for dropdown, value in zip(shared.policies, chosen, strict=True):
            choices = shared.choices(recipe, own, "none" in dropdown.elem_classes)
            known = [name for _, name in choices]
            found.append(gr.Dropdown(choices=choices, value=value if value in known else dropdown.value))
        return found

    here = "(tab, ...values) => [grpo.root.dataset.tab, ...values]"
    shared.on(shared.digit.input, refresh, [opened, *inputs], outputs, js=here)
    fitted = gr.on(
        [shared.recipe.input, shared.own.change],
        policies,
        [shared.recipe, shared.own, *shared.policies],
        shared.policies,
        api_visibility="private",
        show_progress="hidden",
    )
    shared.on(fitted.then, refresh, [opened, *inputs], outputs, js=here)

    others = [control for control in controls if control not in shared.policies]
    walkthrough = next(block for block in page.blocks.values() if isinstance(block, gr.Walkthrough))

    def open_link(request: gr.Request):
        asked, refused = read_link(shared.engine, dict(request.query_params))
        if refused:
            gr.Warning(html.escape(" ".join(refused)), duration=None, title="Not all of the link was right")
        tab = asked.pop("tab", "story")
        given = {control: control.value for control in inputs}
        given |= {control: asked[name] for of, name, control in links if of in ("", tab) and name in asked}
        chosen = [given[dropdown] for dropdown in shared.policies]
        step = gr.Walkthrough(selected=asked["step"]) if "step" in asked else gr.skip()
        updates = [given.get(control, gr.skip()) for control in others]
        dropdowns = policies(given[shared.recipe], [], *chosen)
        shown = shared.answering(answer, len(outputs))(tab, given)
        return [gr.Tabs(selected=tab), step, *updates, *dropdowns, *shown]

    linked = [all_tabs, walkthrough, *others, *shared.policies, *outputs, shared.notice]
    opening = page.load(open_link, None, linked, api_visibility="private", show_progress="hidden")
    opening.then(None, None, None, js="() => grpo.begin()")


def read_link(engine: Engine, query: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    """What a link asks for, in proper types, and a sentence for each part that is not right and is left
    out.
    """
    recipe = query.get("recipe", engine.recipes[0])
    policies = [name for _, name in engine.policies(recipe)] if recipe in engine.recipes else []
    choices = {"tab": list(TABS), "recipe": engine.recipes, "policy": policies}
    choices["task"] = ["steer", "refine", *["mistakes"] * (query.get("tab") == "results")]
    choices["group"] = [str(size) for size in GROUPS]
    choices["mistake"] = [name for _, name in engine.mistakes()]
    whole = {"digit": (0, 9), "seed": (0, 2**31 - 1), "step": (1, 6), "updates": (0, UPDATES), "rows": (0, 8)}
    ranges = {**whole, "temperature": (0.25, 2), **{name: (0, 1) for name in engine.terms}}
    values, refused = {}, []
    for name, text in query.items():
        if name in choices and text in choices[name]:
            values[name] = int(text) if name == "group" else text
        elif name in choices:
            refused.append(f"The link's {name} is “{text[:40]}”; allowed: {', '.join(choices[name])}.")
        elif name in ranges:
            low, high = ranges[name]
            plain = re.fullmatch(r"\d{1,10}(\.\d{1,6})?", text, re.ASCII)
            if plain and low <= float(text) <= high and not (name in whole and "." in text):
                values[name] = int(text) if name in whole else float(text)
            else:
                refused.append(f"The link's {name} is “{text[:40]}”; allowed: {low} to {high}.")
    return values, refused


def endpoints(engine: Engine) -> None:
    """The engine's questions for gradio_client, with their own types and docstrings; its refusals as
    errors.
    """
    for name in ENDPOINTS:
        gr.api(_endpoint(engine, name), api_name=name, concurrency_id="model", concurrency_limit=2)

    def train(
        request: gr.Request,
        task: str = "steer",
        digits: list = ONE_DIGIT,
        runs: list = ENDS,
        seed: int = 0,
        recipe: str = "pixels-8x8",
        rewards: dict[str, float] = AS_USUAL,
        picture: list = NO_PICTURE,
    ) -> dict:
        """Train runs side by side, and report each few steps; closing the request stops it.

        Args:
            task: "steer" or "refine".
            digits: different digits from 0 to 9.
            runs: one to three of the task's runs.
            seed: of everything random.
            recipe: "pixels-8x8" or "patches-28x28".
            rewards: what all are paid instead of the usual, such as {"confidence": 1, "symmetry": 0.5}: a
                weight from 0 to 1 for each term of core/rewards.py, "likeness" among them.
            picture: what likeness compares samples with, as for score.

        Returns:
            again and again, "state", "says" and, for each step since the last report, its "points".
        """
        try:
            started = engine.train(
                task, runs, digits, seed=seed, recipe=recipe, rewards=rewards, picture=picture
            )
            key, seen = started["key"], 0
            engine.trainer.own(key, visitor(request, request))
        except RequestError as error:
            raise gr.Error(str(error), print_exception=False) from error
        try:
            while True:
                news = engine.trainer.follow(key, seen)
                seen += len(news["points"])
                yield {name: news[name] for name in ("state", "says", "points")}
                if news["over"]:
                    return
                time.sleep(0.3)
        finally:
            engine.trainer.control(key, "stop")

    gr.api(train, api_name="train", concurrency_limit=None)  # the trainer has a line of its own

    def leave(key: str) -> None:
        engine.trainer.leave(str(key))

    gr.api(leave, api_name="leave", api_visibility="undocumented", queue=False)


class Passed(Exception):
    """The checks found nothing wrong."""


def _endpoint(engine: Engine, name: str) -> Callable:
    """A question as an endpoint, and what ``turns.check_event`` asks before it waits: its checks alone."""
    unasked = copy.copy(engine)

    def passed(*_):
        raise Passed

    def check(*arguments):
        with contextlib.suppress(Passed):
            getattr(unasked, name)(*arguments)

    @functools.wraps(getattr(engine, name))
    def endpoint(*arguments, **named):
        try:
            return getattr(engine, name)(*arguments, **named)
        except RequestError as error:
            raise gr.Error(str(error), print_exception=False) from error

    unasked.ask = unasked.models = passed
    endpoint.check = check
    return endpoint


def serve(port: int | None = None, block: bool = True) -> gr.Blocks:
    """Start the server: on the loopback interface, or on all interfaces where this is a Hugging Face Space.

    Args:
        port: None means the first free one from 7860 on.
        block: return only when the server stops.
    """
    engine = Engine()
    page = build(engine)
    try:
        page.launch(
            server_name="0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1",
            server_port=port,
            prevent_thread_lock=True,
            share=False,
            show_error=False,
            ssr_mode=False,
            enable_monitoring=False,
            strict_cors=True,
            allowed_paths=[],
            app_kwargs={"middleware": [Middleware(Guard)]},
            state_session_capacity=200,  # a page that is open takes Gradio half a megabyte
            footer_links=["api"],
            theme=THEME,
            head=head(),
        )
    except OSError as error:
        raise SystemExit(
            f"The port is taken: {port or 'all from 7860 on'}. Free it, or name none for the next free one."
        ) from error
    threading.Thread(target=engine.warm_up, daemon=True).start()  # the page is up; now torch
    if block:
        page.block_thread()
    return page

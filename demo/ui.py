"""Assembles the page: header, tabs, links, theme, queue and launch settings."""

import html
import json
import os
import re
import threading
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio reads it

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from demo.api import endpoints
from demo.components import head, words
from demo.engine import GROUPS, UPDATES, Engine
from demo.guard import Guard
from demo.page import Page, View
from demo.shipped import RECIPES, STARTS
from demo.tabs import compare, complete, generate, mistakes, onestep, results, rewards, story, train
from demo.turns import FairQueue

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
# Okabe and Ito's green, GRPO's own colour, from light to dark.
GREEN = "#e6f6f1 #c2e9dd #8fd6c0 #4fbd9c #1fa67f #007a59 #006b4e #005c43 #004a36 #003b2b #00281d".split()
THEME = gr.themes.Default(
    primary_hue=gr.themes.Color(*GREEN),
    secondary_hue=gr.themes.Color(*GREEN),
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
    # In rem, so that presenter mode scales everything by the page's own font size.
    text_size=gr.themes.Size("0.7rem", "0.8rem", "0.92rem", "1rem", "1.1rem", "1.4rem", "2rem"),
)


def build(engine: Engine) -> gr.Blocks:
    """The whole page over an engine."""
    with gr.Blocks(title="GRPO, pixel by pixel", fill_width=True, delete_cache=(3600, 3600)) as page:
        if not engine.recipes:
            gr.Markdown(
                "# GRPO, pixel by pixel\nNo checkpoints are here. `python -m core.train all` trains them."
            )
            return page
        words("GRPO, pixel by pixel", "brand", "brand")
        with gr.Row(elem_id="tools"):
            words("", "chip", "chip")  # filled in by page.js while this page trains
            choices = [(RECIPES[name], name) for name in engine.recipes]
            recipe = gr.Radio(
                choices, value=engine.recipes[0], show_label=False, container=False, elem_id="recipe"
            )
            present = gr.Button("Present", size="sm", elem_id="present", min_width=80)
        present.click(None, None, None, js="() => grpo.present(!grpo.root.classList.contains('presenter'))")
        notice = words("", "notice", "notice")
        digit = gr.Radio(list(range(10)), value=7, label="Digit asked for", elem_id="digit")
        shared = Page(page, engine, recipe, digit, notice, gr.State([]))
        linked = [("", "recipe", recipe), ("", "digit", digit)]  # what a link sets: tab, name, control
        views, tabs = {}, {}
        with gr.Tabs(selected="story", elem_id="tabs") as all_tabs:
            for name, (title, build_tab) in TABS.items():
                shared.linked = {}
                with gr.Tab(title, id=name, elem_id=name) as tabs[name]:
                    views[name] = build_tab(shared)
                linked += [(name, *one) for one in shared.linked.items()]
        wire(shared, views, tabs, all_tabs, linked)
        opened = f"() => ({{ __type__: 'update', selected: grpo.opened({list(TABS)}) }})"
        by_key = gr.Button(visible="hidden", elem_id="open-tab")
        by_key.click(None, None, all_tabs, js=opened, api_visibility="private", trigger_mode="multiple")
        # The address follows what is chosen, after what says which tab is open: see ``link`` in page.js.
        usual = json.dumps([[tab, name, control.value] for tab, name, control in linked])
        controls = [control for _, _, control in linked]
        moved = [*(tab.select for tab in tabs.values()), *(control.change for control in controls)]
        gr.on(moved, None, controls, None, js=f"(...values) => grpo.link({usual}, values)")
        endpoints(engine)
    page.queue(max_size=64, default_concurrency_limit=4, api_open=False)
    page._queue.__class__ = FairQueue  # Gradio makes its queue by itself
    return page


def wire(shared: Page, views: dict[str, View], tabs: dict[str, gr.Tab], all_tabs: gr.Tabs, linked: list):
    """What holds for all tabs: opened by hand or by a link, another recipe, another digit.

    The tab that is open answers; the others do when they are opened.
    """
    for name, view in views.items():
        js = f"(...values) => {{ grpo.remember({{ tab: '{name}' }}); return values; }}"
        shared.on(tabs[name].select, view.show, view.inputs, view.outputs, js=js)
        if view.again:
            shared.on(list(view.again), view.show, view.inputs, view.outputs)
    inputs = list(dict.fromkeys(control for view in views.values() for control in view.inputs))
    outputs = list(dict.fromkeys(output for view in views.values() for output in view.outputs))

    def refresh(tab, *values):
        """What the outputs of all tabs become: those of the open one are answered, the rest stay."""
        view, given = views.get(tab, views["story"]), dict(zip(inputs, values, strict=True))
        found = view.show(*(given[control] for control in view.inputs))
        shown = dict(zip(view.outputs, found, strict=True))
        return [shown.get(output, gr.skip()) for output in outputs]

    opened = gr.Textbox("story", visible=False)
    here = "(tab, ...values) => [grpo.root.dataset.tab, ...values]"
    shared.on(shared.digit.input, refresh, [opened, *inputs], outputs, js=here)
    fitted = gr.on(
        [shared.recipe.input, shared.own.change],
        shared.fit,
        [shared.recipe, shared.own, *shared.policies],
        shared.policies,
        api_visibility="private",
        show_progress="hidden",
        show_progress_on=shared.notice,
    )
    shared.on(fitted.then, refresh, [opened, *inputs], outputs, js=here)

    others = [control for _, _, control in linked if control not in shared.policies]
    steps = next(block for block in shared.blocks.blocks.values() if isinstance(block, gr.Walkthrough))

    def open_link(request: gr.Request):
        asked, refused = read_link(shared.engine, dict(request.query_params))
        if refused:
            gr.Warning(html.escape(" ".join(refused)), duration=None, title="Not all of the link was right")
        tab = asked.get("tab", "story")
        given = {control: asked[name] for of, name, control in linked if of in ("", tab) and name in asked}
        chosen = [given.get(control, control.value) for control in (shared.recipe, *shared.policies)]
        return [
            gr.Tabs(selected=tab),
            gr.Walkthrough(selected=asked["step"]) if "step" in asked else gr.skip(),
            *(given.get(control, gr.skip()) for control in others),
            *shared.fit(chosen[0], [], *chosen[1:]),
        ]

    shown = [all_tabs, steps, *others, *shared.policies]
    opening = shared.on(shared.blocks.load, open_link, [], shown)
    first = shared.on(opening.then, refresh, [opened, *inputs], outputs, js=here)
    first.then(None, None, None, js="() => grpo.begin()")


def read_link(engine: Engine, query: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    """What a link asks for, in proper types; and a sentence for each part that is not right, and left out."""
    recipe = query.get("recipe", engine.recipes[0])
    choices = {
        "tab": list(TABS),
        "recipe": engine.recipes,
        "task": [*STARTS, *["mistakes"] * (query.get("tab") == "results")],
        "policy": [name for _, name in engine.policies(recipe)] if recipe in engine.recipes else [],
        "other": [name for _, name in engine.policies(recipe)] if recipe in engine.recipes else [],
        "mistake": [name for _, name in engine.mistakes()],
        "group": [str(size) for size in GROUPS],
    }
    whole = {"digit": (0, 9), "seed": (0, 2**31 - 1), "step": (1, 6), "updates": (0, UPDATES), "rows": (0, 8)}
    ranges = {**whole, "temperature": (0.25, 2), **dict.fromkeys(engine.terms, (0, 1))}
    values, refused = {}, []
    for name, text in query.items():
        if name in choices:
            allowed, fits = ", ".join(choices[name]), text in choices[name]
        elif name in ranges:
            (low, high), form = ranges[name], r"\d{1,10}" if name in whole else r"\d{1,10}(\.\d{1,6})?"
            allowed = f"{low} to {high}"
            fits = re.fullmatch(form, text, re.ASCII) and low <= float(text) <= high
        else:
            continue
        if not fits:
            refused.append(f"The link's {name} is “{text[:40]}”; allowed: {allowed}.")
        elif name in whole or name == "group":
            values[name] = int(text)
        else:
            values[name] = float(text) if name in ranges else text
    return values, refused


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
            ssr_mode=False,
            enable_monitoring=False,
            # Gradio compresses files, and not the page itself.
            app_kwargs={"middleware": [Middleware(Guard), Middleware(GZipMiddleware, compresslevel=5)]},
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

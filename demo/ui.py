"""Assembles the page: header, tabs, links, theme, queue and launch settings."""

import contextlib
import html
import json
import logging
import os
import threading
import time
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio reads it
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")  # else it tabulates all after each event

import gradio as gr
from gradio.context import LocalContext
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from demo import checks
from demo.api import endpoints
from demo.checks import RequestError
from demo.components import head, words
from demo.engine import Engine
from demo.guard import Guard
from demo.page import AGAIN, TEXTS, Page, View, formula
from demo.shipped import RECIPES
from demo.tabs import compare, complete, generate, mistakes, onestep, results, rewards, story, train
from demo.turns import FairQueue

TITLE = "GRPO, pixel by pixel"
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
    if engine.recipes:
        page = assemble(engine).blocks
    else:
        with gr.Blocks(title=TITLE) as page:
            gr.Markdown(f"# {TITLE}\nThere are no checkpoints here. `python -m core.train all` trains them.")
    page.queue(max_size=64, default_concurrency_limit=4, api_open=False)
    page._queue.__class__ = FairQueue  # Gradio makes its queue by itself
    engine.wanted = lambda: page._queue.wants(LocalContext.event_id.get(None))
    return page


def assemble(engine: Engine) -> Page:
    """The header, the tabs, and what holds for all of them."""
    with gr.Blocks(title=TITLE, fill_width=True, delete_cache=(3600, 3600)) as blocks:
        words(f"<h1>{TITLE}</h1>", "brand", "brand")
        with gr.Row(elem_id="tools"):
            words("", "chip", "chip")  # filled in by page.js while this page trains
            choices = [(RECIPES[name], name) for name in engine.recipes]
            recipe = gr.Radio(
                choices,
                value=engine.recipes[0],
                label="Pictures",
                show_label=False,
                container=False,
                elem_id="recipe",
            )
            present = gr.Button("Present", size="sm", elem_id="present", min_width=80)
        present.click(None, None, None, js="() => grpo.present(!grpo.root.classList.contains('presenter'))")
        notice = words("", "notice", "notice")
        digit = gr.Radio(list(range(10)), value=7, label="Digit asked for", elem_id="digit")
        page = Page(blocks, engine, recipe, digit, notice, gr.State([]))
        page.link("recipe", recipe)
        page.link("digit", digit)
        views, tabs = {}, {}
        with gr.Tabs(selected="story", elem_id="tabs") as all_tabs:
            for name, (title, build_tab) in TABS.items():
                page.tab = name
                with gr.Tab(title, id=name, elem_id=name) as tabs[name]:
                    views[name] = build_tab(page)
                    if name in TEXTS:
                        with gr.Accordion("Why?", open=False, elem_classes="more"):
                            formula(TEXTS[name])
        wire(page, views, tabs, all_tabs)
        opened = f"() => ({{ __type__: 'update', selected: grpo.opened({list(TABS)}) }})"
        by_key = gr.Button(visible="hidden", elem_id="open-tab")
        by_key.click(None, None, all_tabs, js=opened, api_visibility="private", trigger_mode="multiple")
        # The address follows what is chosen, after what says which tab is open: see ``link`` in page.js.
        usual = json.dumps([[tab, name, control.value] for tab, name, control in page.linked])
        controls = [control for _, _, control in page.linked]
        moved = [*(tab.select for tab in tabs.values()), *(control.change for control in controls)]
        gr.on(moved, None, controls, None, js=f"(...values) => grpo.link({usual}, values)")
        endpoints(engine)

        def closed(request: gr.Request):
            engine.leave(request.session_hash)

        blocks.unload(closed)
    return page


def wire(page: Page, views: dict[str, View], tabs: dict[str, gr.Tab], all_tabs: gr.Tabs):
    """What holds for all tabs: opened by hand or by a link, another recipe, another digit.

    The tab that is open answers; the others do when they are opened.
    """
    for name, tab in tabs.items():
        tab.select(None, None, None, js=f"() => grpo.remember({{ tab: '{name}' }})")
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
    # One event for all tabs: a new question replaces the one before. It takes back what was asked of the
    # tabs' own events, too: else a late answer could replace a newer one.
    again = gr.Button(visible="hidden", elem_id="again")
    asked = [again.click, page.digit.input, *(event for view in views.values() for event in view.again)]
    gr.on(asked, None, cancels=page.shows, api_visibility="private")
    shown = page.on(asked, refresh, [opened, *inputs], outputs, js=here)
    shown.then(None, None, None, js="() => grpo.begin()")
    fitted = gr.on(
        [page.recipe.input, page.trained.change],
        page.fit,
        [page.recipe, page.trained, *page.policies],
        page.policies,
        api_visibility="private",
        show_progress="hidden",
        show_progress_on=page.notice,
        trigger_mode="always_last",
    )
    fitted.then(None, None, None, js=AGAIN)

    others = [control for _, _, control in page.linked if control not in page.policies]

    def open_link(keys, request: gr.Request):
        asked, refused = read_link(page, dict(request.query_params))
        if refused:
            gr.Warning(html.escape(" ".join(refused)), duration=None, title="Not all of the link was right")
        tab = asked.get("tab", "story")
        given = {
            control: asked[name] for of, name, control in page.linked if of in ("", tab) and name in asked
        }
        chosen = [given.get(control, control.value) for control in (page.recipe, *page.policies)]
        trained = page.engine.trained(keys)  # before the page was loaded anew
        return [
            gr.Tabs(selected=tab),
            gr.Walkthrough(selected=asked["step"]) if "step" in asked else gr.skip(),
            trained,
            *(given.get(control, gr.skip()) for control in others),
            *page.fit(chosen[0], trained, *chosen[1:]),
        ]

    keys = gr.Textbox(visible=False)
    set_by_it = [all_tabs, page.steps, page.trained, *others, *page.policies]
    opening = page.on(page.blocks.load, open_link, [keys], set_by_it, js="() => [grpo.mine()]")
    opening.then(None, None, None, js=AGAIN)


def read_link(page: Page, query: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    """What a link asks for, in proper types; and a sentence for each part that is not right, and left out."""
    # Controls by name: where several tabs have one, that of the tab that is asked for.
    ordered = sorted(page.linked, key=lambda one: one[0] == query.get("tab", "story"))
    controls = {name: control for _, name, control in ordered}
    values, refused = {}, []
    for name, text in query.items():
        try:
            if name == "tab":
                values[name] = checks.one_of(name, text, TABS)
            elif name == "step":
                values[name] = checks.whole(name, checks.typed(text), 1, 6)
            elif name in controls:
                values[name] = page.from_text(controls[name], name, text, query.get("recipe", ""))
        except RequestError as error:
            refused.append(f"The link's {error}")
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
            i18n=gr.I18n(en={"common.complete": "Answered."}),  # read out; Gradio has no words for it
            theme=THEME,
            head=head(),
        )
    except OSError as error:
        raise SystemExit(
            f"The port is taken, or not ours to use: {port or 'all from 7860 on'}. Free it, or name none."
        ) from error
    threading.Thread(target=engine.warm_up, daemon=True).start()  # the page is up; now torch
    if block:
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(1)
        engine.close()
        # At once, not when every page that is open has gone; that they get no answer is no error then.
        page.server.force_exit = True
        logging.getLogger("uvicorn.error").disabled = True
        page.close()
    return page

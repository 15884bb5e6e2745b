"""A live race in a tab: its buttons, and news of it a few times a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gradio as gr
from gradio.components import Component

from demo.page import Page
from demo.turns import visitor

EVERY = 0.2  # seconds between questions about a live race


def buttons(name: str) -> list[gr.Button]:
    """Train, Pause and Stop of the tab ``name``, for its transport."""
    return [
        gr.Button("Train", variant="primary", elem_id=f"{name}-start", min_width=90),
        gr.Button("Pause", interactive=False, min_width=90),
        gr.Button("Stop", interactive=False, elem_id=f"{name}-stop", min_width=90),
    ]


def follow(
    page: Page,
    name: str,
    shown: Component,
    pressed: Sequence[gr.Button],
    begin: Callable[..., dict],
    settings: list[Component],
    held: Sequence[Component] = (),
) -> None:
    """Wire the buttons of a tab to its race, whose component is ``NAME-race``.

    Args:
        shown: the race's component.
        pressed: what ``buttons`` made.
        begin: takes the ``settings``, starts a race, returns its first news.
        held: controls that stay as they are while the race goes on.
    """
    engine = page.engine
    with gr.Row(elem_classes="more"):
        download = gr.DownloadButton("Download the policy", visible=False, elem_id=f"{name}-download")
    timer = gr.Timer(EVERY, active=False)
    heard = gr.Textbox(visible=False)  # what the page has of its race: the browser fills it in
    controls = [timer, *pressed, *held]

    def state(over: bool, paused: bool = False) -> list:
        """The controls as they are during a race and after it."""
        return [
            gr.Timer(active=not over),
            gr.Button(interactive=over),
            gr.Button("Resume" if paused else "Pause", interactive=not over),
            gr.Button(interactive=not over),
            *(gr.update(interactive=over) for _ in held),
        ]

    def started(request: gr.Request, *values):
        found = begin(*values)
        engine.trainer.own(found["key"], visitor(request, request))
        return [found, *state(over=False), gr.DownloadButton(visible=False)]

    def news(heard, own):
        key, _, seen = heard.partition(" ")
        if not key or not seen.isdecimal():
            return [gr.skip() for _ in followed]
        found = engine.trainer.follow(key, int(seen))
        policy, mine = found.get("policy"), (gr.skip(), gr.skip())
        if policy is not None and policy not in [one[:2] for one in own]:
            own = [*own, [*policy, f"Yours, trained here ({len(own) + 1})"]]
            mine = (gr.DownloadButton(value=engine.weights(key), visible=True), own)
        return [found, *state(found["over"], found["state"] == "paused"), *mine]

    def control(heard, own, action):
        engine.trainer.control(heard.partition(" ")[0], action.lower())
        return news(heard, own)

    run = f"grpo.run('{name}-race')"
    heard_js = f"(heard, ...rest) => [`${{{run}.key}} ${{{run}.seen}}`, ...rest]"
    start, pause, stop = pressed
    page.on(start.click, started, settings, [shown, *controls, download])
    followed = [shown, *controls, download, page.own]
    # A page that is loaded anew takes its race up again.
    for event in (timer.tick, page.blocks.load):
        event(
            news,
            [heard, page.own],
            followed,
            js=heard_js,
            show_progress="hidden",
            api_visibility="private",
            concurrency_limit=8,
            concurrency_id="news",
        )
    for button in (pause, stop):
        gr.on(
            button.click,
            control,
            [heard, page.own, button],
            followed,
            js=heard_js,
            show_progress="hidden",
            api_visibility="private",
            concurrency_id="news",
        )

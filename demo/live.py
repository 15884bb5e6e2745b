"""A live race in a tab: its buttons, and news of it a few times a second."""

from collections.abc import Callable, Sequence

import gradio as gr
from gradio.components import Component

from demo.page import Page
from demo.races import yours
from demo.turns import visitor

EVERY = 0.2  # seconds between questions about a live race
STILL = 1.0  # where it waits or is paused: each answer costs the browser a twentieth of a second


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
    """Wire the buttons of a tab to its race, whose component is ``shown``.

    Args:
        begin: takes the ``settings``, starts a race, returns its first news.
        held: controls that stay as they are while the race goes on.
    """
    engine, (start, pause, stop) = page.engine, pressed
    with gr.Row(elem_classes="more"):
        download = gr.DownloadButton("Download the policy", visible=False, elem_id=f"{name}-download")
    timer = gr.Timer(EVERY, active=False)
    known = gr.Textbox(visible=False)  # what the page has of its race: the browser fills it in
    followed = [shown, timer, *pressed, *held, download, page.trained]

    def answer(found: dict, download=None, trained=None) -> list:
        """News, the controls as they are during a race or after it, and what came of it."""
        over, paused = found["over"], found["state"] == "paused"
        return [
            found,
            gr.Timer(EVERY if found["state"] == "running" else STILL, active=not over),
            gr.Button(interactive=over),
            gr.Button("Resume" if paused else "Pause", interactive=found["state"] in ("running", "paused")),
            gr.Button(interactive=not over),
            *(gr.update(interactive=over) for _ in held),
            download or gr.skip(),
            trained or gr.skip(),
        ]

    def started(request: gr.Request, *values):
        found = begin(*values)
        engine.trainer.assign(found["key"], visitor(request, request))
        return answer(found, gr.DownloadButton(visible=False))

    def news(request: gr.Request, known, trained, action=""):
        key, _, seen = known.partition(" ")
        if not key or not seen.isdecimal():
            return [gr.skip() for _ in followed]
        engine.trainer.control(key, action.lower())
        found = engine.trainer.follow(key, int(seen), visitor(request, request))
        recipe, name, learned = found.get("policy") or (None, None, None)
        if name in [None, *(one[1] for one in trained)]:
            return answer(found)
        trained = [*trained, [recipe, name, yours(len(trained) + 1, learned)]]
        return answer(found, gr.DownloadButton(value=engine.trainer.weights(key), visible=True), trained)

    page.on(start.click, started, settings, followed, trigger_mode="once")  # a double click is one race
    hidden = gr.Button(visible="hidden", elem_id=f"{name}-news")  # see page.js: a hidden page has no ticks
    # A page that is loaded anew takes its race up again.
    ticks = [(timer.tick, []), (hidden.click, []), (page.blocks.load, [])]
    for event, more in [*ticks, (pause.click, [pause]), (stop.click, [stop])]:
        event(
            news,
            [known, page.trained, *more],
            followed,
            js=f"(known, ...rest) => [grpo.known('{name}-race'), ...rest]",
            show_progress="hidden",
            show_progress_on=page.notice,
            api_visibility="private",
            concurrency_limit=8,
            concurrency_id="news",
        )

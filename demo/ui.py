"""Assembles the page: the views in their tabs, the named endpoints, theme, queue and launch settings."""

from __future__ import annotations

import os
import threading

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio reads it

import gradio as gr

from demo.api import endpoints
from demo.engine import RECIPES, Engine
from demo.player import head, view

THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
TABS = {
    **{"story": "Story", "train": "Train live", "generate": "Generate"},
    **{"compare": "Compare", "rewards": "Rewards", "complete": "Complete"},
}


def build(engine: Engine) -> gr.Blocks:
    """The whole page over an engine."""

    def ask(question: dict) -> dict:
        return engine.answer(question)

    with gr.Blocks(title="GRPO, pixel by pixel", analytics_enabled=False, fill_width=True) as page:
        if not engine.recipes:
            gr.Markdown(
                "# GRPO, pixel by pixel\nNo checkpoints are here. `python -m core.train all` trains them."
            )
            return page
        recorded = engine.recorded(engine.recipes[0])
        shared = {
            "recipes": {name: RECIPES[name] for name in engine.recipes},
            "policies": {
                recipe: {name: engine.look(name)["title"] for name in engine.policies(recipe)}
                for recipe in engine.recipes
            },
            "tabs": TABS,
        }
        view("head", shared, ask)
        with gr.Tabs(overflow_behavior="wrap"):
            for name, title in TABS.items():
                with gr.Tab(title, id=name):
                    view(name, {**shared, "recorded": recorded.get(name, {})}, ask)
        endpoints(engine)
    return page.queue(max_size=32, api_open=False, default_concurrency_limit=1)


def serve(port: int | None = None, block: bool = True) -> gr.Blocks:
    """Start the server: on the loopback interface, or on all interfaces where this is a Hugging Face Space.

    Args:
        port: None means $GRADIO_SERVER_PORT, else 7860.
        block: return only when the server stops.
    """
    engine = Engine()
    page = build(engine)
    page.launch(
        server_name="0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1",
        server_port=port or int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
        prevent_thread_lock=True,
        **{
            "share": False,
            "show_error": False,
            "ssr_mode": False,
            "enable_monitoring": False,
            "strict_cors": True,
        },
        **{"allowed_paths": [], "max_file_size": "1mb", "footer_links": []},
        **{"theme": THEME, "head": head()},
    )
    threading.Thread(target=engine.warm_up, daemon=True).start()  # the page is up; now torch
    if block:
        page.block_thread()
    return page

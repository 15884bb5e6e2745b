"""Assembles the tabs; theme, queue and launch settings."""

from __future__ import annotations

import os
import threading

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio reads it

import gradio as gr

from demo.engine import Engine
from demo.tabs.generate import generate_tab

THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
CSS = ".gradio-container { max-width: 1280px !important; margin: 0 auto !important; }"
INTRODUCTION = """# GRPO, pixel by pixel
A policy draws a digit one pixel at a time; a classifier looks at the finished picture and pays a reward; reinforcement
learning teaches the policy to draw digits that the classifier believes. In **steer** it starts from a policy that never saw
a label and must learn from reward alone what a 7 is; in **refine** it mends the failures of one that did."""


def build(engine: Engine) -> gr.Blocks:
    """The whole page over an engine."""
    with gr.Blocks(title="GRPO, pixel by pixel", analytics_enabled=False) as page:
        gr.Markdown(INTRODUCTION)
        if engine.policies():
            generate_tab(engine, page)
        else:
            gr.Markdown("No checkpoints are here. `python -m core.train all --recipe pixels-8x8` trains them.")
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
        **{"share": False, "show_error": False, "ssr_mode": False, "enable_monitoring": False, "strict_cors": True},
        **{"allowed_paths": [], "max_file_size": "1mb", "footer_links": [], "theme": THEME, "css": CSS},
    )
    threading.Thread(target=engine.warm_up, daemon=True).start()  # the page is up; now torch
    if block:
        page.block_thread()
    return page

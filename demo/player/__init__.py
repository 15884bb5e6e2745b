"""The player: one canvas that draws a sample token by token, and the grid of samples to choose from.

A factory, not a subclass of gr.HTML (which would write a .pyi file beside the module). Whole samples arrive in one payload;
the browser animates them by itself.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

_HERE = Path(__file__).parent


def player(elem_id: str) -> gr.HTML:
    """A player that shows the payloads of ``Engine.generate``, given as JSON text."""
    return gr.HTML(
        value="",
        html_template=(_HERE / "player.html").read_text(encoding="utf-8"),
        css_template=(_HERE / "player.css").read_text(encoding="utf-8"),
        js_on_load=(_HERE / "player.js").read_text(encoding="utf-8"),
        elem_id=elem_id,
    )

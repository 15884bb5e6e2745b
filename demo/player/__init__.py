"""The browser side: plain canvas and SVG, no framework, no build step. Here it is only read from its files.

``view`` is a factory, not a subclass of gr.HTML (which would write a .pyi file beside the module). A view's HTML is static;
its script asks the engine through one server function, so an answer takes one round trip and no queue.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gradio as gr

_HERE = Path(__file__).parent
SHARED = ("lib.js", "charts.js", "player.js", "pad.js")


def view(name: str, data: dict, ask: Callable[[dict], dict]) -> gr.HTML:
    """A view from tabs/NAME.html, whose script is registered under that name.

    Args:
        name: of the view.
        data: what its script starts from, as JSON.
        ask: the server function ``ask``, which answers the script's questions.
    """
    return gr.HTML(
        value=json.dumps(data),
        html_template=(_HERE.parent / "tabs" / f"{name}.html").read_text(encoding="utf-8"),
        js_on_load=f'window.grpo.mount("{name}", element, props, server)',
        server_functions=[ask],
        apply_default_css=False,
        elem_id=f"view-{name}",
    )


def head() -> str:
    """The style and all scripts, for the page's head: Gradio's own ``css`` comes late, and the page would jump."""
    files = [_HERE / name for name in SHARED] + sorted((_HERE.parent / "tabs").glob("*.js"))
    scripts = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return f"<style>\n{(_HERE / 'style.css').read_text(encoding='utf-8')}</style>\n<script>\n{scripts}\n</script>"

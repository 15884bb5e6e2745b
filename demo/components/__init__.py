"""Our own components: what Gradio has no part for. Each is a factory around ``gr.HTML`` with a static
template.

A component knows nothing of tabs: one value goes in (a dict that the engine made), and at most one event
comes out. Its script stands beside this file under the component's own name. A subclass of gr.HTML would
write a .pyi file beside the module; a factory does not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr

HERE = Path(__file__).parent
SCRIPTS = ("page", "player", "bars", "grid", "chart", "race", "pad")


def player(name: str, value: dict | None = None, small: bool = False) -> gr.HTML:
    """A canvas on which a sample is drawn token by token. ``value``: see ``answers.trajectory``.

    Args:
        small: without buttons, for several side by side.
    """
    return _component("player", value, name, small=small)


def beliefs(name: str, value: dict | None = None, follows: str = "") -> gr.HTML:
    """Ten bars, one a digit.

    Args:
        value: {"digit", "series": [[title, colour, ten shares], ...]}, where no player is followed.
        follows: name of the player whose classifier is shown as the sample is drawn.
    """
    return _component("beliefs", value, name, follows=follows)


def distribution(name: str, follows: str) -> gr.HTML:
    """What the policy may draw next, and what its start would, of the token that a player has in hand."""
    return _component("distribution", None, name, follows=follows)


def sample_grid(name: str, value: dict | None = None, choose: bool = False) -> gr.HTML:
    """Samples in rows, or the tokens of one. ``value``: see ``answers.grid``. Event: ``select``, with
    {"index"}, where ``choose``.
    """
    return _component("grid", value, name, choose=choose)


def live_chart(name: str, value: dict | None = None) -> gr.HTML:
    """Lines or dots. ``value``: {"series": [{"colour", "points": [[x, y], ...]}], "x", "y"}."""
    return _component("chart", value, name)


def race(name: str, value: dict | None = None) -> gr.HTML:
    """Runs side by side over one training: figures, samples and curves, with a slider to go back.

    ``value``: see ``answers.training`` for a recorded one and ``Trainer.follow`` for news of a live one.
    """
    return _component("race", value, name)


def drawing_pad(name: str, value: str, keep: float = 1.0) -> gr.HTML:
    """A pad to draw on. ``value``: 28 x 28 bytes in base64, ink 255. Event: ``change``, after a stroke.

    Args:
        keep: the share, from the top, that counts; a line is drawn under it.
    """
    return _component("pad", value, name, keep=keep)


def words(text: str = "", style: str = "", name: str | None = None) -> gr.HTML:
    """A piece of our own HTML without a script: large figures, captions. Never of what a visitor typed."""
    return gr.HTML(
        text, js_on_load=None, apply_default_css=False, elem_classes=["words", style], elem_id=name
    )


def _component(kind: str, value: Any, name: str, **options: Any) -> gr.HTML:
    # Gradio finds the events of a component by their quoted names in its script.
    given = json.dumps({"name": name, **options})
    script = f'grpo.{kind}(element, props, watch, trigger, {given}); // "change" "select"'
    return gr.HTML(
        value=value,
        html_template=f'<div class="grpo {kind}"></div>',
        js_on_load=script,
        apply_default_css=False,
        elem_id=name,
    )


def head() -> str:
    """The style and all scripts, for the page's head: Gradio's own ``css`` comes late, and the page would
    jump.
    """
    style = (HERE / "style.css").read_text(encoding="utf-8")
    scripts = "\n".join((HERE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    return f"<style>\n{style}</style>\n<script>\n{scripts}\n</script>"

"""Our own components: what Gradio has no part for. Each is a factory around ``gr.HTML`` with a static
template.

A component knows nothing of tabs: one value goes in (a dict that the engine made), and at most one event
comes out. Its script stands beside this file under the component's own name. A subclass of gr.HTML would
write a .pyi file beside the module; a factory does not.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

HERE = Path(__file__).parent
SEVEN = base64.b64encode(Image.open(HERE / "seven.png").tobytes()).decode()  # what the pads start with
SCRIPTS = ("page", "player", "bars", "grid", "chart", "race", "pad")


def player(name: str, small: bool = False) -> gr.HTML:
    """A canvas on which a sample is drawn token by token. Value: see ``answers.drawing_of``.

    Args:
        small: without buttons, for several side by side.
    """
    return _component("player", name, small=small)


def beliefs(name: str, follows: str = "") -> gr.HTML:
    """Ten bars, one a digit, as a player's sample is drawn.

    Args:
        follows: the player's name; without one, the value is {"digit", "series": [[title, colour, ten
            shares], ...]}.
    """
    return _component("beliefs", name, follows=follows)


def distribution(name: str, follows: str) -> gr.HTML:
    """What the policy may draw next, and what its start would, of the token that a player has in hand."""
    return _component("distribution", name, follows=follows)


def sample_grid(name: str, choose: bool = False) -> gr.HTML:
    """Samples in rows, or one's tokens. Event, to ``choose``: ``select``.

    Value: as ``answers.grid`` makes it and, as wanted, of each its "notes" (below it), "colours" (of the
    frame), "names" and "digits" (asked for); which one is "chosen", which are "twins"; "says" what all are,
    for screen readers; "part" of the sheet that is shown, as [column, row, columns, rows].
    """
    return _component("grid", name, choose=choose)


def live_chart(name: str) -> gr.HTML:
    """Lines or dots. Value: {"series": [{"colour", "points": [[x, y], ...]}, ...], "x", "y"}."""
    return _component("chart", name)


def race(name: str) -> gr.HTML:
    """Runs side by side over one training: figures, samples and curves, with a slider to go back.

    Value: "racers" ({"title", "colour", "says"} each), "steps", "most_samples" and "wall" ({"columns",
    "count", "digits", "size"}), of a reward of one's own its "terms" and what is "paid"; and news: "key",
    "state", "over", "says", and from step "from" on the "points" ({"step", "samples", "racers": [{"success",
    "kl", "frame", ...}]} each). A recorded one does not replace a live one, unless it says "anew".
    """
    return _component("race", name)


def drawing_pad(name: str) -> gr.HTML:
    """A pad to draw on. Value: 28 x 28 bytes in base64, ink 255. Event: ``change``, after a stroke."""
    return _component("pad", name, SEVEN)


def words(text: str = "", style: str = "", name: str | None = None) -> gr.HTML:
    """A piece of our own HTML without a script: large figures, captions. Never of what a visitor typed."""
    return gr.HTML(
        text, js_on_load=None, apply_default_css=False, elem_classes=["words", style], elem_id=name
    )


def table(rows: Iterable[Sequence[str]], heads: Sequence[str] = ()) -> str:
    """HTML of a table whose rows begin with their names."""
    head, body = "".join(f"<th>{one}</th>" for one in ("", *heads)) if heads else "", ""
    for name, *cells in rows:
        body += f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _component(kind: str, name: str, value: Any = None, **options: Any) -> gr.HTML:
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

"""The named endpoints, for gradio_client: the engine's answers, its refusals as errors."""

from __future__ import annotations

import functools

import gradio as gr

from demo.engine import Engine
from demo.requests import RequestError

NAMES = ("generate", "compare", "score", "complete")


def endpoints(engine: Engine) -> None:
    """Register /generate, /compare, /score and /complete with the Blocks in context."""
    for name in NAMES:
        gr.api(_endpoint(getattr(engine, name)), api_name=name, concurrency_id="model", concurrency_limit=1)


def _endpoint(answer):
    @functools.wraps(answer)
    def endpoint(*arguments, **named):
        try:
            return answer(*arguments, **named)
        except RequestError as error:
            raise gr.Error(str(error)) from error

    return endpoint

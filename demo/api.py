"""The endpoints of Gradio's API: the engine's questions, with their own types, docstrings and refusals."""

import contextlib
import copy
import functools
import time
from collections.abc import Callable

import gradio as gr

from demo.checks import RequestError
from demo.engine import Engine
from demo.races import ENDS
from demo.turns import AT_ONCE, MODEL, visitor

QUESTIONS = ("generate", "compare", "score", "complete", "group", "one_step", "mistake")
ONE_DIGIT, AS_USUAL, NO_PICTURE = [7], {}, []  # what /train does where nothing is said


def endpoints(engine: Engine) -> None:
    for name in QUESTIONS:
        gr.api(endpoint(engine, name), api_name=name, concurrency_id=MODEL, concurrency_limit=AT_ONCE)

    def train(
        request: gr.Request,
        task: str = "steer",
        digits: list = ONE_DIGIT,
        runs: list = ENDS,
        seed: int = 0,
        recipe: str = "pixels-8x8",
        rewards: dict[str, float] = AS_USUAL,
        picture: list = NO_PICTURE,
    ) -> dict:
        """Train runs side by side, and report every few steps; closing the request stops it.

        Args:
            task: "steer" or "refine".
            digits: different digits from 0 to 9.
            runs: one to three of the task's runs.
            seed: of everything random.
            recipe: "pixels-8x8" or "patches-28x28".
            rewards: what all are paid instead of the usual, such as {"confidence": 1, "symmetry": 0.5}: a
                weight from 0 to 1 for each term of core/rewards.py, "likeness" among them.
            picture: what likeness compares samples with, as for score.

        Returns:
            again and again, "state", "says" and, for each step since the last report, its "points".
        """
        with refusals():
            news = engine.train(
                task, runs, digits, seed=seed, recipe=recipe, rewards=rewards, picture=picture
            )
            key, seen = news["key"], 0
            engine.trainer.assign(key, visitor(request, request))
        try:
            while True:
                news = engine.trainer.follow(key, seen)
                seen += len(news["points"])
                yield {name: news[name] for name in ("state", "says", "points")}
                if news["over"]:
                    return
                time.sleep(0.3)
        finally:
            engine.trainer.control(key, "stop")

    gr.api(train, api_name="train", concurrency_limit=None)  # the trainer has a line of its own


@contextlib.contextmanager
def refusals():
    """What the engine refuses, as an error that gradio_client shows."""
    try:
        yield
    except RequestError as error:
        raise gr.Error(str(error), print_exception=False) from error


class Passed(Exception):
    """The checks found nothing wrong."""


def endpoint(engine: Engine, name: str) -> Callable:
    """A question as an endpoint. ``turns.check_event`` runs its checks alone before waiting: they come before
    anything that is recorded, measured or computed.
    """
    question, unasked = getattr(engine, name), copy.copy(engine)

    def passed(*_):
        raise Passed

    unasked.ask = unasked.models = unasked.recorded = unasked.metrics = passed

    def check(*arguments):
        with contextlib.suppress(Passed):
            getattr(unasked, name)(*arguments)

    @functools.wraps(question)
    def answer(*arguments, **named):
        with refusals():
            return question(*arguments, **named)

    answer.check = check
    return answer

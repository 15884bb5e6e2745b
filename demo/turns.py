"""The queue of events: visitors take turns in it, and what is wrong is refused before it waits."""

import inspect
import os
from collections import Counter
from typing import Any

import gradio as gr
from gradio.queueing import Event, Queue
from gradio.server_messages import ProcessCompletedMessage

from demo.checks import RequestError
from demo.guard import FAILED

MODEL = "model"  # the line of all that may have to wait for a model
WAITING = 8  # events of one visitor that may wait
AT_ONCE = 12  # events of that line that are answered at once: what is recorded need not wait for a model
EACH = 2  # of them, for one visitor; one address may have half
DEEPEST = 8  # lists within lists; a drawing has two


class FairQueue(Queue):
    """Gradio's queue, of which one visitor may take a part."""

    async def push(self, body, request, username):
        try:
            check_event(self.blocks.fns.get(body.fn_index), body.data)
        except RequestError as error:
            found = gr.validate(False, str(error))  # gradio_client shows it as it is
            return False, [{**found, "parameter_name": "data"}], "validator_error"
        lines = self.event_queue_per_concurrency_id.values()
        waiting = [visitor(event.request, event) for line in lines for event in line.queue]
        address, session = visitor(request, body)
        nearby = sum(other == address for other, _ in waiting)
        if waiting.count((address, session)) >= WAITING or nearby >= self.max_size / 2:
            return False, "Too many of your requests are waiting already; try again soon.", "queue_full"
        found = await super().push(body, request, username)
        for line in lines:
            line.queue.sort(key=order(line.queue).get)
        return found

    def get_events(self):
        """The next events to answer, of visitors who have few enough under way."""
        line = self.event_queue_per_concurrency_id.get(MODEL)
        if line is None or not line.queue:
            return super().get_events()
        begun = [visitor(event.request, event) for event in self.under_way() if event.concurrency_id == MODEL]
        whole, nearby = line.queue, Counter(address for address, _ in begun)

        def may(event):
            address, session = visitor(event.request, event)
            return begun.count((address, session)) < EACH and nearby[address] < AT_ONCE // 2

        line.queue = [event for event in whole if may(event)]
        found = super().get_events()
        line.queue = [event for event in whole if not found or event not in found[0]]
        return found

    def under_way(self) -> list[Event]:
        return [event for events in self.active_jobs for event in events or ()]

    def wants(self, event_id: str | None) -> bool:
        """Whether the answer to an event is still waited for; always, where none is named."""
        return event_id is None or any(event._id == event_id and event.alive for event in self.under_way())

    def send_message(self, event, event_message):
        """An error that has no words gets some."""
        if isinstance(event_message, ProcessCompletedMessage) and not event_message.success:
            event_message.output["error"] = event_message.output.get("error") or FAILED
        super().send_message(event, event_message)


def order(events: list[Event]) -> dict[Event, tuple[int, int]]:
    """The order in which events are served: a visitor's second one waits for everybody's first."""
    seen, found = Counter(), {}
    for event in events:
        address, session = visitor(event.request, event)
        found[event] = seen[address, session], seen[address]
        seen.update([(address, session), address])
    return found


def visitor(request, asked) -> tuple[str, str]:
    """Who asks: an address, and the page or the client there. API calls without a session count as one
    client, except /train: Gradio gives each of those a session.
    """
    forwarded = request.headers.get("x-forwarded-for", "") if os.environ.get("SPACE_ID") else ""
    address = forwarded.rpartition(",")[2].strip() or (request.client.host if request.client else "")
    session = asked.session_hash
    return address, "" if session in (None, getattr(asked, "_id", None)) else session


def check_event(fn: Any, data: list) -> None:
    """Raise RequestError where an event does not exist, or its data lacks the form that the page sends."""
    if fn is None:
        raise RequestError("there is no such event.")
    if len(data) != len(fn.inputs):
        names = ", ".join(name for name in inspect.signature(fn.fn).parameters if name != "request")
        raise RequestError(f"data holds {len(data)} values; allowed: {len(fn.inputs)} ({names}).")
    if check := getattr(fn.fn, "check", None):
        check(*data)
    if not is_plain(data):
        raise RequestError("data holds a file, a number of more than 18 digits, or lists deep within lists.")


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value holds nothing but what JSON has, of a size that can be handled."""
    if isinstance(value, int):
        return abs(value) < 10**18
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    is_file = isinstance(value, dict) and "path" in value
    return depth <= DEEPEST and not is_file and all(is_plain(one, depth + 1) for one in children)

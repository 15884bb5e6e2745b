"""What strangers may send: refused before it is read, before it waits, and without a turn of anybody else."""

import json
import re
import threading
import time
from types import SimpleNamespace

import httpx
import pytest
from starlette.exceptions import HTTPException

from demo import api, guard, turns, ui
from demo.checks import RequestError
from demo.engine import Engine
from demo.training import QUEUE, Trainer

BLANK = [[0.0] * 28] * 28
GOOD = {  # of each endpoint
    "generate": ["steer/grpo", 7, 1.0, 0, 4, "pixels-8x8"],
    "compare": ["steer", 7, 0, "pixels-8x8", ""],
    "score": [BLANK, 7, "steer", "pixels-8x8", True],
    "complete": [BLANK, "refine/grpo", 7, 4, 1.0, 0, 4, "pixels-8x8"],
    "group": ["steer", 7, 0, "pixels-8x8"],
    "one_step": [7, 4, 3, False, 2, "pixels-8x8"],
    "mistake": ["no-kl"],
}
FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
WRONG = [10**309, -(10**400), float("nan"), float("inf"), "７", "٧", " 7 "]  # noqa: RUF001
WRONG += ["1_0", FILE, {}, None]


class Gate:
    """Stands in for the models: holds every answer back while it is closed, and notes the seeds in order."""

    def __init__(self):
        self.open, self.seeds = threading.Event(), []
        self.open.set()

    def answer(self, recipe, call, policy, digit, temperature, seed, count):
        self.seeds.append(seed)
        assert self.open.wait(30)
        return {"seed": seed}


@pytest.fixture(scope="module")
def served():
    """The whole page, without models; and the gate before them."""
    patch, gate = pytest.MonkeyPatch(), Gate()
    patch.setattr(Engine, "warm_up", lambda self: None)
    patch.setattr(Engine, "ask", lambda self, *asked: gate.answer(*asked))
    patch.setattr(Engine, "models", lambda self, recipe: pytest.fail("asked for the models"))
    page = ui.serve(block=False)
    yield SimpleNamespace(
        page=page, gate=gate, client=httpx.Client(), at=f"http://127.0.0.1:{page.server_port}"
    )
    page.close()
    patch.undo()


def post(served, route, body, **headers):
    return served.client.post(f"{served.at}/gradio_api/{route}", content=json.dumps(body), headers={
        "content-type": "application/json", **headers,
    })  # fmt: skip


def ask(served, seed: int):
    return post(served, "call/generate", {"data": ["steer/grpo", 7, 1.0, seed, 4, "pixels-8x8"]})


def wait_for(condition) -> None:
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError


def events(page) -> dict:
    return {fn.api_name: fn for fn in page.fns.values()}


def test_the_page_comes_compressed_and_its_files_are_kept(served):
    page = served.client.get(f"{served.at}/", headers={"Accept-Encoding": "gzip"})
    assert page.headers["content-encoding"] == "gzip"
    assert 3 * int(page.headers["content-length"]) < len(page.content)
    assert "cache-control" not in page.headers
    file = re.search(r"assets/index-[\w-]+\.js", page.text)[0]
    assert "immutable" in served.client.get(f"{served.at}/{file}").headers["cache-control"]
    missing = served.client.get(f"{served.at}/assets/none.js")
    assert missing.is_error and "cache-control" not in missing.headers


@pytest.mark.parametrize("name", api.QUESTIONS)
def test_every_endpoint_refuses_every_wrong_value_in_words_before_it_waits(served, name):
    fn = events(served.page)[name]
    turns.check_event(fn, GOOD[name])
    for at in range(len(GOOD[name])):
        for wrong in WRONG:
            if (name, at) in {("score", 4), ("one_step", 3)} or (
                at == 4 and name in ("compare", "one_step") and not wrong
            ):
                continue  # yes or no; no other policy, no sample of one's own
            with pytest.raises(RequestError, match=r"(is|holds) .*(allowed: |than 18 digits)"):
                turns.check_event(fn, [*GOOD[name][:at], wrong, *GOOD[name][at + 1 :]])
    for data in ([], GOOD[name][:-1], [*GOOD[name], 1]):
        with pytest.raises(
            RequestError, match=rf"data holds {len(data)} values; allowed: {len(GOOD[name])} \("
        ):
            turns.check_event(fn, data)


@pytest.mark.parametrize(
    ("route", "wrong"),
    [
        ("call/generate", {"data": ["steer/grpo", 77, 1, 0, 4, "pixels-8x8"]}),
        ("call/v2/generate", {"policy": "steer/grpo", "digit": 77}),
    ],
)
def test_what_is_wrong_is_said_at_once_while_the_models_are_busy(served, route, wrong):
    served.gate.open.clear()
    try:
        assert all(ask(served, seed).is_success for seed in (1, 2, 3))
        answer = post(served, route, wrong)
        assert answer.status_code == 422 and "digit is 77; allowed: a whole number from 0 to 9" in answer.text
    finally:
        served.gate.open.set()


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("call/generate", {"data": ["steer/grpo", 7]}),
        ("call/generate", {"data": {"a": 1}}),
        ("call/generate", {"data": ["steer/grpo", FILE, 1.0, 0, 4, "pixels-8x8"]}),
        ("call/train", {"data": []}),
        ("call/nosuch", {"data": []}),
        ("call/v2/nosuch", {}),
        ("call/v2/generate", {"nosuch": 1}),
        ("run/score", {"data": []}),
        ("run/predict", {"data": [], "fn_index": 10**6}),
        ("run/predict", {"data": [10**400], "fn_index": 0}),
        ("queue/join", {"data": [], "fn_index": 10**6, "session_hash": "a"}),
        ("queue/join", {"data": [], "session_hash": "a"}),
        ("queue/join", []),
    ],
)
def test_nonsense_is_refused_and_is_no_error_of_the_server(served, route, body):
    answer = post(served, route, body)
    assert 400 <= answer.status_code < 500
    assert len(answer.json()["detail"]) > 0


def test_an_event_of_the_page_says_what_it_did_not_like(served):
    """A value of a wrong kind, from a component: refused in words by the engine, or at least in words."""
    opened = next(i for i, fn in served.page.fns.items() if fn.name == "refresh")
    fn = served.page.fns[opened]
    body = {"data": [[]] * len(fn.inputs), "fn_index": opened, "session_hash": "wrong"}
    assert post(served, "queue/join", body).is_success
    with httpx.stream("GET", f"{served.at}/gradio_api/queue/data?session_hash=wrong", timeout=20) as stream:
        messages = [json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:")]
    done = next(message for message in messages if message["msg"] == "process_completed")
    assert done["success"] or done["output"]["error"]


def test_one_visitor_who_asks_without_end_lets_the_next_one_go_first(served):
    served.gate.seeds.clear()
    served.gate.open.clear()
    try:
        greedy = [ask(served, seed) for seed in range(40)]
        refused = [answer for answer in greedy if not answer.is_success]
        assert len(greedy) - len(refused) <= turns.WAITING + 2  # and what is under way
        assert all(answer.status_code == 503 and "waiting already" in answer.text for answer in refused)
        other = {"data": ["steer/grpo", 7, 1.0, 999, 4, "pixels-8x8"], "session_hash": "other"}
        fn = next(i for i, one in served.page.fns.items() if one.api_name == "generate")
        assert post(served, "queue/join", {**other, "fn_index": fn}).is_success
        wait_for(lambda: 999 in served.gate.seeds)  # while what the first one asked is still under way
        assert served.gate.seeds.index(999) <= turns.EACH
    finally:
        served.gate.open.set()


def test_a_line_that_nobody_stood_in_yet_holds_up_no_other():
    """The first thing that is asked of a server may be a training; an error here would end its queue."""
    queue = ui.build(Engine())._queue
    assert "model" not in queue.event_queue_per_concurrency_id and queue.get_events() is None


def test_no_question_goes_past_the_queue(served):
    asked = {"data": ["steer/grpo", 7, 1.0, 998, 4, "pixels-8x8"]}
    for name in ("generate", "predict"):
        assert not post(served, f"run/{name}", asked).is_success
    assert 998 not in served.gate.seeds


def test_what_is_asked_by_a_page_that_has_gone_is_not_answered(served):
    fn = next(i for i, one in served.page.fns.items() if one.api_name == "generate")
    wait_for(lambda: not len(served.page._queue) and not served.page._queue.get_active_worker_count())
    served.gate.seeds.clear()
    served.gate.open.clear()
    try:
        for seed in (1, 2, 777):
            body = {"data": ["steer/grpo", 7, 1.0, seed, 4, "pixels-8x8"], "fn_index": fn}
            assert post(served, "queue/join", {**body, "session_hash": "gone"}).is_success
        wait_for(lambda: len(served.gate.seeds) == turns.EACH)  # no third one of this page is begun
        with served.client.stream("GET", f"{served.at}/gradio_api/queue/data?session_hash=gone") as stream:
            assert "estimation" in next(stream.iter_lines())  # its place in the line
        wait_for(lambda: not len(served.page._queue))
    finally:
        served.gate.open.set()
    ask(served, 3)
    wait_for(lambda: 3 in served.gate.seeds)
    assert 777 not in served.gate.seeds


def test_the_queue_knows_whose_answer_is_waited_for(served):
    served.gate.open.clear()
    try:
        event = ask(served, 5).json()["event_id"]
        wait_for(lambda: served.page._queue.wants(event))
        assert served.page._queue.wants(None) and not served.page._queue.wants("another")
    finally:
        served.gate.open.set()
    wait_for(lambda: not served.page._queue.wants(event))


def test_an_event_whose_page_has_gone_is_not_waited_for():
    event = SimpleNamespace(_id="e", alive=True)
    queue = SimpleNamespace(under_way=lambda: [event])
    assert turns.FairQueue.wants(queue, "e")
    event.alive = False
    assert not turns.FairQueue.wants(queue, "e")


def test_on_a_space_the_address_is_the_one_that_its_proxy_adds(monkeypatch):
    """The last one: what stands before it, anybody may have written."""
    headers, client = {"x-forwarded-for": "6.6.6.6, 1.2.3.4"}, SimpleNamespace(host="10.0.0.1")
    request, asked = SimpleNamespace(headers=headers, client=client), SimpleNamespace(session_hash="s")
    assert turns.visitor(request, asked) == ("10.0.0.1", "s")
    monkeypatch.setenv("SPACE_ID", "alice/demo")
    assert turns.visitor(request, asked) == ("1.2.3.4", "s")


def test_a_recipe_that_is_chosen_while_the_last_one_is_on_its_way_is_not_dropped(served):
    """As Gradio does with a click where nothing else is said."""
    modes = {fn.name: fn.trigger_mode for fn in served.page.fns.values()}
    assert modes["fit"] == modes["refresh"] == "always_last"


def test_visitors_take_turns_and_so_do_addresses():
    def event(address, session):
        return SimpleNamespace(
            request=SimpleNamespace(headers={}, client=SimpleNamespace(host=address)),
            session_hash=session,
            _id="?",
        )

    class Hashable(SimpleNamespace):
        __hash__ = object.__hash__
        __eq__ = object.__eq__

    asked = [("a", "1"), ("a", "1"), ("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")]
    line = [Hashable(**vars(event(*one)), asked=one) for one in asked]
    line.sort(key=turns.order(line).get)
    assert [one.asked for one in line] == [
        ("a", "1"),
        ("b", "1"),
        ("b", "2"),
        ("a", "2"),
        ("a", "1"),
        ("a", "1"),
    ]
    assert line == sorted(line, key=turns.order(line).get)  # asking again changes nothing


CLOSED = [
    "upload",
    "upload_progress?upload_id=1",
    "component_server",
    "proxy=https://a.hf.space/",
    "file/app.py",
]
CLOSED += [
    "file=https://example.org/a",
    "stream/a",
    "process_recording",
    "vibe-edit",
    "dev/reload",
    "deep_link",
    "runs",
]


@pytest.mark.parametrize("route", CLOSED)
def test_routes_that_nothing_uses_are_closed(served, route):
    for method in ("GET", "POST"):
        assert httpx.request(method, f"{served.at}/gradio_api/{route}").status_code in (404, 405)


def test_a_file_that_is_not_the_page_s_own_is_not_given(served):
    assert httpx.get(f"{served.at}/gradio_api/file=/etc/passwd").status_code in (403, 404)


def test_a_path_may_begin_as_on_windows():
    for path in ("/tmp/a.zip", "C:/Temp/a.zip", r"c:\Temp\a.zip"):
        guard.check_route(f"/gradio_api/file={path}")
    for path in ("https://a.org/b", "C:a.zip", r"\\host\share", "CC:/a"):
        with pytest.raises(HTTPException):
            guard.check_route(f"/gradio_api/file={path}")


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_is_refused_before_it_is_read_as_json(served, announced):
    body = b'{"data": [' + b"[]," * 700_000 + b"1]}"
    content = body if announced else (body[at : at + 65536] for at in range(0, len(body), 65536))
    answer = httpx.post(f"{served.at}/gradio_api/call/generate", content=content)
    assert answer.status_code == 413 and "allowed: 100,000 bytes" in answer.text


def test_headers_suit_the_frame_of_a_space(served):
    headers = httpx.get(served.at).headers
    assert "https://huggingface.co" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "x-frame-options" not in headers  # it cannot name a site


LOCAL, SPACE = {}, {"SPACE_ID": "a/b", "SPACE_HOST": "a-b.hf.space"}
PREFIX, FULL = {"GRADIO_ROOT_PATH": "/demo"}, {"GRADIO_ROOT_PATH": "https://example.org/demo"}


@pytest.mark.parametrize(
    ("env", "host", "more", "right"),
    [
        (LOCAL, "127.0.0.1:7860", {}, True),  # a program
        (LOCAL, "localhost:7860", {"origin": "http://localhost:7860"}, True),
        (LOCAL, "127.0.0.1:7860", {"origin": "https://evil.example"}, False),
        (LOCAL, "127.0.0.1:7860", {"origin": "null"}, False),
        (LOCAL, "127.0.0.1:7860", {"origin": "http://localhost.evil.example"}, False),
        (LOCAL, "evil.example", {"origin": "http://evil.example"}, False),  # bent to 127.0.0.1
        (LOCAL, "", {}, False),
        (LOCAL, "localhost:7860", {"origin": "https://x.dev", "x-forwarded-host": "x.dev"}, True),
        (PREFIX, "example.org", {"origin": "https://example.org"}, True),
        (PREFIX, "example.org", {"origin": "https://evil.example"}, False),
        (PREFIX, "example.org", {"origin": "https://x.dev", "x-forwarded-host": "x.dev"}, False),
        (FULL, "127.0.0.1:7860", {"origin": "https://example.org"}, True),
        (SPACE, "a-b.hf.space", {"origin": "https://a-b.hf.space"}, True),
        (SPACE, "10.0.0.7:7860", {}, True),  # whether it is up is asked by number
        (SPACE, "10.0.0.7:7860", {"origin": "https://a-b.hf.space"}, True),
        (SPACE, "a-b.hf.space", {"origin": "https://x.hf.space", "x-forwarded-host": "x.hf.space"}, False),
    ],
)  # fmt: skip
def test_another_site_can_start_nothing(monkeypatch, env, host, more, right):
    for name in ("SPACE_ID", "SPACE_HOST", "GRADIO_ROOT_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    headers = guard.Headers({"host": host, **more})
    if right:
        guard.check_site("POST", headers)
    else:
        with pytest.raises(guard.HTTPException):
            guard.check_site("POST", headers)


def test_a_page_of_another_site_gets_nowhere(served):
    data = {"data": ["steer", [7], ["grpo"], 0, "pixels-8x8"]}
    assert post(served, "call/train", data, origin="https://evil.example").status_code == 403
    assert httpx.get(served.at, headers={"host": "evil.example"}).status_code == 403


def race(visitor=("", ""), **more):
    found = SimpleNamespace(visitor=visitor, state="running", ended="", **more)
    found.end = lambda state, why: vars(found).update(state=state, ended=state)
    return found


def test_a_visitor_has_one_race_and_an_address_half_of_the_line():
    trainer = Trainer()
    for key, visitor in {"a": ("x", "1"), "b": ("x", "2"), "c": ("x", "1")}.items():
        trainer.races[key] = race()
        trainer.line.append(trainer.races[key])
        trainer.assign(key, visitor)
    assert [trainer.races[key].state for key in "abc"] == ["stopped", "running", "running"]
    for i in range(QUEUE):
        trainer.races[str(i)] = race()
        trainer.line.append(trainer.races[str(i)])
        trainer.assign(str(i), ("y", str(i)))
    alive = [one for one in trainer.line if one.visitor[0] == "y" and one.state == "running"]
    assert len(alive) == QUEUE // 2
    trainer.races["again"] = race()
    trainer.line.append(trainer.races["again"])
    trainer.assign("again", ("y", "0"))  # takes the place of its page's race, which it ends
    assert trainer.races["0"].state == "stopped" and trainer.races["again"].state == "running"

"""The named endpoints through gradio_client, with good and bad input."""

import json
import urllib.request

import pytest

pytestmark = pytest.mark.browser
BLANK = [[0.0] * 28] * 28


@pytest.fixture(scope="module")
def client(address):
    from gradio_client import Client

    return Client(address, verbose=False)


GOOD = {
    "/generate": {"policy": "steer/grpo", "digit": 7, "temperature": 1.0, "seed": 0, "count": 4},
    "/compare": {"task": "refine", "digit": 3, "seed": 1},
    "/score": {"picture": BLANK, "digit": 3},
    "/complete": {"policy": "refine/grpo", "digit": 7, "picture": BLANK, "rows": 2},
}


@pytest.mark.parametrize("name", GOOD)
def test_an_endpoint_answers_the_same_twice(client, name):
    answer = client.predict(**GOOD[name], api_name=name)
    assert answer["digit"] == GOOD[name]["digit"]
    assert answer == client.predict(**GOOD[name], api_name=name)


@pytest.mark.parametrize(
    ("name", "bad", "words"),
    [
        ("/generate", {"seed": -5}, "seed is -5"),
        ("/generate", {"count": 2.5}, "count is 2.5"),
        ("/generate", {"seed": True}, "seed is True"),
        ("/generate", {"count": 10**12}, "count is 1000000000000; allowed: a whole number from 1 to 64"),
        ("/generate", {"policy": {"a": 1}}, "policy is"),
        ("/compare", {"task": "sprint"}, "task is 'sprint'"),
        ("/score", {"picture": [[0.0] * 500] * 500}, "picture is 500 rows"),
        ("/score", {"picture": "seven"}, "picture is 'seven'"),
        ("/complete", {"rows": 40}, "rows is 40"),
    ],
)
def test_bad_input_gets_a_sentence_and_the_server_stays_up(client, name, bad, words):
    with pytest.raises(Exception, match=words):
        client.predict(**{**GOOD[name], **bad}, api_name=name)
    assert client.predict(**GOOD[name], api_name=name)["digit"] == GOOD[name]["digit"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_refused_though_json_may_hold_them(client, address, value):
    """The client refuses to send them; another program may."""
    body = f'{{"data": ["steer/grpo", 7, {value}, 0, 2, "pixels-8x8"]}}'.encode()
    request = urllib.request.Request(
        f"{address}/gradio_api/call/generate", body, {"Content-Type": "application/json"}
    )
    event = json.load(urllib.request.urlopen(request))["event_id"]
    answer = urllib.request.urlopen(f"{address}/gradio_api/call/generate/{event}", timeout=30).read().decode()
    assert "event: error" in answer
    assert client.predict(**GOOD["/generate"], api_name="/generate")["count"] == 4

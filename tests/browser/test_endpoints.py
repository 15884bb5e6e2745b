"""The named endpoints through gradio_client, with good and bad input; and a tab of one's own."""

import urllib.error
import urllib.request

import pytest
from conftest import free_port
from toys import example_of_the_guide

from benchmarks import load, visitors
from demo import ui

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
    "/complete": {"picture": BLANK, "policy": "refine/grpo", "digit": 7, "rows": 2},
    "/group": {"task": "steer", "digit": 7},
    "/one_step": {"digit": 7, "group": 4, "updates": 1, "fresh": False, "sample": 2},
}


@pytest.mark.parametrize("name", GOOD)
def test_an_endpoint_answers_the_same_twice(client, name):
    answer = client.predict(**GOOD[name], api_name=name)
    assert answer["digit"] == GOOD[name]["digit"]
    assert answer == client.predict(**GOOD[name], api_name=name)


def test_the_api_page_lists_what_there_is_with_names_and_types(client):
    shown = client.view_api(return_format="dict")["named_endpoints"]
    assert set(shown) == {*GOOD, "/mistake", "/train"}
    for name, endpoint in shown.items():
        parameters = endpoint["parameters"]
        assert all(
            one["parameter_name"] != "param_0" and one["python_type"]["type"] != "Any" for one in parameters
        ), name


def test_a_mistake_says_what_it_leads_to_and_shows_it(client):
    answer = client.predict("scaled", api_name="/mistake")
    assert "arXiv 2503.20783" in answer["wild"] and len(answer["race"]["racers"]) == 2
    with pytest.raises(Exception, match="mistake is 'ppo'; allowed: no-kl, no-pretraining, "):
        client.predict("ppo", api_name="/mistake")


def test_a_training_is_followed_to_its_end(client):
    steps = []
    job = client.submit(task="steer", digits=[7], runs=["grpo"], api_name="/train")
    for news in job:
        steps += [point["step"] for point in news["points"]]
        if len(steps) >= 3:
            job.cancel()
            break
    assert steps[:3] == [0, 1, 2]


def test_a_training_on_a_reward_of_ones_own_reports_its_terms_and_refuses_what_is_none(client):
    mix = {"symmetry": 1, "confidence": 0.5}
    job = client.submit(digits=[7], runs=["grpo"], rewards=mix, api_name="/train")
    points = next(news["points"] for news in job if news["points"])
    job.cancel()
    assert set(points[0]["racers"][0]["terms"]) == {"symmetry", "confidence"}
    for rewards, words in (
        ({"beauty": 1}, "reward is 'beauty'"),
        ({"likeness": 1}, r"picture is \[\]"),
    ):
        with pytest.raises(Exception, match=words):
            client.predict(rewards=rewards, api_name="/train")


def test_bad_input_gets_a_sentence_and_the_server_stays_up(client):
    """tests/test_guard.py asks every endpoint for every kind of nonsense; this is what a client sees."""
    with pytest.raises(Exception, match="count is 1000000000000; allowed: a whole number from 1 to 64"):
        client.predict(**{**GOOD["/generate"], "count": 10**12}, api_name="/generate")
    assert client.predict(**GOOD["/generate"], api_name="/generate")["digit"] == GOOD["/generate"]["digit"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1" + "0" * 400])
def test_numbers_that_are_none_are_refused_though_json_may_hold_them(client, address, value):
    """The client refuses to send them; another program may."""
    body = f'{{"data": ["steer/grpo", 7, {value}, 0, 2, "pixels-8x8"]}}'.encode()
    request = urllib.request.Request(
        f"{address}/gradio_api/call/generate", body, {"Content-Type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError, match="422") as refused:
        urllib.request.urlopen(request)
    assert "temperature is" in refused.value.read().decode()
    assert client.predict(**GOOD["/generate"], api_name="/generate")["count"] == 4


def test_the_tab_of_the_guide_is_one_file_and_one_line(browser, monkeypatch):
    code = example_of_the_guide("def build")
    assert len(code.splitlines()) <= 27
    tab = {}
    exec(code, tab)
    monkeypatch.setitem(ui.TABS, "ink", ("Ink", tab["build"]))
    port = free_port()
    served = ui.serve(port, block=False)
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{port}/?tab=ink")
    page.locator("#ink-says").filter(has_text="Steer: GRPO: mean reward").wait_for()
    page.locator("#ink").get_by_label("Policy").click()
    page.get_by_role("option", name="Start: knows no labels").click()
    page.locator("#ink-says").filter(has_text="Start: knows no labels: mean reward 0.").wait_for()
    page.close()
    served.close()


def test_visitors_who_ask_at_once_are_all_answered_and_timed(address):
    rows = visitors.answers(address, visitors=[2], rounds=1, recipes=["pixels-8x8"])
    assert list(rows) == [f"{tab}, pixels-8x8, visitors: 2" for tab in visitors.TABS]
    assert all(0 < row["ours"]["min"] <= row["ours"]["median"] < 60 for row in rows.values())


def test_the_load_benchmark_asks_and_counts(address):
    asking, training = load.visit(address, count=2, training=1, seconds=4)[::-1]
    assert asking.times and not asking.wrong + training.wrong

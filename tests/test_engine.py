"""The engine behind the page: every answer, every refusal, and the live race."""

import base64
import json
import math
import re
import time
from pathlib import Path

import pytest
import torch

from core import checkpoints, figures, load_policy
from core.policies import gather
from core.recipes import ONE_DIGIT
from demo import record, training
from demo.engine import COLOURS, Engine
from demo.payloads import wilson
from demo.requests import RequestError

BLANK = [[0.0] * 28] * 28


@pytest.fixture(scope="module")
def engine():
    return Engine()


@pytest.fixture(params=Engine().recipes)
def recipe(request):
    return request.param


def unpack(text: str) -> list[int]:
    return list(base64.b64decode(text))


def test_generate_gives_the_same_pictures_for_the_same_seed(engine, recipe):
    found = engine.generate("steer/grpo", 3, 1.0, 5, 6, recipe)
    assert len(unpack(found["images"])) == 6 * found["size"] ** 2
    assert len(found["rewards"]) == len(found["reads"]) == len(found["surprise"]) == 6
    assert all(0 <= reward <= 1 for reward in found["rewards"])
    again = Engine().generate("steer/grpo", 3, 1.0, 5, 6, recipe)
    assert found == again
    assert found["images"] != engine.generate("steer/grpo", 3, 1.0, 6, 6, recipe)["images"]


def test_a_trajectory_is_the_drawing_of_that_sample(engine, recipe):
    grid = engine.generate("refine/grpo", 8, 0.8, 1, 5, recipe)
    path = engine.trajectory("refine/grpo", 8, 0.8, 1, 5, 3, recipe)
    policy = load_policy(f"{recipe}/refine/grpo")
    length, area = policy.tokenizer.length, grid["size"] ** 2
    frames = unpack(path["frames"])
    assert len(frames) == (length + 1) * area
    assert frames[-area:] == unpack(grid["images"])[3 * area : 4 * area]
    assert path["reward"] == grid["rewards"][3] and path["read"] == grid["reads"][3]
    # Its numbers are those of the policy itself, at that temperature.
    tokens = torch.tensor([unpack(path["tokens"])])
    with torch.no_grad():
        own = policy.log_probs(torch.tensor([8]), tokens, 0.8)
        start = load_policy(f"{recipe}/labelled").log_probs(torch.tensor([8]), tokens, 0.8)
    assert path["log_probs"] == pytest.approx(gather(own, tokens)[0].tolist(), abs=2e-3)
    assert path["reference"] == pytest.approx(gather(start, tokens)[0].tolist(), abs=2e-3)
    assert path["entropy"] == pytest.approx((-(own.exp() * own).sum(-1))[0].tolist(), abs=2e-3)
    assert sum(path["log_probs"]) == pytest.approx(-grid["surprise"][3], abs=0.1)
    shares = torch.tensor(unpack(path["belief"])).view(length + 1, 10).sum(1) / 255
    assert bool(((shares - 1).abs() < 0.03).all())


def test_partial_drawings_leave_what_is_not_drawn_empty(engine, recipe):
    path = engine.trajectory("steer/grpo", 0, 1.0, 0, 1, 0, recipe)
    area = path["size"] ** 2
    first = unpack(path["frames"])[:area]
    assert sum(first) / area < 12  # nothing drawn: nearly black


def test_compare_shows_four_policies_with_the_same_random_numbers(engine, recipe):
    found = engine.compare("steer", 7, 0, recipe)
    assert [one["policy"] for one in found["policies"]] == [
        "random",
        "unlabelled",
        "steer/reinforce",
        "steer/grpo",
    ]
    colours = [one["colour"] for one in found["policies"]]
    assert len(set(colours)) == 4
    start, grpo = (engine.survey(found["policies"][place]["policy"], 7, 0, recipe) for place in (1, 3))
    assert grpo["interval"][0] > start["interval"][1]  # GRPO beats its start, and not by chance
    assert start["total"] == pytest.approx(0, abs=1e-3) and grpo["total"] > 0.5
    assert sum(grpo["kl"]) == pytest.approx(grpo["total"], abs=0.01)


def test_score_reads_a_drawing_and_weighs_the_rewards(engine, recipe):
    found = engine.score(record.seven(), 7, "steer", recipe)
    assert (
        found["classifier"].index(max(found["classifier"])) == 7 == found["judge"].index(max(found["judge"]))
    )
    total = sum(term["value"] * term["weight"] for term in found["terms"].values())
    assert found["reward"] == pytest.approx(total, abs=1e-3)
    assert max(unpack(found["saliency"])) == 255


def test_a_group_is_taken_apart_as_grpo_does(engine, recipe):
    found = engine.group("steer", 7, 2, recipe)
    rewards = found["rewards"]
    mean = sum(rewards) / len(rewards)
    assert found["mean"] == pytest.approx(mean, abs=1e-3)
    assert found["advantages"] == pytest.approx([reward - mean for reward in rewards], abs=1e-3)


def test_the_classifier_can_be_fooled_and_the_judge_is_not(engine):
    tries = [engine.fool(7, seed) for seed in range(3)]
    assert any(one["belief"][-1] > 0.9 and max(range(10), key=one["judge"].__getitem__) != 7 for one in tries)


def test_complete_keeps_what_was_drawn(engine, recipe):
    found = engine.complete("refine/grpo", 7, record.seven(), 3, 1.0, 0, 4, recipe)
    area, rows = found["size"] ** 2, found["size"] * 3 // (8 if recipe == "pixels-8x8" else 7)
    pictures = [unpack(found["images"])[i * area : (i + 1) * area] for i in range(4)]
    if recipe == "pixels-8x8":  # patches overlap a little below their border
        assert len({tuple(picture[: rows * found["size"]]) for picture in pictures}) == 1
    assert len({tuple(picture) for picture in pictures}) > 1
    whole = engine.complete(
        "refine/grpo", 7, record.seven(), 8 if recipe == "pixels-8x8" else 7, 1.0, 0, 2, recipe
    )
    assert len(set(whole["rewards"])) == 1


GOOD = {
    "generate": {"policy": "steer/grpo", "digit": 7, "temperature": 1.0, "seed": 0, "count": 2},
    "compare": {"task": "steer", "digit": 7, "seed": 0},
    "score": {"picture": BLANK, "digit": 7},
    "complete": {"policy": "steer/grpo", "digit": 7, "picture": BLANK, "rows": 2},
}


@pytest.mark.parametrize(
    ("call", "change", "words"),
    [
        ("generate", {"policy": "steer/ppo"}, "policy is 'steer/ppo'; allowed: random, "),
        ("generate", {"policy": None}, "policy is None"),
        ("generate", {"policy": "../" * 500}, r"\.\.\.; allowed"),
        ("generate", {"policy": ["steer/grpo"]}, "policy is "),
        ("generate", {"digit": 10}, "digit is 10; allowed: a whole number from 0 to 9"),
        ("generate", {"digit": True}, "digit is True"),
        ("generate", {"temperature": math.nan}, "temperature is nan; allowed: a number from 0.25 to 2"),
        ("generate", {"temperature": "hot"}, "temperature is 'hot'"),
        ("generate", {"temperature": 0}, "temperature is 0"),
        ("generate", {"seed": 1.5}, "seed is 1.5"),
        ("generate", {"seed": -1}, "seed is -1"),
        ("generate", {"count": 10**9}, "count is 1000000000; allowed: a whole number from 1 to 64"),
        ("generate", {"count": math.inf}, "count is inf"),
        ("generate", {"recipe": "pixels-9x9"}, "recipe is 'pixels-9x9'; allowed: pixels-8x8"),
        ("compare", {"task": "scratch"}, "task is 'scratch'; allowed: steer, refine"),
        (
            "score",
            {"picture": [[0.0] * 9] * 9},
            "picture is 9 rows; allowed: 8 rows of 8 or 28 rows of 28 numbers",
        ),
        ("score", {"picture": [[0.0] * 28] * 27 + [[0.0]]}, "picture holds a row of 1"),
        ("score", {"picture": [[2.0] * 28] * 28}, "picture holds 2.0"),
        ("score", {"picture": [[math.nan] * 28] * 28}, "picture holds nan"),
        ("score", {"picture": "x" * 10_000}, "picture is 'xxx"),
        ("complete", {"rows": 9}, "rows is 9.*; allowed: a whole number from 0 to 8"),
    ],
)
def test_bad_requests_get_one_sentence_and_the_next_one_works(engine, call, change, words):
    with pytest.raises(RequestError, match=words):
        getattr(engine, call)(**{**GOOD[call], **change})
    assert getattr(engine, call)(**GOOD[call])["digit"] == 7


@pytest.mark.parametrize(
    "question",
    [
        None,
        [],
        {"call": "generate"},
        {"call": "__init__", "arguments": {}},
        {"call": "generate", "arguments": {"root": 1}},
    ],
)
def test_odd_questions_get_a_sentence(engine, question):
    reply = engine.answer(question)
    assert set(reply) == {"error"} and reply["error"].endswith(".")


def test_too_many_waiting_requests_are_refused(engine):
    engine._waiting = 16
    try:
        assert "busy" in engine.answer({"call": "generate", "arguments": GOOD["generate"]})["error"]
    finally:
        engine._waiting = 0
    assert "answer" in engine.answer({"call": "generate", "arguments": GOOD["generate"]})


def test_what_is_recorded_is_what_the_checkpoints_say(engine, recipe):
    recorded = engine.recorded(recipe)
    then = recorded["generate"]["generate"]
    request = {name: then[name] for name in ("policy", "digit", "temperature", "seed", "count")}
    now = engine.generate(**request, recipe=recipe)
    area = now["size"] ** 2
    # Another processor rounds differently, and a draw may tip; nearly all samples are the same to the bit.
    ours, theirs = unpack(now["images"]), unpack(then["images"])
    same = sum(ours[i : i + area] == theirs[i : i + area] for i in range(0, len(ours), area))
    assert same >= 0.8 * now["count"]
    assert sum(now["rewards"]) == pytest.approx(sum(then["rewards"]), abs=0.1 * now["count"])
    group = engine.group("steer", 7, 0, recipe)
    assert group["mean"] == pytest.approx(recorded["rewards"]["group"]["mean"], abs=0.13)
    assert set(recorded) == {"story", "train", "generate", "compare", "rewards", "complete"}
    assert (checkpoints.ROOT / recipe / "recorded.json").stat().st_size < 2_000_000


def test_wilson_intervals_hold_the_truth_as_often_as_they_say():
    count, truth = 200, 0.97
    chances = [math.comb(count, k) * truth**k * (1 - truth) ** (count - k) for k in range(count + 1)]
    covered = sum(p for k, p in enumerate(chances) if wilson(k, count)[0] <= truth <= wilson(k, count)[1])
    assert 0.92 < covered < 0.98
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == 1


def follow(engine, key, until=lambda news: False, patience=60.0):
    """Ask for news until the run ends; returns the last news, and every point seen."""
    since, seen, deadline = [0, 0], {"reinforce": [], "grpo": []}, time.monotonic() + patience
    while time.monotonic() < deadline:
        news = engine.news(key, since)
        for i, name in enumerate(seen):
            seen[name] += news[name]["points"]
            since[i] = len(seen[name])
        if news["state"] in ("done", "stopped", "failed") or until(news):
            return news, seen
        time.sleep(0.05)
    raise AssertionError("the run did not end")


def test_a_race_gives_both_the_same_samples_and_its_policy_can_be_used(engine):
    key = engine.train({"digits": [7], "steps": 3, "group": 8})["key"]
    news, seen = follow(engine, key)
    assert news["state"] == "done" and [point["samples"] for point in seen["grpo"]] == [8, 16, 24]
    assert [point["samples"] for point in seen["reinforce"]] == [8, 16, 24]
    assert seen["grpo"][0]["reward"] == seen["reinforce"][0]["reward"]  # same start, same random numbers
    assert len(engine.generate(news["policy"], 7, 1.0, 0, 4)["rewards"]) == 4
    files = engine.weights(key)
    config = json.loads(files["config"])
    assert config["kind"] == "lstm" and len(base64.b64decode(files["weights"])) > 100_000


def test_a_race_learns_a_digit(engine):
    key = engine.train({"digits": [1], "steps": 12, "group": 48, "lr": 1e-3})["key"]
    _, seen = follow(engine, key, patience=120)
    assert seen["grpo"][-1]["success"] > seen["grpo"][0]["success"] + 0.3


def test_the_preset_of_the_page_is_what_is_measured():
    page = (Path(training.__file__).parent / "tabs" / "train.js").read_text(encoding="utf-8")
    line = re.search(r"^    one: .*{(.*)}", page, re.MULTILINE).group(1)
    shown = dict(re.findall(r"(\w+): ([^,\s]+)", line))
    expected = [ONE_DIGIT.steps, ONE_DIGIT.group, ONE_DIGIT.beta, ONE_DIGIT.lr]
    assert [float(shown[field]) for field in ("steps", "group", "beta", "lr")] == expected


def test_runs_queue_pause_stop_and_end_when_nobody_listens(engine):
    settings = {"digits": [7], "steps": 300, "group": 8}
    first = engine.train(settings)["key"]
    follow(engine, first, lambda news: bool(news["grpo"]["points"]))
    second = engine.train(settings)["key"]
    assert engine.news(second, [0, 0])["state"] == "waiting"
    engine.control(first, "pause")

    def listen(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            engine.news(second, [0, 0])
            steps = len(engine.trainer.race(first).runners[1].points)
            assert engine.news(first, [0, 0])["state"] == "paused"
            time.sleep(0.1)
        return steps

    assert listen(3.0) == listen(1.0)  # the step that was under way is finished, and no other
    engine.control(first, "stop")
    follow(engine, first)
    news, _ = follow(engine, second, lambda news: news["state"] == "running")
    assert news["state"] == "running"
    time.sleep(training.SILENCE + 1.0)  # nobody asks: it stops
    assert not engine.trainer.race(second).is_alive()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (None, "settings are no object"),
        ({"stepz": 3}, "setting is 'stepz'"),
        ({"digits": []}, "digits is \\[\\]"),
        ({"digits": [7, 7]}, "each digit once"),
        ({"digits": list(range(10)), "group": 128}, "at most 640 samples"),
        ({"steps": 10_000}, "steps is 10000"),
        ({"lr": math.nan}, "lr is nan"),
        ({"beta": -1}, "beta is -1"),
        ({"task": "sprint"}, "task is 'sprint'"),
    ],
)
def test_bad_settings_are_refused_in_words(engine, settings, words):
    with pytest.raises(RequestError, match=words):
        engine.train(settings)
    with pytest.raises(RequestError, match="run is 'nobody'"):
        engine.news("nobody", [0, 0])


def test_every_policy_has_a_title_and_a_colour(engine, recipe):
    looks = {name: engine.look(name) for name in engine.policies(recipe)}
    assert len({look["title"] for look in looks.values()}) == len(looks)
    assert figures.COLOURS.items() <= COLOURS.items()  # a run has one colour, on the page and in the figures
    assert looks["steer/grpo"] == {"title": "Steer · GRPO", "colour": "#009E73"}


def test_a_run_without_a_checkpoint_is_left_out_and_nothing_else(tmp_path):
    for name in ("random", "unlabelled", "labelled", "classifier", "judge"):
        (tmp_path / "pixels-8x8" / name).mkdir(parents=True)
        (tmp_path / "pixels-8x8" / name / "config.json").write_text("{}")
    for name in (
        "steer/reinforce",
        "steer/grpo",
        "refine/reinforce",
        "refine/grpo",
        "refine/mine-own",
        "refine/gone",
    ):
        (tmp_path / "pixels-8x8" / name).mkdir(parents=True)
        if name != "refine/gone":
            (tmp_path / "pixels-8x8" / name / "config.json").write_text("{}")
    engine = Engine(tmp_path)
    assert engine.recipes == ["pixels-8x8"]
    runs = ["steer/reinforce", "steer/grpo", "refine/reinforce", "refine/grpo", "refine/mine-own"]
    assert engine.policies("pixels-8x8") == ["random", "unlabelled", "labelled", *runs]

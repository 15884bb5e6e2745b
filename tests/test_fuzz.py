"""Odd configs, weights, requests, drawings, links and command lines: each is used, or refused in words.

A few examples, the same each time; FUZZ=10000 tries as many, and new ones.
"""

import base64
import contextlib
import io
import json
import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_checkpoints import SHAPE
from toys import make_policy

from core import CheckpointError, hub, load_policy, train
from core.checkpoints import BUILDERS, load, locate, save
from demo import checks
from demo.checks import RequestError
from demo.engine import Engine
from demo.settings import settings as race_settings
from demo.ui import assemble, read_link


def fuzz(examples: int):
    """How many examples a test tries, where FUZZ says nothing else."""
    return settings(
        max_examples=int(os.environ.get("FUZZ", examples)),
        derandomize="FUZZ" not in os.environ,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def nested(inner):
    return st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4)


SEVENS = "\uff17", "\u0667", " 7 ", "1_0"  # int() takes them all
numbers = st.integers() | st.floats() | st.sampled_from([10**309, -(10**309), 2**63, 0.5, -0.0, True])
words = st.text(max_size=30) | st.sampled_from([*SEVENS, "\0", "\ud800", "../..", "x" * 700])
scalars = st.none() | st.booleans() | numbers | words
values = st.recursive(scalars, nested, max_leaves=8)


def sentence(error: Exception, longest: int = 600) -> None:
    """What is said is of a length that can be read, in characters that can be sent."""
    said = str(error)
    assert 10 < len(said) < longest, said[:1000]
    said.encode("utf-8")


# Checkpoints.


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "policy"
    save(folder, make_policy("lstm"), "lstm", SHAPE, {"recipe": "toy", "seed": 0})
    return folder


sizes = st.sampled_from("size levels width layers heads codes dim channels guidance corner".split())
parts = st.sampled_from(["format", "model", "kind", "sha256"])


@fuzz(200)
@given(
    kind=st.sampled_from(sorted(BUILDERS)) | values,
    shape=st.dictionaries(sizes, values | st.integers(1, 64)) | values,
    rest=st.dictionaries(parts, values, max_size=2),
)
@example(kind="lstm", shape={**SHAPE, "width": 10**309}, rest={})
@example(kind="transformer", shape={"size": 2, "levels": 2, "width": 1024, "layers": 64, "heads": 1}, rest={})
def test_configs(policy, kind, shape, rest):
    path = policy / "config.json"
    before = path.read_text()
    path.write_text(json.dumps({"format": 1, "kind": kind, "model": shape, **rest}))
    try:
        load(policy, tuple(BUILDERS))
    except CheckpointError as error:
        sentence(error)
    finally:
        path.write_text(before)


@fuzz(200)
@given(
    name=st.sampled_from(["weights.safetensors", "config.json"]),
    at=st.integers(0, 8000),
    damage=st.binary(min_size=1, max_size=20),
    keep=st.integers(0, 8000) | st.none(),
)
def test_bytes(policy, name, at, damage, keep):
    path = policy / name
    before = path.read_bytes()
    at %= len(before)
    damaged = (before[:at] + damage + before[at + len(damage) :])[:keep]
    path.write_bytes(damaged)
    try:
        load(policy, tuple(BUILDERS))
        assert name == "config.json" or damaged == before
    except CheckpointError as error:
        sentence(error)
    finally:
        path.write_bytes(before)


@fuzz(200)
@given(name=words | st.lists(st.sampled_from(". .. policy a ~ C:".split()), max_size=4).map("/".join))
def test_names_of_checkpoints(policy, name):
    if hub.is_name(name):
        return  # no test asks the Hub
    try:
        assert locate(name, policy.parent).is_dir()
        load_policy(name, policy.parent)
    except CheckpointError as error:
        sentence(error, longest=2000)


# The page.

engine = Engine()
page = assemble(engine)
INK = [[0.5] * 28] * 28
CALLS = {  # questions that can be answered: arguments by position
    "generate": ["steer/grpo", 7, 1.0, 0, 24, "pixels-8x8"],
    "trajectory": ["steer/grpo", 7, 1.0, 0, 24, 3, "patches-28x28"],
    "compare": ["steer", 7, 0, "pixels-8x8", "refine/grpo"],
    "score": [INK, 7, "steer", "pixels-8x8"],
    "fool": ["noise", 7, "steer", 0, "pixels-8x8"],
    "group": ["refine", 7, 0, "patches-28x28"],
    "one_step": [7, 16, 3, False, 5, "pixels-8x8"],
    "complete": [INK, "refine/grpo", 7, 4, 1.0, 0, 12, "pixels-8x8"],
    "training": ["steer", ["grpo"], "pixels-8x8"],
}
KNOWN = {*engine.recipes, "steer", "refine", "noise", "blank"}
KNOWN |= {name for recipe in engine.recipes for _, name in engine.policies(recipe)}


@fuzz(400)
@given(data=st.data(), call=st.sampled_from(sorted(CALLS)))
def test_requests(data, call):
    """One argument is odd; whatever reaches the models has been checked."""
    arguments = list(CALLS[call])
    odd = data.draw(st.integers(0, len(arguments) - 1))
    arguments[odd] = data.draw(values | st.sampled_from(sorted(KNOWN)) | st.integers(0, 100))

    def ask(recipe, question="", *checked):
        for value in [recipe, *checked]:
            assert type(value) in (str, int, float, bool, list), value
            if isinstance(value, str):
                assert value in KNOWN
            elif not isinstance(value, list):
                assert 0 <= value < 2**31
        raise RequestError("the models have been reached")

    engine.ask = engine.models = ask
    try:
        getattr(engine, call)(*arguments)
    except RequestError as error:
        sentence(error)
    finally:
        del engine.ask, engine.models


@fuzz(300)
@given(
    part=st.sampled_from(["picture", "row", "cell"]),
    row=st.integers(0, 27),
    column=st.integers(0, 27),
    odd=values,
)
@example(part="picture", row=0, column=0, odd=base64.b64encode(bytes(784)).decode())
def test_drawings(part, row, column, odd):
    picture = [[0.5] * 28 for _ in range(28)]
    if part == "cell":
        picture[row][column] = odd
    elif part == "row":
        picture[row] = odd
    try:
        rows = checks.picture(odd if part == "picture" else picture)
    except RequestError as error:
        return sentence(error)
    assert len(rows) == 28 and all(len(row) == 28 and all(0 <= ink <= 1 for ink in row) for row in rows)


LINKED = "tab recipe task policy digit seed step rows temperature".split()


@fuzz(300)
@given(query=st.dictionaries(st.sampled_from([*LINKED, "x"]), words | st.integers().map(str)))
def test_links(query):
    query = {name: text.replace("\ud800", "?") for name, text in query.items()}  # as a URL is decoded
    found, refused = read_link(page, query)
    for said in refused:
        sentence(said)
    assert len(found) + len(refused) == len(set(query) & set(LINKED))
    most = {"digit": 9, "seed": 2**31 - 1, "step": 6, "rows": 8, "temperature": 2}
    assert all(found[name] <= most[name] for name in set(found) & set(most))


@fuzz(300)
@given(recipe=st.sampled_from(engine.recipes), data=st.data(), odd=st.integers(0, 4))
def test_trainings(recipe, data, odd):
    asked = [[3, 7], 40, 16, 0.05, 1e-3]
    asked[odd] = data.draw(values | st.integers(0, 200) | st.lists(scalars | st.integers(0, 9), max_size=10))
    digits, steps, group, beta, lr = asked
    try:
        config = race_settings(recipe, "steer", digits, steps, group, beta, lr)
    except RequestError as error:
        return sentence(error)
    assert 1 <= config.steps <= 300 and config.group * len(config.digits) <= 640


# The command line.

FLAGS = "recipe task start steps lr beta digits group seed out ship resume seeds low confidence epochs codes"
FLAGS = [f"--{name}" for name in [*FLAGS.split(), "checkpoints", "data-root", "help", "no-scale"]]
VALUES = "tiny-4x4 pixels-8x8 grpo steer refine 7 0.5 1e999 -1 nan".split()
arguments = st.lists(st.sampled_from(FLAGS) | st.sampled_from(VALUES) | scalars.map(str), max_size=5)


@fuzz(100)
@given(
    what=st.sampled_from(["classifier", "judge", "tokenizer", "pretrain", "all", "grpo", "reinforce", "gan"])
    | words,
    rest=arguments,
)
def test_command_lines(what, rest):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            train.parse([what, *rest])
        except SystemExit as leaving:
            assert leaving.code in (0, 2) and said.getvalue()
        except ValueError as error:
            sentence(error)

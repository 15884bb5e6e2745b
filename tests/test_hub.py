"""The Hub: against a stand-in of its HTTP interface, against the client's cache, and without either."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import requires
from pathlib import Path

import pytest
import torch
import yaml
from gradio_client import Client
from hub_stand_in import TOKEN, Hub, Repository
from huggingface_hub import constants
from packaging.requirements import Requirement

from core import CheckpointError, checkpoints, load_classifier, load_judge, load_policy
from core.recipes import SHIPPED
from demo.engine import Engine
from docs import hub
from docs.results import metrics_files

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The stand-in, which this process's client takes for the Hub; Alice is logged in, her cache is empty."""
    server = Hub()
    point_to(server.url, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.shutdown()
    server.server_close()


def point_to(url, monkeypatch):
    """What HF_ENDPOINT does, which the client reads only once."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def head(card: bytes) -> dict:
    return yaml.safe_load(card.decode().split("---\n")[1])


def same(model, other) -> bool:
    ours, theirs = model.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_is_pushed_is_loaded_by_name(server, capsys):
    assert hub.main(["push", "--repo", "alice/digits"]) == 0
    assert capsys.readouterr().out.strip() == f"{server.url}/alice/digits"
    files = server.repositories["models", "alice/digits"].files
    for recipe in SHIPPED:
        for path in (checkpoints.ROOT / recipe).rglob("*.safetensors"):
            assert files[path.relative_to(checkpoints.ROOT).as_posix()] == path.read_bytes()
    assert {Path(name).name for name in files} == {*hub.FILES, "README.md", ".gitattributes"}
    assert b"alice/digits/pixels-8x8" in files["README.md"] and b"OWNER" not in files["README.md"]

    server.asked.clear()
    assert same(load_policy("alice/digits"), load_policy("pixels-8x8/steer/grpo"))
    got = [asked.split("/", 5)[5] for asked in server.asked if asked.startswith("HEAD")]
    assert sorted(got) == ["config.json", "weights.safetensors"]  # and nothing of the other checkpoints
    inside = "patches-28x28/refine/grpo"
    assert same(load_policy(f"alice/digits/{inside}"), load_policy(inside))
    assert same(load_judge("alice/digits"), load_judge("pixels-8x8"))
    assert same(load_classifier("alice/digits/patches-28x28"), load_classifier("patches-28x28"))
    with pytest.raises(CheckpointError, match=r"^alice/digits on the Hub has no steer/grpo/config\.json\.$"):
        load_policy("alice/digits/steer/grpo")


def test_pushing_again_replaces_what_was_pushed(server):
    old = ("pixels-8x8/classifier/weights.safetensors", "pixels-8x8/steer/gone/weights.safetensors")
    before = {
        ".gitattributes": b"",
        "mine/notes.txt": b"kept",
        **dict.fromkeys(old, b"of an earlier version"),
    }
    repository = Repository(private=False, files=before)
    server.repositories["models", "alice/digits"] = repository
    assert hub.main(["push", "--repo", "alice/digits"]) == 0
    assert "pixels-8x8/steer/gone/weights.safetensors" not in repository.files
    assert {".gitattributes", "mine/notes.txt"} <= set(repository.files) and repository.commits == 1


def test_the_cache_answers_where_the_hub_cannot(server, monkeypatch):
    weights = checkpoints.ROOT / "pixels-8x8" / "random"
    files = {path.name: path.read_bytes() for path in weights.iterdir()}
    server.repositories["models", "bob/digits"] = Repository(private=False, files=files)
    monkeypatch.delenv("HF_TOKEN")
    fresh = load_policy("bob/digits")
    server.asked.clear()
    with monkeypatch.context() as offline:
        offline.setattr(constants, "HF_HUB_OFFLINE", True)
        assert same(load_policy("bob/digits"), fresh)
        with pytest.raises(CheckpointError, match="bob/others: the Hub cannot be reached"):
            load_policy("bob/others")
    assert server.asked == []
    point_to("http://127.0.0.1:9", monkeypatch)  # nobody listens there
    assert same(load_policy("bob/digits"), fresh)
    with pytest.raises(CheckpointError, match=r"^bob/others: the Hub cannot be reached \(\w+\)\.$"):
        load_policy("bob/others")


def test_what_is_private_needs_a_token(server, monkeypatch):
    assert hub.main(["push", "--repo", "alice/digits", "--private"]) == 0
    assert server.repositories["models", "alice/digits"].private
    assert load_policy("alice/digits/pixels-8x8/random")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(CheckpointError, match=r"^alice/digits: .* or a private one, and no token is set\.$"):
        load_policy("alice/digits/pixels-8x8/labelled")


@pytest.mark.parametrize(
    ("repo", "token", "code", "words"),
    [
        ("alice/digits", None, 1, "there is no usable token"),
        ("alice/digits", "hf_with\ttab", 1, "there is no usable token"),
        ("alice/digits", "hf_expired", 1, "alice/digits: the Hub answers 401: the token is not accepted."),
        ("bob/digits", TOKEN, 1, "bob/digits: the Hub answers 403: You don't have the rights to create"),
        ("alice/others", TOKEN, 1, "alice/others is taken: it holds something else"),
        ("alice/public", TOKEN, 1, "alice/public is there already and public"),
        ("alice/echo", TOKEN, 1, "alice/echo: the Hub answers 500: out of order, Bearer ***"),
        ("digits", TOKEN, 2, "--repo is 'digits'; allowed: OWNER/NAME"),
        ("alice/digits/run", TOKEN, 2, "allowed: OWNER/NAME"),
        ("alice/GRPO, pixel by pixel", TOKEN, 2, "allowed: OWNER/NAME"),
        ("alice/steer", TOKEN, 2, "allowed: OWNER/NAME"),
        ("alice/a--b", TOKEN, 2, "Cannot have -- or .. in repo_id: 'alice/a--b'"),
    ],
)
def test_refusals_are_one_sentence_without_the_token(server, monkeypatch, capsys, repo, token, code, words):
    others = {"README.md": b"mine", "model.safetensors": b"a month of work"}
    server.repositories["models", "alice/others"] = Repository(private=False, files=others)
    server.repositories["models", "alice/public"] = Repository(private=False)
    server.broken = "alice/echo"
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    assert hub.main(["push", "--repo", repo, "--private"]) == code
    says = capsys.readouterr().err
    assert says.startswith("error: ") and words in says and says.count("\n") == 1
    assert token is None or token not in says
    assert server.repositories["models", "alice/others"].files is others
    assert ("models", repo) not in server.repositories or not server.repositories["models", repo].commits


def test_no_network_is_one_sentence(server, monkeypatch, capsys):
    point_to("http://127.0.0.1:9", monkeypatch)
    assert hub.main(["space", "--repo", "alice/demo"]) == 1
    assert capsys.readouterr().err == "error: alice/demo: the Hub cannot be reached (ConnectError).\n"


@pytest.mark.parametrize(
    ("load", "name"),
    [
        (load_policy, "tiny-4x4/unlabelled"),
        (load_policy, "tiny-4x4/steer/grpo"),
        (load_policy, "tiny-4x5/labelled"),
        (load_policy, "steer/grpo"),
        (load_policy, "runs/tiny-4x4/steer/grpo/seed-1"),
        (load_policy, "checkpoints/pixels-8x8/random"),
        (load_policy, "mine/digits"),  # "mine" is a folder here
        (load_policy, Path("alice/digits")),
        (load_policy, "alice"),
        (load_policy, "/alice/digits"),
        (load_policy, "./alice/digits"),
        (load_policy, "alice/../digits"),
        (load_policy, "alice/digits/../../secret"),
        (load_policy, "alice/digits/"),
        (load_policy, "alice/*"),
        (load_policy, r"C:\alice\digits"),
        (load_classifier, "tiny-4x5"),
        (load_judge, Path("alice/digits")),
    ],
)
def test_a_name_that_can_only_be_local_is_never_asked_of_the_network(
    server, monkeypatch, tmp_path, load, name
):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load(name, tmp_path / "wrong")
    assert server.asked == []
    with pytest.raises(CheckpointError, match="alice/digits: the Hub answers 404: no such repository"):
        load_policy("alice/digits", tmp_path / "wrong")  # while this one is
    assert server.asked


def test_the_model_card_holds_what_was_measured():
    card = (checkpoints.ROOT / "README.md").read_text(encoding="utf-8")
    assert card == hub.model_card()  # python -m docs.build
    labels = head(card.encode())
    assert labels["license"] == "mit" and labels["library_name"] and labels["datasets"] == ["ylecun/mnist"]
    shown = {}
    for result in labels["model-index"][0]["results"]:
        shown |= {metric["name"].split()[-1]: metric["value"] for metric in result["metrics"]}
    for path in metrics_files(checkpoints.ROOT):
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
            task, _, run = row["name"].partition(": ")
            if (path.parent / task / run / "weights.safetensors").is_file():
                value = shown.pop(f"{path.parent.name}/{task}/{run}")
                assert value == pytest.approx(row["seeds"]["0"]["success"], abs=5e-5)
    assert shown == {}


@pytest.mark.skipif(os.name == "nt", reason="a Space is a Linux machine")
def test_what_space_uploads_starts_by_itself_and_answers(server, tmp_path):
    """Uploaded by the command line, copied to an empty folder that is read-only, started as a Space."""
    settings = {"HF_ENDPOINT": server.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-m", "core.hub", "space", "--repo", "alice/demo"]
    done = subprocess.run(command, cwd=REPO, env=os.environ | settings, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == f"{server.url}/spaces/alice/demo", done.stderr

    files = server.repositories["spaces", "alice/demo"].files
    tops = {name.split("/")[0] for name in files}
    plain = {".gitattributes", "README.md", "LICENSE", "requirements.txt", "app.py"}
    assert tops == plain | {"core", "demo", "checkpoints"}
    labels = head(files["README.md"])
    assert labels["sdk"] == "gradio" and labels["app_file"] == "app.py" and labels["license"] == "mit"
    asked = [Requirement(line) for line in files["requirements.txt"].decode().splitlines() if line[0] != "#"]
    assert any(part.name == "gradio" and labels["sdk_version"] in part.specifier for part in asked)
    for name, content in files.items():
        path = tmp_path / "app" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    here, there = Engine(), Engine(tmp_path / "app" / "checkpoints")
    assert there.recipes == here.recipes and len(here.recipes) == 2
    for recipe in here.recipes:
        assert there.policies(recipe) == here.policies(recipe)
        assert there.metrics(recipe) == here.metrics(recipe) and there.recorded(recipe)

    for path in [tmp_path / "app", *(tmp_path / "app").rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    python = os.environ.get("SPACE_PYTHON", sys.executable)  # .ci/run: one with the app's requirements alone
    absent = tmp_path / "absent"  # stands in for what only the tests need: a Space has none of it
    absent.mkdir()
    brought = {Requirement(line).name for line in requires("gradio")}
    for line in (REPO / "requirements-dev.txt").read_text(encoding="utf-8").splitlines():
        wanted = line.partition("#")[0].strip()
        if wanted and not wanted.startswith("-r") and Requirement(wanted).name not in brought:
            module = Requirement(wanted).name.replace("-", "_")
            (absent / f"{module}.py").write_text("raise ImportError('not in requirements.txt')")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = {
        "PYTHONPATH": str(absent),
        "HOME": str(tmp_path / "app"),
        "SPACE_ID": "alice/demo",
        "GRADIO_SERVER_PORT": str(port),
    }
    bound = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []  # root obeys modes, too
    log = (tmp_path / "log").open("w+")
    app = subprocess.Popen(
        [*bound, python, "app.py"],
        cwd=tmp_path / "app",
        env={name: value for name, value in os.environ.items() if not name.startswith("HF_")} | home,
        stdout=log,
        stderr=log,
        # Where the tests run in the background of a shell, they are deaf to Ctrl-C, and so would this be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline, client = time.monotonic() + 180, None
        while client is None:
            try:
                client = Client(f"http://127.0.0.1:{port}", verbose=False)
            except Exception:  # not up yet
                assert app.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.2)
        for recipe, size in (("pixels-8x8", 8), ("patches-28x28", 28)):
            found = client.predict("steer/grpo", 7, 1.0, 12345, 2, recipe, api_name="/generate")
            assert len(found["reads"]) == 2 and found["size"] == size, found.keys()
        race = client.submit(api_name="/train")
        while not any(news["points"] for news in race.outputs()):
            time.sleep(0.1)
        # Ctrl-C, while something trains and somebody's connection hangs in the middle of a request.
        with socket.create_connection(("127.0.0.1", port)) as hangs:
            hangs.sendall(b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
            time.sleep(0.2)
            app.send_signal(signal.SIGINT)
            assert app.wait(20) == 0
    finally:
        app.kill()
    assert "Error" not in (tmp_path / "log").read_text()

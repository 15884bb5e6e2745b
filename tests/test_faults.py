"""What goes wrong around a training: kills, full disks, two at once, no MNIST, and odd surroundings."""

import dataclasses
import errno
import gzip
import hashlib
import http.server
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from test_training import bars, command, shorten
from torchvision.datasets import MNIST
from toys import make_policy

import core.stages
from core import checkpoints, files, load_policy
from core.configs import ClassifierConfig
from core.data import DataError, load_mnist
from core.files import made, reserved, settle
from core.recipes import RECIPES
from core.train import main

NAMES = [archive.removesuffix(".gz") for archive, _ in MNIST.resources]
REPO = Path(__file__).resolve().parents[1]
SHAPE = {"size": 2, "levels": 2, "width": 6}


@pytest.fixture
def quick(monkeypatch):
    """Pictures that stand in for MNIST, and trainings of two steps."""
    few = {train: [part[:800] for part in bars(train)] for train in (True, False)}
    monkeypatch.setattr(core.stages, "load_mnist", lambda train, root: few[train])
    monkeypatch.setattr("core.train.evaluate", lambda place, resume: {})
    monkeypatch.setattr("core.train.text", lambda report: "")
    shorten(monkeypatch, steps=2, pretraining=2)
    tiny, brief = RECIPES["tiny-4x4"], ClassifierConfig(width=4, epochs=2)
    tasks = {task: {"grpo": tiny.tasks[task]["grpo"]} for task in tiny.tasks}
    tiny = dataclasses.replace(tiny, classifier=brief, judge=brief, tasks=tasks)
    monkeypatch.setitem(RECIPES, "tiny-4x4", tiny)


def killed(work) -> bool:
    """Do something in a process of its own; whether it was killed by SIGKILL on the way."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def kill_at_call(monkeypatch, owner, name: str, at: int) -> None:
    """Let the process be killed when a function is called for the nth time, before it does anything."""
    usual, calls = getattr(owner, name), iter(range(at))

    def call(*arguments, **named):
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return usual(*arguments, **named)

    monkeypatch.setattr(owner, name, call)


def bits(root: Path) -> dict[str, bytes]:
    """All weights below a folder, by name."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("weights.safetensors")}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("owner", [os, Path])  # os.replace: every file and folder; Path.write_text, ...
def test_killed_while_it_writes_the_old_checkpoint_is_whole(owner, tmp_path, monkeypatch):
    folder, curve = tmp_path / "policy", [{"step": 0}]
    old, new = make_policy("lstm"), make_policy("lstm", seed=1)
    checkpoints.save(folder, old, "lstm", SHAPE, {}, curve)
    before, at, dead = bits(tmp_path), 0, True
    while dead:
        with monkeypatch.context() as patch:
            for name in {os: ["replace"], Path: ["write_bytes", "write_text"]}[owner]:
                kill_at_call(patch, owner, name, at)
            dead = killed(lambda: checkpoints.save(folder, new, "lstm", SHAPE, {}, curve))
        settle(folder)
        assert [path.name for path in tmp_path.iterdir()] == ["policy"]
        load_policy(folder)
        assert (bits(tmp_path) == before) == dead
        at += 1
    assert at > 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_again_and_again_and_resumed_a_training_ends_with_the_same_bits(quick, tmp_path, monkeypatch):
    one, other = tmp_path / "unbroken", tmp_path / "broken"
    assert command("all --recipe tiny-4x4", one) == 0
    kills = 0
    for at in (1, 4, 3):  # so many reports of progress, then SIGKILL
        with monkeypatch.context() as patch:
            kill_at_call(patch, core.train.tqdm, "set_postfix", at)
            kills += killed(lambda: command("all --recipe tiny-4x4 --resume", other))
    assert kills == 3
    assert command("all --recipe tiny-4x4 --resume", other) == 0
    assert bits(other) == bits(one) and len(bits(one)) == 6  # one of them along the way
    assert not list(tmp_path.rglob(".writing-*"))
    # A stage by itself ends with the same bits too.
    before = bits(one)
    for words in ("classifier", "pretrain --start unlabelled", "grpo --task steer"):
        assert command(f"{words} --recipe tiny-4x4 --ship", one) == 0
    assert bits(one) == before


def test_a_second_process_is_refused_before_it_trains(quick, tmp_path, capsys):
    with reserved(tmp_path / "ship/tiny-4x4/judge"):
        assert command("judge --recipe tiny-4x4 --ship", tmp_path) == 2
        assert "another process is writing" in capsys.readouterr().err
        assert command("all --recipe tiny-4x4", tmp_path) == 2
        assert "another process is writing" in capsys.readouterr().err
        assert command("classifier --recipe tiny-4x4 --ship --epochs 1", tmp_path) == 0
    assert command("judge --recipe tiny-4x4 --ship --epochs 1", tmp_path) == 0
    assert not list(tmp_path.rglob(".writing-*"))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks Linux which files are open")
def test_no_file_is_moved_or_removed_while_it_is_open_which_windows_refuses(
    quick, tmp_path, monkeypatch, capsys
):
    def as_windows(usual):
        def moved(path, *rest, **named):
            opened = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
            if any(str(path) in line for line in [*opened, Path("/proc/self/maps").read_text()]):
                raise PermissionError(errno.EACCES, "another program has it open", str(path))
            return usual(path, *rest, **named)

        return moved

    monkeypatch.setattr(os, "replace", as_windows(os.replace))
    monkeypatch.setattr(Path, "unlink", as_windows(Path.unlink))
    with open(tmp_path / "open", "w"), pytest.raises(PermissionError):
        os.replace(tmp_path / "open", tmp_path / "moved")
    assert command("classifier --recipe tiny-4x4 --ship", tmp_path) == 0
    described = tmp_path / "ship/tiny-4x4/classifier/config.json"
    damaged = json.loads(described.read_text()) | {"sha256": "0" * 64}
    described.write_text(json.dumps(damaged))
    capsys.readouterr()
    assert command("all --recipe tiny-4x4 --resume", tmp_path) == 0
    said = capsys.readouterr()
    assert "classifier: kept" not in said.out and "error" not in said.err
    assert command("all --recipe tiny-4x4 --resume", tmp_path) == 0
    assert "classifier: kept" in capsys.readouterr().out


def test_a_full_disk_is_noticed_before_training_and_leaves_nothing_half_written(
    quick, tmp_path, monkeypatch, capsys
):
    resource = pytest.importorskip("resource")  # Windows has none
    words = "judge --recipe tiny-4x4 --epochs 1"
    assert command(f"{words} --ship", tmp_path) == 0
    before = bits(tmp_path)
    with monkeypatch.context() as patch:
        usage = shutil.disk_usage(tmp_path)._replace(free=3_000_000)
        patch.setattr(files.shutil, "disk_usage", lambda path: usage)
        patch.setattr(core.stages, "train_classifier", None)  # never asked
        assert command(f"{words} --ship --seed 0", tmp_path) == 2
        assert "only 3 MB are free there" in capsys.readouterr().err
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # full when it comes to writing
    try:
        assert command(f"{words} --ship", tmp_path) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and os.strerror(errno.EFBIG) in said
    assert bits(tmp_path) == before and not list(tmp_path.rglob(".writing-*"))


def test_ctrl_c_says_how_to_go_on(quick, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("core.train.run_stage", interrupted)
    assert command("all --recipe tiny-4x4", tmp_path) == 130
    assert "stopped; what was finished is kept" in (said := capsys.readouterr().err)
    assert "--resume goes on with it" in said and "Traceback" not in said
    assert command("judge --recipe tiny-4x4", tmp_path) == 130
    assert "any other starts anew" in capsys.readouterr().err
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_folders_that_stay_empty_are_removed_and_no_others(tmp_path):
    (tmp_path / "mine").mkdir()
    with made(tmp_path / "mine" / "a" / "b"):
        assert (tmp_path / "mine" / "a" / "b").is_dir()
    assert list((tmp_path / "mine").iterdir()) == []  # and it was there before
    with made(tmp_path / "mine" / "a" / "b"):
        (tmp_path / "mine" / "a" / "kept").touch()
    assert [path.name for path in (tmp_path / "mine" / "a").iterdir()] == ["kept"]


# MNIST.


def idx(name: str, fill: int = 0) -> bytes:
    """One of MNIST's files with nothing but one value in it."""
    count = 60_000 if name.startswith("train") else 10_000
    head = (2051, count, 28, 28) if "images" in name else (2049, count)
    return b"".join(number.to_bytes(4, "big") for number in head) + bytes([fill]) * math.prod(head[1:])


@pytest.fixture
def mirror(monkeypatch):
    """A server that answers as ``answers`` says, by file name, else 403; MNIST comes from nowhere else."""
    answers: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = answers.get(self.path[1:])
            self.send_response(403 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    yield answers
    server.shutdown()


def in_a_sentence(found) -> str:
    """What an error says, which is one line."""
    said = str(found.value)
    assert "\n" not in said and len(said) < 1000
    return said


def test_a_mirror_that_refuses_is_named_in_a_sentence_and_leaves_no_folder(mirror, monkeypatch, tmp_path):
    with pytest.raises(DataError) as found:
        load_mnist(True, tmp_path / "none" / "at all")
    said = in_a_sentence(found)
    assert "train-images-idx3-ubyte is missing and could not be downloaded (HTTP Error 403" in said
    assert "put it there, or name a folder" in said
    assert not list(tmp_path.glob("*"))
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])  # nobody listens there
    monkeypatch.setenv("MNIST_ROOT", str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match=r"elsewhere.*could not be downloaded \(.*refused"):
        load_mnist(True)
    assert not list(tmp_path.glob("*"))


def test_only_what_is_missing_is_downloaded_and_what_is_there_stays(mirror, monkeypatch, tmp_path):
    raw, archives = tmp_path / "MNIST" / "raw", {}
    raw.mkdir(parents=True)
    for fill, name in enumerate(NAMES):
        (raw / name).write_bytes(idx(name, fill))
        archives[f"{name}.gz"] = gzip.compress(idx(name, 9), 1)
    (raw / "train-images-idx3-ubyte").unlink()
    (raw / "t10k-labels-idx1-ubyte").rename(raw / "t10k-labels.idx1-ubyte")
    resources = [(name, hashlib.md5(archive).hexdigest()) for name, archive in archives.items()]
    monkeypatch.setattr(MNIST, "resources", resources)
    mirror["train-images-idx3-ubyte.gz"] = archives["train-images-idx3-ubyte.gz"]
    load_mnist(True, tmp_path)
    with pytest.raises(DataError) as found:  # the other one is refused
        load_mnist(False, tmp_path)
    assert "t10k-labels-idx1-ubyte is missing and could not be downloaded (HTTP" in in_a_sentence(found)
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(archives["t10k-labels-idx1-ubyte.gz"])  # by hand
    images, labels = load_mnist(False, tmp_path)
    assert images.shape == (10_000, 1, 28, 28) and set(labels.tolist()) == {9}
    kept = [name for name in NAMES if name.startswith("t10k-images") or "train-labels" in name]
    for fill, name in enumerate(NAMES):
        assert (raw / name).read_bytes() == idx(name, fill if name in kept else 9)
    assert {path.name for path in raw.glob("*ubyte")} == {*NAMES, "t10k-labels.idx1-ubyte"}


def test_a_damaged_archive_is_not_unpacked(mirror, tmp_path):
    mirror["train-images-idx3-ubyte.gz"] = gzip.compress(b"\0" * 1000)[:50]
    with pytest.raises(DataError, match="could not be downloaded"):
        load_mnist(True, tmp_path / "new")
    assert not list(tmp_path.glob("**/*ubyte"))


@pytest.mark.parametrize("name", NAMES)
def test_damaged_mnist_is_blamed_on_the_file_that_is_damaged(name, mirror, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for other in NAMES:
        (raw / other).write_bytes(idx(other))
    for content in (b"", idx(name)[:-1]):
        (raw / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name} is damaged; delete it to download"):
            load_mnist(name.startswith("train"), tmp_path)
        assert (raw / name).read_bytes() == content


def test_files_of_the_right_size_that_are_not_mnist_are_said_to_be_damaged(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in NAMES:
        (raw / name).write_bytes(bytes(len(idx(name))))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte is damaged; delete it"):
        load_mnist(False, tmp_path)


def test_a_folder_that_cannot_hold_mnist_is_said(tmp_path):
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / ("x" * 300), "a\0b"):
        with pytest.raises(DataError) as found:
            load_mnist(True, root)
        in_a_sentence(found)
    assert main(["judge", "--recipe", "tiny-4x4", "--data-root", str(tmp_path / "file")]) == 1


# Surroundings.

SCRIPT = """
import torch
from core import load_judge, load_policy

policy, labels = load_policy("pixels-8x8/steer/grpo"), torch.arange(50) % 10
rollout = policy.sample(labels, generator=torch.Generator().manual_seed(0))
reads = load_judge("pixels-8x8")(policy.tokenizer.decode(rollout.tokens)).argmax(1)
print((reads == labels).sum().item())
"""


def test_a_policy_draws_in_any_surroundings(tmp_path):
    """In ASCII, with no home and too many threads, from a folder with a space and an umlaut in its name, and
    from another working directory."""
    home = tmp_path / "ein Ordner für Übungen"
    shutil.copytree(REPO / "core", home / "core", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REPO / "checkpoints" / "pixels-8x8", home / "checkpoints" / "pixels-8x8")
    odd = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "HOME": "/proc/none", "OMP_NUM_THREADS": "64"}
    waiting = {"OMP_WAIT_POLICY": "passive"}  # as in a training; else 64 threads keep all cores busy
    environment = {**os.environ, "PYTHONPATH": str(home), **odd, **waiting}
    line = [sys.executable, "-X", "utf8=0", "-c", SCRIPT]
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 40

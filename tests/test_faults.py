"""What goes wrong around a training: kills, full disks, two at once, and odd surroundings."""

import dataclasses
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_training import bars, command, shorten
from toys import make_policy

import core.stages
from core import checkpoints, files, load_policy
from core.configs import ClassifierConfig
from core.files import made, reserved, settle
from core.recipes import RECIPES

REPO = Path(__file__).resolve().parents[1]
SHAPE = {"size": 2, "levels": 2, "width": 6}


@pytest.fixture
def quick(monkeypatch):
    """Pictures that stand in for MNIST, and trainings of one step."""
    few = {train: [part[:800] for part in bars(train)] for train in (True, False)}
    monkeypatch.setattr(core.stages, "load_mnist", lambda train, root: few[train])
    monkeypatch.setattr("core.train.evaluate", lambda place, resume: {})
    monkeypatch.setattr("core.train.text", lambda report: "")
    shorten(monkeypatch, steps=2, pretraining=2)
    tiny, brief = RECIPES["tiny-4x4"], ClassifierConfig(width=4, epochs=2)
    tasks = {task: {"grpo": tiny.tasks[task]["grpo"]} for task in ("steer", "refine")}
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
    for at in range(1, 13, 4):  # so many reports of progress, then SIGKILL
        with monkeypatch.context() as patch:
            kill_at_call(patch, core.train.tqdm, "update", at)
            kills += killed(lambda: command("all --recipe tiny-4x4 --resume", other))
    assert kills == 3
    assert command("all --recipe tiny-4x4 --resume", other) == 0
    assert bits(other) == bits(one) and len(bits(one)) == 9  # two of them along the way
    assert not list(tmp_path.rglob(".writing-*"))
    # A stage by itself ends with the same bits too.
    before = bits(one)
    for words in ("classifier", "pretrain --start labelled", "grpo --task refine"):
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


def test_a_full_disk_is_noticed_before_training_and_leaves_nothing_half_written(
    quick, tmp_path, monkeypatch, capsys
):
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
    assert "--resume goes on" in said and "Traceback" not in said
    assert command("judge --recipe tiny-4x4", tmp_path) == 130
    assert "The same command starts anew" in capsys.readouterr().err
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_folders_that_stay_empty_are_removed_and_no_others(tmp_path):
    (tmp_path / "here").mkdir()
    with pytest.raises(ValueError, match="never mind"), made(tmp_path / "here" / "a" / "b"):
        raise ValueError("never mind")
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]
    with made(tmp_path / "here" / "a" / "b"):
        (tmp_path / "here" / "a" / "kept").touch()
    assert [path.name for path in (tmp_path / "here" / "a").iterdir()] == ["kept"]


# Surroundings.

SCRIPT = """
import torch
from core import load_judge, load_policy

policy, labels = load_policy("pixels-8x8/steer/grpo"), torch.arange(50) % 10
rollout = policy.sample(labels, generator=torch.Generator().manual_seed(0))
reads = load_judge("pixels-8x8")(policy.tokenizer.decode(rollout.tokens)).argmax(1)
print((reads == labels).sum().item())
"""


@pytest.mark.parametrize(
    ("flags", "setting"),
    [
        (["-O"], {"LC_ALL": "C", "LANG": "C", "HOME": "/proc/none"}),
        (["-X", "utf8=0"], {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "OMP_NUM_THREADS": "64"}),
    ],
    ids=["optimised, C, no home", "ASCII, 64 threads"],
)
def test_a_policy_draws_in_any_surroundings(flags, setting, tmp_path):
    """From a folder with a space and an umlaut in its name, and from another working directory."""
    home = tmp_path / "ein Ordner für Übungen"
    shutil.copytree(REPO / "core", home / "core", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REPO / "checkpoints" / "pixels-8x8", home / "checkpoints" / "pixels-8x8")
    environment = {**os.environ, "PYTHONPATH": str(home), **setting}
    line = [sys.executable, *flags, "-c", SCRIPT]
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 40

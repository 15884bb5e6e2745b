"""On which device tensors are, and two processes that train as one. Where there is a GPU, it is tried too."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toys import make_policy
from two_ranks import ALGORITHMS, CONFIG, setting, watch

from core import checkpoints, evaluate, parallel
from core.classifiers import DigitClassifier, Judge
from core.configs import RLConfig
from core.mistakes import drawn_otherwise
from core.place import Place, find_device
from core.recipes import find_recipe
from core.rewards import TERMS, Rewards
from core.rl import train
from core.train import main
from core.yardstick import draw


def test_a_device_that_is_not_there_is_refused_in_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for command in (main, evaluate.main):
        words = ["grpo"] * (command is main) + ["--recipe", "tiny-4x4", "--device", "cuda"]
        assert command(words) == 2
        assert capsys.readouterr().err == "error: --device cuda is not on this machine; PyTorch finds: cpu.\n"
    assert find_device("auto") == torch.device("cpu")
    monkeypatch.setenv("RANK", "1")  # of torchrun's processes, which all refuse the same
    assert main(["grpo", "--recipe", "tiny-4x4", "--device", "cuda"]) == 2
    assert capsys.readouterr().err == ""


def test_auto_is_a_gpu_where_there_is_one_and_each_process_has_its_own(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert find_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("auto") == find_device("cuda") == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert find_device("auto") == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="--device cuda is not on this machine"):
        find_device("cuda")


def test_rl_makes_every_tensor_where_the_policy_is(kind):
    """What names no device lands on another one, where it cannot meet the others."""
    policy, reference = (make_policy(kind, size=8, levels=4) for _ in range(2))
    classifier, judge = (model(8, width=4).eval() for model in (DigitClassifier, Judge))
    config, generator = RLConfig(digits=(1, 2), group=4, steps=2), torch.Generator().manual_seed(0)
    labels = torch.arange(20) % 10
    with torch.device("meta"):
        rewards = Rewards(classifier, reference, dict.fromkeys(TERMS, 0.5))
        for algorithm in ALGORITHMS.values():
            records = list(train(policy, reference, rewards, judge, algorithm, config, generator))
            assert len(records) == 2 and records[1].tokens.device == policy.device
        images, nats = draw(policy, reference, labels)
        assert images.shape == (20, 1, 8, 8) and nats.isfinite().all()
        with pytest.raises(RuntimeError, match="meta"):
            policy.sample(torch.arange(3), generator=generator)


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU on this machine")


@needs_gpu
def test_a_gpu_draws_from_the_distribution_that_it_scores(kind):
    device, labels = find_device("cuda"), torch.arange(300) % 10
    policy, twin = make_policy(kind, size=8, levels=16).to(device), make_policy(kind, size=8, levels=16)
    generator = torch.Generator(device).manual_seed(0)
    rollout = policy.sample(labels.to(device), 0.8, generator)
    for other, where in ((policy, device), (twin, "cpu")):
        with torch.no_grad():
            scored = other.log_probs(labels.to(where), rollout.tokens.to(where), 0.8)
        torch.testing.assert_close(rollout.distributions.cpu(), scored.cpu(), rtol=1e-3, atol=1e-4)
    chance, drawn = rollout.distributions[:, 0].exp().mean(0), rollout.tokens[:, 0]
    share = torch.bincount(drawn, minlength=16) / len(labels)
    assert (share - chance).abs().max() < 4 * 0.5 / len(labels) ** 0.5, "four standard errors"


@needs_gpu
@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_gpu_has_the_gradient_of_the_cpu_for_the_same_samples(name):
    config = dataclasses.replace(CONFIG, steps=1)

    def step(device: torch.device, drawn: torch.Tensor | None = None) -> dict:
        generator = torch.Generator(device).manual_seed(0)
        policy, settings = setting(generator, ALGORITHMS[name], config, device)
        learner = policy if drawn is None else drawn_otherwise(policy, lambda *_: drawn)
        (seen,) = watch(policy, train(learner, *settings))
        return seen

    gpu = step(find_device("cuda"))
    cpu = step(torch.device("cpu"), gpu["tokens"].cpu())
    for key in ("reward", "success", "kl", "entropy", "clip_fraction", "gradient_norm"):
        assert gpu[key] == pytest.approx(cpu[key], rel=1e-3, abs=1e-6), key
    one, other = (torch.cat([part.flatten().cpu() for part in seen["gradient"]]) for seen in (gpu, cpu))
    assert (one - other).norm() < 1e-3 * other.norm()


def same(found, expected, name: str) -> None:
    if isinstance(found, dict):
        for key in expected:
            same(found[key], expected[key], f"{name}: {key}")
    elif isinstance(found, list):
        for one, other in zip(found, expected, strict=True):
            same(one, other, name)
    else:
        torch.testing.assert_close(
            torch.as_tensor(found),
            torch.as_tensor(expected),
            rtol=1e-4,
            atol=1e-6,
            msg=lambda said: f"{name}: {said}",
        )


def launch(*words) -> str:
    """Run a command in two processes, as the README says; returns what they print."""
    if os.name == "nt":
        pytest.skip("torchrun wants libuv, which PyTorch's builds for Windows are without")
    here, loopback = Path(__file__).parent, "lo0" if sys.platform == "darwin" else "lo"
    paths = f"{here}{os.pathsep}{here.parent}"
    environment = {**os.environ, "PYTHONPATH": paths, "GLOO_SOCKET_IFNAME": loopback}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, *words], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two processes train toys, and then a checkpoint: their folder, and what they print."""
    folder = tmp_path_factory.mktemp("two")
    place = Place(find_recipe("tiny-4x4"), folder / "ship")
    for name in ("classifier", "judge"):
        shape = {"size": 4, "width": 4}
        checkpoints.save(place.folder(name), checkpoints.build(name, shape), name, shape, {})
    command = "grpo --recipe tiny-4x4 --task scratch --digits 3 4 --steps 3 --group 4".split()
    folders = ["--runs", folder / "runs", "--checkpoints", folder / "ship"]
    return folder, launch(Path(__file__).with_name("two_ranks.py"), folder, *command, *folders)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_two_processes_take_the_steps_of_one_with_the_same_samples(two, name):
    first, second = (torch.load(two[0] / f"seen-{rank}.pt")[name] for rank in range(2))
    drawn = iter([step["tokens"] for step in first])
    policy, settings = setting(None, ALGORITHMS[name], CONFIG)
    replayed = drawn_otherwise(policy, lambda *_: next(drawn))
    settings = (*settings[:-1], torch.Generator())
    alone = watch(policy, train(replayed, *settings))
    for step, (one, other, expected) in enumerate(zip(first, second, alone, strict=True)):
        one, other = ({**seen, "seconds": expected["seconds"]} for seen in (one, other))
        same(one, expected, f"rank 0, step {step}")
        same(other, one, f"rank 1, step {step}")
        mine, yours = one["tokens"].chunk(2)
        assert not torch.equal(mine, yours), "each draws from random numbers of its own"
    assert alone[0]["gradient_norm"] > CONFIG.clip, "or nobody sees whether it is limited before or after"
    assert sum(one["samples"] for one in first) == 32 * (1 + 2 + 3 + 4)


def test_two_processes_write_one_checkpoint_between_them(two):
    folder, said = two
    assert checkpoints.exists(folder / "ship/tiny-4x4/random"), "rank 0 makes it before rank 1 looks for it"
    written = folder / "runs/tiny-4x4/scratch/grpo/seed-0"
    config = checkpoints.read_config(written)
    assert config["processes"] == 2 and config["config"]["digits"] == [3, 4] and config["samples"] == 24
    curve = json.loads((written / "curve.json").read_text())
    assert [point["samples"] for point in curve] == [8, 16, 24]
    assert said.count("scratch/grpo is in ") == 1
    assert list(written.parent.iterdir()) == [written]


def test_what_cannot_be_shared_out_is_refused_in_a_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(parallel, "ranks", lambda: 3)
    monkeypatch.setattr(parallel, "rank", lambda: 1)
    with pytest.raises(ValueError, match="10 digits cannot be shared out evenly among 3 processes"):
        parallel.share(RLConfig())
    assert parallel.share(RLConfig(digits=(7, 1, 0, 2, 9, 4))).digits == (0, 2)
    assert main(["classifier", "--recipe", "tiny-4x4"]) == 2
    assert "torchrun shares out the groups of a run; classifier takes one process" in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="several processes cannot share --device mps"):
        parallel.joined(torch.device("mps")).__enter__()

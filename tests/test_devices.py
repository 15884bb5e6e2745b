"""On which device tensors are. None of it needs a GPU, or tries one."""

import pytest
import torch
from toys import make_policy

from core import evaluate
from core.algorithms import GRPO, Reinforce
from core.classifiers import DigitClassifier, Judge
from core.configs import RLConfig
from core.place import find_device
from core.rewards import TERMS, Rewards
from core.rl import train
from core.train import main
from core.vqvae import PatchTokenizer
from core.yardstick import draw


def test_a_device_that_is_not_there_is_refused_in_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for command in (main, evaluate.main):
        words = ["grpo"] * (command is main) + ["--recipe", "tiny-4x4", "--device", "cuda"]
        assert command(words) == 2
        assert capsys.readouterr().err == "error: --device cuda is not on this machine; PyTorch finds: cpu.\n"
    assert find_device("auto") == torch.device("cpu")


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
    labels, patches = torch.arange(20) % 10, PatchTokenizer(8, codes=16, dim=4, channels=4)
    with torch.device("meta"):
        rewards = Rewards(classifier, reference, dict.fromkeys(TERMS, 0.5))
        for algorithm in (GRPO(), Reinforce(baseline=True)):
            records = list(train(policy, reference, rewards, judge, algorithm, config, generator))
            assert len(records) == 2 and records[1].tokens.device == policy.device
        images, nats = draw(policy, reference, labels)
        assert images.shape == (20, 1, 8, 8) and nats.isfinite().all()
        assert patches.blank.device == patches.codebook.device
        with pytest.raises(RuntimeError, match="meta"):
            policy.sample(torch.arange(3), generator=generator)

"""The benchmarks run, and compare like with like. What needs a peer is skipped where it is not installed."""

import importlib.util
import json
import sys

import pytest
import torch
from toys import Brightness, make_policy

from benchmarks import __main__ as command
from benchmarks import beside_trl, peers, report, sampling, server, sizes
from core.configs import RLConfig
from core.place import Place
from core.policies import LABELS
from core.recipes import GUIDE, PATCHES, PIXELS, TINY
from core.rewards import Rewards

ROW = {"ours": {"min": 1.0, "median": 2.0}, "peer": {"min": 3.0, "median": 5.0}}


def needs(*packages):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    why = f"{' and '.join(missing)} not installed: pip install -r benchmarks/requirements.txt"
    return pytest.mark.skipif(bool(missing), reason=why)


def unlabelled(size=4, levels=4):
    """A transformer with random weights but for its label inputs, as after pretraining without labels."""
    policy = make_policy("transformer", size, levels)
    with torch.no_grad():
        for parameter in policy.label_inputs():
            parameter.zero_()
    return policy


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    return tmp_path / "results.json"


def test_ours_and_the_guides_sampler_take_longer_than_the_bare_products():
    rows = sampling.measure([GUIDE], batches=[2], rounds=2)["rows"]
    found = rows["guide-8x8, batch 2"]
    assert found["floor"]["median"] < min(found["ours"]["median"], found["peer"]["median"])


@needs("transformers")
def test_both_policies_are_measured_beside_a_model_of_their_size():
    found = sampling.measure([PIXELS, PATCHES], batches=[1], rounds=1)
    assert list(found["rows"]) == ["pixels-8x8, batch 1", "patches-28x28, batch 1"]
    for parameters in found["parameters"].values():
        assert parameters["peer"] == pytest.approx(parameters["ours"], rel=0.15)


def test_the_floor_is_every_matrix_of_a_step_once(kind):
    policy = make_policy(kind, 4, 4)
    used = ("layer1.weight", "layer2.weight", "blocks", "head.weight")
    weights = sum(value.numel() for name, value in policy.named_parameters() if name.startswith(used))
    assert sum(matrix.numel() for matrix in peers.matrices(policy)) == weights


def test_the_guides_sampler_runs_over_all_pixels_so_far_for_each_pixel():
    guide, lengths = peers.Guide(levels=8, width=4), []
    guide.layers.register_forward_pre_hook(lambda layers, inputs: lengths.append(inputs[0].shape[1]))
    tokens = guide.generate(torch.zeros(3, dtype=torch.int64), 5)
    assert lengths == [1, 2, 3, 4, 5] and tokens.shape == (3, 5) and 0 <= tokens.min() <= tokens.max() < 8


@needs("transformers")
def test_the_llama_is_the_transformer_and_generate_draws_from_it():
    policy = unlabelled(2, 3)
    llama = peers.fit(peers.stock(policy), policy).eval()
    assert beside_trl.check_same(policy, llama) < 1e-4
    torch.manual_seed(0)
    labels = torch.arange(20_000) % LABELS
    drawn = peers.generate(llama, labels, policy.tokenizer.length, policy.tokenizer.vocabulary)
    shape = (len(labels), policy.tokenizer.length, policy.tokenizer.vocabulary)
    counts = torch.zeros(shape).scatter_(2, drawn[:, :, None], 1).mean(0)
    expected = policy.sample(labels, generator=torch.Generator().manual_seed(1)).distributions.exp().mean(0)
    assert (counts - expected).abs().max() < 0.02  # more than four standard errors of both together


@needs("transformers")
def test_another_policy_is_told_from_the_llamas():
    policy, other = unlabelled(), unlabelled()
    llama = peers.fit(peers.stock(policy), policy).eval()
    with torch.no_grad():
        other.norms[0, 1] += 0.01
    with pytest.raises(RuntimeError, match="not the same start"):
        beside_trl.check_same(other, llama)
    with pytest.raises(ValueError, match="has learned labels"):
        peers.fit(peers.stock(policy), make_policy("transformer", 4, 4))


def setting(policy, steps):
    config = RLConfig(digits=(1, 3), group=4, steps=steps, lr=1e-2, beta=0.05)
    rewards = Rewards(Brightness(), policy, {"confidence": 1.0})
    return beside_trl.Setting(policy, rewards, Brightness(), config)


@needs("transformers", "trl")
@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_trl_takes_the_same_steps(kind):
    policy = unlabelled() if kind == "transformer" else make_policy("lstm", 4, 4)
    courses = beside_trl.compare(setting(policy, 3), seeds=1, stop=False)
    for (course,) in courses:
        assert len(course.seconds) == len(course.success) == 3
        assert course.seconds == sorted(course.seconds) and 0 <= min(course.success)
    rows = {"a step": beside_trl.rates(courses)}
    assert report.table("seconds", rows).count("\n") == 2


@needs("transformers", "trl")
def test_trl_learns_here_what_ours_learns_and_stops_where_it_is_good_enough():
    """Label 1 is a bright top: both find out, and neither takes its hundred steps."""
    policy = unlabelled()
    found = beside_trl.Setting(
        policy,
        Rewards(Brightness(), policy, {"confidence": 1.0}),
        Brightness(),
        RLConfig(digits=(1,), group=32, steps=100, lr=1e-2, beta=0.0001),
    )
    for courses in beside_trl.compare(found, seeds=1, stop=True):
        assert 3 <= len(courses[0].seconds) < 100 and courses[0].done()


def test_good_enough_is_a_mean_over_a_window_and_never_is_the_largest():
    assert report.reached([1.0, 0.7, 0.9, 1.0, 0.8], share=0.9, window=3) == 4
    assert report.reached([1.0, 1.0], share=0.9, window=3) is None
    assert report.spread([3.0, None, 1.0]) == {"min": 1.0, "median": 3.0}
    assert report.spread([3.0, None]) == {"min": 3.0, "median": None}
    never = {"ours": report.spread([1.0]), "peer": report.spread([None])}
    assert report.table("", {"x": never}).splitlines()[-1] == "| x | 1 (1) | never (never) |  |"


def test_a_part_is_measured_and_the_others_stay(results, monkeypatch, capsys):
    results.write_text(json.dumps({"trl": {"kept": 1}, "gone": 2}))
    monkeypatch.setitem(command.PARTS, "sampling", (lambda: {"rows": {"a batch": ROW}}, ()))
    command.main(["sampling"])
    found = json.loads(results.read_text())
    assert list(found) == ["sampling", "trl"] and found["trl"] == {"kept": 1}
    assert found["sampling"]["rows"] == {"a batch": ROW} and found["sampling"]["machine"]["threads"] >= 1
    assert "| a batch | 1 (2) | 3 (5) | 2.50 |" in capsys.readouterr().out


@pytest.mark.parametrize("words, says", [(["speed"], "unknown part 'speed'"), (["trl"], "is not installed")])
def test_what_cannot_be_measured_is_refused_before_anything_is(words, says, results, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stopped:
        command.main(words)
    assert stopped.value.code == 2 and says in capsys.readouterr().err and not results.exists()


def test_a_picture_costs_more_to_learn_from_than_to_sample_and_weighs_what_it_has():
    found = sizes.cost(Place(TINY).new_policy(0))
    assert found["tokens"] == 16 and found["sample"] > 0 < found["learn"]
    assert found["parameters"] == sum(one.numel() for one in Place(TINY).new_policy(0).parameters())


def test_a_server_is_timed_weighed_and_ended():
    serve = "import os, http.server as s; s.test(s.SimpleHTTPRequestHandler, port=int(os.environ['{}']))"
    command = (sys.executable, "-c", serve.format("GRADIO_SERVER_PORT"))
    process, address, seconds = server.start(command)
    assert address.startswith("http://127.0.0.1:") and seconds > 0 and server.resident(process.pid) > 5
    server.end(process)
    assert process.poll() is not None
    with pytest.raises(RuntimeError, match="ended with code 3"):
        server.start((sys.executable, "-c", "raise SystemExit(3)"))

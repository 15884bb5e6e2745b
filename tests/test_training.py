"""The command line, from digits to ladder, on pictures that stand in for MNIST."""

import dataclasses
import json

import pytest
import torch

import core.stages
import core.yardstick
from core import data, evaluate, load_judge, load_policy, train
from core.algorithms import GRPO, Reinforce
from core.configs import PretrainConfig, RLConfig
from core.data import DataError, load_mnist
from core.recipes import RECIPES, Task
from core.train import main, plan


def bars(train: bool, root=None):
    """28x28 pictures in ten classes that can be told apart at 4x4: a bright bar, at one of ten places, and some noise."""
    count = 4000 if train else 400
    generator = torch.Generator().manual_seed(int(train))
    labels = torch.randint(10, (count,), generator=generator)
    images = 0.1 * torch.rand(count, 1, 28, 28, generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        place = 3 + 7 * (label % 4)
        if label < 4:
            image[0, :, place - 3 : place + 4] += 0.8
        elif label < 8:
            image[0, place - 3 : place + 4, :] += 0.8
        else:
            image[0, 7 * (label - 8) : 7 * (label - 8) + 14, 7:21] += 0.8
    return images, labels


@pytest.fixture
def stand_in(monkeypatch):
    """Pictures that stand in for MNIST. They live in this process, so worker processes are replaced by a plain map."""
    monkeypatch.setattr(core.stages, "load_mnist", bars)
    monkeypatch.setattr(core.yardstick, "load_mnist", bars)
    monkeypatch.setattr(evaluate, "ProcessPoolExecutor", Inline)
    monkeypatch.setattr(train, "ProcessPoolExecutor", Inline)


@pytest.mark.parametrize("recipe", ["tiny-4x4", "tiny-patches"])
def test_the_tiny_recipe_trains_from_nothing_and_rl_helps(recipe, stand_in, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(evaluate, "SAMPLES", 300)
    monkeypatch.setattr(core.yardstick, "SAMPLES", 300)
    assert main(["all", "--recipe", recipe, "--checkpoints", str(tmp_path)]) == 0
    report = json.loads((tmp_path / recipe / "metrics.json").read_text())
    rows = {row["name"]: row["values"] for row in report["rows"]}
    parts = ("REINFORCE", "GRPO")
    assert {f"{task}: {part}" for task in ("steer", "refine", "scratch") for part in parts} <= set(rows)
    assert {f"{task}: {part}" for task in ("steer", "refine") for part in ("rejection", "best-of-N")} <= set(rows)
    start = rows["steer: start (unlabelled)"]
    assert rows["steer: GRPO"]["reward"]["mean"] > start["reward"]["mean"] + 0.1
    assert rows["steer: GRPO"]["kl"]["mean"] > 0 == start["kl"]["mean"]
    assert rows["real against real"]["frechet"]["mean"] < rows["random pixels"]["frechet"]["mean"]
    assert "judge success" in capsys.readouterr().out
    policy = load_policy(f"{recipe}/steer/grpo", tmp_path)
    images = policy.tokenizer.decode(policy.sample(torch.arange(10)).tokens)
    assert load_judge(recipe, tmp_path)(images).shape == (10, 10)
    # one task measured again leaves the other rows alone, and everything where it was
    path = tmp_path / recipe / "metrics.json"
    report["rows"][0]["values"]["ink"]["mean"] = 0.5
    path.write_text(json.dumps(report))
    assert evaluate.main(["--recipe", recipe, "--checkpoints", str(tmp_path), "--task", "steer"]) == 0
    assert json.loads(path.read_text()) == report
    if recipe == "tiny-4x4":  # what refine's RL begins with has learned to fail less, at a price
        start, before = rows["refine: start (labelled)"], rows["refine: before RL (unlikelihood)"]
        assert before["reward"]["mean"] > start["reward"]["mean"] and before["kl"]["mean"] > 0.01
        # steer's RL begins at the start, a critic by GRPO's side; one digit can be trained without
        assert "steer: before RL (foresight)" not in rows and not (tmp_path / recipe / "steer/foresight").exists()
        words = f"grpo --recipe {recipe} --checkpoints {tmp_path} --digits 3 --critic false --interpolate false"
        assert main([*words.split(), "--out", str(tmp_path / "three")]) == 0
        curve = json.loads((tmp_path / "three" / "curve.json").read_text())
        assert sum(point["reward"] for point in curve[-5:]) > sum(point["reward"] for point in curve[:5])
    if recipe == "tiny-patches":
        before = rows["steer: before RL (foresight)"]
        assert before["success"]["mean"] > start["success"]["mean"] + 0.1  # labels mean something before any reward is paid
        # refine's foresight has its price before RL begins; the ablation without it begins at the start itself
        assert rows["refine: before RL (foresight)"]["kl"]["mean"] > 0.05
        for name, foreseen in {"reinforce": True, "grpo": True, "grpo-direct": False}.items():
            first = json.loads((tmp_path / recipe / "refine" / name / "curve.json").read_text())[0]
            assert first["kl"] > 0.05 if foreseen else abs(first["kl"]) < 1e-4
        # what is kept of refine is guided, its start is not, and the ladder counts that price
        kept, start = (load_policy(f"{recipe}/{name}", tmp_path) for name in ("refine/grpo", "labelled"))
        assert (kept.guidance, start.guidance) == (RECIPES[recipe].tasks["refine"].guidance, 1.0)
        kept.guidance = 1.0
        assert rows["refine: GRPO"]["kl"]["mean"] > evaluate._yardstick.policy(kept, start, tuple(range(10)))["kl"]


class Inline:
    """Runs what a ProcessPoolExecutor would run, here and now."""

    def __init__(self, workers, context, initializer, arguments):
        initializer(*arguments)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def map(self, function, *jobs):
        return map(function, *jobs)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "names what to train: classifier, judge"),
        ("gan --recipe tiny-4x4", "the first word is 'gan'"),
        ("grpo --recipe nothing", "unknown recipe 'nothing'; allowed: pixels-8x8"),
        ("grpo --task fly", "--task is 'fly'; allowed: steer, refine, scratch"),
        ("grpo --beta", "'--beta' is not followed by a value"),
        ("grpo --beta nan", "beta is nan; allowed: a number from 0 to 100"),
        ("grpo --steps 1.5", "--steps is '1.5'; expected a whole number"),
        ("grpo --steps 0", "steps is 0; allowed: a whole number from 1"),
        ("grpo --digits 3,11", "different digits from 0 to 9"),
        ("grpo --digits seven", "expected digits such as 3,7"),
        ("grpo --scale perhaps", "expected true or false"),
        ("grpo --epochs 3", "unknown option --epochs for grpo; allowed: --recipe"),
        ("reinforce --baseline best", "baseline is 'best'; allowed: mean, none"),
        ("grpo --seed -1", "--seed is '-1'; allowed: a whole number from 0"),
        ("grpo --seed 100", "--seed is '100'; allowed: a whole number from 0 to 99"),
        ("grpo --recipe tiny-4x4 --critic false", "interpolate is true and critic false; allowed: interpolate"),
        ("grpo --recipe tiny-4x4 --task refine --critic true", "--critic is true, but refine of tiny-4x4 has none"),
        ("tokenizer --recipe tiny-4x4", "its tokens are pixels"),
        ("classifier --recipe guide-8x8", "train that one"),
        ("pretrain --start middle", "--start is 'middle'; allowed: both, unlabelled, labelled"),
        ("grpo --recipe patches-28x28 --ablation all", "--ablation is 'all'; allowed: group"),
        ("foresight --recipe patches-28x28 --task scratch", "--task is 'scratch'; allowed: steer, refine"),
        ("foresight --recipe tiny-4x4 --task refine", "--task is 'refine'; allowed: steer"),
        ("foresight --recipe guide-8x8", "--task is 'scratch'; allowed: none here"),
        ("foresight --recipe tiny-patches --sure 1", "sure is 1.0; allowed: a number from 0 to 0.999"),
        ("unlikelihood --recipe tiny-4x4 --task steer", "--task is 'steer'; allowed: refine"),
        ("unlikelihood --recipe tiny-4x4 --factor -1", "factor is -1.0; allowed: a number from 0 to 1000"),
        ("foresight --recipe tiny-patches --beta 1", "unknown option --beta for foresight; allowed: --recipe"),
    ],
)
def test_bad_command_lines_get_a_sentence_and_code_two(line, words, capsys):
    assert main(line.split()) == 2
    assert words in capsys.readouterr().err


def test_training_without_its_start_says_what_is_missing(tmp_path, capsys):
    assert main(["grpo", "--recipe", "tiny-4x4", "--checkpoints", str(tmp_path)]) == 1
    assert "no checkpoint 'tiny-4x4/unlabelled'" in capsys.readouterr().err


def test_pretraining_without_labels_leaves_the_label_inputs_equal(stand_in, tmp_path):
    place = core.stages.Place(RECIPES["tiny-4x4"], tmp_path)
    for stage in (core.stages.random_stage(place), core.stages.pretrain_stage(place, "unlabelled", PretrainConfig(steps=5))):
        list(stage)
    policy = place.policy("unlabelled")
    assert all(not parameter.any() for parameter in policy.label_inputs())
    list(core.stages.pretrain_stage(place, "labelled", PretrainConfig(steps=5)))
    assert all(parameter.any() for parameter in place.policy("labelled").label_inputs())


def test_both_algorithms_get_the_same_start_and_the_same_samples():
    for recipe in RECIPES.values():
        for task in recipe.tasks.values():
            (_, one), (_, other) = task.reinforce, task.grpo
            assert (one.steps, one.group, one.digits) == (other.steps, other.group, other.digits)


def test_configurations_check_themselves():
    with pytest.raises(ValueError, match="group is 1; allowed: a whole number from 2"):
        RLConfig(group=1)
    with pytest.raises(ValueError, match="steps is True"):
        RLConfig(steps=True)


def no_network(*_, **__):
    raise OSError("no network")


def test_missing_mnist_names_file_place_and_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "MNIST", no_network)
    words = r"train-images-idx3-ubyte is missing.*no network.*looked for in .*To mend it: rm -rf"
    with pytest.raises(DataError, match=words):
        load_mnist(True, tmp_path)
    monkeypatch.setenv("MNIST_ROOT", str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match="elsewhere"):
        load_mnist(True)


def test_damaged_mnist_is_called_damaged(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in data.FILES:
        (raw / name).write_bytes(b"\0\0\x08\x03\0\0")
    with pytest.raises(DataError, match="train-images-idx3-ubyte is damaged"):
        load_mnist(True, tmp_path)


def test_the_halves_share_no_picture():
    first, second = data.halves(1001)
    assert len(first) + len(second) == 1001 == len(set(first.tolist()) | set(second.tolist()))


def test_one_task_can_be_measured_again_only_beside_a_whole_ladder(tmp_path, capsys):
    assert evaluate.main(["--recipe", "tiny-4x4", "--checkpoints", str(tmp_path), "--task", "steer"]) == 2
    assert "no ladder of 10,000 samples a row to add to" in capsys.readouterr().err
    assert evaluate.main(["--recipe", "tiny-4x4", "--task", "fly"]) == 2
    assert "--task is 'fly'; allowed: steer, refine, scratch" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", [name for name, recipe in RECIPES.items() if any(task.before for task in recipe.tasks.values())]
)
def test_what_others_wait_for_is_trained_first(name, tmp_path):
    _, work = plan("all", {"recipe": name, "checkpoints": str(tmp_path)})
    waves = {title: wave for wave, title, _ in work}
    titles = list(waves)
    runs = [place for place, title in enumerate(titles) if title.startswith(("grpo", "reinforce"))]
    for task, settings in RECIPES[name].tasks.items():
        if settings.before:
            first = f"{settings.before.name} {task}"
            assert waves["pretrain labelled"] < waves[first] and titles.index(first) < min(runs)
            for kind, (algorithm, _) in {"reinforce": settings.reinforce, "grpo": settings.grpo}.items():
                assert waves[first] < waves[f"{kind} {task}"] or not (settings.lesson or algorithm.critic)


def test_all_goes_on_where_it_was_interrupted(stand_in, monkeypatch, tmp_path, capsys):
    recipe, short = RECIPES["tiny-4x4"], PretrainConfig(steps=3)
    quick = RLConfig(group=2, steps=2)
    tasks = {"steer": Task((Reinforce(), quick), (GRPO(), quick))}
    recipe = dataclasses.replace(recipe, unlabelled=short, labelled=short, tasks=tasks)
    monkeypatch.setitem(RECIPES, "tiny-4x4", recipe)
    monkeypatch.setattr("core.train.evaluate", lambda place, data_root: {})
    monkeypatch.setattr("core.train.print_ladder", lambda report: None)
    for stage in ("classifier", "judge"):
        assert main([stage, "--recipe", "tiny-4x4", "--checkpoints", str(tmp_path), "--epochs", "1"]) == 0
    kept = (tmp_path / "tiny-4x4" / "judge" / "weights.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    assert main(["all", "--recipe", "tiny-4x4", "--checkpoints", str(tmp_path), "--resume", "yes"]) == 0
    said = capsys.readouterr().out
    assert "classifier:" not in said and "pretrain labelled:" in said and "grpo steer:" in said
    assert (tmp_path / "tiny-4x4" / "judge" / "weights.safetensors").stat().st_mtime_ns == kept
    assert main(["all", "--recipe", "tiny-4x4", "--checkpoints", str(tmp_path), "--resume", "yes", "--seeds", "2"]) == 0
    said = capsys.readouterr().out
    assert "grpo steer:" not in said and "grpo steer seed 1:" in said
    assert main(["all", "--recipe", "tiny-4x4", "--resume", "perhaps"]) == 2

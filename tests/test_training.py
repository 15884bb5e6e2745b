"""The command line, from digits to ladder, on pictures that stand in for MNIST; and RL on real digits."""

import copy
import dataclasses
import json
import os
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from toys import TINY_PATCHES, Brightness, make_policy, real_digits

import core.stages
import core.yardstick
from core import checkpoints, data, evaluate, figures, load_judge, load_policy
from core.algorithms import GRPO, Reinforce
from core.classifiers import DigitClassifier, predict, train_classifier
from core.configs import ClassifierConfig, PretrainConfig, RLConfig
from core.lstm import LSTMPolicy
from core.mistakes import Mistake
from core.place import Place
from core.pretrain import pretrain
from core.recipes import RECIPES, STARTS, Run, find_recipe
from core.report import Report, brief, cell, ladder, text
from core.rewards import Rewards
from core.rl import train
from core.tokenizers import PixelTokenizer
from core.train import main
from core.yardstick import Yardstick, relative_variance, samples_to_success, squared_norms
from docs import results


def bars(train: bool, root=None):
    """28x28 pictures in ten classes that can be told apart at 4x4: a bright bar somewhere, and noise."""
    count = 2000 if train else 400
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


def shorten(monkeypatch, steps: int, pretraining: int) -> None:
    """Leave two or three runs of the small recipes, and little training of each; of pixels one task."""
    for recipe, tasks in ((RECIPES["tiny-4x4"], ("steer",)), (TINY_PATCHES, ("steer", "refine"))):
        short = {}
        for task in [task for task in recipe.tasks if task in tasks]:
            short[task] = {
                name: dataclasses.replace(run, config=dataclasses.replace(run.config, steps=steps, group=16))
                for name, run in recipe.tasks[task].items()
                if name in ("reinforce", "grpo", "realism")
            }
        quick = PretrainConfig(steps=pretraining, lr=1e-2, warmup=10, drop=recipe.labelled.drop)
        recipe = dataclasses.replace(recipe, tasks=short, unlabelled=quick, labelled=quick)
        monkeypatch.setitem(RECIPES, recipe.name, recipe)


@dataclasses.dataclass(frozen=True)
class Clipping(GRPO):
    """An algorithm with a field that all have."""

    clip: float = 0.2


@pytest.fixture
def stand_in(monkeypatch):
    """Pictures that stand in for MNIST, recipes whose runs are short, and small figures."""
    monkeypatch.setattr(core.stages, "load_mnist", bars)
    monkeypatch.setattr(core.yardstick, "load_mnist", bars)
    monkeypatch.setitem(figures.plt.rcParams, "savefig.dpi", 20)
    shorten(monkeypatch, steps=12, pretraining=90)


def command(words: str, folder) -> int:
    return main([*words.split(), "--checkpoints", str(folder / "ship"), "--runs", str(folder / "runs")])


def train_and_measure(recipe, monkeypatch, folder) -> dict:
    """All of a recipe from nothing; returns its metrics.json."""
    monkeypatch.setattr("core.train.evaluate", lambda place, resume: evaluate.evaluate(place, samples=300))
    monkeypatch.setattr("core.yardstick.ALONG", 100)
    monkeypatch.setattr("core.yardstick.BATCHES", 3)
    assert command(f"all --recipe {recipe}", folder) == 0
    report = json.loads((folder / "ship" / recipe / "metrics.json").read_text())
    rows = {row["name"]: row["values"] for row in report["rows"]}
    assert {f"{task}: {run}" for task in RECIPES[recipe].tasks for run in ("reinforce", "grpo")} <= set(rows)
    start = rows["steer: start (unlabelled)"]
    assert rows["steer: grpo"]["reward"]["mean"] > start["reward"]["mean"] + 0.05  # four standard errors
    assert rows["steer: grpo"]["kl"]["mean"] > 0.01 and start["kl"]["mean"] == 0
    assert rows["steer: best-of-N at the KL of grpo"]["kl"]["mean"] == rows["steer: grpo"]["kl"]["mean"]
    assert rows["real against real"]["frechet"]["mean"] < rows["random pixels"]["frechet"]["mean"]
    along = report["runs"]["steer"]["grpo"]["along"]  # 160 samples a step: start, snapshots, end
    assert [point["samples"] for point in along] == [0, 800, 960, 1600, 1920]
    assert set(report["runs"]["steer"]["variance"]) == {"start", "halfway"}
    # The policy that ships can be used by name.
    policy = load_policy(f"{recipe}/steer/grpo", folder / "ship")
    images = policy.tokenizer.decode(policy.sample(torch.arange(10)).tokens)
    assert load_judge(recipe, folder / "ship")(images).shape == (10, 10)
    return report


def test_patches_train_from_nothing_are_measured_and_drawn(stand_in, monkeypatch, tmp_path):
    report = train_and_measure("tiny-patches", monkeypatch, tmp_path)
    codebook = load_policy("tiny-patches/random", tmp_path / "ship").tokenizer.codebook
    rows = {row["name"]: row["values"] for row in report["rows"]}
    guided, plain = (
        load_policy(f"tiny-patches/{name}", tmp_path / "ship") for name in ("refine/grpo", "labelled")
    )
    assert (guided.guidance, plain.guidance) == (1.5, 1.0)
    guided_start = rows["refine: start (labelled), guidance 1.5"]
    assert guided_start["kl"]["mean"] > 0
    # The best of one is the start itself; where that ignores labels, any of its samples, for ten labels.
    best = {task: report["runs"][task]["best-of-N"][0]["success"] for task in ("steer", "refine")}
    assert best["refine"] == pytest.approx(rows["refine: start (labelled)"]["success"]["mean"])
    assert best["steer"] == pytest.approx(0.1)
    # RL begins at the guided start, so samples are counted from there.
    counted = report["runs"]["refine"]["grpo"]["samples"]
    assert [found["above"] for found in counted.values()] == [
        guided_start["success"]["mean"] >= float(level) for level in counted
    ]
    monkeypatch.setattr(figures, "COLOURS", {"grpo": "#009E73"})  # a run of one's own has none
    folders = [("--checkpoints", "ship"), ("--runs", "runs"), ("--out", "figures")]
    words = [word for flag, name in folders for word in (flag, str(tmp_path / name))]
    assert figures.main(["--recipe", "tiny-patches", *words]) == 0
    drawn = {path.name for path in (tmp_path / "figures" / "tiny-patches").iterdir()}
    kinds = ("curves", "diversity", "staircase", "frontier", "rewards", "grpo-samples", "grpo-steps")
    assert {f"{task}-{kind}.png" for task in ("steer", "refine") for kind in kinds} <= drawn
    # What is pretrained next starts with the tokenizer that ships, not with an older one.
    assert command("tokenizer --recipe tiny-patches --ship --steps 3", tmp_path) == 0
    assert not torch.equal(load_policy("tiny-patches/random", tmp_path / "ship").tokenizer.codebook, codebook)
    assert command("tokenizer --recipe tiny-patches --ship --steps 3 --codes 5", tmp_path) == 2


def test_pixels_train_from_nothing_and_further_seeds_are_measured(stand_in, monkeypatch, tmp_path, capsys):
    train_and_measure("tiny-4x4", monkeypatch, tmp_path)
    assert "judge success" in capsys.readouterr().out
    # Another seed stays in runs/, is measured, and its figures outlive its weights.
    assert command("grpo --recipe tiny-4x4 --seed 1", tmp_path) == 0
    seed = tmp_path / "runs/tiny-4x4/steer/grpo/seed-1"
    assert {path.name for path in seed.iterdir()} >= {"weights.safetensors", "curve.png", "samples.png"}
    place = Place(RECIPES["tiny-4x4"], tmp_path / "ship", tmp_path / "runs")
    # A run of one's own with other settings is no further seed.
    assert command("grpo --recipe tiny-4x4 --seed 2 --beta 0.5 --steps 2", tmp_path) == 0
    assert list(place.seeds("steer", "grpo")) == ["0", "1"]
    two = evaluate.evaluate(place, samples=300, resume=True)
    for path in seed.iterdir():
        path.unlink()
    again = evaluate.evaluate(place, samples=300, resume=True)
    # A run that is added to the recipe is measured with what is kept.
    runs = RECIPES["tiny-4x4"].tasks["steer"]
    monkeypatch.setitem(runs, "one-update", dataclasses.replace(runs["grpo"], algorithm=GRPO(updates=1)))
    for key in ("start", "halfway"):
        assert "one-update" not in again["runs"]["steer"]["variance"][key]
    more = evaluate.evaluate(place, samples=300, resume=True)["runs"]["steer"].pop("variance")
    assert all(more[key]["one-update"] == more[key]["grpo"] for key in ("start", "halfway"))
    monkeypatch.delitem(runs, "one-update")
    # That GRPO is paid something else takes its figure away, and no other run's.
    with monkeypatch.context() as otherwise:
        otherwise.setitem(runs, "grpo", dataclasses.replace(runs["grpo"], rewards={"symmetry": 1.0}))
        assert evaluate.gradient_variance(place, "steer")["start"].keys() == {"reinforce"}
    # Random pixels are told from those digits that are asked for.
    sevens = core.yardstick.Yardstick(place, (7,))
    noise = (
        torch.randint(16, (200, 1, 4, 4), generator=torch.Generator().manual_seed(core.yardstick.SEED)) / 15
    )
    read = load_judge("tiny-4x4", tmp_path / "ship")(noise).argmax(1) == 7
    assert sevens.noise(200)["success"] == pytest.approx(read.float().mean().item())
    again = evaluate.evaluate(place, samples=300, resume=True)
    values = {row["name"]: row["seeds"] for row in again["rows"]}["steer: grpo"]
    assert len(values) == 2 and again["rows"] == two["rows"]
    assert values["0"]["weights"] != values["1"]["weights"]
    assert len(again["runs"]["steer"]["grpo"]["curves"]) == 2
    # So do those of a run whose weights are not here at all.
    shutil.rmtree(place.folder("steer/reinforce"))
    without = evaluate.evaluate(place, samples=300, resume=True)
    assert without["rows"] == again["rows"] and without["runs"] == again["runs"]
    # And those of a task of which nothing is here.
    for name in ("steer", "unlabelled"):
        place.folder(name).rename(tmp_path / name)
    assert evaluate.evaluate(place, samples=300, resume=True) == without
    for name in ("steer", "unlabelled"):
        (tmp_path / name).rename(place.folder(name))
    # Where a run was trained anew, so is the variance of its task measured.
    with monkeypatch.context() as otherwise:
        otherwise.setattr(evaluate, "gradient_variance", lambda *_: {"anew": True})
        assert "anew" not in evaluate.evaluate(place, samples=300, resume=True)["runs"]["steer"]["variance"]
        assert command("reinforce --recipe tiny-4x4 --ship --steps 3", tmp_path) == 0
        assert "anew" in evaluate.evaluate(place, samples=300, resume=True)["runs"]["steer"]["variance"]
        shutil.rmtree(place.folder("steer/reinforce"))
    place.folder("metrics.json").write_text(json.dumps(without))
    # Mistakes are measured beside the same done right, and touch nothing else; the ladder keeps them.
    quick = RLConfig(digits=(3,), group=16, steps=4, lr=1e-2, warmup=1)
    right = Run(GRPO(), quick, "")
    said = {"says": "", "happens": "", "wild": "", "recipe": "tiny-4x4", "right": right}
    short = {
        "scaled": Mistake(config=quick, algorithm=GRPO(scale=True), **said),
        "no-pretraining": Mistake(config=quick, start="random", **said),
    }
    monkeypatch.setattr(evaluate, "MISTAKES", short)
    found = evaluate.evaluate_mistakes(place, seeds=2, samples=50)
    assert {key: value for key, value in found.items() if key != "mistakes"} == again
    for one in found["mistakes"].values():
        assert one["seeds"] == 2 and {"reward", "success", "kl", "coverage"} <= set(one["mistake"])
        assert one["mistake"]["kl"]["interval"] > 0  # two seeds are two trainings
    wrong, untrained = (found["mistakes"][name] for name in short)
    assert wrong["right"] == untrained["right"] != wrong["mistake"]
    assert untrained["mistake"]["success"]["mean"] < untrained["right"]["success"]["mean"]
    assert evaluate.evaluate(place, samples=300, resume=True) == found
    monkeypatch.setattr(evaluate, "learn", lambda *_: pytest.fail("it was measured before"))
    assert evaluate.evaluate_mistakes(place, resume=True, seeds=2, samples=50) == found
    assert "| scaled: mistake | 2 |" in text(found)
    assert "digit 4 | mistake: advantages divided by the group's deviation | 2 |" in results.text(found)
    # From another start, all of its task is measured anew, and a seed that came from the old one is no seed
    # of the run any more.
    assert command("grpo --recipe tiny-4x4 --seed 1", tmp_path) == 0
    old = {row["name"]: row["values"] for row in again["rows"]}
    about = {"recipe": "tiny-4x4", "seed": 0}
    recipe = place.recipe
    checkpoints.save(
        place.folder("unlabelled"), place.new_policy(1), recipe.kind, recipe.policy_shape(), about
    )
    anew = evaluate.evaluate(place, samples=300, resume=True)
    new = {row["name"]: row["values"] for row in anew["rows"]}
    assert new["steer: grpo"]["kl"]["mean"] > 2 * old["steer: grpo"]["kl"]["mean"]
    assert "steer: reinforce" in old and "steer: reinforce" not in new
    assert list(place.seeds("steer", "grpo")) == ["0", "1"]  # of the old start, both
    assert command("grpo --recipe tiny-4x4 --ship", tmp_path) == 0
    assert list(place.seeds("steer", "grpo")) == ["0"]
    with pytest.raises(pytest.fail.Exception, match="it was measured before"):
        evaluate.evaluate_mistakes(place, resume=True, seeds=2, samples=50)


def test_a_run_that_is_not_shipped_or_not_finished_leaves_what_ships_alone(stand_in, monkeypatch, tmp_path):
    for words in (
        "classifier --epochs 1 --ship",
        "judge --epochs 1 --ship",
        "pretrain --start unlabelled --ship",
    ):
        assert command(f"{words} --recipe tiny-4x4", tmp_path) == 0
    assert command("grpo --recipe tiny-4x4 --ship --steps 8", tmp_path) == 0
    place = Place(RECIPES["tiny-4x4"], tmp_path / "ship", tmp_path / "runs")
    shipped = place.folder("steer/grpo") / "weights.safetensors"
    snapshots = sorted(place.snapshot_folder("steer", "grpo").glob("*/weights.safetensors"))
    assert [path.parent.name for path in snapshots] == ["step-4", "step-5"]
    before, along = shipped.read_bytes(), [path.read_bytes() for path in snapshots]

    def interrupted(stage):
        assert next(record for record in stage.records if record.step == 5)
        run, elsewhere = place.recipe.tasks["steer"]["grpo"], tmp_path / "elsewhere"
        with pytest.raises(ValueError, match=r"another process is writing .*snapshots"):
            next(core.stages.rl_stage(place, "steer", "grpo", run, 0, elsewhere, snapshots=True))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("core.train.run_stage", interrupted)
        assert command("grpo --recipe tiny-4x4 --ship --steps 8 --lr 0.01", tmp_path) == 130
    assert [path.read_bytes() for path in snapshots] == along, "of the training that ships"
    asked, judged = [], figures.judged_samples
    monkeypatch.setattr(
        figures, "judged_samples", lambda *given, seed: asked.append(given[2]) or judged(*given, seed)
    )
    assert (
        command("grpo --recipe tiny-4x4 --steps 2 --digits 3 7 --confidence 1 --coherence 0.5", tmp_path) == 0
    )
    assert asked[0].bincount().tolist() == [0, 0, 0, 50, 0, 0, 0, 50]  # what it learned is drawn
    assert shipped.read_bytes() == before
    config = json.loads((tmp_path / "runs/tiny-4x4/steer/grpo/seed-0/config.json").read_text())
    assert config["rewards"] == {"confidence": 1.0, "coherence": 0.5} and config["config"]["digits"] == [3, 7]


def test_a_run_of_a_recipe_that_borrows_its_classifier_can_be_trained(tmp_path):
    for name in ("classifier", "judge"):  # which that recipe borrows
        shutil.copytree(checkpoints.ROOT / "pixels-8x8" / name, tmp_path / "ship" / "pixels-8x8" / name)
    assert command("grpo --recipe guide-8x8 --steps 1", tmp_path) == 0
    assert checkpoints.exists(tmp_path / "ship" / "guide-8x8" / "random"), "made on the spot"
    assert (tmp_path / "runs/guide-8x8/scratch/grpo/seed-0/curve.png").is_file()


def test_all_goes_on_where_it_was_interrupted_and_trusts_no_damaged_weights(
    stand_in, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr("core.train.evaluate", lambda place, resume: {})
    monkeypatch.setattr("core.train.text", lambda report: "")
    shorten(monkeypatch, steps=1, pretraining=2)
    assert command("classifier --recipe tiny-4x4 --epochs 1 --ship", tmp_path) == 0
    assert command("judge --recipe tiny-4x4 --epochs 1 --ship", tmp_path) == 0
    kept = tmp_path / "ship/tiny-4x4/judge/weights.safetensors"
    broken = tmp_path / "ship/tiny-4x4/classifier/weights.safetensors"
    broken.write_bytes(broken.read_bytes()[:500])
    stamp = kept.stat().st_mtime_ns
    capsys.readouterr()
    assert command("all --recipe tiny-4x4 --resume", tmp_path) == 0
    said = capsys.readouterr().out
    assert "judge: kept" in said and "classifier: kept" not in said and "steer/grpo: kept" not in said
    assert kept.stat().st_mtime_ns == stamp
    (tmp_path / "ship/tiny-4x4/steer/reinforce/curve.json").write_text("[]")
    assert command("all --recipe tiny-4x4 --resume --seeds 2", tmp_path) == 0
    said = capsys.readouterr().out
    assert "steer/grpo: kept" in said and "steer/grpo seed 1: kept" not in said
    assert "steer/reinforce: kept" not in said, "its curve was damaged"
    assert command("grpo --recipe tiny-4x4 --seed 1 --beta 0.3", tmp_path) == 0
    described = tmp_path / "ship/tiny-4x4/steer/reinforce/config.json"
    described.write_text(described.read_text().replace('"seed"', '"sown"'))
    assert command("all --recipe tiny-4x4 --resume --seeds 2", tmp_path) == 0
    said = capsys.readouterr().out
    assert "steer/grpo seed 1: kept, though trained otherwise than seed 0: it is not measured" in said
    assert "steer/reinforce seed 1: kept\n" in said and "steer/reinforce: kept" not in said
    # Starts of another shape than the recipe has now are neither trained on nor kept.
    wider = dataclasses.replace(RECIPES["tiny-4x4"], shape={"width": 40})
    monkeypatch.setitem(RECIPES, "tiny-4x4", wider)
    for words in ("pretrain", "grpo"):  # of the start that this recipe has
        assert command(f"{words} --recipe tiny-4x4", tmp_path) == 1
        assert "is not of the shape that tiny-4x4 has; train it anew." in capsys.readouterr().err
    assert command("all --recipe tiny-4x4 --resume", tmp_path) == 0
    said = capsys.readouterr().out
    assert "judge: kept" in said and "random: kept" not in said and "steer/grpo: kept" not in said
    assert load_policy("tiny-4x4/steer/grpo", tmp_path / "ship").width == 40


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("gan --recipe tiny-4x4", "the first word is 'gan'; for tiny-4x4: all, classifier, judge"),
        ("grpo-kl --recipe tiny-4x4 --task scratch", "for tiny-4x4 scratch: all, classifier, judge"),
        ("grpo --recipe nothing", "unknown recipe 'nothing'; allowed: pixels-8x8"),
        ("grpo --recipe tiny-4x4 --task=", "--task is ''; allowed: steer, refine"),
        ("grpo --task fly", "--task is 'fly'; allowed: steer, refine, scratch"),
        ("grpo --beta", "--beta"),
        ("grpo --beta nan", "beta is nan; allowed: a number from 0 to 100"),
        ("grpo --steps 1.5", "--steps"),
        ("grpo --steps 0", "steps is 0; allowed: a number from 1"),
        ("grpo --lr 7", "lr is 7.0; allowed: a number from 0 to 1"),
        ("grpo --digits 3 11", "different digits from 0 to 9"),
        ("grpo --digits seven", "--digits"),
        ("grpo --beta -1", "Error parsing config: beta is -1.0; allowed: a number from 0 to 100."),
        ("grpo --betta 1", "Perhaps you meant: --beta FLOAT weight of the KL to the reference"),
        ("grpo --epochs 3", "--epochs"),
        ("grpo --confidence much", "--confidence"),
        ("grpo --beauty 1", "--beauty"),
        ("tokenizer --recipe tiny-4x4", "the first word is 'tokenizer'"),
        (
            "classifier --recipe guide-8x8",
            "the first word is 'classifier'; for guide-8x8: all, reinforce, grpo",
        ),
        ("pretrain --recipe guide-8x8", "the first word is 'pretrain'"),
        ("pretrain --start middle", "invalid choice 'middle'"),
        ("grpo --out README.md/none", f"cannot write to {Path('README.md/none').absolute()}: "),
        (f"grpo --out {'x' * 300}", f"cannot write to {Path('x' * 300).absolute()}: "),
        ("grpo --out core", "is there, which is no part of a checkpoint"),
        ("grpo --out README.md", "a file is there, which is no part of a checkpoint"),
        ("grpo --ship --seed 1", "--ship ships seed 0 alone"),
        ("grpo --ship --out elsewhere", "--ship ships seed 0 alone, into checkpoints"),
        ("grpo --seed -1", "seed is -1; allowed: a number from 0 to"),
        (f"grpo --steps {10**309}", "allowed: a number from 1 to 100000"),
        ("grpo --confidence nan", "the weight of confidence is nan; allowed: a number"),
        ("all --lr 0.5", "--lr"),
        ("all --seeds 0", "seeds is 0; allowed: a number from 1 to 1000"),
        ("all --resume yes", "Unrecognized options: yes"),
        ("grpo --recipe", "Missing value for argument"),
    ],
)
def test_bad_command_lines_get_a_sentence_and_code_two(line, words, capsys):
    try:
        code = main(line.split())
    except SystemExit as leaving:  # as tyro does it
        code = leaving.code
    assert code == 2
    printed = capsys.readouterr()
    said = " ".join((printed.err + printed.out).replace("│", " ").split())
    assert words in said
    assert "grpo-group" not in said or "first word" in said, "nothing of other commands"


def test_help_without_a_command_lists_them_all(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["--help", "--recipe", "patches-28x28"])
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert leaving.value.code == 0
    assert "tokenizer Trains the patch tokenizer." in said and "grpo-scaled steer: advantages" in said


def test_help_shows_every_field_with_its_default_for_that_run(capsys):
    with pytest.raises(SystemExit) as leaving:
        main("grpo --recipe pixels-8x8 --task refine --help".split())
    said = capsys.readouterr().out
    config = RECIPES["pixels-8x8"].tasks["refine"]["grpo"].config
    assert leaving.value.code == 0
    assert f"default: {config.beta}" in said and f"default: {config.lr}" in said
    assert all(f"--{name}" in said for name in ("label-lr", "updates", "scale", "coherence", "temperature"))
    assert "belongs to the largest connected stroke" in " ".join(said.replace("│", " ").split())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders, and links not for everybody")
def test_nothing_but_a_checkpoint_of_that_run_is_replaced(tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe")
    for name, kind in (("link", "a link"), ("pipe", "a file")):
        assert main(["grpo", "--out", str(tmp_path / name)]) == 2
        assert f"{kind} is there, which is no part of a checkpoint" in capsys.readouterr().err
    assert (tmp_path / "link").is_symlink() and (tmp_path / "pipe").is_fifo()
    for name in ("judge", "steer/grpo-kl"):
        out = Path("checkpoints", "pixels-8x8", name)
        before = out.stat().st_mtime_ns
        assert main(f"grpo --steps 1 --out {out}".split()) == 2
        assert "--out is among the checkpoints" in capsys.readouterr().err
        assert out.stat().st_mtime_ns == before


def test_two_flags_of_one_name_are_refused_in_words(monkeypatch, capsys):
    runs = RECIPES["tiny-4x4"].tasks["steer"]
    monkeypatch.setitem(runs, "mine", dataclasses.replace(runs["grpo"], algorithm=Clipping()))
    assert main("grpo --recipe tiny-4x4".split()) == 2
    assert "mine has two flags --clip" in capsys.readouterr().err


def test_training_without_its_start_says_what_is_missing_and_how_it_is_made(tmp_path, capsys, monkeypatch):
    assert command("grpo --recipe tiny-4x4", tmp_path) == 1
    said = capsys.readouterr().err
    place = ["--checkpoints", str(tmp_path / "ship")]
    quoted = shlex.join(place)
    assert "is missing" in said
    assert f"python -m core.train classifier --recipe tiny-4x4 --ship {quoted}" in said
    for damaged in ("{", "{}", "[]", ""):
        (tmp_path / "ship" / "tiny-4x4").mkdir(parents=True, exist_ok=True)
        (tmp_path / "ship" / "tiny-4x4" / "metrics.json").write_text(damaged)
        assert figures.main(["--recipe", "tiny-4x4", *place]) == 1
        said = capsys.readouterr().err
        made = f"python -m core.evaluate --recipe tiny-4x4 {quoted}"
        assert f"metrics.json is missing or damaged; to make it: {made}" in said
    place = Place(RECIPES["tiny-4x4"], tmp_path / "my ship")
    with monkeypatch.context() as patch:  # cmd.exe knows no other quotes
        patch.setattr(os, "name", "nt")
        assert place.flags == f' --checkpoints "{place.root}"'


def test_an_lstm_is_not_pretrained_with_labels_withheld(stand_in, tmp_path, capsys):
    assert command("pretrain --start unlabelled --recipe tiny-4x4 --drop 0.001", tmp_path) == 2
    assert "drop is 0.001; an LSTM always needs a label; allowed: 0." in capsys.readouterr().err


def test_pretraining_without_labels_leaves_the_label_inputs_equal(stand_in, tmp_path):
    place = Place(find_recipe("tiny-4x4"), tmp_path)
    place.require("random")
    for start in ("unlabelled", "labelled"):
        list(core.stages.pretrain_stage(place, start, PretrainConfig(steps=5), 0, place.folder(start)))
    assert place.policy("unlabelled").ignores_labels()
    assert all(parameter.any() for parameter in place.policy("labelled").label_inputs())


def test_all_runs_of_a_staircase_get_the_same_start_and_the_same_samples():
    for recipe in RECIPES.values():
        for task, runs in recipe.tasks.items():
            assert task in STARTS
            configs = {dataclasses.replace(run.config, beta=0.0) for run in runs.values()}
            assert len(configs) == 1, (recipe.name, task)


def paid(policy, classifier) -> float:
    """The mean confidence in the label."""
    labels = torch.arange(500) % 10
    images = policy.tokenizer.decode(policy.sample(labels, generator=torch.Generator().manual_seed(0)).tokens)
    return predict(classifier, images).gather(1, labels[:, None]).mean().item()


def learn(algorithm, beta, start, classifier, seed) -> float:
    """What a short run ends with."""
    policy = copy.deepcopy(start)
    config = RLConfig(steps=30, group=16, lr=3e-3, label_lr=10, beta=beta)
    rewards = Rewards(classifier, start, {"confidence": 1.0})
    for _ in train(
        policy, start, rewards, classifier, algorithm, config, torch.Generator().manual_seed(seed)
    ):
        pass
    return paid(policy, classifier)


def test_on_real_digits_grpo_beats_its_start_and_reinforce_at_equal_samples():
    images, labels = real_digits()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier, start = DigitClassifier(4, 16), LSTMPolicy(PixelTokenizer(4, 4), 32)
    generator = torch.Generator().manual_seed(0)
    config = ClassifierConfig(epochs=12)
    for _ in train_classifier(classifier, images, labels, lambda x: x, config, generator):
        pass
    config = PretrainConfig(steps=150, lr=1e-2, warmup=10, augmented=0.0)
    for _ in pretrain(start, images, None, config, generator):
        pass
    reinforce = sum(learn(Reinforce(), 0.0, start, classifier, seed) for seed in range(3)) / 3
    grpo = sum(learn(GRPO(), 0.05, start, classifier, seed) for seed in range(3)) / 3
    assert reinforce > paid(start, classifier) + 0.05 and grpo > reinforce + 0.03


def test_an_interval_that_is_not_nothing_is_not_said_to_be():
    assert cell({"mean": 0.98542, "interval": 0.0016}, ".1%") == "98.5% ± 0.2%"
    assert cell({"mean": 0.996086, "interval": 0.00046}, ".1%") == "99.61% ± 0.05%"
    assert cell({"mean": 0.2834, "interval": 0.0102}, ".1f") == "0.28 ± 0.01"
    assert cell({"mean": 1.0, "interval": 0.0}, ".1%") == "100.0% ± 0.0%"
    assert cell({"mean": 0.5, "interval": None}, ".2f") == "0.50" and cell(None, ".2f") == "-"


def test_a_figure_says_the_number_behind_a_bar_or_why_there_is_none():
    for mean, says in (
        (0.8204, "0.820"),
        (4.696, "4.70"),
        (10.04, "10.0"),
        (541.2, "541"),
        (18987.3, "18,987"),
    ):
        assert brief({"mean": mean, "interval": 1.0}) == says
    assert brief({"mean": None, "interval": None, "each": [320, None, None]}) == "1 of 3 seeds"
    assert brief({"mean": None, "interval": None}) == "-"


def test_samples_to_success_are_counted_at_the_first_window_that_passes():
    curves = {
        "0": {"samples": [10, 20, 30, 40], "success": [0.0, 0.6, 0.6, 0.9]},
        "1": {"samples": [10, 20, 30, 40], "success": [0.6, 0.6, 0.6, 0.0]},
        "2": {"samples": [10, 20, 30, 40], "success": [0.9, 0.0, 0.0, 0.0]},
    }
    some = samples_to_success(curves, 0.5, start=0.1)
    assert some == {"mean": None, "interval": None, "each": [30, 40, None], "above": False}
    assert results.samples_cell(some) == "30 at best (2 of 3 seeds get there)"
    assert samples_to_success({"2": curves["2"]}, 0.5, start=0.1)["each"] == [None]
    exact = {"samples": [10, 20, 30], "success": [0.95312, 0.94063, 0.95625]}  # 912 of 960, each rounded
    assert samples_to_success({"0": exact}, 0.95, start=0.1)["each"] == [30]
    short = {"samples": [10], "success": [1.0]}  # a run of fewer steps than a window has
    assert samples_to_success({"0": short}, 0.5, start=0.1)["each"] == [None]
    del curves["2"]
    whole = samples_to_success(curves, 0.5, start=0.1)
    assert whole["mean"] == 35.0 and whole["interval"] == pytest.approx(63.53, abs=0.01)
    assert results.samples_cell(whole) == "30 to 40"
    assert results.samples_cell({**whole, "interval": 5.0}) == "35 ± 5"
    above = samples_to_success(curves, 0.5, start=0.6)  # then there is nothing to count
    assert above["mean"] is None and above["above"] and results.samples_cell(above) == "-"


def test_the_relative_variance_is_the_scatter_over_the_squared_norm_of_the_mean(monkeypatch):
    """Of three runs: mean squared norm and squared norm of the mean. REINFORCE's two share the latter."""
    norms = iter([(9.0, 3.0), (5.0, 2.0), (6.0, 4.0)])
    monkeypatch.setattr(core.yardstick, "squared_norms", lambda _: next(norms))
    monkeypatch.setattr(core.yardstick, "BATCHES", 1)
    free = RLConfig(digits=(1,), group=4, beta=0.0)
    runs = {
        "raw": Run(Reinforce(), free, ""),
        "base": Run(Reinforce(baseline=True), free, ""),
        "grpo": Run(GRPO(), dataclasses.replace(free, beta=0.1), ""),
    }
    place = SimpleNamespace(classifier=Brightness, device=torch.device("cpu"))
    found = relative_variance(place, make_policy("lstm"), make_policy("lstm", seed=1), runs)
    assert found == {"raw": 9 / 2 - 1, "base": 5 / 2 - 1, "grpo": 6 / 4 - 1}


def test_classifier_and_judge_learn_from_a_half_each(monkeypatch, tmp_path):
    seen = []

    def watched(model, images, *_):
        seen.append({image.numpy().tobytes() for image in images})
        yield {}

    monkeypatch.setattr(core.stages, "load_mnist", bars)
    monkeypatch.setattr(core.stages, "train_classifier", watched)
    place, config = Place(RECIPES["tiny-4x4"], tmp_path), ClassifierConfig(width=4)
    for kind in ("classifier", "judge"):
        list(core.stages.classifier_stage(place, kind, config, 0, tmp_path / kind))
    assert len(seen[0]) == len(seen[1]) == 1000 and not seen[0] & seen[1]


def test_the_success_of_real_digits_is_that_of_test_digits(monkeypatch):
    """Which neither classifier nor judge has seen; distances are those of training digits."""
    monkeypatch.setattr(core.yardstick, "load_mnist", bars)
    place = SimpleNamespace(data_root=None)
    measured = SimpleNamespace(place=place, fit=lambda images: images, images="test", labels="test")
    measured.pictures = lambda images, labels: {"success": 0.0, "frechet": float(len(images))}
    measured.graded = lambda images, labels: {"success": {"test": 0.8}[images]}
    assert Yardstick.real_digits(measured, 7) == {"success": 0.8, "frechet": 7.0}


def test_what_was_trained_or_judged_otherwise_is_not_taken(tmp_path):
    place = Place(RECIPES["tiny-4x4"], tmp_path / "ship", tmp_path / "runs")
    kept, shape = place.snapshot_folder("steer", "grpo"), {"size": 2, "levels": 2, "width": 6}
    for folder, beta in ((place.folder("steer/grpo"), 0.1), (kept / "step-5", 0.1), (kept / "step-10", 0.5)):
        checkpoints.save(folder, make_policy("lstm"), "lstm", shape, {"config": {"beta": beta}})
    assert list(place.snapshots("steer", "grpo")) == [5]
    shape = {"size": 4, "width": 4}
    for known in (True, False):  # a classifier, then another one
        classifier = checkpoints.build("classifier", shape)
        checkpoints.save(place.folder("classifier"), classifier, "classifier", shape, {})
        if known:
            Report(place, 300, True).add("steer: grpo", "weights", {"0": {"success": 0.5}})
        assert bool(Report(place, 300, True).known("steer: grpo", "weights")) == known


def test_the_squared_norm_of_an_expectation_is_told_from_that_of_one_estimate():
    generator = torch.Generator().manual_seed(0)
    noise = 3 * torch.randn(24, 5000, generator=generator)
    own, expected = squared_norms(noise + 0.5)  # 5000 x (9 + 0.25), of which the expectation has 5000 x 0.25
    assert own == pytest.approx(46_250, rel=0.02) and expected == pytest.approx(1250, rel=0.2)
    own, expected = squared_norms(noise)
    assert own == pytest.approx(45_000, rel=0.02) and expected is None


def test_the_table_shows_a_mean_with_its_interval():
    value = {"success": {"mean": 0.5, "interval": 0.01}}
    assert "| steer: grpo | 2 | - | 50.00% ± 1.00% |" in ladder(
        [{"name": "steer: grpo", "seeds": [1, 2], "values": value}]
    )


def test_configurations_check_themselves():
    with pytest.raises(ValueError, match="group is 1; allowed: a number from 2"):
        RLConfig(group=1)
    with pytest.raises(ValueError, match=r"guidance is 0\.5"):
        RLConfig(guidance=0.5)
    run = Run(GRPO(), RLConfig(guidance=2.0), "guided")
    with pytest.raises(ValueError, match="knows only 1"):
        list(
            core.stages.rl_stage(
                Place(RECIPES["pixels-8x8"]), "refine", "grpo", run, 0, checkpoints.ROOT / "never"
            )
        )


def test_the_halves_share_no_picture():
    first, second = data.halves(1001)
    assert len(first) + len(second) == 1001 == len(set(first.tolist()) | set(second.tolist()))

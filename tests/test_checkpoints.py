import json
import math
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from toys import make_policy

from core import CheckpointError, checkpoints, load_classifier, load_judge, load_policy
from core.checkpoints import available, build, load, save
from core.recipes import SHIPPED

SHAPE = {"size": 2, "levels": 2, "width": 6}


@pytest.fixture
def folder(tmp_path):
    save(
        tmp_path / "some" / "policy",
        make_policy("lstm"),
        "lstm",
        SHAPE,
        {"seed": 3},
        [{"step": 0, "nll": 1.5}],
    )
    return tmp_path / "some" / "policy"


def test_what_is_saved_is_what_is_loaded(folder):
    policy, again = make_policy("lstm"), load_policy(folder)
    for name, value in policy.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value.half().float(), atol=0, rtol=0)
    assert json.loads((folder / "curve.json").read_text()) == [{"step": 0, "nll": 1.5}]
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "curve.json",
        "weights.safetensors",
    ]
    assert available(folder.parents[1]) == ["some/policy"] and not again.training


def test_every_kind_of_model_survives(tmp_path):
    kinds = {
        "lstm": SHAPE,
        "transformer": {"size": 2, "levels": 3, "width": 16, "layers": 1, "heads": 2},
        "classifier": {"size": 4, "width": 4},
        "judge": {"size": 4, "width": 4},
        "tokenizer": {"size": 8, "codes": 4, "dim": 2, "channels": 4},
    }
    for kind, shape in kinds.items():
        model = build(kind, shape).eval()
        save(tmp_path / kind, model, kind, shape, {})
        again = load(tmp_path / kind, (kind,))
        pairs = zip(model.state_dict().values(), again.state_dict().values(), strict=True)
        assert all(torch.equal(a.half().float() if a.is_floating_point() else a, b) for a, b in pairs)
    assert kinds.keys() == checkpoints.BUILDERS.keys()


def test_a_missing_checkpoint_is_named_with_those_there_are(folder):
    with pytest.raises(CheckpointError, match=r"no checkpoint 'some/other'.*some/policy"):
        load_policy("some/other", folder.parents[1])
    (folder / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is missing"):
        load_policy(folder)


@pytest.mark.parametrize("keep", [0, 7, 200, -1])
def test_truncated_weights(folder, keep):
    whole = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(whole[:keep])
    with pytest.raises(CheckpointError, match="truncated or no safetensors file"):
        load_policy(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "truncated, no JSON"),
        ('{"format": 1, "kind"', "truncated, no JSON"),
        ("[1]", "not a checkpoint of format 1"),
        ('{"format": 2, "kind": "lstm"}', "not a checkpoint of format 1"),
        ('{"format": 1, "kind": "gan", "model": {}}', "describes a 'gan'"),
        ('{"format": 1, "kind": "lstm", "model": {"size": 2}}', "built: 'levels' is missing"),
        ('{"format": 1, "kind": "lstm"}', "its shape is None; allowed: numbers by name"),
        ('{"format": 1, "kind": "lstm", "model": "large"}', "its shape is 'large'"),
        ('{"format": 1, "kind": "lstm", "model": {"size": 2.0}}', r"size is 2\.0; allowed: a whole number"),
        ('{"format": 1, "kind": "lstm", "model": {"size": 1e300}}', r"size is 1e\+300"),
        (
            '{"format": 1, "kind": "lstm", "model": {"size": -2, "levels": 2, "width": 6}}',
            "size is -2; allowed: a whole number from 1 to 64",
        ),
        ('{"format": 1, "kind": "lstm", "model": {"size": 2, "levels": 2, "width": 8}}', "size mismatch"),
        (
            '{"format": 1, "kind": "lstm", "model": {"size": 2, "levels": 2, "width": 1000000000}}',
            "from 1 to 1024",
        ),
        (
            '{"format": 1, "kind": "lstm", "model": {"size": 2, "levels": 2, "width": 6, "corner": 2}}',
            "corner",
        ),
        ('{"format": 1, "kind": "lstm", "model": {"size": 2, "levels": 2, "width": NaN}}', "width is nan"),
        ('{"format": 1, "kind": "lstm", "model": {"size": 2, "levels": 2, "width": [6]}}', r"width is \[6\]"),
        ('{"format": 1, "kind": "lstm", "model": ' + "[" * 100_000, "truncated, no JSON"),
        (
            '{"format": 1, "kind": "lstm", "model": ' + "[" * 40_000 + "]" * 40_000 + "}",
            "truncated, no JSON",
        ),
        ('{"format": 1, "kind": "lstm", "model": ' + "9" * 5000 + "}", "truncated, no JSON"),
        ('{"format": 1, "kind": "' + "x" * 200_000 + '"}', "describes a 'x{39};"),
    ],
)
def test_foreign_or_mismatching_configurations(folder, text, words):
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=words):
        load_policy(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("label"), r'Missing key.*"label"'),
        (lambda w: w.update(extra=torch.zeros(1)), r'Unexpected key.*"extra"'),
        (lambda w: w.update(label=w["label"].double() + 1e300), "is damaged, or was not saved with"),
        (lambda w: w.update(label=w["label"].bool()), "does not match its config"),
    ],
)
def test_weights_that_do_not_fit(folder, change, words):
    weights = load_file(folder / "weights.safetensors")
    change(weights)
    save_file(weights, folder / "weights.safetensors")
    with pytest.raises(CheckpointError, match=words):
        load_policy(folder)


def test_weights_that_are_no_numbers(folder):
    policy, before = make_policy("lstm"), (folder / "weights.safetensors").read_bytes()
    for value in (math.nan, 1e5):  # which half precision cannot hold
        torch.nn.init.constant_(policy.label, value)
        with pytest.raises(FloatingPointError, match="label holds values that half precision cannot"):
            save(folder, policy, "lstm", SHAPE, {})
    assert (folder / "weights.safetensors").read_bytes() == before
    weights = load_file(folder / "weights.safetensors")
    weights["label"] = torch.full_like(weights["label"], math.nan)
    save_file(weights, folder / "weights.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "sha256": None}))
    with pytest.raises(CheckpointError, match="holds values in 'label' that are no finite numbers"):
        load_policy(folder)


def test_a_policy_is_no_classifier(folder):
    folder.rename(folder.parent / "classifier")
    with pytest.raises(CheckpointError, match="describes a 'lstm'; expected classifier"):
        load_classifier("some", folder.parents[1])


@pytest.mark.parametrize("at", [0, 0.1, 0.5, 0.9, 1])
def test_one_changed_byte_is_noticed_wherever_it_is(folder, at):
    path = folder / "weights.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[round(at * (len(damaged) - 1))] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors (is|does)"):
        load_policy(folder)


def test_weights_and_config_of_two_trainings_do_not_go_together(folder):
    save(folder.parent / "other", make_policy("lstm", seed=1), "lstm", SHAPE, {})
    shutil.copy(folder.parent / "other" / "weights.safetensors", folder)
    with pytest.raises(CheckpointError, match=r"was not saved with the config\.json beside it"):
        load_policy(folder)


def test_other_kinds_of_files_are_refused_and_run_nothing(folder):
    path, trap = folder / "weights.safetensors", folder / "trap"

    class Trap:
        def __reduce__(self):
            return trap.mkdir, ()

    torch.save({"label": Trap()}, path)
    with pytest.raises(CheckpointError, match="no safetensors file"):
        load_policy(folder)
    assert not trap.exists()
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match="is missing"):
        load_policy(folder)
    if hasattr(os, "mkfifo"):  # reading it would wait for ever
        path.rmdir()
        os.mkfifo(path)
        with pytest.raises(CheckpointError, match="is missing"):
            load_policy(folder)


def test_what_is_found_under_a_recipes_name_is_of_that_recipe(tmp_path):
    for kind, shape in (("lstm", {"levels": 4, "width": 32}), ("classifier", {"width": 4})):
        shape = {"size": 4, **shape}  # as tiny-4x4 has it
        for recipe in ("tiny-4x4", "pixels-8x8"):
            folder = tmp_path / recipe / kind
            save(folder, build(kind, shape), kind, shape, {"recipe": "tiny-4x4"})
    load_policy("tiny-4x4/lstm", tmp_path), load_classifier("tiny-4x4", tmp_path)
    for use, name in ((load_policy, "pixels-8x8/lstm"), (load_classifier, "pixels-8x8")):
        with pytest.raises(CheckpointError, match="is of 'tiny-4x4', not of pixels-8x8"):
            use(name, tmp_path)


def test_a_recipe_that_borrows_its_networks_has_them_by_its_own_name():
    for use in (load_classifier, load_judge):
        mine, lent = use("guide-8x8").state_dict(), use("pixels-8x8").state_dict()
        assert all(torch.equal(mine[name], lent[name]) for name in lent)


def test_absurd_sizes_cost_no_memory(tmp_path):
    pytest.importorskip("resource")  # Windows has none
    save(tmp_path / "policy", make_policy("lstm"), "lstm", SHAPE, {})
    with (tmp_path / "policy" / "weights.safetensors").open("r+b") as file:
        file.truncate(5_000_000_000)  # sparse: it takes no place
    (tmp_path / "large").mkdir()
    shape = {"size": 64, "codes": 1024, "dim": 1024, "channels": 1024}
    shape |= {"width": 1024, "layers": 64, "heads": 1}  # the largest that there is: 3 GB
    config = {"format": 1, "kind": "transformer", "model": shape}
    (tmp_path / "large" / "config.json").write_text(json.dumps(config))
    shutil.copy(checkpoints.ROOT / "patches-28x28/labelled/weights.safetensors", tmp_path / "large")
    script = """
import resource, sys
from core import CheckpointError, load_policy
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for folder in sys.argv[1:]:
    try:
        load_policy(folder)
    except CheckpointError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    folders = [str(tmp_path / "policy"), str(tmp_path / "large")]
    found = subprocess.run([sys.executable, "-c", script, *folders], capture_output=True, text=True)
    *said, megabytes = found.stdout.splitlines()
    assert len(said) == 2 and all("does not match" in line or "truncated" in line for line in said), found
    assert int(megabytes) < 200


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("recipe", ["pixels-8x8", "patches-28x28"])
def test_the_callers_default_dtype_changes_nothing(recipe, dtype):
    def use():
        policy = load_policy(f"{recipe}/refine/grpo")
        rollout = policy.sample(torch.arange(10), generator=torch.Generator().manual_seed(0))
        images = policy.tokenizer.decode(rollout.tokens)
        paid = load_classifier(recipe)(images)
        blank = policy.tokenizer.encode(torch.zeros(1, 1, policy.tokenizer.size, policy.tokenizer.size))
        return rollout.tokens, rollout.log_probs, paid, load_judge(recipe)(images), blank

    before, usual = torch.get_default_dtype(), use()
    torch.set_default_dtype(dtype)
    try:
        found = use()
    finally:
        torch.set_default_dtype(before)
    assert all(torch.equal(one, other) for one, other in zip(usual, found, strict=True))
    assert {value.dtype for value in found} == {torch.float32, torch.int64}


def test_a_failed_save_leaves_the_old_checkpoint_alone(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match="JSON"):
        save(folder, make_policy("lstm", seed=9), "lstm", SHAPE, {}, [{"nll": math.nan}])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["policy"]


def test_what_ships_is_at_most_45_megabytes_and_no_file_10():
    files = [path for recipe in SHIPPED for path in (checkpoints.ROOT / recipe).rglob("*")]
    shipped = [path for path in files if path.suffix in (".json", ".safetensors")]
    sizes = [path.stat().st_size for path in shipped]
    assert sum(sizes) <= 45_000_000 and max(sizes) < 10_000_000

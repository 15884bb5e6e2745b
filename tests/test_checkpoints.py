import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from toys import make_policy

from core import CheckpointError, load_classifier, load_policy
from core.checkpoints import available, build, load, save

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
    }
    for kind, shape in kinds.items():
        model = build(kind, shape).eval()
        save(tmp_path / kind, model, kind, shape, {})
        again = load(tmp_path / kind, (kind,))
        pairs = zip(model.state_dict().values(), again.state_dict().values(), strict=True)
        assert all(torch.allclose(a, b, atol=1e-2) for a, b in pairs)


def test_a_missing_checkpoint_is_named_with_those_there_are(folder):
    with pytest.raises(CheckpointError, match=r"no checkpoint 'some/other'.*some/policy"):
        load_policy("some/other", folder.parents[1])
    (folder / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is missing, truncated"):
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
        ("", "truncated or no JSON"),
        ('{"format": 1, "kind"', "truncated or no JSON"),
        ("[1]", "not a checkpoint of format 1"),
        ('{"format": 2, "kind": "lstm"}', "not a checkpoint of format 1"),
        ('{"format": 1, "kind": "gan", "model": {}}', "describes a 'gan'"),
        ('{"format": 1, "kind": "lstm", "model": {"size": 2}}', "no lstm that can be built"),
        (
            '{"format": 1, "kind": "lstm", "model": {"size": -2, "levels": 2, "width": 6}}',
            "allowed: a whole number from 1 to 1024",
        ),
        ('{"format": 1, "kind": "lstm", "model": {"size": 2, "levels": 2, "width": 8}}', "has shape"),
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
        ('{"format": 1, "kind": "lstm", "model": ' + "[" * 100_000, "truncated or no JSON"),
    ],
)
def test_foreign_or_mismatching_configurations(folder, text, words):
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=words):
        load_policy(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("label"), "'label' is missing from it"),
        (lambda w: w.update(extra=torch.zeros(1)), "'extra' does not belong in it"),
        (lambda w: w.update(label=torch.full_like(w["label"], math.nan)), "no finite numbers"),
        (lambda w: w.update(label=w["label"].double() + 1e300), "no finite"),
    ],
)
def test_weights_that_do_not_fit(folder, change, words):
    weights = load_file(folder / "weights.safetensors")
    change(weights)
    save_file(weights, folder / "weights.safetensors")
    with pytest.raises(CheckpointError, match=words):
        load_policy(folder)


def test_a_policy_is_no_classifier(folder):
    folder.rename(folder.parent / "classifier")
    with pytest.raises(CheckpointError, match="describes a 'lstm'; expected classifier"):
        load_classifier("some", folder.parents[1])


def test_a_failed_save_leaves_the_old_checkpoint_alone(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match="JSON"):
        save(folder, make_policy("lstm", seed=9), "lstm", SHAPE, {}, [{"nll": math.nan}])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["policy"]

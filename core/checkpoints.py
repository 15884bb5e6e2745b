"""Weights on disk: a folder with weights.safetensors, config.json and, after a training, curve.json.

No pickle, so a checkpoint can run no code. Weights are stored in half precision and always used in single
precision, so what is evaluated is what is shipped.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from core.classifiers import Classifier, DigitClassifier, Judge
from core.lstm import LSTMPolicy
from core.policies import Policy
from core.tokenizers import PixelTokenizer
from core.transformer import TransformerPolicy
from core.vqvae import PatchTokenizer

FORMAT = 1
ROOT = Path(__file__).resolve().parents[1] / "checkpoints"
POLICIES = ("lstm", "transformer")  # the kinds that draw
LARGEST = 1024  # of any number that gives a model's shape


class CheckpointError(RuntimeError):
    """A checkpoint is missing, damaged or of another kind; the message says which file, and what is wrong."""


def _policy(kind: type[Policy], shape: dict) -> Policy:
    patches = "codes" in shape
    names = ("size", "codes", "dim", "channels") if patches else ("size", "levels")
    tokenizer = (PatchTokenizer if patches else PixelTokenizer)(*(shape[name] for name in names))
    return kind(tokenizer, **{name: value for name, value in shape.items() if name not in names})


BUILDERS = {  # from the "model" part of config.json
    "lstm": lambda **shape: _policy(LSTMPolicy, shape),
    "transformer": lambda **shape: _policy(TransformerPolicy, shape),
    "tokenizer": PatchTokenizer,
    "classifier": DigitClassifier,
    "judge": Judge,
}


def build(kind: str, shape: dict) -> nn.Module:
    """A new model of a kind in BUILDERS, from the numbers that give its shape. Raises ValueError."""
    if kind not in BUILDERS:
        raise ValueError(f"unknown kind of model {kind!r}; allowed: {', '.join(BUILDERS)}.")
    for name, value in shape.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 1 <= value <= LARGEST or (name != "guidance" and value != int(value)):
            raise ValueError(f"{name} is {str(value)[:40]}; allowed: a whole number from 1 to {LARGEST}")
    return BUILDERS[kind](**shape)


def save(
    folder: str | Path, model: nn.Module, kind: str, shape: dict, about: dict, curve: list[dict] | None = None
):
    """Write a checkpoint, whole or not at all: an older one is moved away only once the new one is complete.

    Args:
        kind, shape: what ``build`` needs to make the model again.
        about: what is worth keeping beside the weights: the recipe, the seed, the training's configuration.
        curve: the records of its training.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder.parent) as scratch:
        fresh, old = Path(scratch) / "new", Path(scratch) / "old"
        fresh.mkdir()
        weights = {}
        for name, value in model.state_dict().items():
            weights[name] = (value.half() if value.is_floating_point() else value).cpu().contiguous()
        save_file(weights, fresh / "weights.safetensors")
        write_json(fresh / "config.json", {"format": FORMAT, "kind": kind, "model": shape, **about}, indent=2)
        if curve is not None:
            write_json(fresh / "curve.json", curve)
        if folder.exists():
            os.replace(folder, old)
        os.replace(fresh, folder)


def load(folder: str | Path, kinds: tuple[str, ...]) -> nn.Module:
    """Read a checkpoint of one of ``kinds``, in evaluation mode.

    Raises CheckpointError where it is missing, truncated, foreign or mismatching: never half a model.
    """
    folder = Path(folder)
    config, path = read_config(folder), folder / "weights.safetensors"
    kind = config.get("kind")
    if kind not in kinds:
        wanted = " or ".join(kinds)
        raise CheckpointError(f"{folder / 'config.json'} describes a {kind!r}; expected {wanted}.")
    try:
        with torch.device("meta"):  # shapes without memory: nothing large is made before the weights agree
            wanted = build(kind, dict(config["model"])).state_dict()
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        words = f"describes no {kind} that can be built: {error}."
        raise CheckpointError(f"{folder / 'config.json'} {words}") from error
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is missing, truncated or no safetensors file: {error}.") from error
    problem = _difference(weights, wanted)
    if problem:
        raise CheckpointError(f"{path} does not match its config.json: {problem}.")
    model = build(kind, config["model"])
    model.load_state_dict(weights)
    for name, value in model.state_dict().items():
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path} holds values in {name!r} that are no finite numbers.")
    return model.eval()


def _difference(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> str:
    """What tells two models' weights apart, in words; empty if they have the same names and shapes."""
    for name in sorted(set(found) ^ set(wanted)):
        return f"{name!r} " + ("is missing from it" if name in wanted else "does not belong in it")
    for name, value in found.items():
        if value.shape != wanted[name].shape:
            return f"{name!r} has shape {tuple(value.shape)}, not {tuple(wanted[name].shape)}"
    return ""


def is_whole(folder: str | Path) -> bool:
    """Whether a folder holds a checkpoint whose weights can be loaded."""
    try:
        load(folder, tuple(BUILDERS))
    except CheckpointError:
        return False
    return True


def exists(folder: str | Path) -> bool:
    """Whether a folder holds a checkpoint, whole or not."""
    return (Path(folder) / "config.json").is_file()


def read_config(folder: str | Path) -> dict:
    """The config.json of a checkpoint. Raises CheckpointError where there is none, or of another format."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: no checkpoint in this folder.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path} is truncated or no JSON: {error}.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of format {FORMAT}.")
    return config


def locate(name: str | Path, root: Path = ROOT) -> Path:
    """The folder of a checkpoint: a name below ``root`` ("pixels-8x8/refine/grpo"), a folder, or a name on
    the Hub ("OWNER/NAME/pixels-8x8/refine/grpo").

    A name that can only be local is never asked of the Hub, where anybody may have taken it.
    """
    if not str(name) or "\0" in str(name):
        raise CheckpointError(f"{str(name)!r} is no name of a checkpoint.")
    inside = (root / name).resolve()
    if inside.is_relative_to(root.resolve()) and exists(inside):
        return inside
    if Path(name).is_dir():
        return Path(name)
    from core import hub  # late: its client is slow to import, and few need it

    local = isinstance(name, Path) or not hub.is_name(name)
    if local or any((folder / name.split("/")[0]).is_dir() for folder in (root, Path())):
        known = f"{root} ({', '.join(available(root)) or 'none'})"
        raise CheckpointError(f"no checkpoint '{name}': neither a folder nor one of those in {known}.")
    return hub.fetch(name)


def available(root: Path = ROOT) -> list[str]:
    """Names of the checkpoints below ``root``."""
    return sorted(path.parent.relative_to(root).as_posix() for path in root.rglob("config.json"))


def load_policy(name: str | Path, root: Path = ROOT) -> Policy:
    """A policy by its name ("RECIPE/labelled", "RECIPE/steer/grpo"), by a folder, or by its name on the Hub:
    "OWNER/NAME/RECIPE/steer/grpo", or "OWNER/NAME" for the one at the top.
    """
    return load(locate(name, root), POLICIES)


def load_tokenizer(recipe: str | Path, root: Path = ROOT) -> PatchTokenizer:
    """The trained tokenizer of a recipe whose tokens are patches; its policies carry a copy."""
    return load(_part(recipe, "tokenizer", root), ("tokenizer",))


def load_classifier(recipe: str | Path, root: Path = ROOT) -> Classifier:
    """The classifier that pays the reward of a recipe ("RECIPE", "OWNER/NAME/RECIPE")."""
    return load(_part(recipe, "classifier", root), ("classifier",))


def load_judge(recipe: str | Path, root: Path = ROOT) -> Classifier:
    """The judge that measures success in a recipe ("RECIPE", "OWNER/NAME/RECIPE")."""
    return load(_part(recipe, "judge", root), ("judge",))


def _part(recipe: str | Path, part: str, root: Path) -> Path:
    return locate(recipe / part if isinstance(recipe, Path) else f"{recipe}/{part}", root)


def write_json(path: Path, value, indent: int | None = None) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_name(path.name + ".writing")
    fresh.write_text(json.dumps(value, indent=indent, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(fresh, path)

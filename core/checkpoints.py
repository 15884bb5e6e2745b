"""Weights on disk: a folder with weights.safetensors, config.json and, where there was training, curve.json.

No pickle, so a checkpoint can run no code. Weights are stored in half precision (1.3 MB for a policy of 0.6 M parameters)
and always used in single precision, so what is evaluated is what is shipped.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from core.classifiers import Classifier, DigitClassifier, Judge
from core.foresight import Critic
from core.patches import PatchTokenizer
from core.policies import LSTMPolicy, Policy
from core.tokenizers import PixelTokenizer
from core.transformer import TransformerPolicy

FORMAT = 1
ROOT = Path(__file__).resolve().parents[1] / "checkpoints"


def _tokenizer(size: int, levels: int | None = None, codes: int | None = None, dim: int = 0, channels: int = 0):
    return PixelTokenizer(size, levels) if codes is None else PatchTokenizer(size, codes, dim, channels)


def _policy(kind: type[Policy], shape: dict) -> Policy:
    of_tokenizer = {name: shape[name] for name in ("size", "levels", "codes", "dim", "channels") if name in shape}
    return kind(_tokenizer(**of_tokenizer), **{name: shape[name] for name in shape if name not in of_tokenizer})


# How each kind of model is built from the "model" part of its config.json.
BUILDERS = {
    "lstm": lambda **shape: _policy(LSTMPolicy, shape),
    "transformer": lambda **shape: _policy(TransformerPolicy, shape),
    "tokenizer": PatchTokenizer,
    "classifier": DigitClassifier,
    "judge": Judge,
    "critic": lambda of, asked, shades, tied, **shape: Critic(build(of, shape), asked, shades, tied),
}


class CheckpointError(RuntimeError):
    """A checkpoint is missing, damaged or of another kind; the message says which file and what is wrong with it."""


def build(kind: str, shape: dict) -> nn.Module:
    """A new model of a kind in BUILDERS, from the numbers that give its shape."""
    if kind not in BUILDERS:
        raise ValueError(f"unknown kind of model {kind!r}; allowed: {', '.join(BUILDERS)}.")
    return BUILDERS[kind](**shape)


def save(folder: str | Path, model: nn.Module, kind: str, shape: dict, about: dict, curve: list[dict] | None = None):
    """Write a checkpoint, whole or not at all: an older one in its place is replaced only once the new one is complete.

    Args:
        folder: where.
        model: whose weights.
        kind, shape: what ``build`` needs to make the model again.
        about: anything worth keeping beside the weights: the recipe, the seed, the configuration of its training.
        curve: the records of its training.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    try:
        weights = {name: value.half() if value.is_floating_point() else value for name, value in _state(model).items()}
        save_file(weights, fresh / "weights.safetensors")
        _write(fresh / "config.json", {"format": FORMAT, "kind": kind, "model": shape, **about}, indent=2)
        if curve is not None:
            _write(fresh / "curve.json", curve, indent=None)
        fresh.chmod(0o755)
        folder.mkdir(exist_ok=True)
        for part in fresh.iterdir():  # file by file: a folder may hold other seeds' folders too
            os.replace(part, folder / part.name)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def load(folder: str | Path, kinds: tuple[str, ...]) -> nn.Module:
    """Read a checkpoint, in evaluation mode.

    Args:
        folder: where.
        kinds: the kinds of model that will do.

    Raises:
        CheckpointError: missing, truncated, foreign or mismatching; then no model is returned, not even half of one.
    """
    folder = Path(folder)
    config = read_config(folder)
    kind = config.get("kind")
    if kind not in kinds:
        raise CheckpointError(f"{folder / 'config.json'} describes a {kind!r}; expected {' or '.join(kinds)}.")
    try:
        model = build(kind, config["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / 'config.json'} describes no {kind} that can be built: {error}.") from error
    path = folder / "weights.safetensors"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing.")
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is truncated or no safetensors file: {error}.") from error
    wanted = _state(model)
    if set(found) != set(wanted):
        odd = sorted(set(found) ^ set(wanted))[0]
        side = "is missing from" if odd in wanted else "does not belong in"
        raise CheckpointError(f"{path} does not match its config.json: {odd!r} {side} it.")
    for name, value in found.items():
        if value.shape != wanted[name].shape:
            shapes = f"{tuple(value.shape)}, not {tuple(wanted[name].shape)}"
            raise CheckpointError(f"{path} does not match its config.json: {name!r} has shape {shapes}.")
        if value.is_floating_point() != wanted[name].is_floating_point() or not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path} holds values in {name!r} that are no finite numbers of the expected kind.")
    model.load_state_dict({name: value.to(wanted[name].dtype) for name, value in found.items()})
    return model.eval()


def exists(folder: str | Path) -> bool:
    """Whether a folder holds a checkpoint."""
    return (Path(folder) / "config.json").is_file()


def read_config(folder: str | Path) -> dict:
    """The config.json of a checkpoint. Raises CheckpointError where there is none, or it is of another format."""
    path = Path(folder) / "config.json"
    if not exists(folder):
        raise CheckpointError(f"{path} is missing: no checkpoint in this folder.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} is truncated or no JSON: {error}.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of format {FORMAT}.")
    return config


def locate(name: str | Path, root: Path = ROOT) -> Path:
    """The folder of a checkpoint: a name below ``root`` such as "pixels-8x8/refine/grpo", a folder, or a Hub repo id."""
    name = str(name)
    if not name or "\0" in name:
        raise CheckpointError(f"{name!r} is no name of a checkpoint.")
    inside = (root / name).resolve()
    if inside.is_relative_to(root.resolve()) and exists(inside):
        return inside
    if Path(name).is_dir():
        return Path(name)
    recipes = {part.name for part in root.iterdir() if part.is_dir()} if root.is_dir() else set()
    if name.count("/") != 1 or name.split("/")[0] in recipes:
        known = ", ".join(available(root)) or "none"
        raise CheckpointError(f"no checkpoint {name!r}: neither a folder nor one that ships here ({known}).")
    from huggingface_hub import snapshot_download  # late: it is slow to import, and few need it

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # the client raises many kinds, from bad names to no network
        raise CheckpointError(f"no checkpoint {name!r} here, and none could be fetched from the Hub: {error}") from error


def available(root: Path = ROOT) -> list[str]:
    """Names of the checkpoints below ``root``, one for each run (further seeds are not listed)."""
    found = sorted(path.parent.relative_to(root).as_posix() for path in root.rglob("config.json"))
    return [name for name in found if not name.rsplit("/", 1)[-1].startswith("seed-")]


def load_policy(name: str | Path, root: Path = ROOT) -> Policy:
    """A policy by name: "RECIPE/random", "RECIPE/unlabelled", "RECIPE/steer/grpo", ...; or a folder; or a Hub repo id."""
    return load(locate(name, root), ("lstm", "transformer"))


def load_tokenizer(recipe: str | Path, root: Path = ROOT) -> PatchTokenizer:
    """The trained tokenizer of a recipe whose tokens are patches; its policies carry a copy."""
    return load(locate(f"{recipe}/tokenizer", root), ("tokenizer",))


def load_classifier(recipe: str | Path, root: Path = ROOT) -> Classifier:
    """The classifier that pays the reward of a recipe."""
    return load(locate(f"{recipe}/classifier", root), ("classifier",))


def load_judge(recipe: str | Path, root: Path = ROOT) -> Classifier:
    """The judge that measures success in a recipe."""
    return load(locate(f"{recipe}/judge", root), ("judge",))


def load_critic(recipe: str | Path, task: str, root: Path = ROOT) -> Critic:
    """What foresight learned of a task's start: how its pictures end."""
    return load(locate(f"{recipe}/{task}/critic", root), ("critic",))


def _state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().contiguous() for name, value in model.state_dict().items()}


def _write(path: Path, value, indent: int | None) -> None:
    path.write_text(json.dumps(value, indent=indent, allow_nan=False) + "\n", encoding="utf-8")

"""Weights on disk: a folder with weights.safetensors, config.json and, after a training, curve.json.

No pickle, so a checkpoint cannot run code. Weights are stored in half precision and used in single precision;
evaluation reads the file, so the effect of rounding is measured too.
"""

import hashlib
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from core.classifiers import Classifier, DigitClassifier, Judge
from core.files import CheckpointError, read_json, replaced, write_json
from core.lstm import LSTMPolicy
from core.policies import Policy
from core.recipes import RECIPES
from core.tokenizers import PixelTokenizer
from core.transformer import TransformerPolicy
from core.vqvae import PatchTokenizer

FORMAT = 1
ROOT = Path(__file__).resolve().parents[1] / "checkpoints"
POLICIES = ("lstm", "transformer")  # the kinds that draw
LARGEST = 1024  # of the numbers in a config's "model"
LARGEST_SIZE = 64  # in pixels; also the largest number of layers


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
    """A new model of a kind in BUILDERS, from the numbers that give its shape, in single precision.

    Raises ValueError or TypeError if the numbers do not make a model.
    """
    if not isinstance(shape, dict):
        raise ValueError(f"its shape is {shape!r:.40}; allowed: numbers by name")
    for name, value in shape.items():
        if name == "guidance":  # not a whole number; the policy checks it
            continue
        most = LARGEST_SIZE if name in ("size", "layers") else LARGEST
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"{name} is {value!r:.40}; allowed: a whole number from 1 to {most}")
    return BUILDERS[kind](**shape).float()  # whatever PyTorch's default dtype is


def save(
    folder: str | Path, model: nn.Module, kind: str, shape: dict, about: dict, curve: list[dict] | None = None
):
    """Write a checkpoint, whole or not at all: an older one is moved away only once the new one is complete.

    Args:
        kind, shape: what ``build`` needs to make the model again.
        about: what is worth keeping beside the weights: the recipe, the seed, the training's configuration.
        curve: the records of its training.
    """
    weights = {}
    for name, value in model.state_dict().items():
        weights[name] = (value.half() if value.is_floating_point() else value).cpu().contiguous()
        if not bool(torch.isfinite(weights[name]).all()):
            raise FloatingPointError(f"{name} holds values that half precision cannot; lower lr.")
    packed = safetensors.torch.save(weights)
    config = {"format": FORMAT, "kind": kind, "model": shape, "sha256": hashlib.sha256(packed).hexdigest()}
    with replaced(Path(folder)) as fresh:
        (fresh / "weights.safetensors").write_bytes(packed)
        if curve is not None:
            write_json(fresh / "curve.json", curve)
        write_json(fresh / "config.json", {**config, **about}, indent=2)


def load(folder: str | Path, kinds: tuple[str, ...]) -> nn.Module:
    """Read a checkpoint of one of ``kinds``, in evaluation mode.

    Raises CheckpointError if it is missing, truncated, of another kind or inconsistent: never half a model.
    """
    folder = Path(folder)
    config, described, path = read_config(folder), folder / "config.json", folder / "weights.safetensors"
    kind, shape = config.get("kind"), config.get("model")
    if kind not in kinds:
        raise CheckpointError(f"{described} describes a {kind!r:.40}; expected {' or '.join(kinds)}.")
    if not path.is_file():
        raise CheckpointError(f"{path} is missing.")
    try:
        with torch.device("meta"):  # shapes without memory: nothing large is made before the weights fit
            empty = build(kind, shape)
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        why = why[:200].encode("utf-8", "backslashreplace").decode()  # it may quote any name, of any length
        raise CheckpointError(f"{described} describes no {kind} that can be built: {why}.") from error
    try:
        weights = safetensors.torch.load_file(path)
        empty.load_state_dict(weights, assign=True)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is truncated or no safetensors file: {error}.") from error
    except RuntimeError as error:
        why = str(error).split("\n\t")[:2][-1].rstrip(".")[:200]  # the first of PyTorch's list
        raise CheckpointError(f"{path} does not match its config.json: {why}.") from error
    if config.get("sha256") not in (None, hashlib.sha256(path.read_bytes()).hexdigest()):
        raise CheckpointError(f"{path} is damaged, or was not saved with the config.json beside it.")
    model = build(kind, shape)
    model.load_state_dict(weights)
    for name, value in model.state_dict().items():
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path} holds values in {name!r} that are no finite numbers.")
    return model.eval()


def check_recipe(folder: str | Path, recipe: str) -> None:
    """Raise CheckpointError if a checkpoint says that it belongs to another recipe."""
    found = read_config(folder).get("recipe", recipe)
    if found != recipe:
        raise CheckpointError(f"{Path(folder) / 'config.json'} is of {found!r:.40}, not of {recipe}.")


def exists(folder: str | Path) -> bool:
    """Whether a folder holds a checkpoint, whole or not."""
    return (Path(folder) / "config.json").is_file()


def read_curve(folder: Path) -> list[dict]:
    """The steps of a run's training. Raises CheckpointError where its curve.json is missing or damaged."""
    curve = read_json(folder / "curve.json")
    if not isinstance(curve, list) or not curve:
        raise CheckpointError(f"{folder / 'curve.json'} is missing or damaged; train that run anew.")
    return curve


def read_config(folder: str | Path) -> dict:
    """The config.json of a checkpoint. Raises CheckpointError where there is none, or of another format."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: no checkpoint in this folder.")
    config = read_json(path)
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(f"{path} is truncated, no JSON, or not a checkpoint of format {FORMAT}.")
    return config


def locate(name: str | Path, root: Path = ROOT) -> Path:
    """The folder of a checkpoint: a name below ``root`` ("pixels-8x8/refine/grpo"), a folder, or a name on
    the Hub ("OWNER/NAME/pixels-8x8/refine/grpo").

    The Hub is never asked for a name that can only be local: anybody may have taken that name there.
    """
    first = str(name).split("/")[0]
    try:
        inside = (root / name).resolve()
        if inside.is_relative_to(root.resolve()) and exists(inside):
            if first in RECIPES:
                check_recipe(inside, first)
            return inside
        if str(name) and Path(name).is_dir():
            return Path(name)
    except (OSError, ValueError):  # too long, or characters that no file system has
        raise CheckpointError(f"{str(name)!r:.60} is no name of a checkpoint.") from None
    from core import hub  # late: its client is slow to import, and few need it

    local = isinstance(name, Path) or not hub.is_name(name)
    if local or any((folder / first).is_dir() for folder in (root, Path())):
        known = f"{root} ({', '.join(available(root)) or 'none'})"
        raise CheckpointError(f"no checkpoint '{name!s:.200}': neither a folder nor one of those in {known}.")
    return hub.fetch(name)


def fingerprint(folder: Path) -> str:
    """A short hash of the weights in a folder; empty if there are none."""
    path = folder / "weights.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""


def available(root: Path = ROOT) -> list[str]:
    """Names of the checkpoints below ``root``."""
    return sorted(path.parent.relative_to(root).as_posix() for path in root.rglob("config.json"))


def load_policy(name: str | Path, root: Path = ROOT) -> Policy:
    """A policy by its name ("RECIPE/labelled", "RECIPE/steer/grpo"), by a folder, or by its name on the Hub
    ("OWNER/NAME/RECIPE/steer/grpo", or "OWNER/NAME" for the one at the top)."""
    return load(locate(name, root), POLICIES)


def load_classifier(recipe: str | Path, root: Path = ROOT) -> Classifier:
    """The classifier that pays the reward of a recipe ("RECIPE", "OWNER/NAME/RECIPE")."""
    return load(_part(recipe, "classifier", root), ("classifier",))


def load_judge(recipe: str | Path, root: Path = ROOT) -> Classifier:
    """The judge that measures success in a recipe ("RECIPE", "OWNER/NAME/RECIPE")."""
    return load(_part(recipe, "judge", root), ("judge",))


def _part(recipe: str | Path, part: str, root: Path) -> Path:
    if isinstance(recipe, str) and recipe in RECIPES:
        recipe = RECIPES[recipe].borrows or recipe
    return locate(recipe / part if isinstance(recipe, Path) else f"{recipe}/{part}", root)

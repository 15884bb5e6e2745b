"""The Hugging Face Hub: checkpoints from it, checkpoints and the demo onto it.

    python -m core.hub push --repo OWNER/NAME [--private]
    python -m core.hub space --repo OWNER/NAME

Both need a token that may write (``hf auth login``, or HF_TOKEN). What they upload replaces what they
uploaded before, in one commit; a repository that holds anything else is left alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub as hf
import tyro
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, errors, get_token
from huggingface_hub.utils import validate_repo_id

from core import cards, checkpoints
from core.place import exit_code
from core.recipes import PIXELS, RECIPES, STARTS

Files = dict[str, Path | bytes]  # by path in the repository: a file, or its content
PROJECT = checkpoints.ROOT.parent
CHECKPOINT = ("config.json", "weights.safetensors")
SHIPPED = (*CHECKPOINT, "curve.json", "metrics.json")
SOURCES = (".py", ".js", ".css", ".svg")
FRONT = {  # what "OWNER/NAME" alone stands for: a policy, and what pays and judges it
    "": f"{PIXELS.name}/steer/grpo",
    "classifier/": f"{PIXELS.name}/classifier",
    "judge/": f"{PIXELS.name}/judge",
}
LOCAL = {*RECIPES, *STARTS, *STARTS.values(), "classifier", "judge", "tokenizer", "checkpoints", "runs"}


class HubError(checkpoints.CheckpointError):
    """The Hub gave or took nothing; the message says why, and never holds the token."""


def is_name(name: str) -> bool:
    """Whether a name can be the Hub's: OWNER/NAME, or a checkpoint inside, and no place of this project."""
    parts = name.split("/")
    plain = all(re.fullmatch(r"[A-Za-z0-9][\w.-]*", part, re.ASCII) for part in parts)
    return plain and len(parts) > 1 and parts[0] not in LOCAL and parts[1] not in LOCAL - set(RECIPES)


def fetch(name: str) -> Path:
    """The folder of a checkpoint on the Hub, downloaded or from the client's cache.

    Args:
        name: "OWNER/NAME", or a checkpoint inside: "OWNER/NAME/pixels-8x8/steer/grpo".
    """
    owner, title, *inside = name.split("/")
    repo, wanted = f"{owner}/{title}", ["/".join([*inside, file]) for file in CHECKPOINT]
    with asking(repo):
        folder = Path(hf.snapshot_download(repo, allow_patterns=wanted))
    if not (folder / wanted[0]).is_file():
        raise HubError(f"{repo} on the Hub has no {wanted[0]}.")
    return folder.joinpath(*inside)


@contextmanager
def asking(repo: str) -> Iterator[None]:
    """Turns what the client raises, of many kinds and with many lines, into a HubError of one sentence."""
    try:
        yield
    except HubError:
        raise
    except Exception as error:
        words = f"{repo}: {_reason(error)}."
        token = get_token()
        raise HubError(words.replace(token, "***") if token else words) from None


def _reason(error: BaseException) -> str:
    """What went wrong, in the Hub's own words where it has any."""
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    for part in chain:
        if isinstance(part, errors.HfHubHTTPError):
            status = part.response.status_code
            says = "the token is not accepted" if status == 401 else "no such repository"
            if status in (401, 404) and get_token() is None:
                says = "no such repository, or a private one, and no token is set"
            elif status not in (401, 404):  # the Hub's own words are the best there are
                says = " ".join((part.server_message or part.response.reason_phrase).split())[:200]
            return f"the Hub answers {status}: {says.rstrip('.')}"
    network = (errors.HTTPError, errors.LocalEntryNotFoundError, ConnectionError)
    if any(isinstance(part, network) for part in chain):
        return f"the Hub cannot be reached ({type(chain[-1]).__name__})"
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__


def publish(repo: str, kind: str, files: Files, mark: str, private: bool = False) -> str:
    """Create a repository, or take one that was published before, and make it hold these files.

    Args:
        kind: "model" or "space".
        mark: how the name of a file ends that tells an earlier upload from somebody's other work.

    Returns:
        its address.
    """
    if repo.count("/") != 1 or not is_name(repo):
        raise ValueError(f"--repo is {repo!r}; allowed: OWNER/NAME, and not the name of a checkpoint.")
    validate_repo_id(repo)
    with asking(repo):
        token = get_token()
        if token is None or not re.fullmatch(r"[!-~]+", token):
            raise HubError("there is no usable token; `hf auth login` or HF_TOKEN sets one that may write.")
        api, sdk = hf.HfApi(), "gradio" if kind == "space" else None
        api.create_repo(repo, repo_type=kind, private=private or None, space_sdk=sdk, exist_ok=True)
        found = api.repo_info(repo, repo_type=kind)
        there = {file.rfilename for file in found.siblings} - {".gitattributes"}
        if there - {"README.md"} and not any(name.endswith(mark) for name in there):
            raise HubError(f"{repo} is taken: it holds something else, which is left as it is.")
        if private and not found.private:
            raise HubError(f"{repo} is there already and public; make it private in its settings.")
        changes = [CommitOperationAdd(name, source) for name, source in files.items()]
        changes += [CommitOperationDelete(name) for name in sorted(there - set(files))]
        done = api.create_commit(repo, changes, commit_message=f"Upload the {kind}", repo_type=kind)
    return str(done.repo_url)


def model_files(repo: str, root: Path = checkpoints.ROOT) -> Files:
    """What ``push`` uploads: every checkpoint, and those of FRONT a second time at the top."""
    paths = [path for path in root.rglob("*") if path.name in SHIPPED]
    files: Files = {path.relative_to(root).as_posix(): path for path in paths}
    for place, name in FRONT.items():
        for file in CHECKPOINT:
            files[place + file] = root / name / file
    return {"README.md": cards.model(repo, root).encode(), **files}


def space_files(project: Path = PROJECT) -> Files:
    """What ``space`` uploads: the demo, and the recipes that it shows, which are those it recorded."""
    paths = [project / name for name in ("app.py", "requirements.txt", "LICENSE")]
    for folder in ("core", "demo"):
        paths += [path for path in project.glob(f"{folder}/**/*") if path.suffix in SOURCES]
    for recorded in project.glob("checkpoints/*/recorded.json"):
        paths += [path for path in recorded.parent.rglob("*") if path.name in (*SHIPPED, recorded.name)]
    files: Files = {path.relative_to(project).as_posix(): path for path in paths}
    readme = (project / "README.md").read_text(encoding="utf-8")
    return {"README.md": cards.space(readme).encode(), **files}


def push(repo: str, private: bool = False) -> None:
    """Uploads checkpoints/ as a model.

    Args:
        repo: OWNER/NAME on the Hub; created where it is new.
        private: seen by its owner alone.
    """
    print(publish(repo, "model", model_files(repo), "/weights.safetensors", private))


def space(repo: str) -> None:
    """Uploads the demo as a Gradio Space.

    Args:
        repo: OWNER/NAME on the Hub; created where it is new.
    """
    print(publish(repo, "space", space_files(), "core/hub.py"))


def main(arguments: list[str] | None = None) -> int:
    commands = {"push": push, "space": space}
    return exit_code(
        lambda: tyro.extras.subcommand_cli_from_dict(commands, args=arguments, prog="python -m core.hub")
    )


if __name__ == "__main__":
    sys.exit(main())

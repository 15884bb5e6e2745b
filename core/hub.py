"""Checkpoints from the Hugging Face Hub, and the command that puts them and the demo there.

    python -m core.hub push --repo OWNER/NAME [--private]
    python -m core.hub space --repo OWNER/NAME

What is put there, and how, is in docs/hub.py.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub as hf
from huggingface_hub import errors, get_token

from core.files import CheckpointError
from core.recipes import RECIPES, STARTS

CHECKPOINT = ("config.json", "weights.safetensors")
LOCAL = {*RECIPES, *STARTS, *STARTS.values(), "classifier", "judge", "tokenizer", "checkpoints", "runs"}


class HubError(CheckpointError):
    """A download from the Hub, or an upload, failed; the message says why, and never holds the token."""


def is_name(name: str) -> bool:
    """Whether a name can be the Hub's: OWNER/NAME, or a checkpoint inside, and no local name."""
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
    """Turns the client's errors, of many kinds and with many lines, into a HubError of one sentence."""
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
            if status not in (401, 404):  # the Hub's own words are the best there are
                says = " ".join((part.server_message or part.response.reason_phrase).split())[:200]
            elif get_token() is None:
                says = "no such repository, or a private one, and no token is set"
            else:
                says = "the token is not accepted" if status == 401 else "no such repository"
            return f"the Hub answers {status}: {says.rstrip('.')}"
    network = (errors.HTTPError, errors.LocalEntryNotFoundError, ConnectionError)
    if any(isinstance(part, network) for part in chain):
        return f"the Hub cannot be reached ({type(chain[-1]).__name__})"
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__


if __name__ == "__main__":
    from docs.hub import main  # late: what is uploaded, and its model cards, are not the core's concern

    sys.exit(main())

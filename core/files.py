"""Files and folders that are written whole or not at all, whatever ends the process that writes them."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

ROOM = 50_000_000  # bytes that are to be free before a training or an evaluation starts


class CheckpointError(RuntimeError):
    """A checkpoint is missing, damaged or of another kind; the message says which file, and what is wrong."""


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def write_json(path: Path, value, indent: int | None = None) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_name(path.name + ".writing")
    try:
        fresh.write_text(json.dumps(value, indent=indent, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """A folder and its parents are made; those that were not there before and hold nothing are removed."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for one in missing:
            with suppress(OSError, ValueError):  # ValueError: a name that no file system has
                one.rmdir()


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A folder to write into, which then takes the place of ``folder``. An older one stays until then."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    settle(folder)
    fresh, old = _scratch(folder) / "new", _scratch(folder) / "old"
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if folder.exists():
            os.replace(folder, old)
        os.replace(fresh, folder)
    finally:
        settle(folder)


def settle(folder: Path) -> None:
    """Clear what a process left that was killed in ``replaced``; what it had just moved away comes back."""
    old = _scratch(folder) / "old"
    if old.exists() and not folder.exists():
        os.replace(old, folder)
    shutil.rmtree(_scratch(folder), ignore_errors=True)


def _scratch(folder: Path) -> Path:
    return folder.with_name(f".writing-{folder.name}")


def _remove(lock_file: Path) -> None:
    """Remove the file of a lock that is held. Windows refuses: there its release removes it."""
    with suppress(OSError):
        lock_file.unlink()


@contextmanager
def reserved(path: Path) -> Iterator[None]:
    """Hold a place that is to be written, so that what speaks against it is said before time is spent.

    Raises ValueError: it cannot be written, the disk is full, or another process is about to write it.
    """
    path = Path(os.path.abspath(path))
    with ExitStack() as stack:
        try:
            stack.enter_context(made(path.parent))
            free = shutil.disk_usage(path.parent).free
            lock = FileLock(path.with_name(f".writing-{path.name}.lock"))
            lock.acquire(timeout=0)
            stack.callback(lock.release)
            stack.callback(_remove, Path(lock.lock_file))
            settle(path)
            if path.exists() and not os.access(path, os.W_OK):
                raise PermissionError("it is read-only")
        except Timeout:
            raise ValueError(f"another process is writing {path}.") from None
        except (OSError, ValueError) as error:
            raise ValueError(f"cannot write to {path}: {error}.") from error
        if free < ROOM:
            raise ValueError(f"cannot write to {path}: only {free / 1e6:.0f} MB are free there.")
        yield

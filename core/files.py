"""Files and folders that are written whole or not at all, however the process that writes them ends."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

ROOM = 50_000_000  # bytes that must be free before training or evaluation starts


class CheckpointError(RuntimeError):  # here, as core.hub raises it too, which core.checkpoints calls
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
    """Make a folder and its parents; at the end, remove those that were not there before and are empty."""
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
    """Give a new folder to write into, which replaces ``folder`` at the end; the old one stays until then."""
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
    """Clean up after a process that was killed in ``replaced``; a folder it had moved away is put back."""
    old = _scratch(folder) / "old"
    if old.exists() and not folder.exists():
        os.replace(old, folder)
    shutil.rmtree(_scratch(folder), ignore_errors=True)


def _scratch(folder: Path) -> Path:
    return folder.with_name(f".writing-{folder.name}")


def _remove(lock_file: Path) -> None:
    """Remove the file of a lock that is held. Windows refuses: there, releasing the lock removes it."""
    with suppress(OSError):
        lock_file.unlink()


@contextmanager
def reserved(path: Path) -> Iterator[None]:
    """Lock a path that is to be written, and raise at once if writing it later would fail.

    Raises ValueError if it cannot be written, the disk is full, or another process is about to write it.
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

"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from overfocus.core.errors import OverfocusError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFull(OverfocusError):
    """There is no room; whoever tries next will have none either."""


class Taken(OverfocusError):
    """Another process holds the lock."""


@contextmanager
def held(path: Path, error: str) -> Iterator[None]:
    """Hold the lock file `path` for this process; a killed process holds nothing.

    Raises Taken(error) where another process holds it, OverfocusError where it cannot be written.
    """
    with _opened(path) as lock:
        if not _locked(lock):
            raise Taken(error)
        yield


def _opened(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "w")
    except OSError as error:
        raise OverfocusError(f"{path.parent} cannot be written ({error.strerror}); give another --out") from error


def _locked(lock: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: no advisory locks, so no guard
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write(path: Path, text: str) -> None:
    """Write `text` whole or not at all, and to the disk before it gets its name."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes the name `path` when the block ends well, and goes when it does
    not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield aside
        with open(aside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except Exception as error:
        _raise_if_full(error, f"{path.name} in {path.parent}")
        raise
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; it takes the name `path` when the block ends well, and goes when it does not.

    What lay at `path` is moved away first and deleted last.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside, old = (path.with_name(f".{path.name}.{os.getpid()}{end}") for end in (".new", ".old"))
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir()
        yield aside
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(aside, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
    except (OSError, RuntimeError) as error:
        _raise_if_full(error, str(path))
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _raise_if_full(error: Exception, what: str) -> None:
    if disk_is_full(error):
        raise DiskFull(
            f"the disk is full, {what} was not written; what was there is untouched: make room and run the same "
            "command again"
        ) from error


def disk_is_full(error: BaseException | None) -> bool:
    """Whether `error` or one that led to it says so; torch and safetensors hide the number of the error in a text."""
    while error is not None:
        marks = [f"os error {number})" for number in FULL] + [f"code: {number}," for number in FULL]  # new and old Rust
        if getattr(error, "errno", None) in FULL or any(mark in str(error) for mark in marks):
            return True
        error = error.__context__
    return False

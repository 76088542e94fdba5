"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overfocus.core.errors import OverfocusError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    except (OSError, RuntimeError) as error:
        if _disk_is_full(error):
            raise OverfocusError(
                f"the disk is full, {path.name} in {path.parent} was not written; what was there is untouched: "
                "make room and run the same command again"
            ) from error
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
        os.replace(aside, path)
    except (OSError, RuntimeError) as error:
        if _disk_is_full(error):
            raise OverfocusError(
                f"the disk is full, {path} was not written; what was there is untouched: make room and run the same "
                "command again"
            ) from error
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _disk_is_full(error: BaseException | None) -> bool:
    """Look through what led to `error`: torch reports a failed write as a RuntimeError."""
    while error is not None:
        if getattr(error, "errno", None) in FULL:
            return True
        error = error.__context__
    return False
